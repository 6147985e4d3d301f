/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/event-queue.h"
#include "gateway/gateway-private.h"

G_BEGIN_DECLS

/* Those who wait until a gateway is drained. */
typedef struct
{
  guint64 last; /* id of the latest */
  GQueue calls;
} TcpDrains;

TcpDrains *tcp_gateway_peek_drains (TcpGateway *self);
void tcp_gateway_handle_drained (TcpGateway *self,
                                 TcpEvent   *event);
void tcp_gateway_close_drained (TcpGateway *self,
                                gboolean    in_order);

G_END_DECLS
