/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Many TCP connections over one WebSocket. */

#include "fixture.h"

#include <string.h>

#define MIB (1 << 20)
#define MAX_CLIENTS 200

static Fixture *
start_fixture (Target *target)
{
  Fixture *fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PROXY);

  fixture_start (fixture);
  return fixture;
}

static void
test_start (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start_fixture (target);
  int fd;

  g_assert_cmpint (tcp_tunnel_get_state (fixture->tunnel), ==, TCP_TUNNEL_STATE_CONNECTED);
  g_assert_cmpuint (fault_proxy_get_counters (fixture->proxy).links_open, ==, 1);
  fd = client_connect (fixture_get_port (fixture));
  client_echo_stream (fd, test_count (32, 4) * MIB, 1);
  client_close (fd);
  WAIT_UNTIL (fixture->recorder->closed == 1);
  g_assert_true (target_wait_open (target, 0));
  recorder_expect_states (fixture->recorder, "connecting connected");
}

static void
test_many_at_once (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start_fixture (target);
  guint clients = test_count (MAX_CLIENTS, 30);
  gsize size = 20000;
  int fds[MAX_CLIENTS];

  for (guint i = 0; i < clients; i++)
    fds[i] = client_connect (fixture_get_port (fixture));
  /* Each client has a stream of its own, and none is read before all were written. */
  for (guint i = 0; i < clients; i++)
    client_send_stream (fds[i], size, i, 0);
  for (guint i = clients; i > 0; i--)
    client_read_stream (fds[i - 1], size, i - 1, 0);
  g_assert_cmpuint (test_figure (fixture->tunnel, open_connections), ==, clients);
  g_assert_cmpuint (target_get_counters (target).open, ==, clients);
  g_assert_cmpuint (fault_proxy_get_counters (fixture->proxy).links_accepted, ==, 1);

  for (guint i = 0; i < clients; i++)
    client_close (fds[i]);
  g_assert_true (target_wait_open (target, 0));
  WAIT_UNTIL (fixture->recorder->closed == clients);
  g_assert_cmpuint (test_figure (fixture->tunnel, open_connections), ==, 0);
  WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == 0);
}

static void
test_short_connections (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start_fixture (target);
  guint count = test_count (10000, 300);
  guint16 port = fixture_get_port (fixture);

  for (guint i = 0; i < count; i++)
    {
      int fd = client_connect (port);

      client_round_trip (fd, "ping");
      client_close (fd);
      while (g_main_context_iteration (NULL, FALSE))
        ;
    }
  WAIT_UNTIL (fixture->recorder->closed == count);
  g_assert_cmpuint (test_figure (fixture->tunnel, total_connections), ==, count);
  g_assert_true (target_wait_open (target, 0));
  g_assert_cmpuint (target_get_counters (target).accepted, ==, count);
}

static void
test_drop_resets_all (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PROXY);
  int fds[10], refused;

  g_object_set (fixture->tunnel, "max-reconnect-attempts", 1000, NULL);
  fixture_start (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      fds[i] = client_connect (fixture_get_port (fixture));
      client_round_trip (fds[i], "before");
    }
  recorder_clear_states (fixture->recorder);

  fault_proxy_refuse (fixture->proxy, TRUE);
  fault_proxy_cut (fixture->proxy);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      client_expect_reset (fds[i]);
      client_close (fds[i]);
    }
  WAIT_UNTIL (fixture->recorder->closed == G_N_ELEMENTS (fds));
  g_assert_error (fixture->recorder->closed_error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST);
  g_assert_true (target_wait_open (target, 0));

  /* Clients are refused in one way or another until there is a WebSocket again. */
  if (client_try_connect (fixture_get_port (fixture), &refused) == 0)
    {
      client_expect_end (refused);
      client_close (refused);
    }
  g_assert_cmpuint (target_get_counters (target).accepted, ==, G_N_ELEMENTS (fds));

  fault_proxy_refuse (fixture->proxy, FALSE);
  WAIT_UNTIL (strstr (fixture->recorder->states->str, "connecting connected") != NULL);
  g_assert_true (g_str_has_prefix (fixture->recorder->states->str, "reconnecting connecting "));
  fds[0] = client_connect (fixture_get_port (fixture));
  client_round_trip (fds[0], "after");
  client_close (fds[0]);
  g_assert_cmpuint (test_figure (fixture->tunnel, reconnects), ==, 1);
}

static void
test_pong_deadline (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PROXY);
  int fd;

  g_object_set (fixture->tunnel, "keepalive-interval", 50, "keepalive-timeout", test_scaled_ms (500), NULL);
  fixture_start (fixture);
  fd = client_connect (fixture_get_port (fixture));
  client_round_trip (fd, "before");
  fault_proxy_half_open (fixture->proxy, FAULT_GATEWAY_SIDE);
  client_expect_reset (fd);
  client_close (fd);
  WAIT_UNTIL (test_figure (fixture->tunnel, reconnects) >= 1);
  fd = client_connect (fixture_get_port (fixture));
  client_round_trip (fd, "after");
  client_close (fd);
}

/* The gateway detects by its own keep-alive that the tunnel has gone. */
static void
test_gateway_pong_deadline (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PROXY);
  int fd;

  g_object_set (fixture->gateway, "keepalive-interval", 50, "keepalive-timeout", test_scaled_ms (500), NULL);
  fixture_start (fixture);
  fd = client_connect (fixture_get_port (fixture));
  client_round_trip (fd, "before");
  fault_proxy_refuse (fixture->proxy, TRUE);
  fault_proxy_half_open (fixture->proxy, FAULT_TUNNEL_SIDE);
  g_assert_true (target_wait_open (target, 0));
  WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == 0);
  client_close (fd);
}

static void
test_slow_reader_gets_all (void)
{
  guint64 size = 4 * MIB;
  g_autoptr (Target) target = target_new_source (size, 6);
  g_autoptr (Fixture) fixture = start_fixture (target);
  guint64 read = 0;
  int fd = client_connect (fixture_get_port (fixture));

  client_set_receive_buffer (fd, 16384);
  client_write (fd, "go", 2);
  /* The target keeps its connection open after its FIN, so that all of its data is in transit when the client begins
   * to read. */
  g_assert_true (target_wait_accepted (target, 1));
  while (read < size)
    {
      gsize piece = MIN (10000, size - read);

      client_read_stream (fd, piece, 6, read);
      read += piece;
      g_main_context_iteration (NULL, FALSE);
    }
  client_expect_eof (fd);
  client_close (fd);
  WAIT_UNTIL (fixture->recorder->closed == 1);
  g_assert_no_error (fixture->recorder->closed_error);
}

/* In the other direction, all that the client wrote before it closed arrives. */
static void
test_upload_then_close (void)
{
  guint64 size = test_count (16, 2) * MIB;
  g_autoptr (Target) target = target_new_sink ();
  g_autoptr (Fixture) fixture = start_fixture (target);
  g_autofree char *expected = test_digest (size, 8);
  g_autofree char *digest = NULL;
  int fd = client_connect (fixture_get_port (fixture));

  client_send_stream (fd, size, 8, 0);
  client_close (fd);
  g_assert_true (target_wait_bytes_in (target, size));
  g_assert_true (target_wait_open (target, 0));
  digest = target_get_digest (target);
  g_assert_cmpstr (digest, ==, expected);
}

static void
test_client_resets (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start_fixture (target);
  int other = client_connect (fixture_get_port (fixture));
  int fd = client_connect (fixture_get_port (fixture));

  client_round_trip (other, "beside it");
  client_round_trip (fd, "hello");
  client_reset (fd);
  g_assert_true (target_wait_open (target, 1));
  WAIT_UNTIL (fixture->recorder->closed == 1);
  g_assert_error (fixture->recorder->closed_error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_RESET);
  client_round_trip (other, "still here");
  client_close (other);
}

/* The protocol tagged has only one message for the end of a connection. */
static void
test_target_resets (void)
{
  g_autoptr (Target) target = target_new_reset_after (5);
  g_autoptr (Fixture) fixture = start_fixture (target);

  for (guint i = 1; i <= 20; i++)
    {
      int fd = client_connect (fixture_get_port (fixture));

      client_write (fd, "12345", 5);
      client_expect_end (fd);
      client_close (fd);
      WAIT_UNTIL (fixture->recorder->closed == i);
    }
  g_assert_cmpint (tcp_tunnel_get_state (fixture->tunnel), ==, TCP_TUNNEL_STATE_CONNECTED);
}

static void
test_target_refused (void)
{
  g_autoptr (Target) target = target_new_refusing ();
  g_autoptr (Fixture) fixture = start_fixture (target);

  for (guint i = 1; i <= 20; i++)
    {
      int fd = client_connect (fixture_get_port (fixture));

      client_write (fd, "hello", 5);
      client_expect_end (fd);
      client_close (fd);
    }
  WAIT_UNTIL (fixture->recorder->closed == 20);
  g_assert_cmpint (tcp_tunnel_get_state (fixture->tunnel), ==, TCP_TUNNEL_STATE_CONNECTED);
}

/* A client that sends nothing is not announced to the gateway, so that its end waits for nothing either. */
static void
test_silent_clients (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start_fixture (target);

  for (guint i = 0; i < 50; i++)
    client_close (client_connect (fixture_get_port (fixture)));
  WAIT_UNTIL (fixture->recorder->closed == 50);
  g_assert_cmpuint (test_figure (fixture->tunnel, open_connections), ==, 0);
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 0);
}

static void
test_max_connections (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  int fds[5], extra;

  g_object_set (fixture->tunnel, "max-connections", G_N_ELEMENTS (fds), NULL);
  fixture_start (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      fds[i] = client_connect (fixture_get_port (fixture));
      client_round_trip (fds[i], "in");
    }
  extra = client_connect (fixture_get_port (fixture));
  client_expect_end (extra);
  client_close (extra);
  client_round_trip (fds[0], "still here");

  client_close (fds[0]);
  WAIT_UNTIL (fixture->recorder->closed == 1);
  fds[0] = client_connect (fixture_get_port (fixture));
  client_round_trip (fds[0], "room again");
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    client_close (fds[i]);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/multiplexed/start", test_start);
  g_test_add_func ("/multiplexed/many-at-once", test_many_at_once);
  g_test_add_func ("/multiplexed/short-connections", test_short_connections);
  g_test_add_func ("/multiplexed/drop-resets-all", test_drop_resets_all);
  g_test_add_func ("/multiplexed/pong-deadline", test_pong_deadline);
  g_test_add_func ("/multiplexed/gateway-pong-deadline", test_gateway_pong_deadline);
  g_test_add_func ("/multiplexed/slow-reader-gets-all", test_slow_reader_gets_all);
  g_test_add_func ("/multiplexed/upload-then-close", test_upload_then_close);
  g_test_add_func ("/multiplexed/client-resets", test_client_resets);
  g_test_add_func ("/multiplexed/target-resets", test_target_resets);
  g_test_add_func ("/multiplexed/target-refused", test_target_refused);
  g_test_add_func ("/multiplexed/silent-clients", test_silent_clients);
  g_test_add_func ("/multiplexed/max-connections", test_max_connections);

  return g_test_run ();
}
