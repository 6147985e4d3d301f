/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What cannot continue ends with a reset and an error with the reason, and the tunnel goes on. */

#include "resume-rig.h"

static void
restart_gateway (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  tcp_endpoint_close (TCP_ENDPOINT (fixture->gateway));
  tcp_endpoint_start (TCP_ENDPOINT (fixture->gateway), NULL, &error);
  g_assert_no_error (error);
  fault_proxy_set_gateway (fixture->proxy, fixture_get_gateway_port (fixture));
}

static void
expect_new_session (Fixture *fixture)
{
  guint closed = fixture->recorder->closed;
  int fd = client_connect (fixture_get_port (fixture));

  client_echo_stream (fd, MIB, 9);
  client_finish (fd);
  client_expect_eof (fd);
  client_close (fd);
  expect_closed (fixture, closed + 1, -1);
  g_assert_cmpuint (fixture->recorder->failures, ==, 0);
}

/* The gateway was restarted while there was no WebSocket, so that it sent no GOAWAY either. */
static void
check_gateway_restarted (TcpTunnelMode mode,
                         guint clients)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  int fds[20];

  for (guint i = 0; i < clients; i++)
    {
      fds[i] = fixture_connect (fixture);
      client_round_trip (fds[i], "before");
    }
  resume_go_away (fixture);
  restart_gateway (fixture);
  for (guint i = 0; i < clients; i++)
    client_write (fds[i], "into the void", 13);
  resume_come_back (fixture);
  for (guint i = 0; i < clients; i++)
    {
      client_expect_reset (fds[i]);
      client_close (fds[i]);
    }
  expect_closed (fixture, clients, TCP_TUNNEL_ERROR_LOST);
  g_assert_cmpuint (target_get_counters (target).accepted, ==, clients);
  g_assert_cmpuint (test_figure (fixture->tunnel, resumes), ==, 0);
  expect_new_session (fixture);
}

static void
test_gateway_restarted (TcpTunnelMode mode)
{
  check_gateway_restarted (mode, 1);
  if (mode == TCP_TUNNEL_MODE_MULTIPLEXED)
    check_gateway_restarted (mode, 20);
}

/* Losing a session without connections is not reported. */
static void
test_idle_session_lost (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_start (target, TCP_TUNNEL_MODE_MULTIPLEXED);

  expect_new_session (fixture);
  resume_go_away (fixture);
  restart_gateway (fixture);
  resume_come_back (fixture);
  expect_new_session (fixture);
}

/* A client that connects meanwhile is either reset or served by the new session, but it does not hang. */
static void
test_waiting_client_of_lost_session (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_start (target, TCP_TUNNEL_MODE_MULTIPLEXED);
  int fd;

  expect_new_session (fixture);
  resume_go_away (fixture);
  fd = client_connect (fixture_get_port (fixture));
  client_write (fd, "waiting", 7);
  WAIT_UNTIL (fixture->recorder->opened == 2);
  restart_gateway (fixture);
  resume_come_back (fixture);
  client_finish (fd);
  client_expect_end (fd);
  client_close (fd);
  WAIT_UNTIL (fixture->recorder->closed == 2);
  expect_new_session (fixture);
}

/* The gateway drops the session after the session timeout. */
static void
test_session_timeout (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (target, mode);
  int fd;

  g_object_set (fixture->gateway, "session-timeout", 20, NULL);
  fixture_start (fixture);
  for (guint i = 1; i <= 3; i++)
    {
      fd = fixture_connect (fixture);
      client_round_trip (fd, "before");
      resume_go_away (fixture);
      /* The target's connection ends before the tunnel returns, and not in order. */
      g_assert_true (target_wait_open (target, 0));
      g_assert_cmpuint (target_get_counters (target).resets, ==, i);
      resume_come_back (fixture);
      client_expect_reset (fd);
      client_close (fd);
      expect_closed (fixture, i, TCP_TUNNEL_ERROR_LOST);
      WAIT_UNTIL (test_figure (fixture->tunnel, open_connections) == 0);
    }
  WAIT_UNTIL (test_figure (fixture->gateway, unacknowledged_bytes) == 0);
  g_assert_cmpuint (fixture->recorder->failures, ==, 0);
}

/* The session does not time out in use, or if the tunnel returns in time. */
static void
test_back_in_time (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (target, mode);
  int fd;

  g_object_set (fixture->gateway, "session-timeout", 600000, NULL);
  fd = resume_begin (fixture);
  resume_go_away (fixture);
  resume_come_back (fixture);
  client_round_trip (fd, "after");
  client_close (fd);
}

/* A gateway that is closed sends a GOAWAY, and its connections end at once. */
static void
test_gateway_closes (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  int fd = fixture_connect (fixture);

  client_round_trip (fd, "before");
  restart_gateway (fixture);
  client_expect_reset (fd);
  client_close (fd);
  WAIT_UNTIL (fixture->recorder->closed == 1);
  g_assert_nonnull (fixture->recorder->closed_error);
  g_assert_true (target_wait_open (target, 0));
  expect_new_session (fixture);
}

/* A session that continues resets the count of attempts. A gateway that does not confirm it does not. */
static void
test_attempts (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (target, mode);
  int fd;

  g_object_set (fixture->tunnel, "max-reconnect-attempts", 3, NULL);
  g_object_set (fixture->gateway, "session-timeout", 1000, NULL);
  fixture_start (fixture);
  fd = fixture_connect (fixture);
  resume_cut (fixture, fd, 12);

  fault_proxy_accept_then_close (fixture->proxy, TRUE);
  fault_proxy_reset (fixture->proxy);
  WAIT_UNTIL (fixture->recorder->failures == 1);
  g_assert_error (fixture->recorder->failure, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNREACHABLE);
  client_expect_reset (fd);
  client_close (fd);
}

static void
check_target_fails (TcpTunnelMode mode,
                    Target *target,
                    const char *address,
                    guint timeout)
{
  g_autoptr (Fixture) fixture = resume_new (target, mode);

  if (address != NULL)
    g_object_set (fixture->gateway, "target", address, NULL);
  if (timeout > 0)
    g_object_set (fixture->gateway, "connect-timeout", timeout, NULL);
  fixture_start (fixture);
  for (guint i = 1; i <= 5; i++)
    {
      int fd = client_connect (fixture_get_port (fixture));

      if (i % 2 == 0)
        client_write (fd, "too early", 9);
      client_expect_reset (fd);
      client_close (fd);
      expect_closed (fixture, i, TCP_TUNNEL_ERROR_TARGET);
      WAIT_UNTIL (test_figure (fixture->tunnel, open_connections) == 0);
    }
  g_assert_cmpuint (fixture->recorder->failures, ==, 0);
  WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == 0);
}

static void
test_target_refuses (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_refusing ();

  check_target_fails (mode, target, NULL, 0);
}

static void
test_target_unreachable (TcpTunnelMode mode)
{
  g_autoptr (Target) unused = target_new_refusing ();

  /* No TCP connection can be made to such an address, and no packet is sent. */
  check_target_fails (mode, unused, "255.255.255.255:9", 0);
}

static void
test_target_silent (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_silent ();

  check_target_fails (mode, target, NULL, test_scaled_ms (100));
}

/* If a client leaves while the target is being connected to, the gateway gives up that connection. */
static void
test_client_leaves_silent_target (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_silent ();
  g_autoptr (Fixture) fixture = resume_new (target, mode);
  int fd;

  g_object_set (fixture->gateway, "connect-timeout", 600000, NULL);
  fixture_start (fixture);
  fd = fixture_connect (fixture);
  WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == 1);
  client_reset (fd);
  WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == 0);
  expect_closed (fixture, 1, TCP_TUNNEL_ERROR_RESET);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_mode_test ("/resume-lost/gateway-restarted", test_gateway_restarted);
  g_test_add_func ("/resume-lost/idle-session", test_idle_session_lost);
  g_test_add_func ("/resume-lost/waiting-client", test_waiting_client_of_lost_session);
  add_mode_test ("/resume-lost/session-timeout", test_session_timeout);
  add_mode_test ("/resume-lost/back-in-time", test_back_in_time);
  add_mode_test ("/resume-lost/gateway-closes", test_gateway_closes);
  add_mode_test ("/resume-lost/attempts", test_attempts);
  add_mode_test ("/resume-lost/target-refuses", test_target_refuses);
  add_mode_test ("/resume-lost/target-unreachable", test_target_unreachable);
  add_mode_test ("/resume-lost/target-silent", test_target_silent);
  add_mode_test ("/resume-lost/client-leaves-silent-target", test_client_leaves_silent_target);

  return g_test_run ();
}
