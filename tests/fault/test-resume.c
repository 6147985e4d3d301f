/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* However and wherever the WebSocket breaks, each TCP connection continues, and each byte arrives once and in
 * order. */

#include "resume-rig.h"

static void
test_data (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  guint64 size = test_count (64, 8) * MIB;
  int fd = fixture_connect (fixture);

  client_echo_stream (fd, size, 1);
  client_finish (fd);
  client_expect_eof (fd);
  client_close (fd);
  expect_closed (fixture, 1, -1);
  g_assert_true (target_wait_open (target, 0));
  g_assert_cmpuint (target_get_counters (target).resets, ==, 0);

  g_assert_cmpuint (test_figure (fixture->tunnel, bytes_sent), ==, size);
  g_assert_cmpuint (test_figure (fixture->tunnel, bytes_received), ==, size);
  g_assert_cmpuint (test_figure (fixture->tunnel, resumes), ==, 0);
  g_assert_cmpuint (test_figure (fixture->tunnel, bytes_replayed), ==, 0);
  WAIT_UNTIL (test_figure (fixture->tunnel, unacknowledged_bytes) == 0);
  WAIT_UNTIL (test_figure (fixture->gateway, unacknowledged_bytes) == 0);
  WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == 0);
}

static void
check_survives (TcpTunnelMode mode,
                void (*strike) (FaultProxy *))
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  guint strikes = test_count (20, 5);
  int fd = fixture_connect (fixture);

  client_round_trip (fd, "before");
  for (guint i = 1; i <= strikes; i++)
    {
      strike (fixture->proxy);
      resume_expect (fixture, i);
      client_round_trip (fd, "after");
    }

  g_assert_cmpuint (test_figure (fixture->tunnel, resumes), ==, strikes);
  g_assert_cmpuint (test_figure (fixture->gateway, resumes), ==, strikes);
  g_assert_cmpuint (test_figure (fixture->tunnel, reconnects), ==, strikes);
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 1);
  g_assert_cmpuint (fixture->recorder->opened, ==, 1);
  g_assert_cmpuint (fixture->recorder->closed, ==, 0);
  client_close (fd);
  g_assert_true (target_wait_open (target, 0));
}

static void
test_survives_cut (TcpTunnelMode mode)
{
  check_survives (mode, fault_proxy_cut);
}

static void
test_survives_reset (TcpTunnelMode mode)
{
  check_survives (mode, fault_proxy_reset);
}

static void
half_open_at_tunnel (FaultProxy *proxy)
{
  fault_proxy_half_open (proxy, FAULT_TUNNEL_SIDE);
}

/* The gateway still has the old WebSocket when the new one arrives. */
static void
test_survives_half_open (TcpTunnelMode mode)
{
  check_survives (mode, half_open_at_tunnel);
}

/* Only a missing pong shows the break; the gateway keeps the old WebSocket until the new one replaces it. */
static void
test_black_hole (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (target, mode);
  int fd;

  g_object_set (fixture->tunnel,
                "keepalive-interval", 50, "keepalive-timeout", test_scaled_ms (200),
                "connect-timeout", test_scaled_ms (200), NULL);
  fd = resume_begin (fixture);
  for (guint i = 1; i <= 3; i++)
    {
      guint64 links = fault_proxy_get_counters (fixture->proxy).links_accepted;
      char kept[4];

      fault_proxy_black_hole (fixture->proxy, TRUE);
      client_write (fd, "kept", 4);
      /* At least one attempt is lost in the black hole as well. */
      g_assert_true (fault_proxy_wait_accepted (fixture->proxy, links + 2, TEST_DEADLINE_MS));
      fault_proxy_black_hole (fixture->proxy, FALSE);
      client_read (fd, kept, sizeof kept);
      g_assert_cmpmem (kept, sizeof kept, "kept", 4);
      resume_expect (fixture, i);
    }
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 1);
  client_close (fd);
}

static void
test_silent_link (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (target, mode);
  int fd;

  g_object_set (fixture->tunnel, "keepalive-interval", 50, "keepalive-timeout", test_scaled_ms (200), NULL);
  fd = resume_begin (fixture);
  fault_proxy_half_open (fixture->proxy, FAULT_GATEWAY_SIDE);
  client_round_trip (fd, "after");
  resume_expect (fixture, 1);
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 1);
  client_close (fd);
}

/* All buffers are full when the WebSocket breaks. */
static void
test_stall_up (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_sink ();
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  g_autofree char *expected = NULL;
  g_autofree char *digest = NULL;
  guint64 sent, more = 2 * MIB;
  int fd = fixture_connect (fixture);

  fault_proxy_stall (fixture->proxy, FAULT_UP, TRUE);
  sent = client_blast (fd, 256ull * MIB, 200);
  g_assert_cmpuint (sent, <, 256ull * MIB);
  fault_proxy_reset (fixture->proxy);
  fault_proxy_stall (fixture->proxy, FAULT_UP, FALSE);
  client_send_stream (fd, more, 0, sent);
  client_close (fd);

  g_assert_true (target_wait_bytes_in (target, sent + more));
  g_assert_true (target_wait_open (target, 0));
  expected = test_digest (sent + more, 0);
  digest = target_get_digest (target);
  g_assert_cmpstr (digest, ==, expected);
  g_assert_cmpuint (test_figure (fixture->tunnel, resumes), ==, 1);
  g_assert_cmpuint (test_figure (fixture->tunnel, bytes_replayed), >, 0);
}

static void
test_stall_down (TcpTunnelMode mode)
{
  guint64 size = 32 * MIB;
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  g_auto (Pair) pair = pair_open (fixture, target);
  guint64 sent;

  fault_proxy_stall (fixture->proxy, FAULT_DOWN, TRUE);
  sent = client_blast (pair.target, size, 200);
  g_assert_cmpuint (sent, <, size);
  fault_proxy_cut (fixture->proxy);
  fault_proxy_stall (fixture->proxy, FAULT_DOWN, FALSE);
  client_read_stream (pair.client, sent, 0, 0);
  g_assert_cmpuint (test_figure (fixture->tunnel, resumes), ==, 1);
  g_assert_cmpuint (test_figure (fixture->gateway, bytes_replayed), >, 0);
}

/* The WebSocket breaks at each of many offsets in the data. */
static void
check_cut_at_offsets (TcpTunnelMode mode,
                      FaultDirection direction)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  gsize size = 3000;
  guint cuts = 0;
  int fd = fixture_connect (fixture);

  for (guint offset = 1; offset < size; offset += offset < 80 ? test_count (1, 7) : test_count (97, 613))
    {
      fault_proxy_cut_after (fixture->proxy, direction, offset);
      client_echo_stream (fd, size, offset);
      cuts++;
    }

  WAIT_UNTIL (fault_proxy_get_counters (fixture->proxy).links_accepted > cuts);
  client_round_trip (fd, "after");
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 1);
  client_finish (fd);
  client_expect_eof (fd);
  client_close (fd);
  expect_closed (fixture, 1, -1);
}

static void
test_cut_at_offsets (TcpTunnelMode mode)
{
  check_cut_at_offsets (mode, FAULT_UP);
  check_cut_at_offsets (mode, FAULT_DOWN);
}

/* The next WebSocket breaks as well, during its opening or its first frames. */
static void
check_cut_in_handshake (TcpTunnelMode mode,
                        FaultDirection direction)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  guint cuts = 0;
  int fd = fixture_connect (fixture);

  for (guint offset = 1; offset < 700; offset += test_count (9, 71))
    {
      fault_proxy_reset (fixture->proxy);
      fault_proxy_cut_after (fixture->proxy, direction, offset);
      client_echo_stream (fd, 1000, offset);
      cuts += 2;
    }

  WAIT_UNTIL (fault_proxy_get_counters (fixture->proxy).links_accepted > cuts);
  client_round_trip (fd, "after");
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 1);
  client_close (fd);
}

static void
test_cut_in_handshake (TcpTunnelMode mode)
{
  check_cut_in_handshake (mode, FAULT_UP);
  check_cut_in_handshake (mode, FAULT_DOWN);
}

/* The WebSocket breaks while a connection is being opened, with a target that sends first. */
static void
check_server_speaks_first (TcpTunnelMode mode,
                           FaultDirection direction)
{
  static const char banner[] = "220 ready when you are\r\n";
  g_autoptr (Target) target = target_new_banner (banner);
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  guint opened = 0;

  for (guint offset = 1; offset < 700; offset += test_count (11, 83))
    {
      char heard[sizeof banner - 1];
      int fd;

      fault_proxy_cut_after (fixture->proxy, direction, offset);
      fd = client_connect (fixture_get_port (fixture));
      client_read (fd, heard, sizeof heard);
      g_assert_cmpmem (heard, sizeof heard, banner, sizeof heard);
      client_echo_stream (fd, 1000, offset);
      client_finish (fd);
      client_expect_eof (fd);
      client_close (fd);
      expect_closed (fixture, ++opened, -1);
      WAIT_UNTIL (test_figure (fixture->tunnel, open_connections) == 0);
    }

  g_assert_cmpuint (target_get_counters (target).accepted, ==, opened);
}

static void
test_server_speaks_first (TcpTunnelMode mode)
{
  check_server_speaks_first (mode, FAULT_UP);
  check_server_speaks_first (mode, FAULT_DOWN);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_long_mode_test ("/resume/data", test_data);
  add_long_mode_test ("/resume/survives-cut", test_survives_cut);
  add_long_mode_test ("/resume/survives-reset", test_survives_reset);
  add_long_mode_test ("/resume/survives-half-open", test_survives_half_open);
  add_long_mode_test ("/resume/black-hole", test_black_hole);
  add_long_mode_test ("/resume/silent-link", test_silent_link);
  add_long_mode_test ("/resume/stall-up", test_stall_up);
  add_long_mode_test ("/resume/stall-down", test_stall_down);
  add_long_mode_test ("/resume/cut-at-offsets", test_cut_at_offsets);
  add_long_mode_test ("/resume/cut-in-handshake", test_cut_in_handshake);
  add_long_mode_test ("/resume/server-speaks-first", test_server_speaks_first);

  return g_test_run ();
}
