/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <json-glib/json-glib.h>
#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

/* The description that a running command sends to `tcp-tunnel status` and at --admin: an object for each tunnel and
 * gateway. */

void describe_tunnel (JsonBuilder  *builder,
                      const char   *name,
                      TcpTunnel    *tunnel,
                      gboolean      ended,
                      const GError *error,
                      gint64        retry);
void describe_gateway (JsonBuilder *builder,
                       TcpGateway  *gateway,
                       gboolean     draining);
void describe_connection (JsonBuilder   *builder,
                          TcpConnection *connection);

G_END_DECLS
