/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/tunnel-private.h"

#define SETTING(kind_, field) .kind = TCP_SETTING_##kind_, .offset = G_STRUCT_OFFSET (TcpTunnelSettings, field)

static void
certificate_changed (TcpEndpoint *self)
{
  ((TcpTunnelClass *) G_OBJECT_GET_CLASS (self))->certificate_changed (self);
}

static void
token_changed (TcpEndpoint *self)
{
  ((TcpTunnelClass *) G_OBJECT_GET_CLASS (self))->token_changed (self);
}

static void
get_state (TcpEndpoint *self,
           GValue      *value)
{
  g_value_set_enum (value, tcp_status_get (self->status, state));
}

static void
get_last_error (TcpEndpoint *self,
                GValue      *value)
{
  g_value_take_boxed (value, tcp_status_dup_error (self->status));
}

/* endpoint/setting.h describes how to add a property. */
static const TcpSetting rows[] = {
  /**
   * TcpTunnel:remote-uri:
   *
   * The URL of the gateway, `ws://` or `wss://`. Its query is kept, and the tunnel adds parameters to it. The start fails
   * with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if the URL is %NULL, the default, or invalid, or if it contains a user name,
   * a password or a fragment.
   *
   * Since: 1.0
   */
  { "remote-uri", SETTING (STRING, remote_uri) },

  /**
   * TcpTunnel:token:
   *
   * The bearer token that authorises the tunnel at the gateway. It can be set but not read, so that it does not appear
   * where properties are listed. %NULL, the default, is for none.
   *
   * The start fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT unless exactly one of this,
   * [property@TcpTunnel.Tunnel:authorization] and [property@TcpTunnel.Tunnel:anonymous] is set.
   * See [method@TcpTunnel.Tunnel.set_token].
   *
   * Since: 1.0
   */
  { "token", SETTING (STRING, token), .is_secret = TRUE, .changed = token_changed },

  /**
   * TcpTunnel:authorization:
   *
   * The whole value of the header `Authorization`, instead of a token: for example `Basic …`, or `token …` for Jupyter.
   * It can be set but not read.
   *
   * It consists of printable ASCII characters, with no space at its beginning or end. If a server refuses it (401), the
   * tunnel ends: [signal@TcpTunnel.Tunnel::token-required] is not emitted. %NULL, the default, is for none.
   *
   * Since: 1.0
   */
  { "authorization", SETTING (STRING, authorization), .is_secret = TRUE },

  /**
   * TcpTunnel:anonymous:
   *
   * Whether the tunnel sends no header `Authorization`: for a server that requires none, or other credentials, such as
   * a [property@TcpTunnel.Tunnel:client-certificate] or [property@TcpTunnel.Tunnel:request-headers]. The default is
   * %FALSE, so that a missing token is an error.
   *
   * Since: 1.0
   */
  { "anonymous", SETTING (BOOLEAN, anonymous) },

  /**
   * TcpTunnel:subprotocols:
   *
   * The WebSocket subprotocols that are offered to the server, the preferred one first: for
   * example `binary` for websockify. %NULL, the default, is for none.
   *
   * They do not affect the data that the tunnel sends. The server may choose one of them, or none; if it chooses
   * another, the attempt fails with %TCP_TUNNEL_ERROR_PROTOCOL, as RFC 6455 requires. The start fails with
   * %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if one occurs twice, or is not a valid name.
   *
   * Since: 1.0
   */
  { "subprotocols", SETTING (STRV, subprotocols) },

  /**
   * TcpTunnel:origin:
   *
   * The value of the header `Origin`, which browsers send: for a server that only accepts requests from its own pages,
   * for example `https://example.com`. %NULL, the default, is for none.
   *
   * Since: 1.0
   */
  { "origin", SETTING (STRING, origin) },

  /**
   * TcpTunnel:connect-to:
   *
   * The host and port to connect to instead of those of [property@TcpTunnel.Tunnel:remote-uri], as `host:port`, with an
   * IPv6 address in brackets. With %NULL, the default, the tunnel connects to those of the URL.
   *
   * The `Host` header, the name for TLS, and the name that the certificate must contain are still those of the URL.
   * This is for a server whose name resolves to another address, such as one of several behind a load balancer.
   *
   * Since: 1.0
   */
  { "connect-to", SETTING (STRING, connect_to) },

  /**
   * TcpTunnel:target:
   *
   * The TCP service to request from the gateway for each TCP client, as `host:port` of at most 512 bytes, with an IPv6
   * address in brackets; %NULL, the default, for the gateway's own target. The host is a name in ASCII, which the
   * gateway resolves, or an address in its usual form: neither in bases other than ten nor as an IPv4 address within
   * IPv6. A name without a port is that of a named target of the gateway: see [property@TcpTunnel.Gateway:targets]. The
   * start fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT otherwise, and if [property@TcpTunnel.Endpoint:resumption] is
   * off.
   *
   * The gateway decides whether it allows the target: see [property@TcpTunnel.Gateway:allow]. A connection to a target
   * that it does not allow is reset with %TCP_TUNNEL_ERROR_FORBIDDEN. If the gateway uses one of limrun's protocols,
   * which cannot name a target, the tunnel ends with %TCP_TUNNEL_ERROR_PROTOCOL.
   *
   * Since: 1.0
   */
  { "target", SETTING (STRING, target) },

  /**
   * TcpTunnel:listen:
   *
   * Whether the tunnel has a port of its own, at [property@TcpTunnel.Endpoint:hostname] and
   * [property@TcpTunnel.Endpoint:port], or [property@TcpTunnel.Endpoint:socket-path]. The default is %TRUE.
   *
   * Without a port, a tunnel serves its forwards ([method@TcpTunnel.Tunnel.add_forward]), and the streams that the
   * program opens ([method@TcpTunnel.Tunnel.open_async]). Its [property@TcpTunnel.Endpoint:local-address] is %NULL.
   *
   * Since: 1.0
   */
  { "listen", SETTING (BOOLEAN, listens), .initial = TRUE },

  /**
   * TcpTunnel:mode:
   *
   * How TCP connections map to WebSockets. The default is
   * %TCP_TUNNEL_MODE_SINGLETON.
   *
   * Since: 1.0
   */
  { "mode", SETTING (ENUM, mode), .type = tcp_tunnel_mode_get_type, .initial = TCP_TUNNEL_MODE_SINGLETON },

  /**
   * TcpTunnel:reverses:
   *
   * TCP services of this end that clients of the gateway can reach, each as `PORT=HOST:PORT`: the gateway listens on
   * the first port, or on any for 0, and each connection to it is connected to the service behind the equals sign.
   * %NULL, the default, is for none.
   *
   * This requires a multiplexed tunnel with resumable sessions; otherwise the start fails with
   * %TCP_TUNNEL_ERROR_INVALID_ARGUMENT. If the gateway does not listen, the start fails with its error. The gateway
   * must allow the port: see [property@TcpTunnel.Gateway:reverse-ports]. A tunnel that only serves such connections is
   * a [class@TcpTunnel.ReverseTunnel].
   *
   * Since: 1.0
   */
  { "reverses", SETTING (STRV, reverses) },

  /**
   * TcpTunnel:max-reconnect-attempts:
   *
   * The number of consecutive attempts to open a WebSocket again before the tunnel ends with an error. With 0 it does
   * not try again, and with %TCP_TUNNEL_UNLIMITED_ATTEMPTS, -1, the number is unlimited. The default is 6.
   *
   * The count restarts when a WebSocket is open again; in a resumable session, when the gateway has confirmed on it
   * that the session continues.
   *
   * For a resumable session the tunnel tries, unless this is 0, for as long as the gateway keeps the session, counted
   * from the loss of the WebSocket. After that the connections are reset with %TCP_TUNNEL_ERROR_LOST. If the tunnel has
   * made this many attempts by then, it ends; otherwise it continues without a session.
   *
   * Since: 1.0
   */
  { "max-reconnect-attempts", SETTING (INT, max_reconnect_attempts), .minimum = TCP_TUNNEL_UNLIMITED_ATTEMPTS,
    .maximum = G_MAXINT, .initial = 6 },

  /**
   * TcpTunnel:wait-for-gateway:
   *
   * Whether a multiplexed tunnel tries again when its very first attempt to reach the gateway fails for a temporary
   * reason: the gateway does not answer, its name is not found, it breaks off the TLS handshake, or it answers 408,
   * 425, 429, or 500 and above. The default is %FALSE: the start fails.
   *
   * The tunnel tries again as after a break, up to [property@TcpTunnel.Tunnel:max-reconnect-attempts] times, and emits
   * [signal@TcpTunnel.Tunnel::retry-scheduled] before each of these attempts. The start succeeds when the tunnel is
   * connected, and fails when it gives up. Until then it refuses TCP clients.
   *
   * A tunnel in any other mode starts without a gateway as well. It connects when a TCP client does, and always tries
   * again. A [class@TcpTunnel.ReverseTunnel] counts as multiplexed.
   *
   * Since: 1.0
   */
  { "wait-for-gateway", SETTING (BOOLEAN, wait_for_gateway) },

  /**
   * TcpTunnel:reconnect-delay:
   *
   * The delay before the first reconnect, in milliseconds. Each further delay is twice as long, up to
   * [property@TcpTunnel.Tunnel:max-reconnect-delay], minus up to 20 % jitter. A gateway may request a longer delay, up
   * to 10 minutes. The default is 1000.
   *
   * The delay is reset to this value when a WebSocket was open for a second, or data was received over it. For a
   * resumable session the first attempt follows after a random 0 to 50 milliseconds; then the delay is this one, but at
   * most 5 seconds, minus up to 50 % jitter. After ten consecutive attempts no delay is shorter than 20 milliseconds.
   *
   * Since: 1.0
   */
  { "reconnect-delay", SETTING (UINT, reconnect_delay), .maximum = G_MAXUINT, .initial = 1000 },

  /**
   * TcpTunnel:max-reconnect-delay:
   *
   * The longest delay between two attempts, in milliseconds. The default is 30000.
   *
   * Since: 1.0
   */
  { "max-reconnect-delay", SETTING (UINT, max_reconnect_delay), .maximum = G_MAXUINT, .initial = 30000 },

  /**
   * TcpTunnel:max-buffered-bytes:
   *
   * The number of bytes that may wait in memory for TCP clients that do not read, in total, in sessions that are not
   * resumable. At this limit, the WebSocket is not read either, so that the gateway has to wait. In the other direction
   * at most 256 KiB wait for the WebSocket. At least 512 KiB; the default is 1 MiB.
   *
   * In resumable sessions [property@TcpTunnel.Endpoint:max-unacknowledged-bytes] and
   * [property@TcpTunnel.Endpoint:max-window-bytes] apply instead.
   *
   * Since: 1.0
   */
  { "max-buffered-bytes", SETTING (UINT, max_buffered_bytes), .minimum = 512 * 1024, .maximum = G_MAXUINT,
    .initial = 1024 * 1024 },

  /**
   * TcpTunnel:request-headers:
   *
   * Further headers for the request that opens the WebSocket, each as `Name: value`. Headers that the tunnel sets
   * itself, such as `Authorization` and `Sec-WebSocket-Protocol`, are not allowed: they have properties of their own.
   * The values do not appear in the log. Their total size may be up to 64 KiB. %NULL, the default, is for none.
   *
   * Since: 1.0
   */
  { "request-headers", SETTING (STRV, request_headers) },

  /**
   * TcpTunnel:proxy-resolver:
   *
   * The resolver that finds the proxy to use. %NULL, the default, is that of the system.
   *
   * The resolver is asked for the proxy of an `http` URL for `ws`, and of an `https` URL for `wss`. An HTTP proxy must
   * allow CONNECT to the port of the gateway in both cases. User name and password of a proxy are part of its URL,
   * where `%40` stands for `@`, `%3A` for `:` and `%25` for `%`.
   *
   * Since: 1.0
   */
  { "proxy-resolver", SETTING (OBJECT, proxy_resolver), .type = g_proxy_resolver_get_type },

  /**
   * TcpTunnel:tls-database:
   *
   * The authorities with which certificates of gateways are verified. %NULL, the default, is for those of the system.
   *
   * Since: 1.0
   */
  { "tls-database", SETTING (OBJECT, tls_database), .type = g_tls_database_get_type },

  /**
   * TcpTunnel:client-certificate:
   *
   * The certificate for gateways that request one. %NULL, the default, is for none.
   *
   * A running tunnel uses a new certificate from the next WebSocket on. It can therefore be replaced in time: when a
   * certificate expires, a gateway of this library requires another credential, and a tunnel without a token reconnects
   * at once with the certificate that is set then. Nothing is lost in resumable sessions.
   *
   * Since: 1.0
   */
  { "client-certificate", SETTING (OBJECT, client_certificate), .type = g_tls_certificate_get_type,
    .changed = certificate_changed },

  /**
   * TcpTunnel:state:
   *
   * The current state of the WebSocket.
   *
   * It is notified before each [signal@TcpTunnel.Tunnel::state-changed], in the main context in which signals are
   * emitted.
   *
   * Since: 1.0
   */
  { "state", .kind = TCP_SETTING_ENUM, .type = tcp_tunnel_state_get_type, .initial = TCP_TUNNEL_STATE_DISCONNECTED,
    .get = get_state },

  /**
   * TcpTunnel:last-error:
   *
   * The last error of the tunnel or of one of its connections since it was started; %NULL if there was none. It is also
   * set when the tunnel ends by itself. It is not set by a connection that the TCP client or the target closed before
   * it had read all data.
   *
   * No notification is emitted when it changes.
   *
   * Since: 1.0
   */
  { "last-error", .kind = TCP_SETTING_BOXED, .type = g_error_get_type, .get = get_last_error },
};

const TcpSettings tcp_tunnel_settings = {
  .parent = &tcp_endpoint_settings,
  .size = sizeof (TcpTunnelSettings),
  .rows = rows,
  .n_rows = G_N_ELEMENTS (rows),
};
