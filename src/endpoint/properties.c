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

/* See endpoint/setting.h for how to add one. */
static const TcpSetting rows[] = {
  /**
   * TcpEndpoint:name:
   *
   * What the log calls the endpoint. Its messages begin with the name and a colon, in place of `tunnel:` or
   * `gateway:`, and have it in the field `TCP_TUNNEL_NAME`, so that a program with several endpoints can tell them
   * apart. Characters that cannot be printed are shown by number there. The default is %NULL, for no name.
   *
   * Takes effect at once.
   *
   * Since: 1.0
   */
  { "name", SETTING (STRING, name), .changed = name_changed },

  /**
   * TcpEndpoint:log-level:
   *
   * How much is logged. See [enum@TcpTunnel.TunnelLogLevel] for where it goes. The default is
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
   * one port: on `localhost` it is 127.0.0.1 and, where the machine has IPv6, ::1. An address that the machine does
   * not have is left out; if another program uses the port at one of them, the start fails. An address other than that
   * of the loopback lets other machines in. The default is 127.0.0.1. The start
   * fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if it is %NULL or empty where it is needed.
   *
   * Since: 1.0
   */
  { "hostname", SETTING (STRING, hostname), .text = "127.0.0.1" },

  /**
   * TcpEndpoint:port:
   *
   * The TCP port to listen on, from 0 to 65535. With 0, the default, any free one is taken;
   * [property@TcpTunnel.Endpoint:local-address] is the address with it.
   *
   * Since: 1.0
   */
  { "port", SETTING (UINT, port), .maximum = G_MAXUINT16 },

  /**
   * TcpEndpoint:socket-path:
   *
   * The path of a Unix stream socket to listen on, in place of [property@TcpTunnel.Endpoint:hostname] and
   * [property@TcpTunnel.Endpoint:port]; %NULL, the default, to listen on those. The longest path has 107 bytes. A path
   * that is not absolute is taken from the working directory that the process has at the start.
   *
   * Only the user of the process may connect: the socket has the mode 0600 from the moment that it is there. A socket
   * that no program is bound to any more is replaced; where a program listens, or a file of another kind is, the start
   * fails with %TCP_TUNNEL_ERROR_LISTEN. When the endpoint closes it removes its socket, unless another file has taken
   * the place meanwhile.
   *
   * Clients of the socket are handled like TCP clients of a port, with one exception: a Unix socket
   * cannot be reset. A client whose connection broke reads the error `ECONNRESET` if something that it had sent
   * was not taken from the socket yet; else it reads what looks like an orderly end. Whether a connection was complete
   * is reported by [signal@TcpTunnel.Endpoint::connection-closed].
   *
   * A gateway on a Unix socket is for a reverse proxy on the same machine. It trusts the socket's clients as it trusts
   * [property@TcpTunnel.Gateway:trusted-proxies], and has no [property@TcpTunnel.Gateway:uri].
   *
   * Since: 1.0
   */
  { "socket-path", SETTING (STRING, socket_path) },

  /**
   * TcpEndpoint:socket:
   *
   * A socket that listens already, in place of [property@TcpTunnel.Endpoint:hostname],
   * [property@TcpTunnel.Endpoint:port] and [property@TcpTunnel.Endpoint:socket-path]; %NULL, the default, to listen on
   * those. With it a program takes the sockets that a service manager passes to it (socket activation), or has bound
   * one before it gave up its privileges.
   *
   * It has to be a stream socket of TCP, over IPv4 or IPv6, or a Unix socket, on which listen() was called; else the
   * start fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT. The endpoint uses a duplicate of its file descriptor: it does
   * not close the socket, which the program may close once the endpoint has started. Clients that connect to a
   * socket while no endpoint uses it wait until one does.
   *
   * A gateway trusts whoever may connect to a Unix socket as it trusts
   * [property@TcpTunnel.Gateway:trusted-proxies]. If every user of the machine may, it logs a warning.
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
  { "socket", SETTING (OBJECT, socket), .type = g_socket_get_type },

  /**
   * TcpEndpoint:resumption:
   *
   * Whether TCP connections go on, with nothing lost, when their WebSocket breaks. The default is
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
   * How long a connection may take, in milliseconds. 0 is for ever.
   *
   * For a tunnel it is the opening of a WebSocket, with all that belongs to it: name, TCP, proxy, TLS and HTTP. The
   * default is 15000. For a gateway see [property@TcpTunnel.Gateway:connect-timeout].
   *
   * Since: 1.0
   */
  { "connect-timeout", SETTING (UINT, connect_timeout), .maximum = G_MAXINT, .initial = 15000 },

  /**
   * TcpEndpoint:keepalive-interval:
   *
   * How often the endpoint sends a ping over each WebSocket, in milliseconds. It keeps proxies from closing the
   * WebSocket, and measures the round trip. 0 turns it off. The default is 30000.
   *
   * Since: 1.0
   */
  { "keepalive-interval", SETTING (UINT, keepalive_interval), .maximum = G_MAXINT, .initial = 30000 },

  /**
   * TcpEndpoint:keepalive-timeout:
   *
   * How long the other end may stay silent after a ping, in milliseconds, before the endpoint considers the WebSocket
   * broken. 0 is for ever. The default is 10000.
   *
   * An end that does not read, because its data is not taken, is not silent: its TCP stack still answers, and
   * an end of this library sends a sign of life every 3 seconds. So this should be more than that, at both ends.
   *
   * Since: 1.0
   */
  { "keepalive-timeout", SETTING (UINT, keepalive_timeout), .maximum = G_MAXINT, .initial = 10000 },

  /**
   * TcpEndpoint:max-connections:
   *
   * How many TCP connections may be open at once. From 1 to 65535; the default is 20000.
   *
   * For a tunnel they are its TCP clients, of which it has one at a time in singleton mode. It closes the connections
   * of further clients; likewise when the process has few file descriptors left.
   *
   * For a gateway they are the connections to targets, of all clients together; as many clients may have a session at
   * once. A client above that is answered 503, a connection is ended; likewise when the process has few file
   * descriptors left. If there are tokens of several principals, a quarter is set aside in equal parts, one for each of
   * them, but at least one for each as long as these are no more than half of all: a principal finds those of its part
   * free whatever the others have. See also [property@TcpTunnel.Gateway:max-principal-sessions] and
   * [property@TcpTunnel.Gateway:max-principal-connections].
   *
   * Since: 1.0
   */
  { "max-connections", SETTING (UINT, max_connections), .minimum = 1, .maximum = 65535, .initial = 20000 },

  /**
   * TcpEndpoint:max-unacknowledged-bytes:
   *
   * How many bytes that were sent may be kept until the other end has acknowledged them, in each session that is
   * resumed. When that many are kept, the TCP clients of a tunnel, or the targets of a gateway, are not read. At least
   * 1 MiB; the default is 64 MiB.
   *
   * Since: 1.0
   */
  { "max-unacknowledged-bytes", SETTING (UINT, max_unacknowledged_bytes), .minimum = 1024 * 1024,
    .maximum = G_MAXUINT, .initial = 64 * 1024 * 1024 },

  /**
   * TcpEndpoint:max-window-bytes:
   *
   * How many bytes the other end may send before the TCP clients of a tunnel, or the targets of a gateway, have taken
   * them, all together, in each session that is resumed. Each connection may have up to half of it, but not more than
   * 64 MiB, if its path is that fast and that long. At least 1 MiB; the default is 128 MiB.
   *
   * Since: 1.0
   */
  { "max-window-bytes", SETTING (UINT, max_window_bytes), .minimum = 1024 * 1024, .maximum = G_MAXUINT,
    .initial = 128 * 1024 * 1024 },

  /**
   * TcpEndpoint:reset-on-loss:
   *
   * Whether a TCP connection in singleton mode ends in a reset if its WebSocket breaks while bytes are on their way
   * that may be lost. Otherwise it goes on, with a warning in the log. The default is %FALSE.
   *
   * Applies where sessions are not resumed.
   *
   * Since: 1.0
   */
  { "reset-on-loss", SETTING (BOOLEAN, reset_on_loss) },

  /**
   * TcpEndpoint:active:
   *
   * Whether the endpoint runs: from a successful start until it was closed, was drained, or has ended by itself.
   *
   * It is notified in the main context in which signals are emitted. When the endpoint ends by itself, this is %FALSE
   * from then on, which may be before it is notified. In a child that was forked it is %FALSE for an endpoint that runs
   * in the parent.
   *
   * Since: 1.0
   */
  { "active", .kind = TCP_SETTING_BOOLEAN, .get = get_active },

  /**
   * TcpEndpoint:local-address:
   *
   * Where the endpoint listens: a [class@Gio.InetSocketAddress] with the port that was opened, a
   * [class@Gio.UnixSocketAddress] if it listens on a Unix socket, or %NULL while it does not run.
   *
   * Of a [property@TcpTunnel.Endpoint:hostname] with several addresses it is the first that the endpoint listens on;
   * the others have the same port. When the endpoint ends by itself, the address stays until that is notified in the main
   * context in which signals are emitted.
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
