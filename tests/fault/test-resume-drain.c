/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Draining a gateway and closing a tunnel with resumable/1. */

#include "resumable-peer.h"
#include "resume-rig.h"

#include <string.h>

#define LONG_MS (10 * TEST_DEADLINE_MS)

typedef struct
{
  gboolean done;
  GError *error;
} Drained;

static void
on_drained (GObject *object,
            GAsyncResult *result,
            gpointer user_data)
{
  Drained *drained = user_data;

  tcp_gateway_drain_finish (TCP_GATEWAY (object), result, &drained->error);
  drained->done = TRUE;
}

/* Closing the tunnel ends the connections to the target at once, however long the session timeout is. */
static void
test_tunnel_closes (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (target, mode);
  int fd;

  g_object_set (fixture->gateway, "session-timeout", 600000, NULL);
  fixture_start (fixture);
  fd = fixture_connect (fixture);
  client_round_trip (fd, "hello");
  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
  client_expect_reset (fd);
  client_close (fd);
  g_assert_true (target_wait_open (target, 0));
  g_assert_cmpuint (target_get_counters (target).resets, ==, 1);
  WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == 0);
  WAIT_UNTIL (test_figure (fixture->gateway, unacknowledged_bytes) == 0);
}

/* All data before an orderly end of the client arrives, although the tunnel is closed then. */
static void
test_close_after_end (TcpTunnelMode mode)
{
  guint64 size = 4 * MIB;
  g_autoptr (Target) target = target_new_sink ();
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  g_autofree char *expected = test_digest (size, 3);
  g_autofree char *digest = NULL;
  int fd = fixture_connect (fixture);

  client_send_stream (fd, size, 3, 0);
  client_finish (fd);
  client_expect_eof (fd);
  client_close (fd);
  expect_closed (fixture, 1, -1);
  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
  g_assert_true (target_wait_open (target, 0));
  digest = target_get_digest (target);
  g_assert_cmpstr (digest, ==, expected);
}

/* The frames and answers of a gateway that is draining. */
static void
test_frames_and_answers (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  g_autoptr (ResumablePeer) peer = NULL;
  g_autoptr (ResumablePeer) late = NULL;
  g_autofree char *body = NULL;
  Drained drained = { 0 };
  ResumableFrame frame;
  char data[4];
  int fd;

  fixture_start_gateway (fixture);
  peer = resumable_client_start (fixture_get_gateway_port (fixture), TEST_TOKEN, TRUE);
  resumable_open (peer, 1);
  fd = target_accept (target);
  tcp_gateway_drain_async (fixture->gateway, LONG_MS, NULL, on_drained, &drained);
  frame = resumable_expect (peer, RESUMABLE_GOAWAY, 0);
  g_assert_cmpuint (resumable_get_u32 (&frame), ==, RESUMABLE_GOAWAY_DRAINING);

  late = resumable_client_new (fixture_get_gateway_port (fixture), TEST_TOKEN, TRUE);
  g_assert_cmpuint (resumable_client_try (late, &body), ==, 503);
  g_assert_cmpuint (strlen (body), >, 5);
  resumable_send (peer, RESUMABLE_OPEN, 3, NULL, 0);
  resumable_expect_reset (peer, 3, RESUMABLE_RESET_DRAINING);

  /* Open streams continue, over another WebSocket as well, on which the GOAWAY is repeated. */
  resumable_reset (peer);
  resumable_client_connect (peer);
  resumable_say_hello (peer);
  frame = resumable_expect (peer, RESUMABLE_GOAWAY, 0);
  g_assert_cmpuint (resumable_get_u32 (&frame), ==, RESUMABLE_GOAWAY_DRAINING);
  resumable_send_text (peer, RESUMABLE_DATA, 1, "more");
  client_read (fd, data, sizeof data);
  g_assert_false (drained.done);

  client_finish (fd);
  resumable_expect (peer, RESUMABLE_FIN, 1);
  resumable_send_ack (peer, peer->taken);
  resumable_send (peer, RESUMABLE_FIN, 1, NULL, 0);
  client_expect_eof (fd);
  client_close (fd);
  WAIT_UNTIL (drained.done);
  g_assert_no_error (drained.error);
  while (resumable_receive (peer, &frame))
    ;
}

/* The open connections of a tunnel continue until they end, also over a break. */
static void
test_connections_finish (TcpTunnelMode mode)
{
  guint64 size = 8 * MIB;
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  Drained drained = { 0 };
  int fd = fixture_connect (fixture);

  client_round_trip (fd, "before");
  tcp_gateway_drain_async (fixture->gateway, LONG_MS, NULL, on_drained, &drained);
  client_echo_stream (fd, size, 1);
  fault_proxy_cut_after (fixture->proxy, FAULT_DOWN, MIB + 1);
  client_echo_stream (fd, size, 2);
  resume_expect (fixture, 1);
  g_assert_false (drained.done);
  client_finish (fd);
  client_expect_eof (fd);
  client_close (fd);
  expect_closed (fixture, 1, -1);
  WAIT_UNTIL (drained.done);
  g_assert_no_error (drained.error);
  g_assert_true (target_wait_open (target, 0));
  g_assert_cmpuint (target_get_counters (target).resets, ==, 0);
}

/* After the deadline, the remaining connections are reset. */
static void
test_time_is_up (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  Drained drained = { 0 };
  int fd = fixture_connect (fixture);

  client_round_trip (fd, "before");
  tcp_gateway_drain_async (fixture->gateway, 50, NULL, on_drained, &drained);
  client_expect_reset (fd);
  client_close (fd);
  WAIT_UNTIL (drained.done);
  g_clear_error (&drained.error);
  g_assert_true (target_wait_open (target, 0));
  WAIT_UNTIL (fixture->recorder->closed == 1);
  g_assert_nonnull (fixture->recorder->closed_error);
}

/* New clients of the tunnel use another gateway, while the old ones finish with the one that is draining. */
static void
test_moves_on (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Target) other_target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_start (target, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autoptr (Fixture) other = fixture_new (other_target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  Drained drained = { 0 };
  int old = fixture_connect (fixture);
  int fd;

  client_round_trip (old, "before");
  fixture_start_gateway (other);
  fault_proxy_set_gateway (fixture->proxy, fixture_get_gateway_port (other));
  tcp_gateway_drain_async (fixture->gateway, LONG_MS, NULL, on_drained, &drained);
  g_assert_true (fault_proxy_wait_accepted (fixture->proxy, 2, TEST_DEADLINE_MS));
  fd = client_connect (fixture_get_port (fixture));
  client_echo_stream (fd, MIB, 1);
  client_round_trip (old, "still");
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 1);
  g_assert_cmpuint (target_get_counters (other_target).accepted, ==, 1);

  client_finish (old);
  client_expect_eof (old);
  client_close (old);
  WAIT_UNTIL (drained.done);
  g_assert_no_error (drained.error);
  client_round_trip (fd, "unharmed");
  client_close (fd);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_mode_test ("/resume-drain/tunnel-closes", test_tunnel_closes);
  add_mode_test ("/resume-drain/close-after-end", test_close_after_end);
  g_test_add_func ("/resume-drain/frames-and-answers", test_frames_and_answers);
  add_mode_test ("/resume-drain/connections-finish", test_connections_finish);
  add_mode_test ("/resume-drain/time-is-up", test_time_is_up);
  g_test_add_func ("/resume-drain/moves-on", test_moves_on);

  return g_test_run ();
}
