/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How long a tunnel tries to reconnect, and with which delays. The tests check the delays that it announces, not the
 * time that passes. */

#include "resume-rig.h"
#include "tunnel-rig.h"

#include <string.h>

/* As in base/backoff.h. */
#define FIRST_DELAY 50

static guint
last_delay (Recorder *recorder)
{
  g_assert_cmpuint (recorder->delays->len, >, 0);
  return g_array_index (recorder->delays, guint, recorder->delays->len - 1);
}

static void
expect_quick (Recorder *recorder,
              guint count)
{
  g_assert_cmpuint (recorder->delays->len, >=, count);
  for (guint i = 0; i < recorder->delays->len; i++)
    g_assert_cmpuint (g_array_index (recorder->delays, guint, i), <=, FIRST_DELAY);
}

/* More cuts than attempts, and no data: each time the session was resumed, so that the count begins again. */
static void
test_idle_cuts (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (target, mode);
  int fd;

  g_object_set (fixture->tunnel, "max-reconnect-attempts", 2, NULL);
  fd = resume_begin (fixture);
  for (guint i = 1; i <= 8; i++)
    {
      fault_proxy_reset (fixture->proxy);
      resume_expect (fixture, i);
    }
  client_round_trip (fd, "after");
  client_close (fd);
  g_assert_cmpuint (fixture->recorder->failures, ==, 0);
}

/* Other protocols do not confirm that a session continues, but only that the peer answers. */
static void
test_plain_cuts (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, mode, FIXTURE_PROXY);
  int fd;

  g_object_set (fixture->tunnel, "max-reconnect-attempts", 2, NULL);
  fd = resume_begin (fixture);
  /* In parallel mode, the other end may be a bridge, which opens another connection for another WebSocket. */
  if (mode == TCP_TUNNEL_MODE_PARALLEL)
    fault_proxy_reset (fixture->proxy);
  for (guint i = 1; mode != TCP_TUNNEL_MODE_PARALLEL && i <= 8; i++)
    {
      fault_proxy_reset (fixture->proxy);
      WAIT_UNTIL (test_figure (fixture->tunnel, reconnects) == i &&
                  fixture->recorder->last_state == TCP_TUNNEL_STATE_CONNECTED);
    }
  if (mode == TCP_TUNNEL_MODE_MULTIPLEXED || mode == TCP_TUNNEL_MODE_PARALLEL)
    client_expect_reset (fd);
  else
    client_round_trip (fd, "after");
  client_close (fd);
  g_assert_cmpuint (fixture->recorder->failures, ==, 0);
}

/* A tunnel reconnects for as long as the gateway keeps the session, even with few attempts. */
static void
test_long (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (target, mode);
  int fd;

  g_object_set (fixture->tunnel, "max-reconnect-attempts", 2, NULL);
  g_object_set (fixture->gateway, "session-timeout", 600000, NULL);
  fd = resume_begin (fixture);
  resume_go_away (fixture);
  WAIT_UNTIL (fixture->recorder->delays->len >= 10);
  g_assert_cmpuint (fixture->recorder->last_attempt, >=, 10);
  resume_come_back (fixture);
  client_round_trip (fd, "after");
  client_close (fd);
  g_assert_cmpuint (test_figure (fixture->tunnel, resumes), ==, 1);
  g_assert_cmpuint (fixture->recorder->failures, ==, 0);
}

/* When the gateway has dropped the session, its connections end, and the tunnel goes on with another. New clients are
 * refused while no session is expected soon. */
static void
test_too_long (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (target, mode);
  gboolean shared = mode == TCP_TUNNEL_MODE_MULTIPLEXED || mode == TCP_TUNNEL_MODE_AUTO;
  int fd, waiting = -1;

  g_object_set (fixture->tunnel, "max-reconnect-attempts", TCP_TUNNEL_UNLIMITED_ATTEMPTS, NULL);
  g_object_set (fixture->gateway, "session-timeout", 1000, NULL);
  fd = resume_begin (fixture);
  resume_go_away (fixture);
  if (shared)
    waiting = client_connect (fixture_get_port (fixture));
  client_expect_reset (fd);
  client_close (fd);
  if (waiting >= 0)
    {
      client_expect_reset (waiting);
      client_close (waiting);
    }
  WAIT_UNTIL (fixture->recorder->closed == (waiting >= 0 ? 2 : 1));
  g_assert_error (fixture->recorder->closed_error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST);
  g_assert_nonnull (strstr (fixture->recorder->closed_error->message, "away for longer than the 1 s for which it keeps"));

  if (shared)
    {
      guint opened = fixture->recorder->opened;

      fd = client_connect (fixture_get_port (fixture));
      client_expect_end (fd);
      client_close (fd);
      g_assert_cmpuint (fixture->recorder->opened, ==, opened);
    }
  resume_come_back (fixture);
  if (shared)
    WAIT_UNTIL (fixture->recorder->last_state == TCP_TUNNEL_STATE_CONNECTED);
  fd = client_connect (fixture_get_port (fixture));
  client_round_trip (fd, "another");
  client_close (fd);
  g_assert_cmpuint (test_figure (fixture->tunnel, resumes), ==, 0);
  g_assert_cmpuint (fixture->recorder->failures, ==, 0);
}

/* The tunnel fails if its attempts are used up by then. */
static void
test_too_long_limited (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (target, mode);
  int fd;

  g_object_set (fixture->tunnel, "max-reconnect-attempts", 3, NULL);
  g_object_set (fixture->gateway, "session-timeout", 1000, NULL);
  fd = resume_begin (fixture);
  resume_go_away (fixture);
  WAIT_UNTIL (fixture->recorder->failures == 1);
  g_assert_error (fixture->recorder->failure, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNREACHABLE);
  g_assert_true (g_str_has_prefix (fixture->recorder->failure->message, "gave up after "));
  g_assert_nonnull (strstr (fixture->recorder->failure->message, "away for longer than the 1 s for which it keeps"));
  g_assert_cmpuint (fixture->recorder->delays->len, >, 3);
  client_expect_reset (fd);
  client_close (fd);
}

/* With 0 attempts, there is none. */
static void
test_none (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (target, mode);
  int fd;

  g_object_set (fixture->tunnel, "max-reconnect-attempts", 0, NULL);
  fd = resume_begin (fixture);
  fault_proxy_reset (fixture->proxy);
  WAIT_UNTIL (fixture->recorder->failures == 1);
  g_assert_cmpuint (fixture->recorder->delays->len, ==, 0);
  client_expect_reset (fd);
  client_close (fd);
}

/* A server that opens the WebSocket and sends nothing does not extend the time. */
static void
test_silent_server (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  int fd;

  rig.server->hello.session_timeout = 1;
  g_object_set (rig.tunnel, "connect-timeout", 0, NULL);
  fd = tunnel_rig_start (&rig);
  tunnel_rig_round_trip (&rig, fd, 1, "before");
  resumable_reset (rig.server);
  resumable_server_accept (rig.server);
  client_expect_reset (fd);
  client_close (fd);
  tunnel_rig_expect_closed (&rig, 1, TCP_TUNNEL_ERROR_LOST);
  g_assert_nonnull (strstr (rig.recorder->closed_error->message, "sent nothing on the WebSocket"));
  g_assert_cmpuint (rig.recorder->failures, ==, 0);
}

/* After a cut with progress, the first delay is short, whatever delay is set, and after any number of cuts. */
static void
test_quick (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (target, mode);
  int fd;

  g_object_set (fixture->tunnel, "reconnect-delay", 30000, "max-reconnect-delay", 30000, "max-reconnect-attempts", 2,
                NULL);
  fixture_start (fixture);
  fd = fixture_connect (fixture);
  resume_cut (fixture, fd, 12);
  client_close (fd);
  expect_quick (fixture->recorder, 12);
}

/* Each WebSocket breaks before anything but a HELLO arrives, which acknowledges what was sent over the one before:
 * this counts as progress. */
static void
test_progress_by_hello (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  int fd;

  g_object_set (rig.tunnel, "reconnect-delay", 30000, "max-reconnect-delay", 30000, NULL);
  fd = tunnel_rig_start (&rig);
  for (guint i = 0; i < 10; i++)
    {
      client_write (fd, "progress", 8);
      resumable_expect_data (rig.server, 1, "progress");
      resumable_reset (rig.server);
      resumable_server_welcome (rig.server);
    }
  client_close (fd);
  WAIT_UNTIL (rig.recorder->delays->len == 10);
  expect_quick (rig.recorder, 10);
}

/* A server that only sends a HELLO and leaves is not reconnected to in a loop; but it is not given up either. */
static void
test_no_progress (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  int fd;

  g_object_set (rig.tunnel, "reconnect-delay", 60, "max-reconnect-delay", 200, "max-reconnect-attempts", 2, NULL);
  fd = tunnel_rig_start (&rig);
  tunnel_rig_round_trip (&rig, fd, 1, "before");
  resumable_send_ack (rig.server, rig.server->taken);
  resumable_expect_confirmed (rig.server);
  for (guint i = 1; i <= 6; i++)
    {
      resumable_reset (rig.server);
      resumable_server_welcome (rig.server);
      WAIT_UNTIL (rig.recorder->delays->len == i);
      g_assert_cmpuint (rig.recorder->last_attempt, ==, 1);
    }
  g_assert_cmpuint (last_delay (rig.recorder), >=, 100);
  tunnel_rig_round_trip (&rig, fd, 1, "after");
  client_close (fd);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_mode_test ("/outages/idle-cuts", test_idle_cuts);
  add_mode_test ("/outages/plain-cuts", test_plain_cuts);
  add_mode_test ("/outages/long", test_long);
  add_mode_test ("/outages/too-long", test_too_long);
  add_mode_test ("/outages/too-long-limited", test_too_long_limited);
  add_mode_test ("/outages/none", test_none);
  add_mode_test ("/outages/silent-server", test_silent_server);
  add_mode_test ("/outages/quick", test_quick);
  add_mode_test ("/outages/progress-by-hello", test_progress_by_hello);
  add_mode_test ("/outages/no-progress", test_no_progress);

  return g_test_run ();
}
