/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

/* A field of an endpoint's statistics, other than the round trip and the protocol. */
#define test_figure(endpoint, field) \
  test_figure_at (TCP_ENDPOINT (endpoint), G_STRUCT_OFFSET (TcpStatistics, field))
guint64 test_figure_at (TcpEndpoint *endpoint,
                        gsize        offset);

/* The duration of a tunnel's last ping, in ms. */
double test_ping_time (TcpTunnel *tunnel);

/* The port that an endpoint listens on. */
guint16 test_port_of (gpointer endpoint);

/* Reloads the gateway and asserts that this succeeds. */
void test_reload_gateway (TcpGateway *gateway);

/* Suspends the gateway and asserts that this succeeds. Returns the descriptor of its state, which the caller closes. */
int test_suspend_gateway (TcpGateway *gateway);

/* Adds a principal, with a token unless that is NULL. The list owns the result. */
TcpPrincipal *test_add_principal (GListStore *principals,
                                  const char *name,
                                  const char *token);

/* The value of a property. */
char *test_dup_string (gpointer    object,
                       const char *property);
int test_get_int (gpointer    object,
                  const char *property);

G_END_DECLS
