/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcp-tunnel.h>

G_BEGIN_DECLS

#define TCP_TYPE_REVERSE_TUNNEL (tcp_reverse_tunnel_get_type ())

TCP_TUNNEL_AVAILABLE_IN_1_0
_TCP_TUNNEL_DECLARE_CLASS (TcpReverseTunnel, tcp_reverse_tunnel, TCP, REVERSE_TUNNEL, TcpTunnel)

TCP_TUNNEL_AVAILABLE_IN_1_0
TcpReverseTunnel *tcp_reverse_tunnel_new (const char *remote_uri,
                                          const char *token,
                                          const char *target);
TCP_TUNNEL_AVAILABLE_IN_1_0
char *tcp_reverse_tunnel_dup_remote_address (TcpReverseTunnel *self);

G_END_DECLS
