/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include <tcptunnel/tcp-connection.h>
#include <tcptunnel/tcp-enums.h>
#include <tcptunnel/tcp-statistics.h>
#include <tcptunnel/tcp-version-macros.h>

G_BEGIN_DECLS

#define TCP_TYPE_ENDPOINT (tcp_endpoint_get_type ())

TCP_TUNNEL_AVAILABLE_IN_1_0
_TCP_TUNNEL_DECLARE_CLASS (TcpEndpoint, tcp_endpoint, TCP, ENDPOINT, GObject)

TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_endpoint_get_active (TcpEndpoint *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
GSocketAddress *tcp_endpoint_get_local_address (TcpEndpoint *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
TcpStatistics *tcp_endpoint_get_statistics (TcpEndpoint *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
GListModel *tcp_endpoint_get_connections (TcpEndpoint *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_endpoint_start_async (TcpEndpoint *self,
                               GCancellable *cancellable,
                               GAsyncReadyCallback callback,
                               gpointer user_data);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_endpoint_start_finish (TcpEndpoint *self,
                                    GAsyncResult *result,
                                    GError **error);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_endpoint_start (TcpEndpoint *self,
                             GCancellable *cancellable,
                             GError **error);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_endpoint_start_step (TcpEndpoint *self,
                                  guint wait,
                                  GCancellable *cancellable,
                                  GError **error);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_endpoint_close (TcpEndpoint *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_endpoint_close_async (TcpEndpoint *self,
                               GCancellable *cancellable,
                               GAsyncReadyCallback callback,
                               gpointer user_data);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_endpoint_close_finish (TcpEndpoint *self,
                                    GAsyncResult *result,
                                    GError **error);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_endpoint_probe_async (TcpEndpoint *self,
                               GCancellable *cancellable,
                               GAsyncReadyCallback callback,
                               gpointer user_data);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_endpoint_probe_finish (TcpEndpoint *self,
                                    GAsyncResult *result,
                                    GError **error);

G_END_DECLS
