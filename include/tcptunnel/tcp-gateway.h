/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcp-endpoint.h>
#include <tcptunnel/tcp-gateway-metrics.h>

G_BEGIN_DECLS

#define TCP_TYPE_GATEWAY (tcp_gateway_get_type ())

TCP_TUNNEL_AVAILABLE_IN_1_0
_TCP_TUNNEL_DECLARE_CLASS (TcpGateway, tcp_gateway, TCP, GATEWAY, TcpEndpoint)

TCP_TUNNEL_AVAILABLE_IN_1_0
TcpGateway *tcp_gateway_new (const char *target);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_set_token (TcpGateway *self,
                            const char *token);
TCP_TUNNEL_AVAILABLE_IN_1_0
char *tcp_gateway_dup_uri (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
GPtrArray *tcp_gateway_get_local_addresses (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
TcpGatewayMetrics *tcp_gateway_get_metrics (TcpGateway *self);
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
char **tcp_gateway_check (TcpGateway *self,
                          GCancellable *cancellable,
                          GError **error);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_reload_async (TcpGateway *self,
                               GCancellable *cancellable,
                               GAsyncReadyCallback callback,
                               gpointer user_data);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_gateway_reload_finish (TcpGateway *self,
                                    GAsyncResult *result,
                                    GError **error);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_gateway_reload (TcpGateway *self,
                             GCancellable *cancellable,
                             GError **error);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_suspend_async (TcpGateway *self,
                                GCancellable *cancellable,
                                GAsyncReadyCallback callback,
                                gpointer user_data);
TCP_TUNNEL_AVAILABLE_IN_1_0
int tcp_gateway_suspend_finish (TcpGateway *self,
                                GAsyncResult *result,
                                GError **error);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_resume (TcpGateway *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_gateway_hand_over (TcpGateway *self,
                                GError **error);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_gateway_adopt (TcpGateway *self,
                            int fd,
                            GError **error);

G_END_DECLS
