/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "endpoint/endpoint-private.h"
#include "gateway/counters.h"
#include "gateway/settings.h"
#include "gateway/snapshot.h"

G_BEGIN_DECLS

struct _TcpGateway
{
  TcpEndpoint parent_instance;
  TcpCounters *counters;
  GPtrArray *principals; /* of TcpPrincipalSpec, for the start in progress; under the lock of the runner */
  GArray *places;        /* of TcpPortSpec; likewise */
  TcpHeritage *heritage; /* under the lock of the runner: the state that the next start continues; nullable */
};

struct _TcpGatewayClass
{
  TcpEndpointClass parent_class;
};

gboolean tcp_gateway_try (TcpGateway    *self,
                          TcpLog        *log,
                          GCancellable  *cancellable,
                          GError       **error);

G_END_DECLS
