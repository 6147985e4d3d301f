/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>
#include "base/log.h"
#include "base/status.h"
#include "endpoint/runner.h"
#include "gateway/settings.h"

G_BEGIN_DECLS

struct _TcpGateway
{
  GObject parent_instance;
  TcpGatewaySettings *settings;
  TcpLog *log;
  TcpStatus *status;
  TcpRunner runner;
};

void tcp_gateway_install_properties (GObjectClass *object_class);

G_END_DECLS
