/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/tunnel-private.h"

#include "endpoint/accessors.h"

enum
{
  PROP_0,
  PROP_REMOTE_URI,
  PROP_TOKEN,
  PROP_HOSTNAME,
  PROP_PORT,
  PROP_SOCKET_PATH,
  PROP_MODE,
  PROP_RESUMPTION,
  PROP_MAX_RECONNECT_ATTEMPTS,
  PROP_WAIT_FOR_GATEWAY,
  PROP_RECONNECT_DELAY,
  PROP_MAX_RECONNECT_DELAY,
  PROP_NAME,
  PROP_LOG_LEVEL,
  PROP_CONNECT_TIMEOUT,
  PROP_KEEPALIVE_INTERVAL,
  PROP_KEEPALIVE_TIMEOUT,
  PROP_MAX_BUFFERED_BYTES,
  PROP_MAX_RETAINED_BYTES,
  PROP_MAX_WINDOW_BYTES,
  PROP_MAX_CONNECTIONS,
  PROP_RESET_ON_LOSS,
  PROP_REQUEST_HEADERS,
  PROP_PROXY_RESOLVER,
  PROP_TLS_DATABASE,
  PROP_CLIENT_CERTIFICATE,
  PROP_TARGET,
  PROP_STATE,
  PROP_LOCAL_ADDRESS,
  PROP_BYTES_SENT,
  PROP_BYTES_RECEIVED,
  PROP_OPEN_CONNECTIONS,
  PROP_TOTAL_CONNECTIONS,
  PROP_RECONNECTS,
  PROP_ROUND_TRIP,
  PROP_NEGOTIATED_PROTOCOL,
  PROP_RETAINED_BYTES,
  PROP_RECEIVE_WINDOW,
  PROP_SEND_WINDOW,
  PROP_RESUMES,
  PROP_BYTES_REPLAYED,
  PROP_LAST_ERROR,
  N_PROPERTIES
};

static GParamSpec *properties[N_PROPERTIES];

static void
tunnel_get_property (GObject    *object,
                     guint       property_id,
                     GValue     *value,
                     GParamSpec *pspec)
{
  TcpTunnel *self = TCP_TUNNEL (object);

  switch (property_id)
    {
    case PROP_REMOTE_URI:
      TCP_GET (string, self->settings->remote_uri);
      break;
    case PROP_HOSTNAME:
      TCP_GET (string, self->settings->hostname);
      break;
    case PROP_PORT:
      g_value_set_uint (value, tcp_tunnel_get_port (self));
      break;
    case PROP_SOCKET_PATH:
      TCP_GET (string, self->settings->socket_path);
      break;
    case PROP_MODE:
      g_value_set_enum (value, tcp_tunnel_get_mode (self));
      break;
    case PROP_RESUMPTION:
      g_value_set_enum (value, tcp_tunnel_get_resumption (self));
      break;
    case PROP_MAX_RECONNECT_ATTEMPTS:
      g_value_set_int (value, tcp_tunnel_get_max_reconnect_attempts (self));
      break;
    case PROP_WAIT_FOR_GATEWAY:
      g_value_set_boolean (value, tcp_tunnel_get_wait_for_gateway (self));
      break;
    case PROP_RECONNECT_DELAY:
      g_value_set_uint (value, tcp_tunnel_get_reconnect_delay (self));
      break;
    case PROP_MAX_RECONNECT_DELAY:
      g_value_set_uint (value, tcp_tunnel_get_max_reconnect_delay (self));
      break;
    case PROP_NAME:
      TCP_GET (string, self->settings->name);
      break;
    case PROP_LOG_LEVEL:
      g_value_set_enum (value, tcp_tunnel_get_log_level (self));
      break;
    case PROP_CONNECT_TIMEOUT:
      g_value_set_uint (value, tcp_tunnel_get_connect_timeout (self));
      break;
    case PROP_KEEPALIVE_INTERVAL:
      g_value_set_uint (value, tcp_tunnel_get_keepalive_interval (self));
      break;
    case PROP_KEEPALIVE_TIMEOUT:
      g_value_set_uint (value, tcp_tunnel_get_keepalive_timeout (self));
      break;
    case PROP_MAX_BUFFERED_BYTES:
      g_value_set_uint (value, tcp_tunnel_get_max_buffered_bytes (self));
      break;
    case PROP_MAX_RETAINED_BYTES:
      g_value_set_uint (value, tcp_tunnel_get_max_retained_bytes (self));
      break;
    case PROP_MAX_WINDOW_BYTES:
      g_value_set_uint (value, tcp_tunnel_get_max_window_bytes (self));
      break;
    case PROP_MAX_CONNECTIONS:
      g_value_set_uint (value, tcp_tunnel_get_max_connections (self));
      break;
    case PROP_RESET_ON_LOSS:
      g_value_set_boolean (value, tcp_tunnel_get_reset_on_loss (self));
      break;
    case PROP_REQUEST_HEADERS:
      TCP_GET (boxed, self->settings->request_headers);
      break;
    case PROP_PROXY_RESOLVER:
      TCP_GET (object, self->settings->proxy_resolver);
      break;
    case PROP_TLS_DATABASE:
      TCP_GET (object, self->settings->tls_database);
      break;
    case PROP_CLIENT_CERTIFICATE:
      TCP_GET (object, self->settings->client_certificate);
      break;
    case PROP_TARGET:
      TCP_GET (string, self->settings->target);
      break;
    case PROP_STATE:
      g_value_set_enum (value, tcp_tunnel_get_state (self));
      break;
    case PROP_LOCAL_ADDRESS:
      TCP_GET (object, self->runner.address);
      break;
    case PROP_BYTES_SENT:
      g_value_set_uint64 (value, tcp_tunnel_get_bytes_sent (self));
      break;
    case PROP_BYTES_RECEIVED:
      g_value_set_uint64 (value, tcp_tunnel_get_bytes_received (self));
      break;
    case PROP_OPEN_CONNECTIONS:
      g_value_set_uint (value, tcp_tunnel_get_open_connections (self));
      break;
    case PROP_TOTAL_CONNECTIONS:
      g_value_set_uint64 (value, tcp_tunnel_get_total_connections (self));
      break;
    case PROP_RECONNECTS:
      g_value_set_uint64 (value, tcp_tunnel_get_reconnects (self));
      break;
    case PROP_ROUND_TRIP:
      g_value_set_int64 (value, tcp_tunnel_get_round_trip (self));
      break;
    case PROP_NEGOTIATED_PROTOCOL:
      g_value_set_static_string (value, tcp_tunnel_get_negotiated_protocol (self));
      break;
    case PROP_RETAINED_BYTES:
      g_value_set_uint64 (value, tcp_tunnel_get_retained_bytes (self));
      break;
    case PROP_RECEIVE_WINDOW:
      g_value_set_uint64 (value, tcp_tunnel_get_receive_window (self));
      break;
    case PROP_SEND_WINDOW:
      g_value_set_uint64 (value, tcp_tunnel_get_send_window (self));
      break;
    case PROP_RESUMES:
      g_value_set_uint64 (value, tcp_tunnel_get_resumes (self));
      break;
    case PROP_BYTES_REPLAYED:
      g_value_set_uint64 (value, tcp_tunnel_get_bytes_replayed (self));
      break;
    case PROP_LAST_ERROR:
      g_value_take_boxed (value, tcp_tunnel_get_last_error (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, property_id, pspec);
    }
}

static void
tunnel_set_property (GObject      *object,
                     guint         property_id,
                     const GValue *value,
                     GParamSpec   *pspec)
{
  TcpTunnel *self = TCP_TUNNEL (object);

  switch (property_id)
    {
    case PROP_REMOTE_URI:
      tcp_tunnel_set_remote_uri (self, g_value_get_string (value));
      break;
    case PROP_TOKEN:
      tcp_tunnel_set_token (self, g_value_get_string (value));
      break;
    case PROP_HOSTNAME:
      tcp_tunnel_set_hostname (self, g_value_get_string (value));
      break;
    case PROP_PORT:
      tcp_tunnel_set_port (self, g_value_get_uint (value));
      break;
    case PROP_SOCKET_PATH:
      tcp_tunnel_set_socket_path (self, g_value_get_string (value));
      break;
    case PROP_MODE:
      tcp_tunnel_set_mode (self, g_value_get_enum (value));
      break;
    case PROP_RESUMPTION:
      tcp_tunnel_set_resumption (self, g_value_get_enum (value));
      break;
    case PROP_MAX_RECONNECT_ATTEMPTS:
      tcp_tunnel_set_max_reconnect_attempts (self, g_value_get_int (value));
      break;
    case PROP_WAIT_FOR_GATEWAY:
      tcp_tunnel_set_wait_for_gateway (self, g_value_get_boolean (value));
      break;
    case PROP_RECONNECT_DELAY:
      tcp_tunnel_set_reconnect_delay (self, g_value_get_uint (value));
      break;
    case PROP_MAX_RECONNECT_DELAY:
      tcp_tunnel_set_max_reconnect_delay (self, g_value_get_uint (value));
      break;
    case PROP_NAME:
      tcp_tunnel_set_name (self, g_value_get_string (value));
      break;
    case PROP_LOG_LEVEL:
      tcp_tunnel_set_log_level (self, g_value_get_enum (value));
      break;
    case PROP_CONNECT_TIMEOUT:
      tcp_tunnel_set_connect_timeout (self, g_value_get_uint (value));
      break;
    case PROP_KEEPALIVE_INTERVAL:
      tcp_tunnel_set_keepalive_interval (self, g_value_get_uint (value));
      break;
    case PROP_KEEPALIVE_TIMEOUT:
      tcp_tunnel_set_keepalive_timeout (self, g_value_get_uint (value));
      break;
    case PROP_MAX_BUFFERED_BYTES:
      tcp_tunnel_set_max_buffered_bytes (self, g_value_get_uint (value));
      break;
    case PROP_MAX_RETAINED_BYTES:
      tcp_tunnel_set_max_retained_bytes (self, g_value_get_uint (value));
      break;
    case PROP_MAX_WINDOW_BYTES:
      tcp_tunnel_set_max_window_bytes (self, g_value_get_uint (value));
      break;
    case PROP_MAX_CONNECTIONS:
      tcp_tunnel_set_max_connections (self, g_value_get_uint (value));
      break;
    case PROP_RESET_ON_LOSS:
      tcp_tunnel_set_reset_on_loss (self, g_value_get_boolean (value));
      break;
    case PROP_REQUEST_HEADERS:
      tcp_tunnel_set_request_headers (self, g_value_get_boxed (value));
      break;
    case PROP_PROXY_RESOLVER:
      tcp_tunnel_set_proxy_resolver (self, g_value_get_object (value));
      break;
    case PROP_TLS_DATABASE:
      tcp_tunnel_set_tls_database (self, g_value_get_object (value));
      break;
    case PROP_CLIENT_CERTIFICATE:
      tcp_tunnel_set_client_certificate (self, g_value_get_object (value));
      break;
    case PROP_TARGET:
      tcp_tunnel_set_target (self, g_value_get_string (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, property_id, pspec);
    }
}

static void
install_settings (void)
{
  /**
   * TcpTunnel:remote-uri:
   *
   * The URL of the gateway, `ws://` or `wss://`. Its query is kept, and added to. The start
   * fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if it is not valid, or if it has a user
   * name, a password or a fragment in it.
   *
   * Since: 1.0
   */
  properties[PROP_REMOTE_URI] = g_param_spec_string ("remote-uri", NULL, NULL, NULL, TCP_READ_WRITE);

  /**
   * TcpTunnel:token:
   *
   * The bearer token that authorises the tunnel at the gateway. It can be set but not
   * read, so that it does not show where properties are listed.
   *
   * See [method@TcpTunnel.Tunnel.set_token].
   *
   * Since: 1.0
   */
  properties[PROP_TOKEN] = g_param_spec_string ("token", NULL, NULL, NULL, TCP_WRITE_ONLY);

  /**
   * TcpTunnel:hostname:
   *
   * The address to listen on: IPv4, IPv6, or a name. The tunnel listens on every address
   * of the name, up to 16, with one port: on `localhost` it is 127.0.0.1 and, where the
   * machine has IPv6, ::1. An address that the machine does not have is left out; if
   * another program uses the port at one of them, the start fails. An address other than
   * that of the loopback lets other machines in. The default is 127.0.0.1.
   *
   * Since: 1.0
   */
  properties[PROP_HOSTNAME] = g_param_spec_string ("hostname", NULL, NULL, "127.0.0.1", TCP_READ_WRITE);

  /**
   * TcpTunnel:port:
   *
   * The TCP port to listen on, from 0 to 65535. With 0 any free one is taken;
   * [property@TcpTunnel.Tunnel:local-address] tells which. The default is 0.
   *
   * Since: 1.0
   */
  properties[PROP_PORT] = g_param_spec_uint ("port", NULL, NULL, 0, G_MAXUINT16, 0, TCP_READ_WRITE);

  /**
   * TcpTunnel:socket-path:
   *
   * The path of a Unix stream socket to listen on, in place of
   * [property@TcpTunnel.Tunnel:hostname] and [property@TcpTunnel.Tunnel:port]; %NULL, the
   * default, to listen on those. The longest path has 107 bytes. A path that is not
   * absolute is taken from the working directory that the process has at the start.
   *
   * Only the user of the process may connect: the socket has the mode 0600 from the
   * moment that it is there. A socket that no program is bound to any more is replaced;
   * where a program listens, or a file of another kind is, the start fails with
   * %TCP_TUNNEL_ERROR_LISTEN. When the tunnel closes it removes its socket, unless
   * another file has taken the place meanwhile.
   * [property@TcpTunnel.Tunnel:local-address] stays %NULL.
   *
   * All that is said of TCP clients holds for those of the socket, but for one thing:
   * a Unix socket cannot be reset at will. A client whose connection broke reads the
   * error `ECONNRESET` if something that it had sent was not taken from the socket yet;
   * else it reads what looks like an orderly end. Whether a connection was complete is
   * told by [signal@TcpTunnel.Tunnel::connection-closed].
   *
   * Since: 1.0
   */
  properties[PROP_SOCKET_PATH] = g_param_spec_string ("socket-path", NULL, NULL, NULL, TCP_READ_WRITE);

  /**
   * TcpTunnel:target:
   *
   * The TCP service that the gateway is asked to connect each TCP client to, as `host:port`
   * of at most 512 bytes, with an IPv6 address in brackets; %NULL, the default, for the
   * gateway's own target. The host is a name in ASCII, which the gateway resolves, or an
   * address in its usual form: neither in other bases than ten nor as an IPv4 address within
   * IPv6. The start fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT otherwise, and if
   * [property@TcpTunnel.Tunnel:resumption] is off.
   *
   * The gateway decides whether it allows the target: see
   * [property@TcpTunnel.Gateway:allow]. A connection to one that it does not allow ends in a
   * reset with %TCP_TUNNEL_ERROR_FORBIDDEN. If the gateway speaks one of limrun's protocols,
   * in which a target cannot be named, the tunnel ends with %TCP_TUNNEL_ERROR_PROTOCOL.
   *
   * Since: 1.0
   */
  properties[PROP_TARGET] = g_param_spec_string ("target", NULL, NULL, NULL, TCP_READ_WRITE);

  /**
   * TcpTunnel:mode:
   *
   * How TCP connections map to WebSockets. The default is
   * %TCP_TUNNEL_MODE_SINGLETON.
   *
   * Since: 1.0
   */
  properties[PROP_MODE] =
      g_param_spec_enum ("mode", NULL, NULL,
                         TCP_TYPE_TUNNEL_MODE, TCP_TUNNEL_MODE_SINGLETON, TCP_READ_WRITE);

  /**
   * TcpTunnel:resumption:
   *
   * Whether TCP connections go on, with nothing lost, when their WebSocket breaks.
   * The default is %TCP_TUNNEL_RESUMPTION_AUTO.
   *
   * With %TCP_TUNNEL_RESUMPTION_REQUIRED the tunnel ends with %TCP_TUNNEL_ERROR_PROTOCOL
   * if the gateway cannot resume sessions.
   *
   * Since: 1.0
   */
  properties[PROP_RESUMPTION] =
      g_param_spec_enum ("resumption", NULL, NULL,
                         TCP_TYPE_TUNNEL_RESUMPTION, TCP_TUNNEL_RESUMPTION_AUTO, TCP_READ_WRITE);

  /**
   * TcpTunnel:max-reconnect-attempts:
   *
   * How often in a row the tunnel tries to open a WebSocket again before it ends with an
   * error. With 0 it never tries again, and with %TCP_TUNNEL_UNLIMITED_ATTEMPTS, -1, it
   * never gives up. The default is 6.
   *
   * The count begins anew when a WebSocket is open again; in a session that is resumed, when
   * the gateway has said on it that the session goes on.
   *
   * For a session that can be resumed the tunnel tries, unless this is 0, for as long as the
   * gateway keeps the session, counted from the loss of the WebSocket. After that the
   * connections end in a reset with %TCP_TUNNEL_ERROR_LOST. A tunnel that has made this many
   * attempts by then ends, and another one goes on without a session.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_RECONNECT_ATTEMPTS] =
      g_param_spec_int ("max-reconnect-attempts", NULL, NULL,
                        TCP_TUNNEL_UNLIMITED_ATTEMPTS, G_MAXINT, 6, TCP_READ_WRITE);

  /**
   * TcpTunnel:wait-for-gateway:
   *
   * Whether a multiplexed tunnel tries again when its very first attempt to reach the
   * gateway fails for a reason that may pass: the gateway does not answer, its name is not
   * found, it breaks the TLS handshake off, or it answers 408, 425, 429, or 500 and more.
   * The default is %FALSE: the start fails.
   *
   * The tunnel tries again as after a break, up to
   * [property@TcpTunnel.Tunnel:max-reconnect-attempts] times, and emits
   * [signal@TcpTunnel.Tunnel::retry-scheduled] before each of these attempts. The start
   * succeeds when the tunnel is connected, and fails when it gives up. Until then TCP
   * clients are turned away.
   *
   * Without a gateway a singleton tunnel starts as well. It dials when a TCP client connects,
   * and tries again in any case.
   *
   * Since: 1.0
   */
  properties[PROP_WAIT_FOR_GATEWAY] = g_param_spec_boolean ("wait-for-gateway", NULL, NULL, FALSE, TCP_READ_WRITE);

  /**
   * TcpTunnel:reconnect-delay:
   *
   * How long the tunnel waits before it first tries again, in milliseconds. Each further
   * wait is twice as long, up to [property@TcpTunnel.Tunnel:max-reconnect-delay], and
   * all are shortened by up to a fifth at random. A gateway may ask for more,
   * up to 10 minutes. The default is 1000.
   *
   * The wait begins with this again when a WebSocket has held for a second, or data came
   * over it. For a session that can be resumed the tunnel tries for the first time after 0 to
   * 50 milliseconds, at random; then it waits this long, and at most 5 seconds, and
   * each wait is shortened by up to a half. After ten attempts in a row no wait is shorter
   * than 20 milliseconds.
   *
   * Since: 1.0
   */
  properties[PROP_RECONNECT_DELAY] =
      g_param_spec_uint ("reconnect-delay", NULL, NULL,
                         0, G_MAXUINT, 1000, TCP_READ_WRITE);

  /**
   * TcpTunnel:max-reconnect-delay:
   *
   * The longest wait between two attempts, in milliseconds. The default is 30000.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_RECONNECT_DELAY] =
      g_param_spec_uint ("max-reconnect-delay", NULL, NULL,
                         0, G_MAXUINT, 30000, TCP_READ_WRITE);

  /**
   * TcpTunnel:name:
   *
   * What the log calls the tunnel. Its messages begin with the name and a colon, in
   * place of `tunnel:`, and have it in the field `TCP_TUNNEL_NAME`, so that a program
   * with several tunnels can tell them apart. Characters that cannot be printed are
   * shown by number there. Takes effect at once. The default is %NULL, for no name.
   *
   * Since: 1.0
   */
  properties[PROP_NAME] = g_param_spec_string ("name", NULL, NULL, NULL, TCP_READ_WRITE);

  /**
   * TcpTunnel:log-level:
   *
   * How much is logged. See [enum@TcpTunnel.TunnelLogLevel] for where it goes. Takes
   * effect at once. The default is %TCP_TUNNEL_LOG_LEVEL_INFO.
   *
   * Since: 1.0
   */
  properties[PROP_LOG_LEVEL] =
      g_param_spec_enum ("log-level", NULL, NULL,
                         TCP_TYPE_TUNNEL_LOG_LEVEL, TCP_TUNNEL_LOG_LEVEL_INFO, TCP_READ_WRITE);

  /**
   * TcpTunnel:connect-timeout:
   *
   * How long the opening of a WebSocket may take, in milliseconds, with all that belongs
   * to it: name, TCP, proxy, TLS and HTTP. 0 is for ever. The default is
   * 15000.
   *
   * Since: 1.0
   */
  properties[PROP_CONNECT_TIMEOUT] =
      g_param_spec_uint ("connect-timeout", NULL, NULL,
                         0, G_MAXUINT, 15000, TCP_READ_WRITE);

  /**
   * TcpTunnel:keepalive-interval:
   *
   * How often the tunnel sends a ping to the gateway, in milliseconds. It keeps proxies
   * from closing the WebSocket, and measures the round trip. 0 turns it off.
   * The default is 30000.
   *
   * Since: 1.0
   */
  properties[PROP_KEEPALIVE_INTERVAL] =
      g_param_spec_uint ("keepalive-interval", NULL, NULL,
                         0, G_MAXINT, 30000, TCP_READ_WRITE);

  /**
   * TcpTunnel:keepalive-timeout:
   *
   * How long the gateway may stay silent after a ping, in milliseconds, before the
   * WebSocket is taken for dead. 0 is for ever. The default is 10000.
   *
   * A gateway that does not read because its target does not is not silent: its TCP
   * stack still answers, and a gateway of this library sends a sign of life every 3
   * seconds. So this should be more than that, at both ends.
   *
   * Since: 1.0
   */
  properties[PROP_KEEPALIVE_TIMEOUT] =
      g_param_spec_uint ("keepalive-timeout", NULL, NULL,
                         0, G_MAXINT, 10000, TCP_READ_WRITE);

  /**
   * TcpTunnel:max-buffered-bytes:
   *
   * How many bytes may wait in memory for TCP clients that do not read, all together, in
   * sessions that are not resumed. When that many wait, the WebSocket is not read either,
   * so that the gateway has to wait. In the other direction at most 256 KiB wait for the
   * WebSocket. At least 512 KiB; the default is 1 MiB.
   *
   * In sessions that are resumed [property@TcpTunnel.Tunnel:max-retained-bytes] and
   * [property@TcpTunnel.Tunnel:max-window-bytes] hold in its place.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_BUFFERED_BYTES] =
      g_param_spec_uint ("max-buffered-bytes", NULL, NULL,
                         (512 * 1024), G_MAXUINT, (1024 * 1024), TCP_READ_WRITE);

  /**
   * TcpTunnel:max-retained-bytes:
   *
   * How many bytes that were sent may be kept until the gateway has acknowledged them,
   * in a session that is resumed. When that many are kept, TCP clients are not read.
   * At least 1 MiB; the default is 64 MiB.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_RETAINED_BYTES] =
      g_param_spec_uint ("max-retained-bytes", NULL, NULL,
                         (1024 * 1024), G_MAXUINT, (64 * 1024 * 1024), TCP_READ_WRITE);

  /**
   * TcpTunnel:max-window-bytes:
   *
   * How many bytes the gateway may send before TCP clients have taken them, all
   * together, in a session that is resumed. Each connection may have up to half of it,
   * but not more than 64 MiB, if its path is that fast and that long. At least 1 MiB; the
   * default is 128 MiB.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_WINDOW_BYTES] =
      g_param_spec_uint ("max-window-bytes", NULL, NULL,
                         (1024 * 1024), G_MAXUINT, (128 * 1024 * 1024), TCP_READ_WRITE);

  /**
   * TcpTunnel:max-connections:
   *
   * How many TCP connections may be open at once in multiplexed mode. Further clients
   * are turned away; likewise when the process has few file descriptors left.
   * From 1 to 65535; the default is 20000.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_CONNECTIONS] =
      g_param_spec_uint ("max-connections", NULL, NULL,
                         1, 65535, 20000, TCP_READ_WRITE);

  /**
   * TcpTunnel:reset-on-loss:
   *
   * Whether a TCP connection in singleton mode ends in a reset if its WebSocket breaks
   * while bytes are on their way that may be lost. Otherwise it goes on, with a warning
   * in the log. The default is %FALSE.
   *
   * Applies to gateways that do not resume sessions.
   *
   * Since: 1.0
   */
  properties[PROP_RESET_ON_LOSS] = g_param_spec_boolean ("reset-on-loss", NULL, NULL, FALSE, TCP_READ_WRITE);

  /**
   * TcpTunnel:request-headers:
   *
   * Further headers for the request that opens the WebSocket, each as `Name: value`.
   * Those that the tunnel sets itself, such as `Authorization`, are not allowed. %NULL,
   * the default, is for none.
   *
   * Since: 1.0
   */
  properties[PROP_REQUEST_HEADERS] =
      g_param_spec_boxed ("request-headers", NULL, NULL,
                          G_TYPE_STRV, TCP_READ_WRITE);

  /**
   * TcpTunnel:proxy-resolver:
   *
   * What finds the proxy to use. %NULL, the default, is that of the system.
   *
   * It is asked for the proxy of an `http` URL for `ws`, and of an `https` URL for `wss`. An HTTP proxy has to
   * allow CONNECT to the port of the gateway, in both cases. User name and password of a proxy are part of its
   * URL, where `%40` stands for `@`, `%3A` for `:` and `%25` for `%`.
   *
   * Since: 1.0
   */
  properties[PROP_PROXY_RESOLVER] =
      g_param_spec_object ("proxy-resolver", NULL, NULL,
                           G_TYPE_PROXY_RESOLVER, TCP_READ_WRITE);

  /**
   * TcpTunnel:tls-database:
   *
   * The authorities that certificates of gateways are checked against. %NULL, the
   * default, is those of the system.
   *
   * Since: 1.0
   */
  properties[PROP_TLS_DATABASE] =
      g_param_spec_object ("tls-database", NULL, NULL,
                           G_TYPE_TLS_DATABASE, TCP_READ_WRITE);

  /**
   * TcpTunnel:client-certificate:
   *
   * The certificate to show to a gateway that asks for one. %NULL, the default, is for
   * none.
   *
   * Since: 1.0
   */
  properties[PROP_CLIENT_CERTIFICATE] =
      g_param_spec_object ("client-certificate", NULL, NULL,
                           G_TYPE_TLS_CERTIFICATE, TCP_READ_WRITE);
}

static void
install_status (void)
{
  /**
   * TcpTunnel:state:
   *
   * Where the WebSocket stands at this moment.
   *
   * Since: 1.0
   */
  properties[PROP_STATE] =
      g_param_spec_enum ("state", NULL, NULL,
                         TCP_TYPE_TUNNEL_STATE, TCP_TUNNEL_STATE_DISCONNECTED, TCP_READ_ONLY);

  /**
   * TcpTunnel:local-address:
   *
   * Where the tunnel listens, with the port that was opened; %NULL while it does not
   * run, or if it listens on a Unix socket. Of a
   * [property@TcpTunnel.Tunnel:hostname] with several addresses it is the first that the
   * tunnel listens on; the others have the same port. When the tunnel ends by itself, it stays
   * until that is told in the main context in which signals are emitted.
   *
   * Since: 1.0
   */
  properties[PROP_LOCAL_ADDRESS] =
      g_param_spec_object ("local-address", NULL, NULL,
                           G_TYPE_INET_SOCKET_ADDRESS, TCP_READ_ONLY);

  /**
   * TcpTunnel:bytes-sent:
   *
   * How many bytes went from TCP into WebSockets since the tunnel was created.
   *
   * No notification is emitted when it changes.
   *
   * Since: 1.0
   */
  properties[PROP_BYTES_SENT] =
      g_param_spec_uint64 ("bytes-sent", NULL, NULL,
                           0, G_MAXUINT64, 0, TCP_READ_ONLY);

  /**
   * TcpTunnel:bytes-received:
   *
   * How many bytes came from WebSockets for TCP since the tunnel was created.
   *
   * No notification is emitted when it changes.
   *
   * Since: 1.0
   */
  properties[PROP_BYTES_RECEIVED] =
      g_param_spec_uint64 ("bytes-received", NULL, NULL,
                           0, G_MAXUINT64, 0, TCP_READ_ONLY);

  /**
   * TcpTunnel:open-connections:
   *
   * How many TCP connections are open.
   *
   * No notification is emitted when it changes.
   *
   * Since: 1.0
   */
  properties[PROP_OPEN_CONNECTIONS] =
      g_param_spec_uint ("open-connections", NULL, NULL,
                         0, G_MAXUINT, 0, TCP_READ_ONLY);

  /**
   * TcpTunnel:total-connections:
   *
   * How many TCP connections there were since the tunnel was created.
   *
   * No notification is emitted when it changes.
   *
   * Since: 1.0
   */
  properties[PROP_TOTAL_CONNECTIONS] =
      g_param_spec_uint64 ("total-connections", NULL, NULL,
                           0, G_MAXUINT64, 0, TCP_READ_ONLY);

  /**
   * TcpTunnel:reconnects:
   *
   * How often a WebSocket was replaced by another since the tunnel was created.
   *
   * No notification is emitted when it changes.
   *
   * Since: 1.0
   */
  properties[PROP_RECONNECTS] =
      g_param_spec_uint64 ("reconnects", NULL, NULL,
                           0, G_MAXUINT64, 0, TCP_READ_ONLY);

  /**
   * TcpTunnel:round-trip:
   *
   * How long the last ping took to be answered, in microseconds, or -1 if none was yet.
   *
   * No notification is emitted when it changes.
   *
   * Since: 1.0
   */
  properties[PROP_ROUND_TRIP] =
      g_param_spec_int64 ("round-trip", NULL, NULL,
                          -1, G_MAXINT64, -1, TCP_READ_ONLY);

  /**
   * TcpTunnel:negotiated-protocol:
   *
   * What the tunnel and its gateway speak over the last WebSocket that was opened. It is
   * `resumable/1` where TCP connections outlive the WebSocket. With a gateway that does not
   * offer that it is `tagged` in multiplexed mode, and `raw` in singleton mode. It is %NULL until
   * the first WebSocket is open.
   *
   * No notification is emitted when it changes.
   *
   * Since: 1.0
   */
  properties[PROP_NEGOTIATED_PROTOCOL] =
      g_param_spec_string ("negotiated-protocol", NULL, NULL,
                           NULL, TCP_READ_ONLY);

  /**
   * TcpTunnel:retained-bytes:
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
   * TcpTunnel:receive-window:
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
   * TcpTunnel:send-window:
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
   * TcpTunnel:resumes:
   *
   * How often a session went on over another WebSocket since the tunnel was created,
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
   * TcpTunnel:bytes-replayed:
   *
   * How many bytes were sent again when sessions were resumed, since the tunnel was
   * created.
   *
   * No notification is emitted when it changes.
   *
   * Since: 1.0
   */
  properties[PROP_BYTES_REPLAYED] =
      g_param_spec_uint64 ("bytes-replayed", NULL, NULL,
                           0, G_MAXUINT64, 0, TCP_READ_ONLY);

  /**
   * TcpTunnel:last-error:
   *
   * What last went wrong with the tunnel or one of its connections since it was started.
   * It is also set when the tunnel ends by itself. It is not set by a connection that a TCP
   * client or the target closed before it had read all.
   *
   * No notification is emitted when it changes.
   *
   * Since: 1.0
   */
  properties[PROP_LAST_ERROR] = g_param_spec_boxed ("last-error", NULL, NULL, G_TYPE_ERROR, TCP_READ_ONLY);
}

void
tcp_tunnel_install_properties (GObjectClass *object_class)
{
  object_class->get_property = tunnel_get_property;
  object_class->set_property = tunnel_set_property;

  install_settings ();
  install_status ();
  g_object_class_install_properties (object_class, N_PROPERTIES, properties);
}
