/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include <tcptunnel/tcp-enums.h>
#include <tcptunnel/tcp-version-macros.h>

G_BEGIN_DECLS

#define TCP_TYPE_GATEWAY (tcp_gateway_get_type ())

TCP_TUNNEL_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (TcpGateway, tcp_gateway, TCP, GATEWAY, GObject)

TCP_TUNNEL_AVAILABLE_IN_1_0
TcpGateway *tcp_gateway_new (const char *target);
TCP_TUNNEL_AVAILABLE_IN_1_0
char *tcp_gateway_dup_target (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_target (TcpGateway *self,
                             const char *target);
TCP_TUNNEL_AVAILABLE_IN_1_0
char *tcp_gateway_dup_hostname (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_hostname (TcpGateway *self,
                               const char *hostname);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_gateway_get_port (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_port (TcpGateway *self,
                           guint port);
TCP_TUNNEL_AVAILABLE_IN_1_0
char *tcp_gateway_dup_path (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_path (TcpGateway *self,
                           const char *path);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_token (TcpGateway *self,
                            const char *token);
TCP_TUNNEL_AVAILABLE_IN_1_0
char **tcp_gateway_dup_allow (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_allow (TcpGateway *self,
                            const char *const *allow);
TCP_TUNNEL_AVAILABLE_IN_1_0
char *tcp_gateway_dup_token_file (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_token_file (TcpGateway *self,
                                 const char *token_file);
TCP_TUNNEL_AVAILABLE_IN_1_0
char **tcp_gateway_dup_trusted_proxies (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_trusted_proxies (TcpGateway *self,
                                      const char *const *trusted_proxies);
TCP_TUNNEL_AVAILABLE_IN_1_0
GTlsCertificate *tcp_gateway_get_tls_certificate (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_tls_certificate (TcpGateway *self,
                                      GTlsCertificate *tls_certificate);
TCP_TUNNEL_AVAILABLE_IN_1_0
TcpTunnelResumption tcp_gateway_get_resumption (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_resumption (TcpGateway *self,
                                 TcpTunnelResumption resumption);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_gateway_get_connect_timeout (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_connect_timeout (TcpGateway *self,
                                      guint connect_timeout);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_gateway_get_session_timeout (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_session_timeout (TcpGateway *self,
                                      guint session_timeout);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_gateway_get_keepalive_interval (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_keepalive_interval (TcpGateway *self,
                                         guint keepalive_interval);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_gateway_get_keepalive_timeout (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_keepalive_timeout (TcpGateway *self,
                                        guint keepalive_timeout);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_gateway_get_max_retained_bytes (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_max_retained_bytes (TcpGateway *self,
                                         guint max_retained_bytes);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_gateway_get_max_window_bytes (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_max_window_bytes (TcpGateway *self,
                                       guint max_window_bytes);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_gateway_get_max_connections (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_max_connections (TcpGateway *self,
                                      guint max_connections);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_gateway_get_max_dials (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_max_dials (TcpGateway *self,
                                guint max_dials);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint64 tcp_gateway_get_max_memory (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_max_memory (TcpGateway *self,
                                 guint64 max_memory);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_gateway_get_max_principal_sessions (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_max_principal_sessions (TcpGateway *self,
                                             guint max_principal_sessions);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_gateway_get_max_principal_connections (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_max_principal_connections (TcpGateway *self,
                                                guint max_principal_connections);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_gateway_get_max_principal_dials (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_max_principal_dials (TcpGateway *self,
                                          guint max_principal_dials);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint64 tcp_gateway_get_max_principal_memory (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_max_principal_memory (TcpGateway *self,
                                           guint64 max_principal_memory);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_gateway_get_reset_on_loss (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_reset_on_loss (TcpGateway *self,
                                    gboolean reset_on_loss);
TCP_TUNNEL_AVAILABLE_IN_1_0
TcpTunnelLogLevel tcp_gateway_get_log_level (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_log_level (TcpGateway *self,
                                TcpTunnelLogLevel log_level);
TCP_TUNNEL_AVAILABLE_IN_1_0
GInetSocketAddress *tcp_gateway_get_local_address (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
char *tcp_gateway_dup_uri (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint64 tcp_gateway_get_bytes_sent (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint64 tcp_gateway_get_bytes_received (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint tcp_gateway_get_open_connections (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint64 tcp_gateway_get_total_connections (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint64 tcp_gateway_get_retained_bytes (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint64 tcp_gateway_get_receive_window (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint64 tcp_gateway_get_send_window (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint64 tcp_gateway_get_resumes (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
guint64 tcp_gateway_get_bytes_replayed (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_start_async (TcpGateway *self,
                              GCancellable *cancellable,
                              GAsyncReadyCallback callback,
                              gpointer user_data);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_gateway_start_finish (TcpGateway *self,
                                   GAsyncResult *result,
                                   GError **error);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_gateway_start (TcpGateway *self,
                            GCancellable *cancellable,
                            GError **error);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_gateway_start_step (TcpGateway *self,
                                 guint wait,
                                 GCancellable *cancellable,
                                 GError **error);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_drain_async (TcpGateway *self,
                              guint timeout,
                              GCancellable *cancellable,
                              GAsyncReadyCallback callback,
                              gpointer user_data);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_gateway_drain_finish (TcpGateway *self,
                                   GAsyncResult *result,
                                   GError **error);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_gateway_drain (TcpGateway *self,
                            guint timeout,
                            GCancellable *cancellable,
                            GError **error);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_gateway_drain_step (TcpGateway *self,
                                 guint timeout,
                                 guint wait,
                                 GCancellable *cancellable,
                                 GError **error);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_close (TcpGateway *self);

G_END_DECLS
