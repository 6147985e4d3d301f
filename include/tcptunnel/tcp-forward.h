/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include <tcptunnel/tcp-enums.h>
#include <tcptunnel/tcp-version-macros.h>

G_BEGIN_DECLS

#define TCP_TYPE_FORWARD (tcp_forward_get_type ())

TCP_TUNNEL_AVAILABLE_IN_1_0
_TCP_TUNNEL_DECLARE_CLASS (TcpForward, tcp_forward, TCP, FORWARD, GObject)

TCP_TUNNEL_AVAILABLE_IN_1_0
TcpForward *tcp_forward_new (guint port,
                             const char *target);
TCP_TUNNEL_AVAILABLE_IN_1_0
TcpForward *tcp_forward_new_proxy (TcpForwardKind kind,
                                   guint port);
TCP_TUNNEL_AVAILABLE_IN_1_0
GSocketAddress *tcp_forward_dup_local_address (TcpForward *self);

G_END_DECLS
