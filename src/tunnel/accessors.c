/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/tunnel-private.h"

#include "base/token.h"
#include "endpoint/accessors.h"
#include "tunnel/engine.h"

#define GETTER(ctype, name, zero, expression) \
  TCP_GETTER (TcpTunnel, tunnel, TCP_IS_TUNNEL, ctype, name, zero, expression)
#define DUPLICATOR(name, expression) \
  TCP_DUPLICATOR (TcpTunnel, tunnel, TCP_IS_TUNNEL, char *, name, g_strdup, expression)
#define SETTER_PLAIN(ctype, name) TCP_SETTER_PLAIN (TcpTunnel, tunnel, TCP_IS_TUNNEL, ctype, name)
#define SETTER_UINT(name) TCP_SETTER_UINT (TcpTunnel, tunnel, TCP_IS_TUNNEL, name)
#define SETTER_INT(name) TCP_SETTER_INT (TcpTunnel, tunnel, TCP_IS_TUNNEL, name)
#define SETTER_STRING(name) TCP_SETTER_STRING (TcpTunnel, tunnel, TCP_IS_TUNNEL, name, )
#define SETTER_OBJECT(ctype, name) TCP_SETTER_OBJECT (TcpTunnel, tunnel, TCP_IS_TUNNEL, ctype, name)

/**
 * tcp_tunnel_dup_remote_uri:
 * @self: a tunnel
 *
 * Gets the URL of the gateway.
 *
 * Returns: (nullable) (transfer full): the URL
 *
 * Since: 1.0
 */
DUPLICATOR (remote_uri, self->settings->remote_uri)

/**
 * tcp_tunnel_set_remote_uri:
 * @self: a tunnel
 * @remote_uri: (nullable): a URL that begins with `ws://` or `wss://`
 *
 * Sets the URL of the gateway.
 *
 * See [property@TcpTunnel.Tunnel:remote-uri]. Takes effect when the tunnel is next
 * started.
 *
 * Since: 1.0
 */
SETTER_STRING (remote_uri)

/**
 * tcp_tunnel_dup_hostname:
 * @self: a tunnel
 *
 * Gets the address to listen on.
 *
 * Returns: (transfer full) (nullable): an address or a name
 *
 * Since: 1.0
 */
DUPLICATOR (hostname, self->settings->hostname)

/**
 * tcp_tunnel_set_hostname:
 * @self: a tunnel
 * @hostname: (nullable): an IPv4 or IPv6 address, or a name
 *
 * Sets the address to listen on.
 *
 * See [property@TcpTunnel.Tunnel:hostname]. Takes effect when the tunnel is next
 * started.
 *
 * Since: 1.0
 */
SETTER_STRING (hostname)

/**
 * tcp_tunnel_get_port:
 * @self: a tunnel
 *
 * Gets the port to listen on.
 *
 * Returns: the port, 0 for any
 *
 * Since: 1.0
 */
GETTER (guint, port, 0, self->settings->port)

/**
 * tcp_tunnel_set_port:
 * @self: a tunnel
 * @port: a port from 0 to 65535, 0 for any
 *
 * Sets the port to listen on.
 *
 * See [property@TcpTunnel.Tunnel:port]. Takes effect when the tunnel is next started.
 *
 * Since: 1.0
 */
SETTER_UINT (port)

/**
 * tcp_tunnel_dup_socket_path:
 * @self: a tunnel
 *
 * Gets the path of the Unix socket to listen on.
 *
 * Returns: (type filename) (transfer full) (nullable): the path, or %NULL to listen on
 *   a TCP port
 *
 * Since: 1.0
 */
DUPLICATOR (socket_path, self->settings->socket_path)

/**
 * tcp_tunnel_set_socket_path:
 * @self: a tunnel
 * @socket_path: (type filename) (nullable): a path of at most 107 bytes, or %NULL to
 *   listen on a TCP port
 *
 * Sets the path of a Unix socket to listen on in place of a TCP port.
 *
 * See [property@TcpTunnel.Tunnel:socket-path]. Takes effect when the tunnel is next
 * started.
 *
 * Since: 1.0
 */
SETTER_STRING (socket_path)

/**
 * tcp_tunnel_get_mode:
 * @self: a tunnel
 *
 * Gets how TCP connections map to WebSockets.
 *
 * Returns: the mode
 *
 * Since: 1.0
 */
GETTER (TcpTunnelMode, mode, TCP_TUNNEL_MODE_SINGLETON, self->settings->mode)

/**
 * tcp_tunnel_set_mode:
 * @self: a tunnel
 * @mode: a mode
 *
 * Sets how TCP connections map to WebSockets.
 *
 * See [property@TcpTunnel.Tunnel:mode]. Takes effect when the tunnel is next started.
 *
 * Since: 1.0
 */
SETTER_PLAIN (TcpTunnelMode, mode)

/**
 * tcp_tunnel_get_resumption:
 * @self: a tunnel
 *
 * Gets whether sessions are resumed.
 *
 * Returns: what was asked for
 *
 * Since: 1.0
 */
GETTER (TcpTunnelResumption, resumption, TCP_TUNNEL_RESUMPTION_AUTO, self->settings->resumption)

/**
 * tcp_tunnel_set_resumption:
 * @self: a tunnel
 * @resumption: whether they are, or have to be
 *
 * Sets whether sessions are resumed.
 *
 * See [property@TcpTunnel.Tunnel:resumption]. Takes effect when the tunnel is next
 * started.
 *
 * Since: 1.0
 */
SETTER_PLAIN (TcpTunnelResumption, resumption)

/**
 * tcp_tunnel_get_max_reconnect_attempts:
 * @self: a tunnel
 *
 * Gets how often in a row the tunnel tries to reconnect.
 *
 * Returns: the number, or %TCP_TUNNEL_UNLIMITED_ATTEMPTS
 *
 * Since: 1.0
 */
GETTER (int, max_reconnect_attempts, 0, self->settings->max_reconnect_attempts)

/**
 * tcp_tunnel_set_max_reconnect_attempts:
 * @self: a tunnel
 * @max_reconnect_attempts: the number of attempts, 0 for none, or
 *   %TCP_TUNNEL_UNLIMITED_ATTEMPTS
 *
 * Sets how often in a row the tunnel tries to reconnect.
 *
 * See [property@TcpTunnel.Tunnel:max-reconnect-attempts]. Takes effect when the tunnel
 * is next started.
 *
 * Since: 1.0
 */
SETTER_INT (max_reconnect_attempts)

/**
 * tcp_tunnel_get_wait_for_gateway:
 * @self: a tunnel
 *
 * Gets whether the start of a multiplexed tunnel waits for its gateway.
 *
 * Returns: whether it waits
 *
 * Since: 1.0
 */
GETTER (gboolean, wait_for_gateway, FALSE, self->settings->wait_for_gateway)

/**
 * tcp_tunnel_set_wait_for_gateway:
 * @self: a tunnel
 * @wait_for_gateway: whether to wait
 *
 * Sets whether the start of a multiplexed tunnel waits for its gateway.
 *
 * See [property@TcpTunnel.Tunnel:wait-for-gateway]. Takes effect when the tunnel is next
 * started.
 *
 * Since: 1.0
 */
TCP_SETTER (TcpTunnel, tunnel, TCP_IS_TUNNEL, gboolean, wait_for_gateway,
            self->settings->wait_for_gateway == !!wait_for_gateway,
            self->settings->wait_for_gateway = !!wait_for_gateway)

/**
 * tcp_tunnel_get_reconnect_delay:
 * @self: a tunnel
 *
 * Gets the first delay before reconnecting.
 *
 * Returns: milliseconds
 *
 * Since: 1.0
 */
GETTER (guint, reconnect_delay, 0, self->settings->reconnect_delay)

/**
 * tcp_tunnel_set_reconnect_delay:
 * @self: a tunnel
 * @reconnect_delay: milliseconds
 *
 * Sets the first delay before reconnecting.
 *
 * See [property@TcpTunnel.Tunnel:reconnect-delay]. Takes effect when the tunnel is next
 * started.
 *
 * Since: 1.0
 */
SETTER_UINT (reconnect_delay)

/**
 * tcp_tunnel_get_max_reconnect_delay:
 * @self: a tunnel
 *
 * Gets the longest delay before reconnecting.
 *
 * Returns: milliseconds
 *
 * Since: 1.0
 */
GETTER (guint, max_reconnect_delay, 0, self->settings->max_reconnect_delay)

/**
 * tcp_tunnel_set_max_reconnect_delay:
 * @self: a tunnel
 * @max_reconnect_delay: milliseconds
 *
 * Sets the longest delay before reconnecting.
 *
 * See [property@TcpTunnel.Tunnel:max-reconnect-delay]. Takes effect when the tunnel is
 * next started.
 *
 * Since: 1.0
 */
SETTER_UINT (max_reconnect_delay)

/**
 * tcp_tunnel_dup_name:
 * @self: a tunnel
 *
 * Gets what the log calls the tunnel.
 *
 * Returns: (nullable) (transfer full): the name, or %NULL for none
 *
 * Since: 1.0
 */
DUPLICATOR (name, self->settings->name)

/**
 * tcp_tunnel_set_name:
 * @self: a tunnel
 * @name: (nullable): a name, or %NULL for none
 *
 * Sets what the log calls the tunnel.
 *
 * See [property@TcpTunnel.Tunnel:name]. Takes effect at once.
 *
 * Since: 1.0
 */
TCP_SETTER_STRING (TcpTunnel, tunnel, TCP_IS_TUNNEL, name, tcp_log_set_name (self->log, name))

/**
 * tcp_tunnel_get_log_level:
 * @self: a tunnel
 *
 * Gets how much is logged.
 *
 * Returns: the level
 *
 * Since: 1.0
 */
GETTER (TcpTunnelLogLevel, log_level, TCP_TUNNEL_LOG_LEVEL_NONE, tcp_log_get_level (self->log))

/**
 * tcp_tunnel_set_log_level:
 * @self: a tunnel
 * @log_level: a level
 *
 * Sets how much is logged.
 *
 * Takes effect at once.
 *
 * Since: 1.0
 */
TCP_SETTER (TcpTunnel, tunnel, TCP_IS_TUNNEL, TcpTunnelLogLevel, log_level,
            tcp_log_get_level (self->log) == log_level,
            tcp_log_set_level (self->log, log_level))

/**
 * tcp_tunnel_get_connect_timeout:
 * @self: a tunnel
 *
 * Gets how long the opening of a WebSocket may take.
 *
 * Returns: milliseconds
 *
 * Since: 1.0
 */
GETTER (guint, connect_timeout, 0, self->settings->connect_timeout)

/**
 * tcp_tunnel_set_connect_timeout:
 * @self: a tunnel
 * @connect_timeout: milliseconds, 0 for ever
 *
 * Sets how long the opening of a WebSocket may take.
 *
 * See [property@TcpTunnel.Tunnel:connect-timeout]. Takes effect when the tunnel is next
 * started.
 *
 * Since: 1.0
 */
SETTER_UINT (connect_timeout)

/**
 * tcp_tunnel_get_keepalive_interval:
 * @self: a tunnel
 *
 * Gets how often a ping is sent.
 *
 * Returns: milliseconds
 *
 * Since: 1.0
 */
GETTER (guint, keepalive_interval, 0, self->settings->keepalive_interval)

/**
 * tcp_tunnel_set_keepalive_interval:
 * @self: a tunnel
 * @keepalive_interval: milliseconds, 0 for never
 *
 * Sets how often a ping is sent.
 *
 * See [property@TcpTunnel.Tunnel:keepalive-interval]. Takes effect when the tunnel is
 * next started.
 *
 * Since: 1.0
 */
SETTER_UINT (keepalive_interval)

/**
 * tcp_tunnel_get_keepalive_timeout:
 * @self: a tunnel
 *
 * Gets how long the gateway may stay silent after a ping.
 *
 * Returns: milliseconds
 *
 * Since: 1.0
 */
GETTER (guint, keepalive_timeout, 0, self->settings->keepalive_timeout)

/**
 * tcp_tunnel_set_keepalive_timeout:
 * @self: a tunnel
 * @keepalive_timeout: milliseconds, 0 for ever
 *
 * Sets how long the gateway may stay silent after a ping.
 *
 * See [property@TcpTunnel.Tunnel:keepalive-timeout]. Takes effect when the tunnel is
 * next started.
 *
 * Since: 1.0
 */
SETTER_UINT (keepalive_timeout)

/**
 * tcp_tunnel_get_max_buffered_bytes:
 * @self: a tunnel
 *
 * Gets how many bytes may wait for TCP clients.
 *
 * Returns: bytes
 *
 * Since: 1.0
 */
GETTER (guint, max_buffered_bytes, 0, self->settings->max_buffered_bytes)

/**
 * tcp_tunnel_set_max_buffered_bytes:
 * @self: a tunnel
 * @max_buffered_bytes: bytes, at least 512 KiB
 *
 * Sets how many bytes may wait for TCP clients.
 *
 * See [property@TcpTunnel.Tunnel:max-buffered-bytes]. Takes effect when the tunnel is
 * next started.
 *
 * Since: 1.0
 */
SETTER_UINT (max_buffered_bytes)

/**
 * tcp_tunnel_get_max_retained_bytes:
 * @self: a tunnel
 *
 * Gets how many bytes may be kept until the gateway has acknowledged them.
 *
 * Returns: bytes
 *
 * Since: 1.0
 */
GETTER (guint, max_retained_bytes, 0, self->settings->max_retained_bytes)

/**
 * tcp_tunnel_set_max_retained_bytes:
 * @self: a tunnel
 * @max_retained_bytes: bytes, at least 1 MiB
 *
 * Sets how many bytes may be kept until the gateway has acknowledged them.
 *
 * See [property@TcpTunnel.Tunnel:max-retained-bytes]. Takes effect when the tunnel is
 * next started.
 *
 * Since: 1.0
 */
SETTER_UINT (max_retained_bytes)

/**
 * tcp_tunnel_get_max_window_bytes:
 * @self: a tunnel
 *
 * Gets how many bytes the gateway may send before they were taken.
 *
 * Returns: bytes
 *
 * Since: 1.0
 */
GETTER (guint, max_window_bytes, 0, self->settings->max_window_bytes)

/**
 * tcp_tunnel_set_max_window_bytes:
 * @self: a tunnel
 * @max_window_bytes: bytes, at least 1 MiB
 *
 * Sets how many bytes the gateway may send before they were taken.
 *
 * See [property@TcpTunnel.Tunnel:max-window-bytes]. Takes effect when the tunnel is next
 * started.
 *
 * Since: 1.0
 */
SETTER_UINT (max_window_bytes)

/**
 * tcp_tunnel_get_max_connections:
 * @self: a tunnel
 *
 * Gets how many TCP connections may be open at once.
 *
 * Returns: the number
 *
 * Since: 1.0
 */
GETTER (guint, max_connections, 0, self->settings->max_connections)

/**
 * tcp_tunnel_set_max_connections:
 * @self: a tunnel
 * @max_connections: the number of connections
 *
 * Sets how many TCP connections may be open at once.
 *
 * See [property@TcpTunnel.Tunnel:max-connections]. Takes effect when the tunnel is next
 * started.
 *
 * Since: 1.0
 */
SETTER_UINT (max_connections)

/**
 * tcp_tunnel_get_reset_on_loss:
 * @self: a tunnel
 *
 * Gets whether a TCP connection that may have lost bytes is reset.
 *
 * Returns: whether it is reset
 *
 * Since: 1.0
 */
GETTER (gboolean, reset_on_loss, FALSE, self->settings->reset_on_loss)

/**
 * tcp_tunnel_set_reset_on_loss:
 * @self: a tunnel
 * @reset_on_loss: whether to reset it
 *
 * Sets whether a TCP connection that may have lost bytes is reset.
 *
 * See [property@TcpTunnel.Tunnel:reset-on-loss]. Takes effect when the tunnel is next
 * started.
 *
 * Since: 1.0
 */
TCP_SETTER (TcpTunnel, tunnel, TCP_IS_TUNNEL, gboolean, reset_on_loss,
            self->settings->reset_on_loss == !!reset_on_loss,
            self->settings->reset_on_loss = !!reset_on_loss)

/**
 * tcp_tunnel_dup_target:
 * @self: a tunnel
 *
 * Gets the target that the gateway is asked for.
 *
 * Returns: (nullable) (transfer full): a target, or %NULL for the gateway's own
 *
 * Since: 1.0
 */
DUPLICATOR (target, self->settings->target)

/**
 * tcp_tunnel_set_target:
 * @self: a tunnel
 * @target: (nullable): a target as `host:port`, or %NULL for the gateway's own
 *
 * Sets the target that the gateway is asked for.
 *
 * See [property@TcpTunnel.Tunnel:target]. Takes effect when the tunnel is next started.
 *
 * Since: 1.0
 */
SETTER_STRING (target)

/**
 * tcp_tunnel_dup_request_headers:
 * @self: a tunnel
 *
 * Gets the further request headers.
 *
 * Returns: (nullable) (transfer full) (array zero-terminated=1): headers as `Name:
 *   value`
 *
 * Since: 1.0
 */
TCP_DUPLICATOR (TcpTunnel, tunnel, TCP_IS_TUNNEL, char **, request_headers, g_strdupv,
                self->settings->request_headers)

/**
 * tcp_tunnel_set_request_headers:
 * @self: a tunnel
 * @request_headers: (nullable) (array zero-terminated=1): headers as `Name: value`
 *
 * Sets the further request headers.
 *
 * See [property@TcpTunnel.Tunnel:request-headers]. Takes effect when the tunnel is next
 * started.
 *
 * Since: 1.0
 */
TCP_SETTER_STRV (TcpTunnel, tunnel, TCP_IS_TUNNEL, request_headers)

/**
 * tcp_tunnel_get_proxy_resolver:
 * @self: a tunnel
 *
 * Gets what finds the proxy to use.
 *
 * It stays valid until the property is set again.
 *
 * Returns: (nullable) (transfer none): a proxy resolver, or %NULL for that of the system
 *
 * Since: 1.0
 */
GETTER (GProxyResolver *, proxy_resolver, NULL, self->settings->proxy_resolver)

/**
 * tcp_tunnel_set_proxy_resolver:
 * @self: a tunnel
 * @proxy_resolver: (nullable): a proxy resolver, or %NULL for that of the system
 *
 * Sets what finds the proxy to use.
 *
 * See [property@TcpTunnel.Tunnel:proxy-resolver]. Takes effect when the tunnel is next
 * started.
 *
 * Since: 1.0
 */
SETTER_OBJECT (GProxyResolver *, proxy_resolver)

/**
 * tcp_tunnel_get_tls_database:
 * @self: a tunnel
 *
 * Gets the authorities that certificates are checked against.
 *
 * It stays valid until the property is set again.
 *
 * Returns: (nullable) (transfer none): a database, or %NULL for that of the system
 *
 * Since: 1.0
 */
GETTER (GTlsDatabase *, tls_database, NULL, self->settings->tls_database)

/**
 * tcp_tunnel_set_tls_database:
 * @self: a tunnel
 * @tls_database: (nullable): a database, or %NULL for that of the system
 *
 * Sets the authorities that certificates are checked against.
 *
 * See [property@TcpTunnel.Tunnel:tls-database]. Takes effect when the tunnel is next
 * started.
 *
 * Since: 1.0
 */
SETTER_OBJECT (GTlsDatabase *, tls_database)

/**
 * tcp_tunnel_get_client_certificate:
 * @self: a tunnel
 *
 * Gets the certificate to show to a gateway.
 *
 * It stays valid until the property is set again.
 *
 * Returns: (nullable) (transfer none): a certificate with its private key
 *
 * Since: 1.0
 */
GETTER (GTlsCertificate *, client_certificate, NULL, self->settings->client_certificate)

/**
 * tcp_tunnel_set_client_certificate:
 * @self: a tunnel
 * @client_certificate: (nullable): a certificate with its private key
 *
 * Sets the certificate to show to a gateway.
 *
 * See [property@TcpTunnel.Tunnel:client-certificate]. Takes effect when the tunnel is
 * next started.
 *
 * Since: 1.0
 */
SETTER_OBJECT (GTlsCertificate *, client_certificate)

/**
 * tcp_tunnel_get_local_address:
 * @self: a tunnel
 *
 * Gets where the tunnel listens: see [property@TcpTunnel.Tunnel:local-address].
 *
 * It stays valid until the tunnel is started again.
 *
 * Returns: (transfer none) (nullable): the address with the port that was opened, or
 *   %NULL if the tunnel does not run or listens on a Unix socket
 *
 * Since: 1.0
 */
GETTER (GInetSocketAddress *, local_address, NULL, (GInetSocketAddress *) self->runner.address)

/**
 * tcp_tunnel_set_token:
 * @self: a tunnel
 * @token: (nullable): the bearer token
 *
 * Sets the bearer token that authorises the tunnel at the gateway.
 *
 * A tunnel that runs uses it from the next WebSocket on; of several that are set one after
 * another, it may use the last only. After [signal@TcpTunnel.Tunnel::token-required], this makes
 * it try again at once, or with %NULL give up. Otherwise a tunnel that runs keeps the token that
 * it has when this is %NULL. A token that is empty, or has a space or a character that is not
 * ASCII in it, counts as %NULL to a tunnel that runs, which logs a warning; a start fails with it.
 *
 * Since: 1.0
 */
void
tcp_tunnel_set_token (TcpTunnel  *self,
                      const char *token)
{
  gboolean is_usable, runs;

  g_return_if_fail (TCP_IS_TUNNEL (self));

  is_usable = token != NULL && tcp_token_is_valid (token);
  tcp_runner_lock (&self->runner);
  g_free (self->settings->token);
  self->settings->token = g_strdup (token);
  runs = self->runner.engine != NULL;
  if (runs)
    tcp_engine_set_token (self->runner.engine, is_usable ? token : NULL);
  tcp_runner_unlock (&self->runner);

  if (runs && token != NULL && !is_usable)
    tcp_log_warn (self->log, "the new token is not used: it is empty, or has a space or a character that is not ASCII in it");
}
