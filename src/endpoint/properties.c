/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "endpoint/endpoint-private.h"

#define SETTING(kind_, field) .kind = TCP_SETTING_##kind_, .offset = G_STRUCT_OFFSET (TcpEndpointSettings, field)

static void
name_changed (TcpEndpoint *self)
{
  tcp_log_set_name (self->log, ((TcpEndpointSettings *) self->settings)->name);
}

static void
log_level_changed (TcpEndpoint *self)
{
  tcp_log_set_level (self->log, ((TcpEndpointSettings *) self->settings)->log_level);
}

static void
get_active (TcpEndpoint *self,
            GValue      *value)
{
  g_value_set_boolean (value, tcp_runner_is_active (&self->runner));
}

static void
get_local_address (TcpEndpoint *self,
                   GValue      *value)
{
  g_value_set_object (value, self->runner.address);
}

/* endpoint/setting.h describes how to add a property. */
static const TcpSetting rows[] = {
  /**
   * TcpEndpoint:name:
   *
   * The name of the endpoint in the log. Its messages begin with the name and a colon, instead of `tunnel:` or
   * `gateway:`, and have it in the field `TCP_TUNNEL_NAME`, so that the messages of several endpoints of a program can
   * be distinguished. Characters that cannot be printed are shown as numbers. The default is %NULL, for no name.
   *
   * Takes effect at once.
   *
   * Since: 1.0
   */
  { "name", SETTING (STRING, name), .changed = name_changed },

  /**
   * TcpEndpoint:log-level:
   *
   * How much is logged. [enum@TcpTunnel.TunnelLogLevel] describes where it is logged. The default is
   * %TCP_TUNNEL_LOG_LEVEL_INFO.
   *
   * Takes effect at once.
   *
   * Since: 1.0
   */
  { "log-level", SETTING (ENUM, log_level), .type = tcp_tunnel_log_level_get_type,
    .initial = TCP_TUNNEL_LOG_LEVEL_INFO, .changed = log_level_changed },

  /**
   * TcpEndpoint:hostname:
   *
   * The address to listen on: IPv4, IPv6, or a name. The endpoint listens on every address of the name, up to 16, with
   * one port: for `localhost` on 127.0.0.1 and, if the machine has IPv6, on ::1. An address that the machine does not
   * have is skipped; if another program uses the port at one of them, the start fails. With an address other than that
   * of the loopback, other machines can connect. The default is 127.0.0.1. The start fails with
   * %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if it is %NULL or empty but needed.
   *
   * Since: 1.0
   */
  { "hostname", SETTING (STRING, where.hostname), .text = "127.0.0.1" },

  /**
   * TcpEndpoint:port:
   *
   * The TCP port to listen on, from 0 to 65535. With 0, the default, a free port is chosen;
   * [property@TcpTunnel.Endpoint:local-address] contains it.
   *
   * Since: 1.0
   */
  { "port", SETTING (UINT, where.port), .maximum = G_MAXUINT16 },

  /**
   * TcpEndpoint:socket-path:
   *
   * The path of a Unix stream socket to listen on, instead of [property@TcpTunnel.Endpoint:hostname] and
   * [property@TcpTunnel.Endpoint:port]; %NULL, the default, to listen on those. The longest path has 107 bytes. A
   * relative path is resolved from the working directory of the process at the start.
   *
   * Only the user of the process may connect: the socket has the mode 0600 from its creation. A socket to which no
   * program is bound any more is replaced; if a program listens on it, or if there is a file of another kind, the start
   * fails with %TCP_TUNNEL_ERROR_LISTEN. When the endpoint closes it removes its socket, unless that was replaced by
   * another file meanwhile.
   *
   * Clients of the socket are handled like TCP clients of a port, with one exception: a Unix socket cannot be reset. A
   * client whose connection broke reads the error `ECONNRESET` if some of its data was not read from the socket yet;
   * otherwise it reads what looks like an orderly end. [signal@TcpTunnel.Endpoint::connection-closed] reports whether a
   * connection was complete.
   *
   * A gateway on a Unix socket is for a reverse proxy on the same machine. It trusts the socket's clients like those of
   * [property@TcpTunnel.Gateway:trusted-proxies], and has no [property@TcpTunnel.Gateway:uri].
   *
   * Since: 1.0
   */
  { "socket-path", SETTING (STRING, where.socket_path) },

  /**
   * TcpEndpoint:socket:
   *
   * A socket that listens already, instead of [property@TcpTunnel.Endpoint:hostname],
   * [property@TcpTunnel.Endpoint:port] and [property@TcpTunnel.Endpoint:socket-path]; %NULL, the default, to listen on
   * those. A program can use it for sockets that a service manager passes to it (socket activation), or for a socket
   * that it has bound before it gave up its privileges.
   *
   * It must be a stream socket of TCP, over IPv4 or IPv6, or a Unix socket, on which listen() was called; otherwise the
   * start fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT. The endpoint uses a duplicate of its file descriptor: it does
   * not close the socket, which the program may close once the endpoint has started. Clients that connect to a socket
   * while no endpoint uses it wait until one does.
   *
   * A gateway trusts the clients of a Unix socket like [property@TcpTunnel.Gateway:trusted-proxies]. If every user of
   * the machine may connect to it, it logs a warning.
   *
   * ```c
   * // systemd passes the first at file descriptor 3: sd_listen_fds(3).
   * g_autoptr (GSocket) socket = g_socket_new_from_fd (3, &error);
   *
   * g_object_set (gateway, "socket", socket, NULL);
   * ```
   *
   * Since: 1.0
   */
  { "socket", SETTING (OBJECT, where.socket), .type = g_socket_get_type },

  /**
   * TcpEndpoint:resumption:
   *
   * Whether TCP connections continue without loss when their WebSocket breaks. The default is
   * %TCP_TUNNEL_RESUMPTION_AUTO.
   *
   * With %TCP_TUNNEL_RESUMPTION_REQUIRED a tunnel ends with %TCP_TUNNEL_ERROR_PROTOCOL if the gateway cannot resume
   * sessions, and a gateway answers 426 to a client that cannot.
   *
   * Since: 1.0
   */
  { "resumption", SETTING (ENUM, resumption), .type = tcp_tunnel_resumption_get_type,
    .initial = TCP_TUNNEL_RESUMPTION_AUTO },

  /**
   * TcpEndpoint:connect-timeout:
   *
   * How long a connection may take to be opened, in milliseconds. 0 is for no limit.
   *
   * For a tunnel this is the opening of a WebSocket, including name resolution, TCP, proxy, TLS and HTTP. The default
   * is 15000. For a gateway see [property@TcpTunnel.Gateway:connect-timeout].
   *
   * Since: 1.0
   */
  { "connect-timeout", SETTING (UINT, connect_timeout), .maximum = G_MAXINT, .initial = 15000 },

  /**
   * TcpEndpoint:keepalive-interval:
   *
   * The interval at which the endpoint sends a ping over each WebSocket, in milliseconds. Pings keep proxies from
   * closing the WebSocket, and measure the round trip. 0 disables them. The default is 30000.
   *
   * Since: 1.0
   */
  { "keepalive-interval", SETTING (UINT, keepalive_interval), .maximum = G_MAXINT, .initial = 30000 },

  /**
   * TcpEndpoint:keepalive-timeout:
   *
   * How long the other end may stay silent after a ping, in milliseconds, before the endpoint considers the WebSocket
   * broken. 0 is for no limit. The default is 10000.
   *
   * An end that does not read, because its TCP connection is not read, is not silent: its TCP stack still answers, and
   * an end of this library sends a sign of life every 3 seconds. The timeout should therefore be longer than that, at
   * both ends.
   *
   * Since: 1.0
   */
  { "keepalive-timeout", SETTING (UINT, keepalive_timeout), .maximum = G_MAXINT, .initial = 10000 },

  /**
   * TcpEndpoint:max-connections:
   *
   * The number of TCP connections that may be open at once. From 1 to 65535; the default is 20000.
   *
   * For a tunnel these are its TCP clients, of which it has one at a time in singleton mode. It closes the connections
   * of further clients, also when the process has few file descriptors left.
   *
   * For a gateway these are the connections to targets, of all clients together; the number of clients with a session
   * is limited to the same number. Above the limit, or when the process has few file descriptors left, a client is
   * answered 503, and a connection is refused. If there are tokens of several principals, a quarter is set aside in
   * equal parts, one for each of them, but at least one for each as long as these are no more than half of all: a
   * principal finds its own part free, however much the others use. See also
   * [property@TcpTunnel.Gateway:max-principal-sessions] and [property@TcpTunnel.Gateway:max-principal-connections].
   *
   * Since: 1.0
   */
  { "max-connections", SETTING (UINT, max_connections), .minimum = 1, .maximum = 65535, .initial = 20000 },

  /**
   * TcpEndpoint:max-unacknowledged-bytes:
   *
   * The number of sent bytes that may be kept until the other end has acknowledged them, in each resumable session. At
   * this limit, the TCP clients of a tunnel, or the targets of a gateway, are not read. At least 1 MiB; the default is
   * 64 MiB.
   *
   * Since: 1.0
   */
  { "max-unacknowledged-bytes", SETTING (UINT, max_unacknowledged_bytes), .minimum = 1024 * 1024,
    .maximum = G_MAXUINT, .initial = 64 * 1024 * 1024 },

  /**
   * TcpEndpoint:max-window-bytes:
   *
   * The number of bytes that the other end may send before the TCP clients of a tunnel, or the targets of a gateway,
   * have read them, in total, in each resumable session. Each connection may have up to half of it, but not more than
   * 64 MiB, if its path is fast and long enough. At least 1 MiB; the default is 128 MiB.
   *
   * Since: 1.0
   */
  { "max-window-bytes", SETTING (UINT, max_window_bytes), .minimum = 1024 * 1024, .maximum = G_MAXUINT,
    .initial = 128 * 1024 * 1024 },

  /**
   * TcpEndpoint:reset-on-loss:
   *
   * Whether a TCP connection in singleton mode is reset if its WebSocket breaks while bytes are on their way that may
   * be lost. Otherwise it continues, and a warning is logged. The default is %FALSE.
   *
   * Applies to sessions that cannot be resumed.
   *
   * Since: 1.0
   */
  { "reset-on-loss", SETTING (BOOLEAN, reset_on_loss) },

  /**
   * TcpEndpoint:active:
   *
   * Whether the endpoint runs: from a successful start until it was closed or drained, or has ended by itself.
   *
   * It is notified in the main context in which signals are emitted. When the endpoint ends by itself, the value is
   * %FALSE at once, perhaps before the notification. In a forked child it is %FALSE for an endpoint that runs in the
   * parent.
   *
   * Since: 1.0
   */
  { "active", .kind = TCP_SETTING_BOOLEAN, .get = get_active },

  /**
   * TcpEndpoint:local-address:
   *
   * The address on which the endpoint listens: a [class@Gio.InetSocketAddress] with the actual port, a
   * [class@Gio.UnixSocketAddress] if it listens on a Unix socket, or %NULL while it does not run.
   *
   * For a [property@TcpTunnel.Endpoint:hostname] with several addresses it is the first one on which the endpoint
   * listens; the others have the same port. [method@TcpTunnel.Gateway.get_local_addresses] returns those of further
   * listeners of a gateway. When the endpoint ends by itself, the address stays until its change is notified in the
   * main context in which signals are emitted.
   *
   * Since: 1.0
   */
  { "local-address", .kind = TCP_SETTING_OBJECT, .type = g_socket_address_get_type, .get = get_local_address },
};

const TcpSettings tcp_endpoint_settings = {
  .size = sizeof (TcpEndpointSettings),
  .rows = rows,
  .n_rows = G_N_ELEMENTS (rows),
};
