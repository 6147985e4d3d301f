/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>
#include "base/log.h"
#include "base/status.h"
#include "gateway/settings.h"

G_BEGIN_DECLS

void tcp_gateway_install_properties (GObjectClass *object_class);
TcpGatewaySettings *tcp_gateway_peek_settings (TcpGateway *self);
TcpStatus *tcp_gateway_peek_status (TcpGateway *self);
TcpLog *tcp_gateway_peek_log (TcpGateway *self);

G_END_DECLS
