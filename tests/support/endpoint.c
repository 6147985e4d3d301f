/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "endpoint.h"

#include "test-util.h"

guint64
test_figure_at (TcpEndpoint *endpoint,
                gsize        offset)
{
  g_autoptr (TcpStatistics) statistics = tcp_endpoint_get_statistics (endpoint);

  return G_STRUCT_MEMBER (guint64, statistics, offset);
}

double
test_ping_time (TcpTunnel *tunnel)
{
  g_autoptr (TcpStatistics) statistics = tcp_endpoint_get_statistics (TCP_ENDPOINT (tunnel));

  return statistics->round_trip;
}

guint16
test_port_of (gpointer endpoint)
{
  return g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (tcp_endpoint_get_local_address (endpoint)));
}

void
test_reload_gateway (TcpGateway *gateway)
{
  g_autoptr (GError) error = NULL;

  tcp_gateway_reload (gateway, NULL, &error);
  g_assert_no_error (error);
}

static void
on_suspended (GObject      *gateway,
              GAsyncResult *result,
              gpointer      user_data)
{
  g_autoptr (GError) error = NULL;

  *(int *) user_data = tcp_gateway_suspend_finish (TCP_GATEWAY (gateway), result, &error);
  g_assert_no_error (error);
}

int
test_suspend_gateway (TcpGateway *gateway)
{
  int state = -1;

  tcp_gateway_suspend_async (gateway, NULL, on_suspended, &state);
  WAIT_UNTIL (state >= 0);
  return state;
}

TcpPrincipal *
test_add_principal (GListStore *principals,
                    const char *name,
                    const char *token)
{
  const char *const tokens[] = { token, NULL };
  g_autoptr (TcpPrincipal) principal = tcp_principal_new (name);

  g_object_set (principal, "tokens", token != NULL ? tokens : NULL, NULL);
  g_list_store_append (principals, principal);
  return principal;
}

char *
test_dup_string (gpointer    object,
                 const char *property)
{
  char *value = NULL;

  g_object_get (object, property, &value, NULL);
  return value;
}

/* Also gets a boolean, or a value of an enum. */
int
test_get_int (gpointer    object,
              const char *property)
{
  int value = 0;

  g_object_get (object, property, &value, NULL);
  return value;
}
