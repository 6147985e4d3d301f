/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What TCP connections do while there is no WebSocket is passed on as soon as there is one again. */

#include "resume-rig.h"

/* Each test runs with a gateway that has noticed the break, and with one that has not. */
static void (*const go_away[]) (Fixture *) = { resume_go_away, resume_go_away_unheard };

typedef void (*AwayTest) (Fixture *fixture,
                          Pair *pair);

static void
check_away (TcpTunnelMode mode,
            AwayTest test,
            int code)
{
  for (guint i = 0; i < G_N_ELEMENTS (go_away); i++)
    {
      g_autoptr (Target) target = target_new_manual ();
      g_autoptr (Fixture) fixture = resume_start (target, mode);
      g_auto (Pair) pair = pair_open (fixture, target);

      pair_round_trip (&pair);
      go_away[i] (fixture);
      test (fixture, &pair);
      expect_closed (fixture, 1, code);
      WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == 0);
      g_assert_cmpuint (test_figure (fixture->tunnel, resumes), ==, 1);
      WAIT_UNTIL (test_figure (fixture->tunnel, unacknowledged_bytes) == 0);
      WAIT_UNTIL (test_figure (fixture->gateway, unacknowledged_bytes) == 0);
    }
}

static void
finish_both (Pair *pair)
{
  client_finish (pair->client);
  client_finish (pair->target);
  client_expect_eof (pair->target);
  client_expect_eof (pair->client);
}

static void
data_both_ways (Fixture *fixture,
                Pair *pair)
{
  client_send_stream (pair->client, 50000, 1, 0);
  client_send_stream (pair->target, 50000, 2, 0);
  resume_come_back (fixture);
  client_read_stream (pair->client, 50000, 2, 0);
  client_read_stream (pair->target, 50000, 1, 0);
  pair_round_trip (pair);
  finish_both (pair);
}

static void
test_data_both_ways (TcpTunnelMode mode)
{
  check_away (mode, data_both_ways, -1);
}

static void
data_and_ends (Fixture *fixture,
               Pair *pair)
{
  client_send_stream (pair->client, 50000, 1, 0);
  client_send_stream (pair->target, 50000, 2, 0);
  client_finish (pair->client);
  client_finish (pair->target);
  resume_come_back (fixture);
  client_read_stream (pair->target, 50000, 1, 0);
  client_read_stream (pair->client, 50000, 2, 0);
  client_expect_eof (pair->target);
  client_expect_eof (pair->client);
}

static void
test_data_and_ends (TcpTunnelMode mode)
{
  check_away (mode, data_and_ends, -1);
}

static void
client_closes (Fixture *fixture,
               Pair *pair)
{
  client_send_stream (pair->client, 50000, 1, 0);
  client_close (pair->client);
  pair->client = -1;
  resume_come_back (fixture);
  client_read_stream (pair->target, 50000, 1, 0);
  client_expect_eof (pair->target);
  client_close (pair->target);
  pair->target = -1;
}

static void
test_client_closes (TcpTunnelMode mode)
{
  check_away (mode, client_closes, -1);
}

static void
client_resets (Fixture *fixture,
               Pair *pair)
{
  client_reset (pair->client);
  pair->client = -1;
  WAIT_UNTIL (fixture->recorder->closed == 1);
  resume_come_back (fixture);
  client_expect_reset (pair->target);
}

static void
test_client_resets (TcpTunnelMode mode)
{
  check_away (mode, client_resets, TCP_TUNNEL_ERROR_RESET);
}

static void
target_closes (Fixture *fixture,
               Pair *pair)
{
  client_send_stream (pair->target, 50000, 1, 0);
  client_close (pair->target);
  pair->target = -1;
  resume_come_back (fixture);
  client_read_stream (pair->client, 50000, 1, 0);
  client_expect_eof (pair->client);
  client_finish (pair->client);
}

static void
test_target_closes (TcpTunnelMode mode)
{
  check_away (mode, target_closes, -1);
}

static void
target_resets (Fixture *fixture,
               Pair *pair)
{
  client_reset (pair->target);
  pair->target = -1;
  WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == 0);
  resume_come_back (fixture);
  client_expect_reset (pair->client);
}

static void
test_target_resets (TcpTunnelMode mode)
{
  check_away (mode, target_resets, TCP_TUNNEL_ERROR_TARGET);
}

/* One side ends, and the other continues. */
static void
client_finishes (Fixture *fixture,
                 Pair *pair)
{
  client_finish (pair->client);
  client_send_stream (pair->target, 50000, 1, 0);
  resume_come_back (fixture);
  client_expect_eof (pair->target);
  client_read_stream (pair->client, 50000, 1, 0);
  client_send_stream (pair->target, 200000, 1, 50000);
  client_read_stream (pair->client, 200000, 1, 50000);
  client_finish (pair->target);
  client_expect_eof (pair->client);
}

static void
test_client_finishes (TcpTunnelMode mode)
{
  check_away (mode, client_finishes, -1);
}

static void
target_finishes (Fixture *fixture,
                 Pair *pair)
{
  client_finish (pair->target);
  client_send_stream (pair->client, 50000, 1, 0);
  resume_come_back (fixture);
  client_expect_eof (pair->client);
  client_read_stream (pair->target, 50000, 1, 0);
  client_send_stream (pair->client, 200000, 1, 50000);
  client_read_stream (pair->target, 200000, 1, 50000);
  client_finish (pair->client);
  client_expect_eof (pair->target);
}

static void
test_target_finishes (TcpTunnelMode mode)
{
  check_away (mode, target_finishes, -1);
}

/* Both ends reset the connection, and neither learns of the other's reset. */
static void
both_reset (Fixture *fixture,
            Pair *pair)
{
  client_reset (pair->client);
  client_reset (pair->target);
  pair->client = pair->target = -1;
  WAIT_UNTIL (fixture->recorder->closed == 1);
  WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == 0);
  resume_come_back (fixture);
  WAIT_UNTIL (test_figure (fixture->tunnel, resumes) == 1);
}

static void
test_both_reset (TcpTunnelMode mode)
{
  check_away (mode, both_reset, TCP_TUNNEL_ERROR_RESET);
}

/* While the first client waits for its WebSocket, a singleton tunnel refuses a second one. */
static void
test_second_client (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_start (target, TCP_TUNNEL_MODE_SINGLETON);
  int first = fixture_connect (fixture);
  int second;

  client_round_trip (first, "before");
  resume_go_away (fixture);
  second = client_connect (fixture_get_port (fixture));
  client_expect_end (second);
  client_close (second);
  resume_come_back (fixture);
  client_round_trip (first, "after");
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 1);
  client_close (first);
}

/* The client before has left, but the gateway could not be informed yet: the next one is accepted. */
static void
test_next_client (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = resume_start (target, TCP_TUNNEL_MODE_SINGLETON);
  Pair first = pair_open (fixture, target);
  char data[4];
  Pair next;

  pair_round_trip (&first);
  resume_go_away (fixture);
  client_send_stream (first.client, 50000, 1, 0);
  client_close (first.client);
  next.client = client_connect (fixture_get_port (fixture));
  client_write (next.client, "next", 4);
  resume_come_back (fixture);
  next.target = target_accept (target);
  client_read_stream (first.target, 50000, 1, 0);
  client_expect_eof (first.target);
  client_close (first.target);
  client_read (next.target, data, sizeof data);
  g_assert_cmpmem (data, sizeof data, "next", 4);
  pair_round_trip (&next);
  pair_clear (&next);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_mode_test ("/resume-away/data-both-ways", test_data_both_ways);
  add_mode_test ("/resume-away/data-and-ends", test_data_and_ends);
  add_mode_test ("/resume-away/client-closes", test_client_closes);
  add_mode_test ("/resume-away/client-resets", test_client_resets);
  add_mode_test ("/resume-away/client-finishes", test_client_finishes);
  add_mode_test ("/resume-away/target-closes", test_target_closes);
  add_mode_test ("/resume-away/target-resets", test_target_resets);
  add_mode_test ("/resume-away/target-finishes", test_target_finishes);
  add_mode_test ("/resume-away/both-reset", test_both_reset);
  g_test_add_func ("/resume-away/second-client", test_second_client);
  g_test_add_func ("/resume-away/next-client", test_next_client);

  return g_test_run ();
}
