/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "endpoint/setting.h"

G_BEGIN_DECLS

/* What the application asks of every endpoint; the settings of a class begin with it. The public object changes its
 * own; each engine has a copy of what held when it was started. See properties.c for what they mean. */
typedef struct
{
  char *name;
  TcpTunnelLogLevel log_level;
  char *hostname;
  guint port;
  char *socket_path; /* in place of the two */
  GSocket *socket;   /* in place of all three */
  TcpTunnelResumption resumption;
  guint connect_timeout;    /* ms */
  guint keepalive_interval; /* ms */
  guint keepalive_timeout;  /* ms */
  guint max_connections;
  guint max_unacknowledged_bytes;
  guint max_window_bytes;
  gboolean reset_on_loss;
} TcpEndpointSettings;

extern const TcpSettings tcp_endpoint_settings;

G_END_DECLS
