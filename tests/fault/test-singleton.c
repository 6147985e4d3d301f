/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A singleton tunnel in the protocol raw, and what may happen to its WebSocket. */

#include "fixture.h"
#include "socket-util.h"

#include <string.h>
#include <sys/socket.h>

#define MIB (1 << 20)

static Fixture *
start_fixture (Target *target)
{
  Fixture *fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PROXY);

  fixture_start (fixture);
  return fixture;
}

static void
expect_reconnected (Fixture *fixture,
                    guint64 reconnects)
{
  WAIT_UNTIL (test_figure (fixture->tunnel, reconnects) >= reconnects &&
              fixture->recorder->last_state == TCP_TUNNEL_STATE_CONNECTED);
}

static void
test_data (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start_fixture (target);
  guint64 size = test_count (64, 4) * MIB;
  int fd = fixture_connect (fixture);

  client_echo_stream (fd, size, 1);
  client_finish (fd);
  client_expect_end (fd);
  client_close (fd);

  WAIT_UNTIL (fixture->recorder->closed == 1);
  g_assert_cmpuint (test_figure (fixture->tunnel, bytes_sent), ==, size);
  g_assert_cmpuint (test_figure (fixture->tunnel, bytes_received), ==, size);
  g_assert_cmpuint (test_figure (fixture->tunnel, total_connections), ==, 1);
  recorder_expect_states (fixture->recorder, "connecting connected disconnected");
}

static void
test_upload (void)
{
  g_autoptr (Target) target = target_new_sink ();
  g_autoptr (Fixture) fixture = start_fixture (target);
  guint64 size = test_count (64, 4) * MIB;
  g_autofree char *expected = test_digest (size, 5);
  g_autofree char *digest = NULL;
  int fd = fixture_connect (fixture);

  client_send_stream (fd, size, 5, 0);
  client_close (fd);
  g_assert_true (target_wait_bytes_in (target, size));
  g_assert_true (target_wait_open (target, 0));
  digest = target_get_digest (target);
  g_assert_cmpstr (digest, ==, expected);
}

/* The client reads all data of the target, and then the end. */
static void
test_download (void)
{
  guint64 size = test_count (64, 4) * MIB;
  g_autoptr (Target) target = target_new_source (size, 9);
  g_autoptr (Fixture) fixture = start_fixture (target);
  int fd = fixture_connect (fixture);

  client_read_stream (fd, size, 9, 0);
  client_expect_eof (fd);
  client_close (fd);
  WAIT_UNTIL (fixture->recorder->closed == 1);
  g_assert_no_error (fixture->recorder->closed_error);
}

static void
test_server_speaks_first (void)
{
  g_autoptr (Target) target = target_new_banner ("220 ready\r\n");
  g_autoptr (Fixture) fixture = start_fixture (target);
  char banner[11];
  int fd = fixture_connect (fixture);

  client_read (fd, banner, sizeof banner);
  g_assert_cmpmem (banner, sizeof banner, "220 ready\r\n", 11);
  client_close (fd);
}

static void
test_second_client (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start_fixture (target);
  int first = fixture_connect (fixture);

  client_round_trip (first, "one");
  for (guint i = 0; i < 20; i++)
    {
      int second = client_connect (fixture_get_port (fixture));

      client_expect_end (second);
      client_close (second);
    }
  client_round_trip (first, "still here");
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 1);
  client_close (first);
}

static void
test_next_client (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start_fixture (target);

  for (guint i = 1; i <= test_count (100, 20); i++)
    {
      int fd = client_connect (fixture_get_port (fixture));

      client_round_trip (fd, "hello");
      if (i % 3 == 0)
        client_reset (fd);
      else
        client_close (fd);
      WAIT_UNTIL (fixture->recorder->closed == i);
      WAIT_UNTIL (test_figure (fixture->tunnel, open_connections) == 0);
    }
  g_assert_true (target_wait_open (target, 0));
  g_assert_cmpuint (fixture->recorder->failures, ==, 0);
}

static void
check_survives (void (*strike) (FaultProxy *))
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start_fixture (target);
  int fd = fixture_connect (fixture);

  client_round_trip (fd, "before");
  recorder_clear_states (fixture->recorder);
  for (guint i = 1; i <= 3; i++)
    {
      strike (fixture->proxy);
      expect_reconnected (fixture, i);
      client_round_trip (fd, "after");
    }
  recorder_expect_states (fixture->recorder,
                          "disconnected reconnecting connecting connected "
                          "disconnected reconnecting connecting connected "
                          "disconnected reconnecting connecting connected");
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 1);
  g_assert_cmpuint (fixture->recorder->opened, ==, 1);
  g_assert_cmpuint (fixture->recorder->closed, ==, 0);
  client_close (fd);
  g_assert_true (target_wait_open (target, 0));
}

static void
test_survives_cut (void)
{
  check_survives (fault_proxy_cut);
}

static void
test_survives_reset (void)
{
  check_survives (fault_proxy_reset);
}

static void
half_open_at_tunnel (FaultProxy *proxy)
{
  fault_proxy_half_open (proxy, FAULT_TUNNEL_SIDE);
}

/* The gateway still has the old WebSocket when the new one arrives. */
static void
test_survives_half_open (void)
{
  check_survives (half_open_at_tunnel);
}

/* The tunnel receives no end, and detects the break by its keep-alive. */
static void
test_pong_deadline_half_open (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PROXY);
  int fd;

  g_object_set (fixture->tunnel, "keepalive-interval", 50, "keepalive-timeout", test_scaled_ms (200), NULL);
  fixture_start (fixture);
  fd = fixture_connect (fixture);
  client_round_trip (fd, "before");
  fault_proxy_half_open (fixture->proxy, FAULT_GATEWAY_SIDE);
  expect_reconnected (fixture, 1);
  client_round_trip (fd, "after");
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 1);
  client_close (fd);
}

static void
test_pong_deadline_black_hole (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PROXY);
  int fd;

  g_object_set (fixture->tunnel,
                "keepalive-interval", 50, "keepalive-timeout", test_scaled_ms (200),
                "connect-timeout", test_scaled_ms (200), "max-reconnect-attempts", 1000, NULL);
  fixture_start (fixture);
  fd = fixture_connect (fixture);
  client_round_trip (fd, "before");
  fault_proxy_black_hole (fixture->proxy, TRUE);
  /* More than one attempt is lost in the black hole. */
  g_assert_true (fault_proxy_wait_accepted (fixture->proxy, 3, TEST_DEADLINE_MS));
  fault_proxy_black_hole (fixture->proxy, FALSE);
  expect_reconnected (fixture, 1);
  client_round_trip (fd, "after");
  client_close (fd);
}

/* Pongs arrive, so that the tunnel keeps a slow link. */
static void
test_slow_link_is_alive (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PROXY);
  int fd;

  g_object_set (fixture->tunnel, "keepalive-interval", 50, "keepalive-timeout", test_scaled_ms (2000), NULL);
  fixture_start (fixture);
  /* This precedes the first ping, which follows the handshake at once. */
  fault_proxy_throttle (fixture->proxy, FAULT_DOWN, 1000000);
  fault_proxy_delay (fixture->proxy, FAULT_UP, 20);
  fault_proxy_delay (fixture->proxy, FAULT_DOWN, 20);
  fd = fixture_connect (fixture);
  client_echo_stream (fd, MIB, 4);
  g_assert_cmpuint (test_figure (fixture->tunnel, reconnects), ==, 0);
  g_assert_cmpfloat (test_ping_time (fixture->tunnel), >=, 40);
  client_close (fd);
}

static void
test_gateway_comes_back (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PROXY);
  int fd;

  g_object_set (fixture->tunnel, "max-reconnect-attempts", 1000, NULL);
  fixture_start (fixture);
  fd = fixture_connect (fixture);
  client_round_trip (fd, "before");
  recorder_clear_states (fixture->recorder);
  fault_proxy_refuse (fixture->proxy, TRUE);
  fault_proxy_reset (fixture->proxy);
  WAIT_UNTIL (g_str_has_prefix (fixture->recorder->states->str,
                                "disconnected reconnecting connecting disconnected reconnecting connecting disconnected"));
  fault_proxy_refuse (fixture->proxy, FALSE);
  fault_proxy_accept_then_close (fixture->proxy, TRUE);
  g_assert_true (fault_proxy_wait_accepted (fixture->proxy, 3, TEST_DEADLINE_MS));
  fault_proxy_accept_then_close (fixture->proxy, FALSE);
  expect_reconnected (fixture, 1);
  client_round_trip (fd, "after");
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 1);
  client_close (fd);
}

/* Data that the client writes while there is no WebSocket waits for the next one. */
static void
test_waits_while_away (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PROXY);
  char answer[4];
  int fd;

  g_object_set (fixture->tunnel, "max-reconnect-attempts", 1000, NULL);
  fixture_start (fixture);
  fd = fixture_connect (fixture);
  client_round_trip (fd, "before");
  fault_proxy_refuse (fixture->proxy, TRUE);
  fault_proxy_cut (fixture->proxy);
  WAIT_UNTIL (fixture->recorder->last_state == TCP_TUNNEL_STATE_RECONNECTING);
  client_write (fd, "kept", 4);
  fault_proxy_refuse (fixture->proxy, FALSE);
  client_read (fd, answer, sizeof answer);
  g_assert_cmpmem (answer, sizeof answer, "kept", 4);
  client_close (fd);
}

/* After the session timeout, the TCP connection is lost, and the tunnel continues. */
static void
test_session_expired (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PROXY);
  int fd;

  g_object_set (fixture->tunnel, "max-reconnect-attempts", 1000, NULL);
  g_object_set (fixture->gateway, "session-timeout", 20, NULL);
  fixture_start (fixture);
  fd = fixture_connect (fixture);
  client_round_trip (fd, "before");
  fault_proxy_refuse (fixture->proxy, TRUE);
  fault_proxy_cut (fixture->proxy);
  g_assert_true (target_wait_open (target, 0));
  fault_proxy_refuse (fixture->proxy, FALSE);
  client_expect_reset (fd);
  client_close (fd);

  fd = client_connect (fixture_get_port (fixture));
  client_round_trip (fd, "the next");
  client_close (fd);
  g_assert_cmpuint (fixture->recorder->failures, ==, 0);
}

static void
test_client_resets (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start_fixture (target);
  int fd = fixture_connect (fixture);

  client_round_trip (fd, "hello");
  client_reset (fd);
  WAIT_UNTIL (fixture->recorder->closed == 1);
  g_assert_error (fixture->recorder->closed_error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_RESET);
  g_assert_true (target_wait_open (target, 0));
  g_assert_cmpuint (target_get_counters (target).resets, ==, 1);
  WAIT_UNTIL (fixture->recorder->last_state == TCP_TUNNEL_STATE_DISCONNECTED);
}

/* The gateway has connected to its target, and its answer has not arrived yet. The target's connection ends although the
 * gateway would keep it for a client that comes back, and the next client is served. */
static void
test_client_resets_while_opening (void)
{
  static const TcpTunnelMode modes[] = { TCP_TUNNEL_MODE_SINGLETON, TCP_TUNNEL_MODE_PARALLEL, TCP_TUNNEL_MODE_AUTO };

  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      g_autoptr (Target) target = target_new_echo ();
      g_autoptr (Fixture) fixture = fixture_new (target, modes[i], FIXTURE_PROXY);
      int fd;

      fixture_start (fixture);
      fault_proxy_stall (fixture->proxy, FAULT_DOWN, TRUE);
      fd = client_connect (fixture_get_port (fixture));
      client_write (fd, "hello", 5);
      g_assert_true (target_wait_accepted (target, 1));
      client_reset (fd);
      WAIT_UNTIL (fixture->recorder->closed == 1);
      g_assert_error (fixture->recorder->closed_error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_RESET);

      fault_proxy_stall (fixture->proxy, FAULT_DOWN, FALSE);
      g_assert_true (target_wait_open (target, 0));
      g_assert_cmpuint (target_get_counters (target).resets, ==, 1);
      fd = client_connect (fixture_get_port (fixture));
      client_round_trip (fd, "next");
      client_reset (fd);
      WAIT_UNTIL (fixture->recorder->closed == 2);
    }
}

/* Even if openings may take any time, one whose client has left does not wait forever for a gateway that does not
 * answer. */
static void
test_client_resets_without_answer (void)
{
  guint16 port;
  int gateway = socket_listen (1, &port);
  g_autofree char *uri = g_strdup_printf ("ws://127.0.0.1:%u/", port);
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_SINGLETON);
  g_autofree char *head = NULL;
  int client, fd;

  g_object_set (tunnel, "connect-timeout", 0, NULL);
  test_tunnel_start (tunnel);
  client = client_connect (test_tunnel_get_port (tunnel));
  fd = accept (gateway, NULL, NULL);
  g_assert_no_errno (fd);
  head = http_read_head (fd);
  client_reset (client);
  WAIT_UNTIL (client_has_ended (fd));

  client_close (fd);
  client_close (gateway);
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
}

static void
test_target_resets (void)
{
  g_autoptr (Target) target = target_new_reset_after (5);
  g_autoptr (Fixture) fixture = start_fixture (target);

  for (guint i = 1; i <= 3; i++)
    {
      int fd = client_connect (fixture_get_port (fixture));

      client_write (fd, "12345", 5);
      client_expect_reset (fd);
      client_close (fd);
      WAIT_UNTIL (fixture->recorder->closed == i);
      g_assert_error (fixture->recorder->closed_error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TARGET);
    }
  g_assert_cmpuint (fixture->recorder->failures, ==, 0);
  g_assert_cmpuint (test_figure (fixture->tunnel, reconnects), ==, 0);
}

static void
test_target_refused (void)
{
  g_autoptr (Target) target = target_new_refusing ();
  g_autoptr (Fixture) fixture = start_fixture (target);
  int fd = client_connect (fixture_get_port (fixture));

  client_expect_reset (fd);
  client_close (fd);
  WAIT_UNTIL (fixture->recorder->closed == 1);
  g_assert_error (fixture->recorder->closed_error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TARGET);
}

/* With reset-on-loss, the connection is reset if data was in transit when the WebSocket broke. */
static void
test_reset_on_loss (void)
{
  g_autoptr (Target) target = target_new_sink ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PROXY);
  int fd;

  g_object_set (fixture->tunnel, "reset-on-loss", TRUE, NULL);
  /* The gateway is not informed; its session expires. */
  g_object_set (fixture->gateway, "session-timeout", 100, NULL);
  fixture_start (fixture);
  fd = fixture_connect (fixture);
  fault_proxy_stall (fixture->proxy, FAULT_UP, TRUE);
  client_blast (fd, 64 * MIB, 200);
  fault_proxy_reset (fixture->proxy);
  client_expect_reset (fd);
  client_close (fd);
  WAIT_UNTIL (fixture->recorder->closed == 1);
  g_assert_error (fixture->recorder->closed_error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST);
  g_assert_true (target_wait_open (target, 0));
}

/* If no data was in transit, the connection continues. */
static void
test_reset_on_loss_idle (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PROXY);
  int fd;

  g_object_set (fixture->tunnel, "reset-on-loss", TRUE, NULL);
  g_object_set (fixture->gateway, "reset-on-loss", TRUE, NULL);
  fixture_start (fixture);
  fd = fixture_connect (fixture);
  fault_proxy_cut (fixture->proxy);
  expect_reconnected (fixture, 1);
  client_round_trip (fd, "nothing was lost");
  client_close (fd);
}

/* The WebSocket breaks within a message of the other direction: the data that the client has read is correct, and it
 * gets a reset. */
static void
test_reset_on_loss_down (void)
{
  g_autoptr (Target) target = target_new_source (64 * MIB, 2);
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PROXY);
  int fd;

  g_object_set (fixture->gateway, "reset-on-loss", TRUE, NULL);
  fixture_start (fixture);
  fault_proxy_cut_after (fixture->proxy, FAULT_DOWN, 2 * MIB + 12345);
  fd = client_connect (fixture_get_port (fixture));
  client_read_stream (fd, MIB, 2, 0);
  client_expect_reset (fd);
  client_close (fd);
  g_assert_true (target_wait_open (target, 0));
  g_assert_cmpuint (fixture->recorder->failures, ==, 0);
}

static void
test_loss_is_tolerated (void)
{
  g_autoptr (Target) target = target_new_sink ();
  g_autoptr (Fixture) fixture = start_fixture (target);
  guint64 sent;
  int fd = fixture_connect (fixture);

  fault_proxy_stall (fixture->proxy, FAULT_UP, TRUE);
  sent = client_blast (fd, 64 * MIB, 200);
  fault_proxy_reset (fixture->proxy);
  fault_proxy_stall (fixture->proxy, FAULT_UP, FALSE);
  expect_reconnected (fixture, 1);
  client_close (fd);
  g_assert_true (target_wait_open (target, 0));
  /* Some data is lost, but none that was still queued, and no byte arrives twice. */
  g_assert_cmpuint (target_get_counters (target).bytes_in, >, 0);
  g_assert_cmpuint (target_get_counters (target).bytes_in, <=, sent);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/singleton/data", test_data);
  g_test_add_func ("/singleton/upload", test_upload);
  g_test_add_func ("/singleton/download", test_download);
  g_test_add_func ("/singleton/server-speaks-first", test_server_speaks_first);
  g_test_add_func ("/singleton/second-client", test_second_client);
  g_test_add_func ("/singleton/next-client", test_next_client);
  g_test_add_func ("/singleton/survives-cut", test_survives_cut);
  g_test_add_func ("/singleton/survives-reset", test_survives_reset);
  g_test_add_func ("/singleton/survives-half-open", test_survives_half_open);
  g_test_add_func ("/singleton/pong-deadline-half-open", test_pong_deadline_half_open);
  g_test_add_func ("/singleton/pong-deadline-black-hole", test_pong_deadline_black_hole);
  g_test_add_func ("/singleton/slow-link-is-alive", test_slow_link_is_alive);
  g_test_add_func ("/singleton/gateway-comes-back", test_gateway_comes_back);
  g_test_add_func ("/singleton/waits-while-away", test_waits_while_away);
  g_test_add_func ("/singleton/session-expired", test_session_expired);
  g_test_add_func ("/singleton/client-resets", test_client_resets);
  g_test_add_func ("/singleton/client-resets-while-opening", test_client_resets_while_opening);
  g_test_add_func ("/singleton/client-resets-without-answer", test_client_resets_without_answer);
  g_test_add_func ("/singleton/target-resets", test_target_resets);
  g_test_add_func ("/singleton/target-refused", test_target_refused);
  g_test_add_func ("/singleton/reset-on-loss", test_reset_on_loss);
  g_test_add_func ("/singleton/reset-on-loss-idle", test_reset_on_loss_idle);
  g_test_add_func ("/singleton/reset-on-loss-down", test_reset_on_loss_down);
  g_test_add_func ("/singleton/loss-is-tolerated", test_loss_is_tolerated);

  return g_test_run ();
}
