/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The end of one direction does not affect the other. */

#include "resume-rig.h"

static guint64
get_size (void)
{
  return test_count (16, 2) * MIB;
}

/* As with printf … | nc -N: the client sends all that it has, and reads the answer. */
static void
test_ask_and_finish (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_start (target, mode);

  for (guint i = 1; i <= test_count (50, 10); i++)
    {
      char answer[8];
      int fd = client_connect (fixture_get_port (fixture));

      client_write (fd, "question", 8);
      client_finish (fd);
      client_read (fd, answer, sizeof answer);
      g_assert_cmpmem (answer, sizeof answer, "question", 8);
      client_expect_eof (fd);
      client_close (fd);
      expect_closed (fixture, i, -1);
      WAIT_UNTIL (test_figure (fixture->tunnel, open_connections) == 0);
    }
  g_assert_true (target_wait_open (target, 0));
  g_assert_cmpuint (target_get_counters (target).resets, ==, 0);
}

/* A connection that transfers only a FIN in each direction. */
static void
test_nothing_but_ends (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  g_auto (Pair) pair = pair_open (fixture, target);

  client_finish (pair.client);
  client_expect_eof (pair.target);
  client_finish (pair.target);
  client_expect_eof (pair.client);
  expect_closed (fixture, 1, -1);
}

/* As in HTTP/1.0: the target closes after its answer. */
static void
test_http_1_0 (TcpTunnelMode mode)
{
  guint64 size = get_size ();
  g_autoptr (Target) target = target_new_source (size, 3);
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  int fd = fixture_connect (fixture);

  client_write (fd, "GET / HTTP/1.0\r\n\r\n", 18);
  client_read_stream (fd, size, 3, 0);
  client_expect_eof (fd);
  client_close (fd);
  expect_closed (fixture, 1, -1);
  g_assert_true (target_wait_open (target, 0));
  g_assert_cmpuint (target_get_counters (target).resets, ==, 0);
  g_assert_cmpuint (target_get_counters (target).bytes_in, ==, 18);
}

static void
check_upload_after_end (TcpTunnelMode mode,
                        guint64 cut_after)
{
  guint64 size = get_size ();
  g_autoptr (Target) target = target_new_source (1000, 3);
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  g_autofree char *expected = test_digest (size, 7);
  g_autofree char *digest = NULL;
  int fd = fixture_connect (fixture);

  client_read_stream (fd, 1000, 3, 0);
  client_expect_eof (fd);
  if (cut_after > 0)
    fault_proxy_cut_after (fixture->proxy, FAULT_UP, cut_after);
  client_send_stream (fd, size, 7, 0);
  client_finish (fd);
  expect_closed (fixture, 1, -1);
  client_close (fd);
  g_assert_true (target_wait_open (target, 0));
  digest = target_get_digest (target);
  g_assert_cmpstr (digest, ==, expected);
  g_assert_cmpuint (test_figure (fixture->tunnel, resumes), ==, cut_after > 0);
}

static void
test_upload_after_end (TcpTunnelMode mode)
{
  check_upload_after_end (mode, 0);
  check_upload_after_end (mode, MIB + 123);
}

static void
check_download_after_end (TcpTunnelMode mode,
                          guint64 cut_after)
{
  guint64 size = get_size ();
  g_autoptr (Target) target = target_new_answer (size, 5);
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  g_autofree char *expected = test_digest (1000, 7);
  g_autofree char *digest = NULL;
  int fd = fixture_connect (fixture);

  if (cut_after > 0)
    fault_proxy_cut_after (fixture->proxy, FAULT_DOWN, cut_after);
  client_send_stream (fd, 1000, 7, 0);
  client_finish (fd);
  client_read_stream (fd, size, 5, 0);
  client_expect_eof (fd);
  client_close (fd);
  expect_closed (fixture, 1, -1);
  g_assert_true (target_wait_open (target, 0));
  digest = target_get_digest (target);
  g_assert_cmpstr (digest, ==, expected);
  g_assert_cmpuint (test_figure (fixture->tunnel, resumes), ==, cut_after > 0);
}

static void
test_download_after_end (TcpTunnelMode mode)
{
  check_download_after_end (mode, 0);
  check_download_after_end (mode, MIB + 123);
}

/* As with rsync and git: one side continues after the other has ended. */
static void
check_ends_and_cuts (TcpTunnelMode mode,
                     FaultDirection direction)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  guint closed = 0;

  /* A connection transfers little more than its ends: it is cut at every byte. */
  for (guint offset = 1; offset < 80; offset += test_count (1, 9))
    {
      g_auto (Pair) pair = pair_open (fixture, target);
      gboolean client_first = offset % 2 == 0;
      int first = client_first ? pair.client : pair.target;
      int second = client_first ? pair.target : pair.client;

      pair_round_trip (&pair);
      fault_proxy_cut_after (fixture->proxy, direction, offset);
      client_send_stream (first, 100, 1, 0);
      client_finish (first);
      client_read_stream (second, 100, 1, 0);
      client_expect_eof (second);
      client_send_stream (second, 100, 2, 0);
      client_finish (second);
      client_read_stream (first, 100, 2, 0);
      client_expect_eof (first);
      expect_closed (fixture, ++closed, -1);
      WAIT_UNTIL (test_figure (fixture->tunnel, open_connections) == 0);
    }
  WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == 0);
}

static void
test_ends_and_cuts (TcpTunnelMode mode)
{
  check_ends_and_cuts (mode, FAULT_UP);
  check_ends_and_cuts (mode, FAULT_DOWN);
}

/* A side resets the connection after the other has ended its direction in order. */
static void
test_reset_after_end (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  Pair pair = pair_open (fixture, target);

  client_finish (pair.client);
  client_expect_eof (pair.target);
  client_reset (pair.target);
  client_expect_reset (pair.client);
  client_close (pair.client);
  expect_closed (fixture, 1, TCP_TUNNEL_ERROR_TARGET);
  WAIT_UNTIL (test_figure (fixture->tunnel, open_connections) == 0);

  pair = pair_open (fixture, target);
  client_finish (pair.target);
  client_expect_eof (pair.client);
  client_reset (pair.client);
  client_expect_reset (pair.target);
  client_close (pair.target);
  expect_closed (fixture, 2, TCP_TUNNEL_ERROR_RESET);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_mode_test ("/half-close/ask-and-finish", test_ask_and_finish);
  add_mode_test ("/half-close/nothing-but-ends", test_nothing_but_ends);
  add_mode_test ("/half-close/http-1.0", test_http_1_0);
  add_mode_test ("/half-close/upload-after-end", test_upload_after_end);
  add_mode_test ("/half-close/download-after-end", test_download_after_end);
  add_mode_test ("/half-close/ends-and-cuts", test_ends_and_cuts);
  add_mode_test ("/half-close/reset-after-end", test_reset_after_end);

  return g_test_run ();
}
