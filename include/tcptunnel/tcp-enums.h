/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib-object.h>
#include <tcptunnel/tcp-version-macros.h>

G_BEGIN_DECLS

/**
 * TcpTunnelState:
 * @TCP_TUNNEL_STATE_DISCONNECTED: there is no WebSocket. A tunnel that is not multiplexed
 *   stays in this state until a TCP client connects.
 * @TCP_TUNNEL_STATE_CONNECTING: a WebSocket is being opened.
 * @TCP_TUNNEL_STATE_CONNECTED: the WebSocket is open.
 * @TCP_TUNNEL_STATE_RECONNECTING: the WebSocket broke, or could not be opened; the tunnel
 *   waits for the reconnect delay before it tries again.
 *
 * The state of the WebSocket of a tunnel. If there are several, as in parallel mode, it is the state of the most
 * advanced one: connected, otherwise connecting, otherwise reconnecting.
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
 *   WebSocket and a session of its own. It survives breaks of the WebSocket, without
 *   loss if the session is resumable.
 * @TCP_TUNNEL_MODE_MULTIPLEXED: many TCP connections at once over one WebSocket,
 *   which is opened when the tunnel starts. They survive breaks of the WebSocket, without
 *   loss, if the session is resumable; otherwise a break ends them.
 * @TCP_TUNNEL_MODE_PARALLEL: many TCP connections at once, each as in singleton mode, with a
 *   WebSocket and a session of its own. This is for servers that connect each WebSocket to
 *   a TCP connection of its own. If the session is not resumable, a break of the WebSocket
 *   resets its TCP connection, as another WebSocket would lead to another connection.
 * @TCP_TUNNEL_MODE_AUTO: depends on the gateway. The first TCP connection opens a
 *   WebSocket as in singleton mode. If the gateway can resume the session, and carry many
 *   connections in it, that session is kept, and serves all connections from then on, as in
 *   multiplexed mode. Otherwise the tunnel serves one connection at a time, as in singleton mode, and
 *   logs a warning. A client that connects before this is known waits, and its data is not read.
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
 * @TCP_TUNNEL_RESUMPTION_AUTO: sessions are resumable if the other end supports that.
 * @TCP_TUNNEL_RESUMPTION_REQUIRED: an end that does not support it is refused.
 * @TCP_TUNNEL_RESUMPTION_OFF: sessions are never resumable.
 *
 * Whether TCP connections continue when their WebSocket breaks, without loss.
 *
 * In a resumable session every TCP connection, including one that is half closed, continues over the next WebSocket
 * with each byte once and in order. Both ends must use this library, or another implementation of `resumable/1`. In
 * other sessions bytes may be lost when a WebSocket breaks, and in multiplexed mode the connections end.
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
 * @TCP_PROXY_PROTOCOL_NONE: no header is sent.
 * @TCP_PROXY_PROTOCOL_V2: version 2, the binary one.
 *
 * The version of the PROXY protocol that a gateway uses towards its targets.
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
 * @TCP_TUNNEL_LOG_LEVEL_NONE: nothing
 * @TCP_TUNNEL_LOG_LEVEL_ERROR: errors that end a tunnel, a gateway or a connection
 * @TCP_TUNNEL_LOG_LEVEL_WARN: failures that the endpoint handles itself
 * @TCP_TUNNEL_LOG_LEVEL_INFO: changes of state: listening, connected, closed
 * @TCP_TUNNEL_LOG_LEVEL_DEBUG: everything, to find a fault
 *
 * How much is logged. Each level includes those before it.
 *
 * Messages are logged with GLib's structured logging in the domain `TcpTunnel`: errors and warnings as
 * %G_LOG_LEVEL_MESSAGE, the others as %G_LOG_LEVEL_INFO and %G_LOG_LEVEL_DEBUG, which GLib shows only if
 * `G_MESSAGES_DEBUG` contains the domain. The field `TCP_TUNNEL_LEVEL` contains the nick of the level, and
 * `TCP_TUNNEL_NAME` the [property@TcpTunnel.Endpoint:name] of an endpoint that has one.
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
 * @TCP_FORWARD_KIND_TARGET: all TCP clients are connected to one target.
 * @TCP_FORWARD_KIND_SOCKS: each TCP client names its target with SOCKS5 (RFC 1928): without
 *   authentication, and with the command CONNECT only.
 * @TCP_FORWARD_KIND_HTTP_PROXY: each TCP client names its target with the method CONNECT of HTTP/1.1.
 *   Other requests are answered with 405.
 *
 * How the target of a forward's TCP clients is determined.
 *
 * The gateway resolves names that clients of a proxy request, and decides which targets it allows. The answer to a
 * client is sent when the gateway has connected, or refused to.
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
