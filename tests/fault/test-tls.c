/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* TLS to the gateway, and who is who. */

#include "fixture.h"
#include "front.h"

#include <string.h>

/* A gateway behind something that ends TLS and wants to see a certificate. */
static Front *
start_demanding_front (Fixture *fixture)
{
  FrontOptions options = { .certificate = test_certificate (), .client_certificate = test_certificate () };
  g_autofree char *uri = NULL;
  Front *front;

  fixture_start_gateway (fixture);
  front = front_new (&options, fixture_get_gateway_port (fixture));
  uri = g_strdup_printf ("wss://127.0.0.1:%u/", front_get_port (front));
  tcp_tunnel_set_remote_uri (fixture->tunnel, uri);
  tcp_tunnel_set_tls_database (fixture->tunnel, test_tls_database ());
  return front;
}

static void
check_client_certificate (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, mode, FIXTURE_PLAIN);
  g_autoptr (Front) front = start_demanding_front (fixture);

  tcp_tunnel_set_client_certificate (fixture->tunnel, test_certificate ());
  test_tunnel_start (fixture->tunnel);
  /* In singleton mode on a WebSocket each. */
  for (guint i = 1; i <= 3; i++)
    {
      int fd = client_connect (fixture_get_port (fixture));

      client_echo_stream (fd, 1 << 20, i);
      client_close (fd);
      WAIT_UNTIL (fixture->recorder->closed == i);
    }
  g_assert_cmpuint (front_get_led (front), ==, mode == TCP_TUNNEL_MODE_SINGLETON ? 3 : 1);
  tcp_tunnel_close (fixture->tunnel);
}

static void
test_client_certificate (void)
{
  check_client_certificate (TCP_TUNNEL_MODE_SINGLETON);
  check_client_certificate (TCP_TUNNEL_MODE_MULTIPLEXED);
}

/* To a client TLS 1.3 is ready before the server has seen its certificate. So it cannot tell for sure
 * whether TLS failed, or what came after. */
static void
test_no_client_certificate (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  g_autoptr (Front) front = start_demanding_front (fixture);
  g_autoptr (GError) error = NULL;

  g_assert_false (tcp_tunnel_start (fixture->tunnel, NULL, &error));
  if (!g_error_matches (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNREACHABLE))
    g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TLS);
  g_assert_nonnull (strstr (error->message, tcp_tunnel_get_remote_uri (fixture->tunnel)));
  g_assert_cmpuint (front_get_led (front), ==, 0);
}

/* The gateway sends it away at once: no time is up before that of this test. */
static void
test_no_tls_there (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  g_autofree char *right = NULL;
  g_autofree char *wrong = NULL;
  g_autoptr (GError) error = NULL;
  int fd;

  tcp_gateway_set_connect_timeout (fixture->gateway, 600000);
  tcp_tunnel_set_connect_timeout (fixture->tunnel, 600000);
  fixture_start_gateway (fixture);
  right = g_strdup_printf ("ws://127.0.0.1:%u/", fixture_get_gateway_port (fixture));
  wrong = g_strdup_printf ("wss://127.0.0.1:%u/", fixture_get_gateway_port (fixture));

  tcp_tunnel_set_remote_uri (fixture->tunnel, wrong);
  g_assert_false (tcp_tunnel_start (fixture->tunnel, NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TLS);
  g_assert_nonnull (strstr (error->message, wrong));
  g_assert_nonnull (strstr (error->message, "try ws://"));

  tcp_tunnel_set_remote_uri (fixture->tunnel, right);
  test_tunnel_start (fixture->tunnel);
  fd = client_connect (fixture_get_port (fixture));
  client_echo_stream (fd, 1 << 16, 1);
  client_close (fd);
  tcp_tunnel_close (fixture->tunnel);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/tls/client-certificate", test_client_certificate);
  g_test_add_func ("/tls/no-client-certificate", test_no_client_certificate);
  g_test_add_func ("/tls/no-tls-there", test_no_tls_there);

  return g_test_run ();
}
