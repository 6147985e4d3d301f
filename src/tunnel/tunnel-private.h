/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>
#include "base/log.h"
#include "base/status.h"
#include "endpoint/runner.h"
#include "tunnel/settings.h"

G_BEGIN_DECLS

struct _TcpTunnel
{
  GObject parent_instance;
  TcpTunnelSettings *settings;
  TcpLog *log;
  TcpStatus *status;
  TcpRunner runner;
  TcpTunnelState emitted; /* the last of state-changed; under the lock of the runner */
};

void tcp_tunnel_install_properties (GObjectClass *object_class);

G_END_DECLS
