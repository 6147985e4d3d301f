/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "endpoint/setting.h"
#include "io/port.h"

G_BEGIN_DECLS

/* The settings of every endpoint; those of a class begin with it. The public object changes its own; each engine has a
 * copy of the values at its start. properties.c describes them. */
typedef struct
{
  char *name;
  TcpTunnelLogLevel log_level;
  TcpPortSpec where; /* it listens */
  TcpTunnelResumption resumption;
  guint connect_timeout;    /* in ms */
  guint keepalive_interval; /* in ms */
  guint keepalive_timeout;  /* in ms */
  guint max_connections;
  guint max_unacknowledged_bytes;
  guint max_window_bytes;
  gboolean reset_on_loss;
} TcpEndpointSettings;

extern const TcpSettings tcp_endpoint_settings;

G_END_DECLS
