/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include <tcptunnel/tcp-version-macros.h>

G_BEGIN_DECLS

#define TCP_TYPE_CONNECTION (tcp_connection_get_type ())

TCP_TUNNEL_AVAILABLE_IN_1_0
_TCP_TUNNEL_DECLARE_CLASS (TcpConnection, tcp_connection, TCP, CONNECTION, GObject)

TCP_TUNNEL_AVAILABLE_IN_1_0
guint64 tcp_connection_get_id (TcpConnection *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
GSocketAddress *tcp_connection_get_client_address (TcpConnection *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_connection_get_closed (TcpConnection *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
GError *tcp_connection_dup_error (TcpConnection *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_connection_close (TcpConnection *self);

G_END_DECLS
