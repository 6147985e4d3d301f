/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fixture.h"

TcpTunnel *
test_tunnel_new (const char *uri,
                 TcpTunnelMode mode)
{
  TcpTunnel *tunnel = tcp_tunnel_new (uri, TEST_TOKEN);

  g_object_set (tunnel,
                "mode", mode,
                "reconnect-delay", 10,
                "max-reconnect-delay", 100,
                "log-level", TCP_TUNNEL_LOG_LEVEL_DEBUG,
                NULL);
  return tunnel;
}

void
test_tunnel_start (TcpTunnel *tunnel)
{
  g_autoptr (GError) error = NULL;

  tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, &error);
  g_assert_no_error (error);
}

static void
on_started (GObject *object,
            GAsyncResult *result,
            gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  tcp_endpoint_start_finish (TCP_ENDPOINT (object), result, &error);
  g_assert_no_error (error);
  *(gboolean *) user_data = TRUE;
}

void
test_tunnel_begin_start (TcpTunnel *tunnel,
                         gboolean *started)
{
  *started = FALSE;
  tcp_endpoint_start_async (TCP_ENDPOINT (tunnel), NULL, on_started, started);
}

guint16
test_tunnel_get_port (TcpTunnel *tunnel)
{
  GInetSocketAddress *address = G_INET_SOCKET_ADDRESS (tcp_endpoint_get_local_address (TCP_ENDPOINT (tunnel)));

  g_assert_nonnull (address);
  return g_inet_socket_address_get_port (address);
}

Fixture *
fixture_new (Target *target,
             TcpTunnelMode mode,
             FixtureFlags flags)
{
  Fixture *fixture = g_new0 (Fixture, 1);
  g_autofree char *address = target_get_address (target);

  fixture->gateway = tcp_gateway_new (address);
  g_object_set (fixture->gateway, "token", TEST_TOKEN, "log-level", TCP_TUNNEL_LOG_LEVEL_DEBUG, NULL);
  fixture->tunnel = test_tunnel_new (NULL, mode);
  fixture->recorder = recorder_new (fixture->tunnel);

  if (flags & FIXTURE_RESUMABLE)
    g_object_set (fixture->tunnel,
                  "resumption", TCP_TUNNEL_RESUMPTION_REQUIRED,
                  "max-reconnect-attempts", 100000,
                  NULL);
  else
    g_object_set (fixture->tunnel, "resumption", TCP_TUNNEL_RESUMPTION_OFF, NULL);
  if (flags & FIXTURE_TLS)
    {
      g_object_set (fixture->gateway, "tls-certificate", test_certificate (), NULL);
      g_object_set (fixture->tunnel, "tls-database", test_tls_database (), NULL);
    }
  if (flags & FIXTURE_PROXY)
    fixture->proxy = fault_proxy_new ();

  return fixture;
}

/* The tunnel is closed first, so that it does not lose its gateway. */
void
fixture_free (Fixture *fixture)
{
  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
  g_object_unref (fixture->tunnel);
  tcp_endpoint_close (TCP_ENDPOINT (fixture->gateway));
  g_object_unref (fixture->gateway);
  g_clear_pointer (&fixture->proxy, fault_proxy_free);
  recorder_free (fixture->recorder);
  g_free (fixture);
}

void
fixture_start_gateway (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = test_dup_string (fixture->gateway, "path");
  g_autoptr (GTlsCertificate) certificate = NULL;
  g_autofree char *uri = NULL;
  guint16 port;

  tcp_endpoint_start (TCP_ENDPOINT (fixture->gateway), NULL, &error);
  g_assert_no_error (error);

  port = fixture_get_gateway_port (fixture);
  if (fixture->proxy != NULL)
    {
      fault_proxy_set_gateway (fixture->proxy, port);
      port = fault_proxy_get_port (fixture->proxy);
    }
  g_object_get (fixture->gateway, "tls-certificate", &certificate, NULL);
  uri = g_strdup_printf ("%s://127.0.0.1:%u%s",
                         certificate != NULL ? "wss" : "ws", port, path);
  g_object_set (fixture->tunnel, "remote-uri", uri, NULL);
}

void
fixture_start (Fixture *fixture)
{
  if (!tcp_endpoint_get_active (TCP_ENDPOINT (fixture->gateway)))
    fixture_start_gateway (fixture);
  test_tunnel_start (fixture->tunnel);
}

guint16
fixture_get_port (Fixture *fixture)
{
  return test_tunnel_get_port (fixture->tunnel);
}

guint16
fixture_get_gateway_port (Fixture *fixture)
{
  return test_port_of (fixture->gateway);
}

int
fixture_connect (Fixture *fixture)
{
  int fd = client_connect (fixture_get_port (fixture));

  WAIT_UNTIL (fixture->recorder->last_state == TCP_TUNNEL_STATE_CONNECTED);
  return fd;
}
