/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcp-endpoint.h>
#include <tcptunnel/tcp-forward.h>

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
_TCP_TUNNEL_DECLARE_CLASS (TcpTunnel, tcp_tunnel, TCP, TUNNEL, TcpEndpoint)

TCP_TUNNEL_AVAILABLE_IN_1_0
TcpTunnel *tcp_tunnel_new (const char *remote_uri,
                           const char *token);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_set_token (TcpTunnel *self,
                           const char *token);
TCP_TUNNEL_AVAILABLE_IN_1_0
TcpTunnelState tcp_tunnel_get_state (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
GError *tcp_tunnel_dup_last_error (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_tunnel_add_forward (TcpTunnel *self,
                                 TcpForward *forward,
                                 GError **error);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_remove_forward (TcpTunnel *self,
                                TcpForward *forward);
TCP_TUNNEL_AVAILABLE_IN_1_0
GPtrArray *tcp_tunnel_get_forwards (TcpTunnel *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_tunnel_open_async (TcpTunnel *self,
                            const char *target,
                            GCancellable *cancellable,
                            GAsyncReadyCallback callback,
                            gpointer user_data);
TCP_TUNNEL_AVAILABLE_IN_1_0
GIOStream *tcp_tunnel_open_finish (TcpTunnel *self,
                                   GAsyncResult *result,
                                   GError **error);

G_END_DECLS
