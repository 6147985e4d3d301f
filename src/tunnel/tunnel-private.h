/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "endpoint/endpoint-private.h"
#include "tunnel/settings.h"

G_BEGIN_DECLS

struct _TcpTunnel
{
  TcpEndpoint parent_instance;
  GPtrArray *forwards;    /* of TcpForward; under the lock of the runner */
  TcpTunnelState emitted; /* the last state of state-changed; under the lock of the runner */
};

struct _TcpTunnelClass
{
  TcpEndpointClass parent_class;
  /* called with the lock held */
  void (*token_changed) (TcpEndpoint *self);
  void (*certificate_changed) (TcpEndpoint *self);
  gboolean is_reverse; /* its TCP clients are those of the gateway */
};

gboolean tcp_tunnel_check_direction (TcpTunnel  *self,
                                     GError    **error);

G_END_DECLS
