/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/gateway-private.h"

#include "endpoint/accessors.h"

#define GETTER(ctype, name, zero, expression) \
  TCP_GETTER (TcpGateway, gateway, TCP_IS_GATEWAY, ctype, name, zero, expression)
#define DUPLICATOR(name, expression) \
  TCP_DUPLICATOR (TcpGateway, gateway, TCP_IS_GATEWAY, char *, name, g_strdup, expression)
#define SETTER_PLAIN(ctype, name) TCP_SETTER_PLAIN (TcpGateway, gateway, TCP_IS_GATEWAY, ctype, name)
#define SETTER_UINT(name) TCP_SETTER_UINT (TcpGateway, gateway, TCP_IS_GATEWAY, name)
/* 0 is for the default; anything else below @least is brought up to it. */
#define SETTER_BYTES(name, least)                                                                     \
  TCP_SETTER (TcpGateway, gateway, TCP_IS_GATEWAY, guint64, name,                                     \
              (name = name > 0 ? MAX (name, least) : 0) == self->settings->name, self->settings->name = name)
#define SETTER_STRING(name) TCP_SETTER_STRING (TcpGateway, gateway, TCP_IS_GATEWAY, name, )
#define SETTER_OBJECT(ctype, name) TCP_SETTER_OBJECT (TcpGateway, gateway, TCP_IS_GATEWAY, ctype, name)

/**
 * tcp_gateway_dup_target:
 * @self: a gateway
 *
 * Gets the TCP service that clients are connected to.
 *
 * Returns: (transfer full) (nullable): `host:port`
 *
 * Since: 1.0
 */
DUPLICATOR (target, self->settings->target)

/**
 * tcp_gateway_set_target:
 * @self: a gateway
 * @target: (nullable): `host:port`
 *
 * Sets the TCP service that clients are connected to.
 *
 * See [property@TcpTunnel.Gateway:target]. Takes effect when the gateway is next
 * started.
 *
 * Since: 1.0
 */
SETTER_STRING (target)

/**
 * tcp_gateway_dup_hostname:
 * @self: a gateway
 *
 * Gets the address to listen on.
 *
 * Returns: (transfer full) (nullable): an address or a name
 *
 * Since: 1.0
 */
DUPLICATOR (hostname, self->settings->hostname)

/**
 * tcp_gateway_set_hostname:
 * @self: a gateway
 * @hostname: (nullable): an IPv4 or IPv6 address, or a name
 *
 * Sets the address to listen on.
 *
 * See [property@TcpTunnel.Gateway:hostname]. Takes effect when the gateway is next
 * started.
 *
 * Since: 1.0
 */
SETTER_STRING (hostname)

/**
 * tcp_gateway_get_port:
 * @self: a gateway
 *
 * Gets the port to listen on.
 *
 * Returns: the port, 0 for any
 *
 * Since: 1.0
 */
GETTER (guint, port, 0, self->settings->port)

/**
 * tcp_gateway_set_port:
 * @self: a gateway
 * @port: a port from 0 to 65535, 0 for any
 *
 * Sets the port to listen on.
 *
 * See [property@TcpTunnel.Gateway:port]. Takes effect when the gateway is next started.
 *
 * Since: 1.0
 */
SETTER_UINT (port)

/**
 * tcp_gateway_dup_path:
 * @self: a gateway
 *
 * Gets the path at which clients are served.
 *
 * Returns: (transfer full) (nullable): a path, or %NULL for any
 *
 * Since: 1.0
 */
DUPLICATOR (path, self->settings->path)

/**
 * tcp_gateway_set_path:
 * @self: a gateway
 * @path: (nullable): a path that begins with a slash, or %NULL for any
 *
 * Sets the path at which clients are served.
 *
 * See [property@TcpTunnel.Gateway:path]. Takes effect when the gateway is next started.
 *
 * Since: 1.0
 */
SETTER_STRING (path)

/**
 * tcp_gateway_dup_allow:
 * @self: a gateway
 *
 * Gets the further targets that clients may ask for.
 *
 * Returns: (nullable) (transfer full) (array zero-terminated=1): patterns as `HOST:PORT`
 *
 * Since: 1.0
 */
TCP_DUPLICATOR (TcpGateway, gateway, TCP_IS_GATEWAY, char **, allow, g_strdupv, self->settings->allow)

/**
 * tcp_gateway_set_allow:
 * @self: a gateway
 * @allow: (nullable) (array zero-terminated=1): patterns as `HOST:PORT`
 *
 * Sets the further targets that clients may ask for.
 *
 * See [property@TcpTunnel.Gateway:allow]. Takes effect when the gateway is next started.
 *
 * Since: 1.0
 */
TCP_SETTER_STRV (TcpGateway, gateway, TCP_IS_GATEWAY, allow)

/**
 * tcp_gateway_set_token:
 * @self: a gateway
 * @token: (nullable): a bearer token
 *
 * Sets a bearer token that clients may show.
 *
 * See [property@TcpTunnel.Gateway:token]. Takes effect when the gateway is next started.
 *
 * Since: 1.0
 */
SETTER_STRING (token)

/**
 * tcp_gateway_dup_token_file:
 * @self: a gateway
 *
 * Gets the file with the tokens of clients.
 *
 * Returns: (transfer full) (nullable) (type filename): a file name
 *
 * Since: 1.0
 */
DUPLICATOR (token_file, self->settings->token_file)

/**
 * tcp_gateway_set_token_file:
 * @self: a gateway
 * @token_file: (nullable) (type filename): a file name
 *
 * Sets the file with the tokens of clients.
 *
 * See [property@TcpTunnel.Gateway:token-file]. Takes effect when the gateway is next
 * started.
 *
 * Since: 1.0
 */
SETTER_STRING (token_file)

/**
 * tcp_gateway_dup_trusted_proxies:
 * @self: a gateway
 *
 * Gets the reverse proxies in front of the gateway.
 *
 * Returns: (nullable) (transfer full) (array zero-terminated=1): IP addresses and networks
 *
 * Since: 1.0
 */
TCP_DUPLICATOR (TcpGateway, gateway, TCP_IS_GATEWAY, char **, trusted_proxies, g_strdupv,
                self->settings->trusted_proxies)

/**
 * tcp_gateway_set_trusted_proxies:
 * @self: a gateway
 * @trusted_proxies: (nullable) (array zero-terminated=1): IP addresses and networks
 *
 * Sets the reverse proxies in front of the gateway.
 *
 * See [property@TcpTunnel.Gateway:trusted-proxies]. Takes effect when the gateway is next
 * started.
 *
 * Since: 1.0
 */
TCP_SETTER_STRV (TcpGateway, gateway, TCP_IS_GATEWAY, trusted_proxies)

/**
 * tcp_gateway_get_tls_certificate:
 * @self: a gateway
 *
 * Gets the certificate to serve `wss://` with.
 *
 * It stays valid until the property is set again.
 *
 * Returns: (nullable) (transfer none): a certificate with its private key, or %NULL
 *
 * Since: 1.0
 */
GETTER (GTlsCertificate *, tls_certificate, NULL, self->settings->tls_certificate)

/**
 * tcp_gateway_set_tls_certificate:
 * @self: a gateway
 * @tls_certificate: (nullable): a certificate with its private key, or %NULL
 *
 * Sets the certificate to serve `wss://` with.
 *
 * See [property@TcpTunnel.Gateway:tls-certificate]. Takes effect when the gateway is
 * next started.
 *
 * Since: 1.0
 */
SETTER_OBJECT (GTlsCertificate *, tls_certificate)

/**
 * tcp_gateway_get_resumption:
 * @self: a gateway
 *
 * Gets whether sessions are resumed.
 *
 * Returns: what was asked for
 *
 * Since: 1.0
 */
GETTER (TcpTunnelResumption, resumption, TCP_TUNNEL_RESUMPTION_AUTO, self->settings->resumption)

/**
 * tcp_gateway_set_resumption:
 * @self: a gateway
 * @resumption: whether they are, or have to be
 *
 * Sets whether sessions are resumed.
 *
 * See [property@TcpTunnel.Gateway:resumption]. Takes effect when the gateway is next
 * started.
 *
 * Since: 1.0
 */
SETTER_PLAIN (TcpTunnelResumption, resumption)

/**
 * tcp_gateway_get_connect_timeout:
 * @self: a gateway
 *
 * Gets how long the target may take to accept a connection, and a client to ask for its
 * WebSocket.
 *
 * Returns: milliseconds
 *
 * Since: 1.0
 */
GETTER (guint, connect_timeout, 0, self->settings->connect_timeout)

/**
 * tcp_gateway_set_connect_timeout:
 * @self: a gateway
 * @connect_timeout: milliseconds, 0 for ever
 *
 * Sets how long the target may take to accept a connection, and a client to ask for its
 * WebSocket.
 *
 * See [property@TcpTunnel.Gateway:connect-timeout]. Takes effect when the gateway is
 * next started.
 *
 * Since: 1.0
 */
SETTER_UINT (connect_timeout)

/**
 * tcp_gateway_get_session_timeout:
 * @self: a gateway
 *
 * Gets how long a session is kept without a WebSocket.
 *
 * Returns: milliseconds
 *
 * Since: 1.0
 */
GETTER (guint, session_timeout, 0, self->settings->session_timeout)

/**
 * tcp_gateway_set_session_timeout:
 * @self: a gateway
 * @session_timeout: milliseconds
 *
 * Sets how long a session is kept without a WebSocket.
 *
 * See [property@TcpTunnel.Gateway:session-timeout]. Takes effect when the gateway is
 * next started.
 *
 * Since: 1.0
 */
SETTER_UINT (session_timeout)

/**
 * tcp_gateway_get_keepalive_interval:
 * @self: a gateway
 *
 * Gets how often a ping is sent.
 *
 * Returns: milliseconds
 *
 * Since: 1.0
 */
GETTER (guint, keepalive_interval, 0, self->settings->keepalive_interval)

/**
 * tcp_gateway_set_keepalive_interval:
 * @self: a gateway
 * @keepalive_interval: milliseconds, 0 for never
 *
 * Sets how often a ping is sent.
 *
 * See [property@TcpTunnel.Gateway:keepalive-interval]. Takes effect when the gateway is
 * next started.
 *
 * Since: 1.0
 */
SETTER_UINT (keepalive_interval)

/**
 * tcp_gateway_get_keepalive_timeout:
 * @self: a gateway
 *
 * Gets how long a client may stay silent after a ping.
 *
 * Returns: milliseconds
 *
 * Since: 1.0
 */
GETTER (guint, keepalive_timeout, 0, self->settings->keepalive_timeout)

/**
 * tcp_gateway_set_keepalive_timeout:
 * @self: a gateway
 * @keepalive_timeout: milliseconds, 0 for ever
 *
 * Sets how long a client may stay silent after a ping.
 *
 * See [property@TcpTunnel.Gateway:keepalive-timeout]. Takes effect when the gateway is
 * next started.
 *
 * Since: 1.0
 */
SETTER_UINT (keepalive_timeout)

/**
 * tcp_gateway_get_max_retained_bytes:
 * @self: a gateway
 *
 * Gets how many bytes may be kept until a client has acknowledged them.
 *
 * Returns: bytes
 *
 * Since: 1.0
 */
GETTER (guint, max_retained_bytes, 0, self->settings->max_retained_bytes)

/**
 * tcp_gateway_set_max_retained_bytes:
 * @self: a gateway
 * @max_retained_bytes: bytes, at least 1 MiB
 *
 * Sets how many bytes may be kept until a client has acknowledged them.
 *
 * See [property@TcpTunnel.Gateway:max-retained-bytes]. Takes effect when the gateway is
 * next started.
 *
 * Since: 1.0
 */
SETTER_UINT (max_retained_bytes)

/**
 * tcp_gateway_get_max_window_bytes:
 * @self: a gateway
 *
 * Gets how many bytes a client may send before they were taken.
 *
 * Returns: bytes
 *
 * Since: 1.0
 */
GETTER (guint, max_window_bytes, 0, self->settings->max_window_bytes)

/**
 * tcp_gateway_set_max_window_bytes:
 * @self: a gateway
 * @max_window_bytes: bytes, at least 1 MiB
 *
 * Sets how many bytes a client may send before they were taken.
 *
 * See [property@TcpTunnel.Gateway:max-window-bytes]. Takes effect when the gateway is
 * next started.
 *
 * Since: 1.0
 */
SETTER_UINT (max_window_bytes)

/**
 * tcp_gateway_get_max_connections:
 * @self: a gateway
 *
 * Gets how many clients, and connections of all of them, there may be at once.
 *
 * Returns: the number
 *
 * Since: 1.0
 */
GETTER (guint, max_connections, 0, self->settings->max_connections)

/**
 * tcp_gateway_set_max_connections:
 * @self: a gateway
 * @max_connections: the number of connections
 *
 * Sets how many clients, and connections of all of them, there may be at once.
 *
 * See [property@TcpTunnel.Gateway:max-connections]. Takes effect when the gateway is
 * next started.
 *
 * Since: 1.0
 */
SETTER_UINT (max_connections)

/**
 * tcp_gateway_get_max_dials:
 * @self: a gateway
 *
 * Gets how many connections to the target may be under way at once.
 *
 * Returns: the number
 *
 * Since: 1.0
 */
GETTER (guint, max_dials, 0, self->settings->max_dials)

/**
 * tcp_gateway_set_max_dials:
 * @self: a gateway
 * @max_dials: the number
 *
 * Sets how many connections to the target may be under way at once.
 *
 * See [property@TcpTunnel.Gateway:max-dials]. Takes effect when the gateway is
 * next started.
 *
 * Since: 1.0
 */
SETTER_UINT (max_dials)

/**
 * tcp_gateway_get_max_memory:
 * @self: a gateway
 *
 * Gets how many bytes of memory clients may make the gateway use.
 *
 * Returns: bytes, or 0 for the default
 *
 * Since: 1.0
 */
GETTER (guint64, max_memory, 0, self->settings->max_memory)

/**
 * tcp_gateway_set_max_memory:
 * @self: a gateway
 * @max_memory: bytes, at least 8 MiB, or 0 for the default
 *
 * Sets how many bytes of memory clients may make the gateway use.
 *
 * See [property@TcpTunnel.Gateway:max-memory]. Takes effect when the gateway is
 * next started.
 *
 * Since: 1.0
 */
SETTER_BYTES (max_memory, TCP_GATEWAY_LEAST_MEMORY)

/**
 * tcp_gateway_get_max_principal_sessions:
 * @self: a gateway
 *
 * Gets how many sessions each principal may have at once.
 *
 * Returns: the number, or 0 for the default
 *
 * Since: 1.0
 */
GETTER (guint, max_principal_sessions, 0, self->settings->max_principal_sessions)

/**
 * tcp_gateway_set_max_principal_sessions:
 * @self: a gateway
 * @max_principal_sessions: the number, or 0 for the default
 *
 * Sets how many sessions each principal may have at once.
 *
 * See [property@TcpTunnel.Gateway:max-principal-sessions]. Takes effect when the gateway is
 * next started.
 *
 * Since: 1.0
 */
SETTER_UINT (max_principal_sessions)

/**
 * tcp_gateway_get_max_principal_connections:
 * @self: a gateway
 *
 * Gets how many connections each principal may have at once.
 *
 * Returns: the number, or 0 for the default
 *
 * Since: 1.0
 */
GETTER (guint, max_principal_connections, 0, self->settings->max_principal_connections)

/**
 * tcp_gateway_set_max_principal_connections:
 * @self: a gateway
 * @max_principal_connections: the number, or 0 for the default
 *
 * Sets how many connections each principal may have at once.
 *
 * See [property@TcpTunnel.Gateway:max-principal-connections]. Takes effect when the gateway is
 * next started.
 *
 * Since: 1.0
 */
SETTER_UINT (max_principal_connections)

/**
 * tcp_gateway_get_max_principal_dials:
 * @self: a gateway
 *
 * Gets how many connections of each principal may be under way to the target at once.
 *
 * Returns: the number, or 0 for the default
 *
 * Since: 1.0
 */
GETTER (guint, max_principal_dials, 0, self->settings->max_principal_dials)

/**
 * tcp_gateway_set_max_principal_dials:
 * @self: a gateway
 * @max_principal_dials: the number, or 0 for the default
 *
 * Sets how many connections of each principal may be under way to the target at once.
 *
 * See [property@TcpTunnel.Gateway:max-principal-dials]. Takes effect when the gateway is
 * next started.
 *
 * Since: 1.0
 */
SETTER_UINT (max_principal_dials)

/**
 * tcp_gateway_get_max_principal_memory:
 * @self: a gateway
 *
 * Gets how many bytes of memory each principal may make the gateway use.
 *
 * Returns: bytes, or 0 for the default
 *
 * Since: 1.0
 */
GETTER (guint64, max_principal_memory, 0, self->settings->max_principal_memory)

/**
 * tcp_gateway_set_max_principal_memory:
 * @self: a gateway
 * @max_principal_memory: bytes, at least 4 MiB, or 0 for the default
 *
 * Sets how many bytes of memory each principal may make the gateway use.
 *
 * See [property@TcpTunnel.Gateway:max-principal-memory]. Takes effect when the gateway is
 * next started.
 *
 * Since: 1.0
 */
SETTER_BYTES (max_principal_memory, TCP_GATEWAY_LEAST_PRINCIPAL_MEMORY)

/**
 * tcp_gateway_get_reset_on_loss:
 * @self: a gateway
 *
 * Gets whether a target connection that may have lost bytes is reset.
 *
 * Returns: whether it is reset
 *
 * Since: 1.0
 */
GETTER (gboolean, reset_on_loss, FALSE, self->settings->reset_on_loss)

/**
 * tcp_gateway_set_reset_on_loss:
 * @self: a gateway
 * @reset_on_loss: whether to reset it
 *
 * Sets whether a target connection that may have lost bytes is reset.
 *
 * See [property@TcpTunnel.Gateway:reset-on-loss]. Takes effect when the gateway is next
 * started.
 *
 * Since: 1.0
 */
TCP_SETTER (TcpGateway, gateway, TCP_IS_GATEWAY, gboolean, reset_on_loss,
            self->settings->reset_on_loss == !!reset_on_loss,
            self->settings->reset_on_loss = !!reset_on_loss)

/**
 * tcp_gateway_get_log_level:
 * @self: a gateway
 *
 * Gets how much is logged.
 *
 * Returns: the level
 *
 * Since: 1.0
 */
GETTER (TcpTunnelLogLevel, log_level, TCP_TUNNEL_LOG_LEVEL_NONE, tcp_log_get_level (self->log))

/**
 * tcp_gateway_set_log_level:
 * @self: a gateway
 * @log_level: a level
 *
 * Sets how much is logged.
 *
 * Takes effect at once.
 *
 * Since: 1.0
 */
TCP_SETTER (TcpGateway, gateway, TCP_IS_GATEWAY, TcpTunnelLogLevel, log_level,
            tcp_log_get_level (self->log) == log_level,
            tcp_log_set_level (self->log, log_level))

/**
 * tcp_gateway_get_local_address:
 * @self: a gateway
 *
 * Gets where the gateway listens: see [property@TcpTunnel.Gateway:local-address].
 *
 * It stays valid until the gateway is started again.
 *
 * Returns: (transfer none) (nullable): the address with the port that was opened, or
 *   %NULL if the gateway does not run
 *
 * Since: 1.0
 */
GETTER (GInetSocketAddress *, local_address, NULL, (GInetSocketAddress *) self->runner.address)

/**
 * tcp_gateway_dup_uri:
 * @self: a gateway
 *
 * Gets the URL for tunnels on this machine, such as `ws://127.0.0.1:8080/`.
 *
 * Returns: (transfer full) (nullable): the URL, or %NULL if the gateway does not run
 *
 * Since: 1.0
 */
DUPLICATOR (uri, self->runner.uri)
