/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include <tcptunnel/tcp-version-macros.h>

G_BEGIN_DECLS

#define TCP_TYPE_PRINCIPAL (tcp_principal_get_type ())

TCP_TUNNEL_AVAILABLE_IN_1_0
_TCP_TUNNEL_DECLARE_CLASS (TcpPrincipal, tcp_principal, TCP, PRINCIPAL, GObject)

TCP_TUNNEL_AVAILABLE_IN_1_0
TcpPrincipal *tcp_principal_new (const char *name);

G_END_DECLS
