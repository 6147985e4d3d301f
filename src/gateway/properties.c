/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/gateway-private.h"

#include "endpoint/accessors.h"

enum
{
  PROP_0,
  PROP_TARGET,
  PROP_HOSTNAME,
  PROP_PORT,
  PROP_PATH,
  PROP_ALLOW,
  PROP_REVERSE_PORTS,
  PROP_TOKEN,
  PROP_TOKEN_FILE,
  PROP_TRUSTED_PROXIES,
  PROP_TLS_CERTIFICATE,
  PROP_RESUMPTION,
  PROP_CONNECT_TIMEOUT,
  PROP_SESSION_TIMEOUT,
  PROP_KEEPALIVE_INTERVAL,
  PROP_KEEPALIVE_TIMEOUT,
  PROP_MAX_RETAINED_BYTES,
  PROP_MAX_WINDOW_BYTES,
  PROP_MAX_CONNECTIONS,
  PROP_MAX_DIALS,
  PROP_MAX_MEMORY,
  PROP_MAX_PRINCIPAL_SESSIONS,
  PROP_MAX_PRINCIPAL_CONNECTIONS,
  PROP_MAX_PRINCIPAL_DIALS,
  PROP_MAX_PRINCIPAL_MEMORY,
  PROP_RESET_ON_LOSS,
  PROP_LOG_LEVEL,
  PROP_LOCAL_ADDRESS,
  PROP_URI,
  PROP_BYTES_SENT,
  PROP_BYTES_RECEIVED,
  PROP_OPEN_CONNECTIONS,
  PROP_TOTAL_CONNECTIONS,
  PROP_RETAINED_BYTES,
  PROP_RECEIVE_WINDOW,
  PROP_SEND_WINDOW,
  PROP_RESUMES,
  PROP_BYTES_REPLAYED,
  N_PROPERTIES
};

static GParamSpec *properties[N_PROPERTIES];

static void
gateway_get_property (GObject    *object,
                      guint       property_id,
                      GValue     *value,
                      GParamSpec *pspec)
{
  TcpGateway *self = TCP_GATEWAY (object);

  switch (property_id)
    {
    case PROP_TARGET:
      TCP_GET (string, self->settings->target);
      break;
    case PROP_HOSTNAME:
      TCP_GET (string, self->settings->hostname);
      break;
    case PROP_PORT:
      g_value_set_uint (value, tcp_gateway_get_port (self));
      break;
    case PROP_PATH:
      TCP_GET (string, self->settings->path);
      break;
    case PROP_ALLOW:
      TCP_GET (boxed, self->settings->allow);
      break;
    case PROP_REVERSE_PORTS:
      TCP_GET (boxed, self->settings->reverse_ports);
      break;
    case PROP_TOKEN_FILE:
      TCP_GET (string, self->settings->token_file);
      break;
    case PROP_TRUSTED_PROXIES:
      TCP_GET (boxed, self->settings->trusted_proxies);
      break;
    case PROP_TLS_CERTIFICATE:
      TCP_GET (object, self->settings->tls_certificate);
      break;
    case PROP_RESUMPTION:
      g_value_set_enum (value, tcp_gateway_get_resumption (self));
      break;
    case PROP_CONNECT_TIMEOUT:
      g_value_set_uint (value, tcp_gateway_get_connect_timeout (self));
      break;
    case PROP_SESSION_TIMEOUT:
      g_value_set_uint (value, tcp_gateway_get_session_timeout (self));
      break;
    case PROP_KEEPALIVE_INTERVAL:
      g_value_set_uint (value, tcp_gateway_get_keepalive_interval (self));
      break;
    case PROP_KEEPALIVE_TIMEOUT:
      g_value_set_uint (value, tcp_gateway_get_keepalive_timeout (self));
      break;
    case PROP_MAX_RETAINED_BYTES:
      g_value_set_uint (value, tcp_gateway_get_max_retained_bytes (self));
      break;
    case PROP_MAX_WINDOW_BYTES:
      g_value_set_uint (value, tcp_gateway_get_max_window_bytes (self));
      break;
    case PROP_MAX_CONNECTIONS:
      g_value_set_uint (value, tcp_gateway_get_max_connections (self));
      break;
    case PROP_MAX_DIALS:
      g_value_set_uint (value, tcp_gateway_get_max_dials (self));
      break;
    case PROP_MAX_MEMORY:
      g_value_set_uint64 (value, tcp_gateway_get_max_memory (self));
      break;
    case PROP_MAX_PRINCIPAL_SESSIONS:
      g_value_set_uint (value, tcp_gateway_get_max_principal_sessions (self));
      break;
    case PROP_MAX_PRINCIPAL_CONNECTIONS:
      g_value_set_uint (value, tcp_gateway_get_max_principal_connections (self));
      break;
    case PROP_MAX_PRINCIPAL_DIALS:
      g_value_set_uint (value, tcp_gateway_get_max_principal_dials (self));
      break;
    case PROP_MAX_PRINCIPAL_MEMORY:
      g_value_set_uint64 (value, tcp_gateway_get_max_principal_memory (self));
      break;
    case PROP_RESET_ON_LOSS:
      g_value_set_boolean (value, tcp_gateway_get_reset_on_loss (self));
      break;
    case PROP_LOG_LEVEL:
      g_value_set_enum (value, tcp_gateway_get_log_level (self));
      break;
    case PROP_LOCAL_ADDRESS:
      TCP_GET (object, self->runner.address);
      break;
    case PROP_URI:
      TCP_GET (string, self->runner.uri);
      break;
    case PROP_BYTES_SENT:
      g_value_set_uint64 (value, tcp_gateway_get_bytes_sent (self));
      break;
    case PROP_BYTES_RECEIVED:
      g_value_set_uint64 (value, tcp_gateway_get_bytes_received (self));
      break;
    case PROP_OPEN_CONNECTIONS:
      g_value_set_uint (value, tcp_gateway_get_open_connections (self));
      break;
    case PROP_TOTAL_CONNECTIONS:
      g_value_set_uint64 (value, tcp_gateway_get_total_connections (self));
      break;
    case PROP_RETAINED_BYTES:
      g_value_set_uint64 (value, tcp_gateway_get_retained_bytes (self));
      break;
    case PROP_RECEIVE_WINDOW:
      g_value_set_uint64 (value, tcp_gateway_get_receive_window (self));
      break;
    case PROP_SEND_WINDOW:
      g_value_set_uint64 (value, tcp_gateway_get_send_window (self));
      break;
    case PROP_RESUMES:
      g_value_set_uint64 (value, tcp_gateway_get_resumes (self));
      break;
    case PROP_BYTES_REPLAYED:
      g_value_set_uint64 (value, tcp_gateway_get_bytes_replayed (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, property_id, pspec);
    }
}

static void
gateway_set_property (GObject      *object,
                      guint         property_id,
                      const GValue *value,
                      GParamSpec   *pspec)
{
  TcpGateway *self = TCP_GATEWAY (object);

  switch (property_id)
    {
    case PROP_TARGET:
      tcp_gateway_set_target (self, g_value_get_string (value));
      break;
    case PROP_HOSTNAME:
      tcp_gateway_set_hostname (self, g_value_get_string (value));
      break;
    case PROP_PORT:
      tcp_gateway_set_port (self, g_value_get_uint (value));
      break;
    case PROP_PATH:
      tcp_gateway_set_path (self, g_value_get_string (value));
      break;
    case PROP_ALLOW:
      tcp_gateway_set_allow (self, g_value_get_boxed (value));
      break;
    case PROP_REVERSE_PORTS:
      g_strfreev (self->settings->reverse_ports);
      self->settings->reverse_ports = g_strdupv (g_value_get_boxed (value));
      break;
    case PROP_TOKEN:
      tcp_gateway_set_token (self, g_value_get_string (value));
      break;
    case PROP_TOKEN_FILE:
      tcp_gateway_set_token_file (self, g_value_get_string (value));
      break;
    case PROP_TRUSTED_PROXIES:
      tcp_gateway_set_trusted_proxies (self, g_value_get_boxed (value));
      break;
    case PROP_TLS_CERTIFICATE:
      tcp_gateway_set_tls_certificate (self, g_value_get_object (value));
      break;
    case PROP_RESUMPTION:
      tcp_gateway_set_resumption (self, g_value_get_enum (value));
      break;
    case PROP_CONNECT_TIMEOUT:
      tcp_gateway_set_connect_timeout (self, g_value_get_uint (value));
      break;
    case PROP_SESSION_TIMEOUT:
      tcp_gateway_set_session_timeout (self, g_value_get_uint (value));
      break;
    case PROP_KEEPALIVE_INTERVAL:
      tcp_gateway_set_keepalive_interval (self, g_value_get_uint (value));
      break;
    case PROP_KEEPALIVE_TIMEOUT:
      tcp_gateway_set_keepalive_timeout (self, g_value_get_uint (value));
      break;
    case PROP_MAX_RETAINED_BYTES:
      tcp_gateway_set_max_retained_bytes (self, g_value_get_uint (value));
      break;
    case PROP_MAX_WINDOW_BYTES:
      tcp_gateway_set_max_window_bytes (self, g_value_get_uint (value));
      break;
    case PROP_MAX_CONNECTIONS:
      tcp_gateway_set_max_connections (self, g_value_get_uint (value));
      break;
    case PROP_MAX_DIALS:
      tcp_gateway_set_max_dials (self, g_value_get_uint (value));
      break;
    case PROP_MAX_MEMORY:
      tcp_gateway_set_max_memory (self, g_value_get_uint64 (value));
      break;
    case PROP_MAX_PRINCIPAL_SESSIONS:
      tcp_gateway_set_max_principal_sessions (self, g_value_get_uint (value));
      break;
    case PROP_MAX_PRINCIPAL_CONNECTIONS:
      tcp_gateway_set_max_principal_connections (self, g_value_get_uint (value));
      break;
    case PROP_MAX_PRINCIPAL_DIALS:
      tcp_gateway_set_max_principal_dials (self, g_value_get_uint (value));
      break;
    case PROP_MAX_PRINCIPAL_MEMORY:
      tcp_gateway_set_max_principal_memory (self, g_value_get_uint64 (value));
      break;
    case PROP_RESET_ON_LOSS:
      tcp_gateway_set_reset_on_loss (self, g_value_get_boolean (value));
      break;
    case PROP_LOG_LEVEL:
      tcp_gateway_set_log_level (self, g_value_get_enum (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, property_id, pspec);
    }
}

static void
install_settings (void)
{
  /**
   * TcpGateway:target:
   *
   * The TCP service that clients are connected to, as `host:port`, an IPv6 address in
   * brackets. It is connected to anew for every connection.
   *
   * Since: 1.0
   */
  properties[PROP_TARGET] = g_param_spec_string ("target", NULL, NULL, NULL, TCP_READ_WRITE);

  /**
   * TcpGateway:hostname:
   *
   * The address to listen on: IPv4, IPv6, or a name. The gateway listens on every address
   * of the name, up to 16, with one port: on `localhost` it is 127.0.0.1 and, where the
   * machine has IPv6, ::1. An address that the machine does not have is left out; if
   * another program uses the port at one of them, the start fails. An address other than
   * that of the loopback lets other machines in. The default is 127.0.0.1.
   *
   * Since: 1.0
   */
  properties[PROP_HOSTNAME] = g_param_spec_string ("hostname", NULL, NULL, "127.0.0.1", TCP_READ_WRITE);

  /**
   * TcpGateway:port:
   *
   * The TCP port to listen on, from 0 to 65535. With 0 any free one is taken;
   * [property@TcpTunnel.Gateway:uri] tells which. The default is 0.
   *
   * Since: 1.0
   */
  properties[PROP_PORT] = g_param_spec_uint ("port", NULL, NULL, 0, G_MAXUINT16, 0, TCP_READ_WRITE);

  /**
   * TcpGateway:path:
   *
   * The path of the URL at which clients are served; others are answered 404 if the
   * token is valid, else 401. %NULL serves them at any path. The default is `/`.
   *
   * Since: 1.0
   */
  properties[PROP_PATH] = g_param_spec_string ("path", NULL, NULL, "/", TCP_READ_WRITE);

  /**
   * TcpGateway:allow:
   *
   * Patterns of further targets that clients may ask for. %NULL, the default, allows
   * nothing but [property@TcpTunnel.Gateway:target], which needs no pattern.
   *
   * A pattern has the form `HOST:PORT`. `HOST` is a name; `*.` and a name, for every name
   * below that one; an address, with an IPv6 address in brackets; or `*` for every host.
   * `PORT` is a number from 1 to 65535, a range such as `8000-8099`, or `*`. The start
   * fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if one of them has another form.
   *
   * Names are compared as the client writes them, without regard to case: a pattern with
   * an address does not allow a name that resolves to it, and one with a name allows
   * whatever address that has. An address is taken only in its usual form, such as 10.0.0.1
   * or [fd00::1]: what a client writes otherwise is not allowed by any pattern. What is not
   * allowed is reset, and logged as a warning.
   *
   * Since: 1.0
   */
  properties[PROP_ALLOW] = g_param_spec_boxed ("allow", NULL, NULL, G_TYPE_STRV, TCP_READ_WRITE);

  /**
   * TcpGateway:reverse-ports:
   *
   * TCP ports on which the gateway may listen for its clients, which serve what connects there
   * (reverse tunnels). %NULL, the default, is for none.
   *
   * Each item is a port, such as `57090`, or a range, such as `57090-57099`. The gateway listens
   * there on 127.0.0.1, or on the address that stands before it, as in `0.0.0.0:57090-57099` or
   * `[::]:57090`. Whoever can reach such a port needs no token. A client may have every port that no
   * other has. The start fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if an item has another form, or
   * a port is given twice; a port that another program has is no error until a client asks for it.
   *
   * Takes effect when the gateway is next started.
   *
   * Since: 1.0
   */
  properties[PROP_REVERSE_PORTS] = g_param_spec_boxed ("reverse-ports", NULL, NULL, G_TYPE_STRV, TCP_READ_WRITE);

  /**
   * TcpGateway:token:
   *
   * A bearer token that clients may show. It belongs to the principal `default`. It can
   * be set but not read, so that it does not show where properties are listed.
   *
   * Since: 1.0
   */
  properties[PROP_TOKEN] = g_param_spec_string ("token", NULL, NULL, NULL, TCP_WRITE_ONLY);

  /**
   * TcpGateway:token-file:
   *
   * A file with further tokens, one on each line as `name:token`, where the name is that
   * of the principal. Empty lines, those that begin with `#`, and a byte order mark are
   * skipped. A zero byte is an error, and so is a file of more than 64 MiB. It is read
   * when the gateway starts. If every user of the machine may read it, that is logged as
   * a warning.
   *
   * Since: 1.0
   */
  properties[PROP_TOKEN_FILE] = g_param_spec_string ("token-file", NULL, NULL, NULL, TCP_READ_WRITE);

  /**
   * TcpGateway:trusted-proxies:
   *
   * The reverse proxies in front of the gateway, each as an IP address, such as `127.0.0.1`,
   * or a network, such as `10.0.0.0/8` or `fd00::/8`. %NULL, the default, is for none. A text
   * that is neither makes the start fail with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT.
   *
   * A gateway protects itself against clients without a valid token by their addresses, and
   * behind a proxy all clients have that of the proxy. Connections from a trusted proxy are
   * therefore not limited by its address. Its header `Forwarded` (RFC 7239) or
   * `X-Forwarded-For` names the client, whose address is logged, and counts for wrong tokens.
   * That is the rightmost address in the header which is not one of a trusted proxy.
   *
   * From other addresses these headers are ignored, as anybody could write them. A request
   * with both of them, that name different clients, is answered 400.
   *
   * Since: 1.0
   */
  properties[PROP_TRUSTED_PROXIES] =
      g_param_spec_boxed ("trusted-proxies", NULL, NULL,
                          G_TYPE_STRV, TCP_READ_WRITE);

  /**
   * TcpGateway:tls-certificate:
   *
   * The certificate, with its private key, to serve `wss://` with. %NULL, the
   * default, serves `ws://`.
   *
   * The gateway tries it when it starts, which fails with %TCP_TUNNEL_ERROR_TLS if the
   * private key belongs to another certificate. That the certificate has expired, or is
   * not valid yet, is logged as a warning, and so is an address other than the loopback
   * without a certificate.
   *
   * Since: 1.0
   */
  properties[PROP_TLS_CERTIFICATE] =
      g_param_spec_object ("tls-certificate", NULL, NULL,
                           G_TYPE_TLS_CERTIFICATE, TCP_READ_WRITE);

  /**
   * TcpGateway:resumption:
   *
   * Whether TCP connections go on, with nothing lost, when their WebSocket breaks.
   * The default is %TCP_TUNNEL_RESUMPTION_AUTO.
   *
   * With %TCP_TUNNEL_RESUMPTION_REQUIRED a client that cannot resume sessions is
   * answered 426.
   *
   * Since: 1.0
   */
  properties[PROP_RESUMPTION] =
      g_param_spec_enum ("resumption", NULL, NULL,
                         TCP_TYPE_TUNNEL_RESUMPTION, TCP_TUNNEL_RESUMPTION_AUTO, TCP_READ_WRITE);

  /**
   * TcpGateway:connect-timeout:
   *
   * How long the target may take to accept a connection, and a client to ask for its
   * WebSocket, in milliseconds. 0 is for ever. The default is 10000.
   *
   * Since: 1.0
   */
  properties[PROP_CONNECT_TIMEOUT] =
      g_param_spec_uint ("connect-timeout", NULL, NULL,
                         0, G_MAXINT, 10000, TCP_READ_WRITE);

  /**
   * TcpGateway:session-timeout:
   *
   * How long a session is kept without a WebSocket, in milliseconds. After that its
   * connections end in a reset. The default is 300000.
   *
   * A session that is empty, without a connection or anything that its client may not have
   * heard, is only kept for 10 seconds while more than half as many clients are there as
   * [property@TcpTunnel.Gateway:max-connections] allows, or as many of its principal as
   * [property@TcpTunnel.Gateway:max-principal-sessions] does.
   *
   * With a client in multiplexed mode that does not resume sessions nothing is kept: its
   * connections end with the WebSocket. So does that of a client in singleton mode that
   * gives no `sessionId` in the query of the URL.
   *
   * Since: 1.0
   */
  properties[PROP_SESSION_TIMEOUT] =
      g_param_spec_uint ("session-timeout", NULL, NULL,
                         0, G_MAXUINT, 300000, TCP_READ_WRITE);

  /**
   * TcpGateway:keepalive-interval:
   *
   * How often the gateway sends a ping to each client, in milliseconds. 0 turns it off.
   * The default is 30000.
   *
   * Since: 1.0
   */
  properties[PROP_KEEPALIVE_INTERVAL] =
      g_param_spec_uint ("keepalive-interval", NULL, NULL,
                         0, G_MAXINT, 30000, TCP_READ_WRITE);

  /**
   * TcpGateway:keepalive-timeout:
   *
   * How long a client may stay silent after a ping, in milliseconds, before its
   * WebSocket is taken for dead. 0 is for ever. The default is 10000.
   *
   * A tunnel that does not read, because its TCP clients do not, sends a sign of life
   * every 3 seconds. So this should be more than that, at both ends.
   *
   * Since: 1.0
   */
  properties[PROP_KEEPALIVE_TIMEOUT] =
      g_param_spec_uint ("keepalive-timeout", NULL, NULL,
                         0, G_MAXINT, 10000, TCP_READ_WRITE);

  /**
   * TcpGateway:max-retained-bytes:
   *
   * How many bytes that were sent may be kept until the client has acknowledged them, in
   * each session that is resumed. When that many are kept, targets are not read. At
   * least 1 MiB; the default is 64 MiB.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_RETAINED_BYTES] =
      g_param_spec_uint ("max-retained-bytes", NULL, NULL,
                         (1024 * 1024), G_MAXUINT, (64 * 1024 * 1024), TCP_READ_WRITE);

  /**
   * TcpGateway:max-window-bytes:
   *
   * How many bytes a client may send before targets have taken them, all together, in
   * each session that is resumed. Each connection may have up to half of it, but not
   * more than 64 MiB, if its path is that fast and that long. At least 1 MiB; the default
   * is 128 MiB.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_WINDOW_BYTES] =
      g_param_spec_uint ("max-window-bytes", NULL, NULL,
                         (1024 * 1024), G_MAXUINT, (128 * 1024 * 1024), TCP_READ_WRITE);

  /**
   * TcpGateway:max-connections:
   *
   * How many clients may have a session at once, and how many connections to targets
   * there may be, of all clients together. A client above that is answered 503, a
   * connection is ended; likewise when the process has few file descriptors left.
   * From 1 to 65535; the default is 20000.
   *
   * If there are tokens of several principals, a quarter is set aside in equal parts, one
   * for each of them, but at least one for each as long as these are no more than half of all: a
   * principal finds those of its part free whatever the others have. See
   * also [property@TcpTunnel.Gateway:max-principal-sessions] and
   * [property@TcpTunnel.Gateway:max-principal-connections].
   *
   * Since: 1.0
   */
  properties[PROP_MAX_CONNECTIONS] =
      g_param_spec_uint ("max-connections", NULL, NULL,
                         1, 65535, 20000, TCP_READ_WRITE);

  /**
   * TcpGateway:max-dials:
   *
   * How many connections to the target may be under way at once, of all clients together:
   * from when they begin until the target has accepted them or not. Others wait. They have
   * their turn principal by principal, and client by client of each principal. One that has
   * had no turn within [property@TcpTunnel.Gateway:connect-timeout] is refused.
   * From 1 to 65535; the default is 256.
   *
   * The name of a target is looked up once for all that wait for it, and then again when a
   * connection begins more than 5 seconds later. Not more than two lookups of a name are under way
   * at once, and the second only if the first does not end. Of names that clients choose not more than
   * 16 are looked up at once; others wait within the same time for their turn. The
   * [property@TcpTunnel.Gateway:target] does not wait for them.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_DIALS] =
      g_param_spec_uint ("max-dials", NULL, NULL,
                         1, 65535, 256, TCP_READ_WRITE);

  /**
   * TcpGateway:max-memory:
   *
   * How many bytes of memory clients may make the gateway use: for what waits for targets
   * that do not read, and for clients that do not, or that have not acknowledged it; for
   * messages that were received in part; for the ids of connections that have ended; and for
   * what connections send before they are a WebSocket. At least 8 MiB. 0, the default, is
   * 304 MiB and 40 KiB more for each client that
   * [property@TcpTunnel.Gateway:max-connections] allows: about 1 GiB if that is 20000.
   *
   * When the limit is near, the gateway reads less from targets and from clients, which have
   * to wait. It does not keep a client waiting for good: each has 40 KiB of its own, for which there
   * is room in any case. A client for which there is no such room is answered 503. A client
   * that can be told to send no more but that does not heed it, or that does not acknowledge what
   * it has to, loses its session; its connections end in a reset. One that has sent a part of a
   * message and for 30 seconds not the rest loses its WebSocket.
   *
   * A quarter of it, at most 48 MiB, is for connections that are not a WebSocket yet. Up to half is
   * what clients have of their own. Of the rest a half is for what is not acknowledged, and
   * for windows that have grown; a third is for what connections may send before it is known how much
   * each can use; and a sixth is for messages that were received in part, and for what is left of
   * WebSockets that are being closed.
   *
   * A connection of a session that is resumed begins with a quarter of that rest divided by
   * [property@TcpTunnel.Gateway:max-connections], or by 1000 if that is less, or by the number
   * of clients if that is more than 1000; with 16 KiB at least and 256 KiB at most. By default
   * that is 64 KiB with up to 1000 clients, and less with more.
   *
   * Not in it is what each client and each connection needs itself, about 20 KiB and 2 KiB, and 40
   * KiB more with TLS, nor what the kernel keeps.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_MEMORY] =
      g_param_spec_uint64 ("max-memory", NULL, NULL,
                           0, G_MAXINT64, 0, TCP_READ_WRITE);

  /**
   * TcpGateway:max-principal-sessions:
   *
   * How many sessions each principal may have at once. A client above that is answered 503.
   * 0, the default, is three quarters of [property@TcpTunnel.Gateway:max-connections] if
   * there are tokens of several principals, else all.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_PRINCIPAL_SESSIONS] =
      g_param_spec_uint ("max-principal-sessions", NULL, NULL,
                         0, 65535, 0, TCP_READ_WRITE);

  /**
   * TcpGateway:max-principal-connections:
   *
   * How many connections to targets each principal may have at once. A connection above that
   * is ended. 0, the default, is three quarters of
   * [property@TcpTunnel.Gateway:max-connections] if there are tokens of several principals,
   * else all.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_PRINCIPAL_CONNECTIONS] =
      g_param_spec_uint ("max-principal-connections", NULL, NULL,
                         0, 65535, 0, TCP_READ_WRITE);

  /**
   * TcpGateway:max-principal-dials:
   *
   * How many connections of each principal may be under way to the target at once; see
   * [property@TcpTunnel.Gateway:max-dials]. Each of its clients may have half of them. 0, the
   * default, is three quarters of that property if there are tokens of several principals,
   * else all.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_PRINCIPAL_DIALS] =
      g_param_spec_uint ("max-principal-dials", NULL, NULL,
                         0, 65535, 0, TCP_READ_WRITE);

  /**
   * TcpGateway:max-principal-memory:
   *
   * How many bytes of [property@TcpTunnel.Gateway:max-memory] the clients of each principal
   * may use. What happens at the limit is the same. At least 4 MiB. 0, the default, is three
   * quarters of that property if there are tokens of several principals, else all. Each kind of
   * memory is divided in proportion, but a principal may always have 512 KiB for messages that were
   * received in part, so that each message can be received.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_PRINCIPAL_MEMORY] =
      g_param_spec_uint64 ("max-principal-memory", NULL, NULL,
                           0, G_MAXINT64, 0, TCP_READ_WRITE);

  /**
   * TcpGateway:reset-on-loss:
   *
   * Whether the target connection of a client in singleton mode ends in a reset if the
   * WebSocket breaks while bytes are on their way that may be lost. Otherwise it goes
   * on, with a warning in the log. The default is %FALSE.
   *
   * Since: 1.0
   */
  properties[PROP_RESET_ON_LOSS] = g_param_spec_boolean ("reset-on-loss", NULL, NULL, FALSE, TCP_READ_WRITE);

  /**
   * TcpGateway:log-level:
   *
   * How much is logged. See [enum@TcpTunnel.TunnelLogLevel] for where it goes. Takes
   * effect at once. The default is %TCP_TUNNEL_LOG_LEVEL_INFO.
   *
   * Since: 1.0
   */
  properties[PROP_LOG_LEVEL] =
      g_param_spec_enum ("log-level", NULL, NULL,
                         TCP_TYPE_TUNNEL_LOG_LEVEL, TCP_TUNNEL_LOG_LEVEL_INFO, TCP_READ_WRITE);
}

static void
install_status (void)
{
  /**
   * TcpGateway:local-address:
   *
   * Where the gateway listens, with the port that was opened; %NULL while it does not
   * run. Of a [property@TcpTunnel.Gateway:hostname] with several addresses it is the first
   * that the gateway listens on; the others have the same port.
   *
   * Since: 1.0
   */
  properties[PROP_LOCAL_ADDRESS] =
      g_param_spec_object ("local-address", NULL, NULL,
                           G_TYPE_INET_SOCKET_ADDRESS, TCP_READ_ONLY);

  /**
   * TcpGateway:uri:
   *
   * The URL for tunnels on this machine; %NULL while the gateway does not run.
   *
   * Since: 1.0
   */
  properties[PROP_URI] = g_param_spec_string ("uri", NULL, NULL, NULL, TCP_READ_ONLY);

  /**
   * TcpGateway:bytes-sent:
   *
   * How many bytes went from targets into WebSockets since the gateway was created.
   *
   * No notification is emitted when it changes.
   *
   * Since: 1.0
   */
  properties[PROP_BYTES_SENT] =
      g_param_spec_uint64 ("bytes-sent", NULL, NULL,
                           0, G_MAXUINT64, 0, TCP_READ_ONLY);

  /**
   * TcpGateway:bytes-received:
   *
   * How many bytes came from WebSockets for targets since the gateway was created.
   *
   * No notification is emitted when it changes.
   *
   * Since: 1.0
   */
  properties[PROP_BYTES_RECEIVED] =
      g_param_spec_uint64 ("bytes-received", NULL, NULL,
                           0, G_MAXUINT64, 0, TCP_READ_ONLY);

  /**
   * TcpGateway:open-connections:
   *
   * How many connections to targets are open.
   *
   * No notification is emitted when it changes.
   *
   * Since: 1.0
   */
  properties[PROP_OPEN_CONNECTIONS] =
      g_param_spec_uint ("open-connections", NULL, NULL,
                         0, G_MAXUINT, 0, TCP_READ_ONLY);

  /**
   * TcpGateway:total-connections:
   *
   * How many connections to targets there were since the gateway was created.
   *
   * No notification is emitted when it changes.
   *
   * Since: 1.0
   */
  properties[PROP_TOTAL_CONNECTIONS] =
      g_param_spec_uint64 ("total-connections", NULL, NULL,
                           0, G_MAXUINT64, 0, TCP_READ_ONLY);

  /**
   * TcpGateway:retained-bytes:
   *
   * How many bytes are kept because the other end has not acknowledged them yet, in
   * sessions that are resumed.
   *
   * No notification is emitted when it changes.
   *
   * Since: 1.0
   */
  properties[PROP_RETAINED_BYTES] =
      g_param_spec_uint64 ("retained-bytes", NULL, NULL,
                           0, G_MAXUINT64, 0, TCP_READ_ONLY);

  /**
   * TcpGateway:receive-window:
   *
   * How many bytes the other end may send at this moment, in sessions that are resumed:
   * the credit that it was given and has not used, of all connections together.
   *
   * No notification is emitted when it changes.
   *
   * Since: 1.0
   */
  properties[PROP_RECEIVE_WINDOW] =
      g_param_spec_uint64 ("receive-window", NULL, NULL,
                           0, G_MAXUINT64, 0, TCP_READ_ONLY);

  /**
   * TcpGateway:send-window:
   *
   * How many bytes may be sent to the other end at this moment, in sessions that are
   * resumed: the credit that it gave and that was not used, of all connections together.
   *
   * No notification is emitted when it changes.
   *
   * Since: 1.0
   */
  properties[PROP_SEND_WINDOW] =
      g_param_spec_uint64 ("send-window", NULL, NULL,
                           0, G_MAXUINT64, 0, TCP_READ_ONLY);

  /**
   * TcpGateway:resumes:
   *
   * How often a session went on over another WebSocket since the gateway was created,
   * with all its connections and nothing lost.
   *
   * No notification is emitted when it changes.
   *
   * Since: 1.0
   */
  properties[PROP_RESUMES] =
      g_param_spec_uint64 ("resumes", NULL, NULL,
                           0, G_MAXUINT64, 0, TCP_READ_ONLY);

  /**
   * TcpGateway:bytes-replayed:
   *
   * How many bytes were sent again when sessions were resumed, since the gateway was
   * created.
   *
   * No notification is emitted when it changes.
   *
   * Since: 1.0
   */
  properties[PROP_BYTES_REPLAYED] =
      g_param_spec_uint64 ("bytes-replayed", NULL, NULL,
                           0, G_MAXUINT64, 0, TCP_READ_ONLY);
}

void
tcp_gateway_install_properties (GObjectClass *object_class)
{
  object_class->get_property = gateway_get_property;
  object_class->set_property = gateway_set_property;

  install_settings ();
  install_status ();
  g_object_class_install_properties (object_class, N_PROPERTIES, properties);
}
