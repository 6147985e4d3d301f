/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include <tcptunnel/tcp-enums.h>
#include <tcptunnel/tcp-version-macros.h>

G_BEGIN_DECLS

#define TCP_TYPE_TUNNEL (tcp_tunnel_get_type ())

/**
 * TCP_TUNNEL_UNLIMITED_ATTEMPTS:
 *
 * The value of [property@TcpTunnel.Tunnel:max-reconnect-attempts] with which a tunnel
 * never gives up.
 *
 * Since: 1.0
 */
#define TCP_TUNNEL_UNLIMITED_ATTEMPTS (-1)

TCP_TUNNEL_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (TcpTunnel, tcp_tunnel, TCP, TUNNEL, GObject)

TCP_TUNNEL_AVAILABLE_IN_1_0
TcpTunnel *tcp_tunnel_new (const char *remote_uri,
                           const char *token);
TCP_TUNNEL_AVAILABLE_IN_1_0
char *tcp_tunnel_dup_remote_uri (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_remote_uri (TcpTunnel *self,
                                const char *remote_uri);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_token (TcpTunnel *self,
                           const char *token);
TCP_TUNNEL_AVAILABLE_IN_1_0
char *tcp_tunnel_dup_hostname (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_hostname (TcpTunnel *self,
                              const char *hostname);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_tunnel_get_port (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_port (TcpTunnel *self,
                          guint port);
TCP_TUNNEL_AVAILABLE_IN_1_0
char *tcp_tunnel_dup_socket_path (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_socket_path (TcpTunnel  *self,
                                 const char *socket_path);
TCP_TUNNEL_AVAILABLE_IN_1_0
char *tcp_tunnel_dup_target (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_target (TcpTunnel *self,
                            const char *target);
TCP_TUNNEL_AVAILABLE_IN_1_0
TcpTunnelMode tcp_tunnel_get_mode (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_mode (TcpTunnel *self,
                          TcpTunnelMode mode);
TCP_TUNNEL_AVAILABLE_IN_1_0
TcpTunnelResumption tcp_tunnel_get_resumption (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_resumption (TcpTunnel *self,
                                TcpTunnelResumption resumption);
TCP_TUNNEL_AVAILABLE_IN_1_0
int tcp_tunnel_get_max_reconnect_attempts (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_max_reconnect_attempts (TcpTunnel *self,
                                            int max_reconnect_attempts);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_tunnel_get_wait_for_gateway (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_wait_for_gateway (TcpTunnel *self,
                                      gboolean wait_for_gateway);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_tunnel_get_reconnect_delay (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_reconnect_delay (TcpTunnel *self,
                                     guint reconnect_delay);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_tunnel_get_max_reconnect_delay (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_max_reconnect_delay (TcpTunnel *self,
                                         guint max_reconnect_delay);
TCP_TUNNEL_AVAILABLE_IN_1_0
char *tcp_tunnel_dup_name (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_name (TcpTunnel *self,
                          const char *name);
TCP_TUNNEL_AVAILABLE_IN_1_0
TcpTunnelLogLevel tcp_tunnel_get_log_level (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_log_level (TcpTunnel *self,
                               TcpTunnelLogLevel log_level);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_tunnel_get_connect_timeout (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_connect_timeout (TcpTunnel *self,
                                     guint connect_timeout);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_tunnel_get_keepalive_interval (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_keepalive_interval (TcpTunnel *self,
                                        guint keepalive_interval);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_tunnel_get_keepalive_timeout (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_keepalive_timeout (TcpTunnel *self,
                                       guint keepalive_timeout);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_tunnel_get_max_buffered_bytes (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_max_buffered_bytes (TcpTunnel *self,
                                        guint max_buffered_bytes);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_tunnel_get_max_retained_bytes (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_max_retained_bytes (TcpTunnel *self,
                                        guint max_retained_bytes);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_tunnel_get_max_window_bytes (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_max_window_bytes (TcpTunnel *self,
                                      guint max_window_bytes);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_tunnel_get_max_connections (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_max_connections (TcpTunnel *self,
                                     guint max_connections);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_tunnel_get_reset_on_loss (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_reset_on_loss (TcpTunnel *self,
                                   gboolean reset_on_loss);
TCP_TUNNEL_AVAILABLE_IN_1_0
char **tcp_tunnel_dup_request_headers (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_request_headers (TcpTunnel *self,
                                     const char *const *request_headers);
TCP_TUNNEL_AVAILABLE_IN_1_0
GProxyResolver *tcp_tunnel_get_proxy_resolver (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_proxy_resolver (TcpTunnel *self,
                                    GProxyResolver *proxy_resolver);
TCP_TUNNEL_AVAILABLE_IN_1_0
GTlsDatabase *tcp_tunnel_get_tls_database (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_tls_database (TcpTunnel *self,
                                  GTlsDatabase *tls_database);
TCP_TUNNEL_AVAILABLE_IN_1_0
GTlsCertificate *tcp_tunnel_get_client_certificate (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_client_certificate (TcpTunnel *self,
                                        GTlsCertificate *client_certificate);
TCP_TUNNEL_AVAILABLE_IN_1_0
TcpTunnelState tcp_tunnel_get_state (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
GInetSocketAddress *tcp_tunnel_get_local_address (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint64 tcp_tunnel_get_bytes_sent (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint64 tcp_tunnel_get_bytes_received (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_tunnel_get_open_connections (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint64 tcp_tunnel_get_total_connections (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint64 tcp_tunnel_get_reconnects (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
gint64 tcp_tunnel_get_round_trip (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
const char *tcp_tunnel_get_negotiated_protocol (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint64 tcp_tunnel_get_retained_bytes (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint64 tcp_tunnel_get_receive_window (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint64 tcp_tunnel_get_send_window (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint64 tcp_tunnel_get_resumes (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint64 tcp_tunnel_get_bytes_replayed (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
GError *tcp_tunnel_get_last_error (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_start_async (TcpTunnel *self,
                             GCancellable *cancellable,
                             GAsyncReadyCallback callback,
                             gpointer user_data);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_tunnel_start_finish (TcpTunnel *self,
                                  GAsyncResult *result,
                                  GError **error);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_tunnel_start (TcpTunnel *self,
                           GCancellable *cancellable,
                           GError **error);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_tunnel_start_step (TcpTunnel *self,
                                guint wait,
                                GCancellable *cancellable,
                                GError **error);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_close (TcpTunnel *self);

G_END_DECLS
