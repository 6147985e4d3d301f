/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

/* A field of the statistics of an endpoint, but neither the round trip nor the protocol. */
#define test_figure(endpoint, field) \
  test_figure_at (TCP_ENDPOINT (endpoint), G_STRUCT_OFFSET (TcpStatistics, field))
guint64 test_figure_at (TcpEndpoint *endpoint,
                        gsize        offset);

/* How long the last ping of a tunnel took, in ms. */
double test_ping_time (TcpTunnel *tunnel);

/* The port that an endpoint listens on. */
guint16 test_port_of (gpointer endpoint);

/* A reload that is to succeed. */
void test_reload_gateway (TcpGateway *gateway);

/* A client of a gateway with this token, nullable; it belongs to the list. */
TcpPrincipal *test_add_principal (GListStore *principals,
                                  const char *name,
                                  const char *token);

/* A property. */
char *test_dup_string (gpointer    object,
                       const char *property);
int test_get_int (gpointer    object,
                  const char *property);

G_END_DECLS
