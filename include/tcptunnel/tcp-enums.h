/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib-object.h>
#include <tcptunnel/tcp-version-macros.h>

G_BEGIN_DECLS

/**
 * TcpTunnelState:
 * @TCP_TUNNEL_STATE_DISCONNECTED: there is no WebSocket. Unless it is multiplexed, a tunnel
 *   rests here until a TCP client connects.
 * @TCP_TUNNEL_STATE_CONNECTING: a WebSocket is being opened.
 * @TCP_TUNNEL_STATE_CONNECTED: the WebSocket is open, data flows.
 * @TCP_TUNNEL_STATE_RECONNECTING: the WebSocket broke, or could not be opened; the tunnel
 *   waits for the back-off delay to pass before it tries again.
 *
 * The state of the WebSocket of a tunnel. If there are several, as in parallel mode, it is the state
 * of the one that is furthest on: connected, else connecting, else reconnecting.
 *
 * Since: 1.0
 */
typedef enum
{
  TCP_TUNNEL_STATE_DISCONNECTED,
  TCP_TUNNEL_STATE_CONNECTING,
  TCP_TUNNEL_STATE_CONNECTED,
  TCP_TUNNEL_STATE_RECONNECTING,
} TcpTunnelState;

/**
 * TcpTunnelMode:
 * @TCP_TUNNEL_MODE_SINGLETON: one TCP connection at a time, each with a
 *   WebSocket and a session of its own. It outlives breaks of the WebSocket, with
 *   nothing lost if the session is resumed.
 * @TCP_TUNNEL_MODE_MULTIPLEXED: many TCP connections at once over one WebSocket,
 *   which is opened when the tunnel starts. They outlive breaks of the WebSocket, with
 *   nothing lost, if the session is resumed; else a break ends them.
 * @TCP_TUNNEL_MODE_PARALLEL: many TCP connections at once, each as in singleton mode, with a
 *   WebSocket and a session of its own. This is for servers that connect each WebSocket to
 *   one TCP connection, of which there are many. If the session cannot be resumed, a break of the WebSocket
 *   ends its TCP connection in a reset, as another WebSocket would lead to another connection.
 * @TCP_TUNNEL_MODE_AUTO: what the gateway is capable of. The first TCP connection opens a
 *   WebSocket as in singleton mode. If the gateway can resume the session, and carry many
 *   connections in it, that session is kept, and serves all connections from then on, as in
 *   multiplexed mode. Otherwise the tunnel serves one connection at a time, as in singleton mode, and
 *   logs a warning. A client that connects while this is still open waits, unread.
 *   If [property@TcpTunnel.Endpoint:resumption] is off, this is the same as singleton mode.
 *
 * How TCP connections map to WebSockets.
 *
 * Since: 1.0
 */
typedef enum
{
  TCP_TUNNEL_MODE_SINGLETON,
  TCP_TUNNEL_MODE_MULTIPLEXED,
  TCP_TUNNEL_MODE_PARALLEL,
  TCP_TUNNEL_MODE_AUTO,
} TcpTunnelMode;

/**
 * TcpTunnelResumption:
 * @TCP_TUNNEL_RESUMPTION_AUTO: sessions are resumed if the other end can do so too.
 * @TCP_TUNNEL_RESUMPTION_REQUIRED: an end that cannot resume sessions is refused.
 * @TCP_TUNNEL_RESUMPTION_OFF: sessions are never resumed.
 *
 * Whether TCP connections go on when their WebSocket breaks, and lose nothing.
 *
 * In a session that is resumed every TCP connection, also one that was half closed, goes
 * on over the next WebSocket with each byte once and in order. Both ends have to be of
 * this library, or of another that speaks `resumable/1`. In other sessions bytes may be
 * lost when a WebSocket breaks, and in multiplexed mode the connections end.
 *
 * Since: 1.0
 */
typedef enum
{
  TCP_TUNNEL_RESUMPTION_AUTO,
  TCP_TUNNEL_RESUMPTION_REQUIRED,
  TCP_TUNNEL_RESUMPTION_OFF,
} TcpTunnelResumption;

/**
 * TcpProxyProtocol:
 * @TCP_PROXY_PROTOCOL_NONE: none is spoken.
 * @TCP_PROXY_PROTOCOL_V2: version 2, the binary one.
 *
 * Which version of the PROXY protocol a gateway speaks to its targets.
 *
 * Since: 1.0
 */
typedef enum
{
  TCP_PROXY_PROTOCOL_NONE,
  TCP_PROXY_PROTOCOL_V2,
} TcpProxyProtocol;

/**
 * TcpTunnelLogLevel:
 * @TCP_TUNNEL_LOG_LEVEL_NONE: nothing at all
 * @TCP_TUNNEL_LOG_LEVEL_ERROR: what ended a tunnel, a gateway or a connection
 * @TCP_TUNNEL_LOG_LEVEL_WARN: what went wrong and is being dealt with
 * @TCP_TUNNEL_LOG_LEVEL_INFO: what changed: listening, connected, closed
 * @TCP_TUNNEL_LOG_LEVEL_DEBUG: everything, for finding a fault
 *
 * How much is logged. Each level includes those before it.
 *
 * Messages go through GLib's structured logging in the domain `TcpTunnel`:
 * errors and warnings as %G_LOG_LEVEL_MESSAGE, the others as
 * %G_LOG_LEVEL_INFO and %G_LOG_LEVEL_DEBUG, which GLib shows only if
 * `G_MESSAGES_DEBUG` names the domain. The field `TCP_TUNNEL_LEVEL` holds the nick of
 * the level, and `TCP_TUNNEL_NAME` the [property@TcpTunnel.Endpoint:name] of an endpoint that
 * has one.
 *
 * Since: 1.0
 */
typedef enum
{
  TCP_TUNNEL_LOG_LEVEL_NONE,
  TCP_TUNNEL_LOG_LEVEL_ERROR,
  TCP_TUNNEL_LOG_LEVEL_WARN,
  TCP_TUNNEL_LOG_LEVEL_INFO,
  TCP_TUNNEL_LOG_LEVEL_DEBUG,
} TcpTunnelLogLevel;

/**
 * TcpForwardKind:
 * @TCP_FORWARD_KIND_TARGET: each TCP client is connected to one target.
 * @TCP_FORWARD_KIND_SOCKS: each TCP client names its target by SOCKS5 (RFC 1928): without
 *   authentication, and with the command CONNECT only.
 * @TCP_FORWARD_KIND_HTTP_PROXY: each TCP client names its target by CONNECT of HTTP/1.1. Other
 *   requests are answered with 405.
 *
 * How the target of a forward's TCP clients is chosen.
 *
 * Names that clients of a proxy ask for are resolved by the gateway, and it is the gateway that decides what it allows.
 * The answer to a client is sent when the gateway has connected, or refused to.
 *
 * Since: 1.0
 */
typedef enum
{
  TCP_FORWARD_KIND_TARGET,
  TCP_FORWARD_KIND_SOCKS,
  TCP_FORWARD_KIND_HTTP_PROXY,
} TcpForwardKind;

#define TCP_TYPE_TUNNEL_STATE (tcp_tunnel_state_get_type ())
#define TCP_TYPE_TUNNEL_MODE (tcp_tunnel_mode_get_type ())
#define TCP_TYPE_TUNNEL_RESUMPTION (tcp_tunnel_resumption_get_type ())
#define TCP_TYPE_PROXY_PROTOCOL (tcp_proxy_protocol_get_type ())
#define TCP_TYPE_TUNNEL_LOG_LEVEL (tcp_tunnel_log_level_get_type ())
#define TCP_TYPE_FORWARD_KIND (tcp_forward_kind_get_type ())

TCP_TUNNEL_AVAILABLE_IN_1_0
GType tcp_tunnel_state_get_type (void) G_GNUC_CONST;
TCP_TUNNEL_AVAILABLE_IN_1_0
GType tcp_tunnel_mode_get_type (void) G_GNUC_CONST;
TCP_TUNNEL_AVAILABLE_IN_1_0
GType tcp_tunnel_resumption_get_type (void) G_GNUC_CONST;
TCP_TUNNEL_AVAILABLE_IN_1_0
GType tcp_proxy_protocol_get_type (void) G_GNUC_CONST;
TCP_TUNNEL_AVAILABLE_IN_1_0
GType tcp_tunnel_log_level_get_type (void) G_GNUC_CONST;
TCP_TUNNEL_AVAILABLE_IN_1_0
GType tcp_forward_kind_get_type (void) G_GNUC_CONST;

G_END_DECLS
