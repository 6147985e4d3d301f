/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>
#include "base/log.h"
#include "base/status.h"
#include "tunnel/settings.h"

G_BEGIN_DECLS

void tcp_tunnel_install_properties (GObjectClass *object_class);
TcpTunnelSettings *tcp_tunnel_peek_settings (TcpTunnel *self);
TcpStatus *tcp_tunnel_peek_status (TcpTunnel *self);
TcpLog *tcp_tunnel_peek_log (TcpTunnel *self);

G_END_DECLS
