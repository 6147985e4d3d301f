/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the log has of ends: a warning for a loss, none for what programs do with connections
 * every day. */

#include "resume-rig.h"

#include <string.h>
#include "monitor.h"

#define RAW_AND_TAGGED FIXTURE_PLAIN

/* The log */

static Monitor monitor;
static GPtrArray *lines; /* "LEVEL message" */

static GLogWriterOutput
write_log (GLogLevelFlags flags,
           const GLogField *fields,
           gsize n_fields,
           gpointer user_data)
{
  const char *level = NULL, *message = NULL;

  for (gsize i = 0; i < n_fields; i++)
    {
      if (strcmp (fields[i].key, "TCP_TUNNEL_LEVEL") == 0)
        level = fields[i].value;
      else if (strcmp (fields[i].key, "MESSAGE") == 0)
        message = fields[i].value;
    }
  if (level == NULL)
    return g_log_writer_default (flags, fields, n_fields, user_data);

  monitor_enter (&monitor);
  g_ptr_array_add (lines, g_strdup_printf ("%s %s", level, message));
  monitor_changed (&monitor);
  monitor_leave (&monitor);
  return G_LOG_WRITER_HANDLED;
}

static guint
log_count (const char *level,
           const char *text)
{
  guint n = 0;

  monitor_enter (&monitor);
  for (guint i = 0; i < lines->len; i++)
    n += g_str_has_prefix (lines->pdata[i], level) && strstr (lines->pdata[i], text) != NULL;
  monitor_leave (&monitor);
  return n;
}

static void
log_clear (void)
{
  monitor_enter (&monitor);
  g_ptr_array_set_size (lines, 0);
  monitor_leave (&monitor);
}

/* None of the level, or of a graver one. */
static void
expect_quiet (const char *level)
{
  const char *const levels[] = { "error", "warn", "info" };

  for (guint i = 0; i < G_N_ELEMENTS (levels); i++)
    {
      monitor_enter (&monitor);
      for (guint j = 0; j < lines->len; j++)
        if (g_str_has_prefix (lines->pdata[j], levels[i]) && strstr (lines->pdata[j], "connection ") != NULL)
          g_test_message ("%s", (char *) lines->pdata[j]);
      monitor_leave (&monitor);
      g_assert_cmpuint (log_count (levels[i], ": connection "), ==, 0);
      if (strcmp (levels[i], level) == 0)
        return;
    }
}

static guint
count_ends (const char *who)
{
  g_autofree char *text = g_strconcat (who, ": connection ", NULL);

  return log_count ("", text) - log_count ("", "was opened") / 2;
}

/* Both ends have logged that as many connections ended, each after both have logged that it
 * was opened. */
static void
wait_for_ends (guint n)
{
  WAIT_UNTIL (count_ends ("tunnel") >= n && count_ends ("gateway") >= n);
}

static Fixture *
start (Target *target,
       TcpTunnelMode mode,
       FixtureFlags flags)
{
  Fixture *fixture = fixture_new (target, mode, flags);

  log_clear ();
  fixture_start (fixture);
  return fixture;
}

/* Tagged opens nothing before the client has said something. */
static Pair
begin (Fixture *fixture,
       Target *target)
{
  Pair pair = { .client = fixture_connect (fixture) };
  char hello[5];

  client_write (pair.client, "hello", 5);
  pair.target = target_accept (target);
  client_read (pair.target, hello, sizeof hello);
  pair_round_trip (&pair);
  return pair;
}

/* Ordinary ends */

/* pgbench -C, over TLS: the client says goodbye and goes; the server says so too, to nobody. */
static void
check_goodbyes (TcpTunnelMode mode,
                FixtureFlags flags)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = start (target, mode, flags);
  guint n = test_count (50, 10);

  for (guint i = 1; i <= n; i++)
    {
      Pair pair = begin (fixture, target);

      client_write (pair.client, "goodbye", 7);
      client_close (pair.client);
      client_expect_eof (pair.target);
      client_push (pair.target, "goodbye", 7, 0);
      client_close (pair.target);
      WAIT_UNTIL (fixture->recorder->closed == i);
    }
  wait_for_ends (n);
  expect_quiet ("info");
  g_assert_null (tcp_tunnel_get_last_error (fixture->tunnel));
}

static void
test_goodbyes (TcpTunnelMode mode)
{
  check_goodbyes (mode, FIXTURE_RESUMABLE);
  check_goodbyes (mode, RAW_AND_TAGGED);
}

/* One that leaves does not read the rest. */
static void
check_leaves (TcpTunnelMode mode,
              FixtureFlags flags,
              void (*leave) (int))
{
  g_autoptr (Target) target = target_new_source (64 * MIB, 1);
  g_autoptr (Fixture) fixture = start (target, mode, flags);
  int fd = fixture_connect (fixture);

  client_write (fd, "question", 8);
  client_read_stream (fd, 1000, 1, 0);
  leave (fd);
  WAIT_UNTIL (fixture->recorder->closed == 1);
  wait_for_ends (1);
  expect_quiet ("info");
}

static void
test_client_leaves (TcpTunnelMode mode)
{
  check_leaves (mode, FIXTURE_RESUMABLE, client_close);
  check_leaves (mode, FIXTURE_RESUMABLE, client_reset);
  check_leaves (mode, RAW_AND_TAGGED, client_close);
  check_leaves (mode, RAW_AND_TAGGED, client_reset);
}

/* The target closes what it has not read. Before the client has ended, that may be news. */
static void
test_target_leaves (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = start (target, mode, FIXTURE_RESUMABLE);
  Pair pair = begin (fixture, target);

  client_finish (pair.client);
  client_expect_eof (pair.target);
  client_reset (pair.target);
  client_expect_reset (pair.client);
  client_close (pair.client);
  expect_closed (fixture, 1, TCP_TUNNEL_ERROR_TARGET);
  wait_for_ends (1);
  expect_quiet ("info");

  pair = begin (fixture, target);
  client_reset (pair.target);
  client_expect_reset (pair.client);
  client_close (pair.client);
  expect_closed (fixture, 2, TCP_TUNNEL_ERROR_TARGET);
  wait_for_ends (2);
  expect_quiet ("warn");
  g_assert_cmpuint (log_count ("info", "broke"), ==, 2);
}

/* Whoever closes the tunnel knows that its connections end. */
static void
check_closed (TcpTunnelMode mode,
              FixtureFlags flags)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = start (target, mode, flags);
  g_auto (Pair) pair = begin (fixture, target);

  tcp_tunnel_close (fixture->tunnel);
  wait_for_ends (1);
  expect_quiet ("warn");
  g_assert_cmpuint (log_count ("info", "tunnel: connection "), ==, 0);
}

static void
test_tunnel_closed (TcpTunnelMode mode)
{
  check_closed (mode, FIXTURE_RESUMABLE);
  check_closed (mode, RAW_AND_TAGGED);
}

/* Losses */

static void
check_unreachable (TcpTunnelMode mode,
                   FixtureFlags flags)
{
  g_autoptr (Target) target = target_new_refusing ();
  g_autoptr (Fixture) fixture = start (target, mode, flags);
  int fd = fixture_connect (fixture);

  client_write (fd, "question", 8);
  client_expect_end (fd);
  client_close (fd);
  WAIT_UNTIL (fixture->recorder->closed == 1);
  wait_for_ends (1);
  g_assert_cmpuint (log_count ("warn gateway", "cannot be reached"), ==, 1);
  /* Tagged cannot say it. */
  if (mode == TCP_TUNNEL_MODE_SINGLETON || flags & FIXTURE_RESUMABLE)
    g_assert_cmpuint (log_count ("warn tunnel", "cannot be reached"), ==, 1);
}

static void
test_unreachable (TcpTunnelMode mode)
{
  check_unreachable (mode, FIXTURE_RESUMABLE);
  check_unreachable (mode, RAW_AND_TAGGED);
}

/* Raw and tagged have no half-close: what the client waits for does not come. */
static void
test_missed_answer (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = start (target, mode, RAW_AND_TAGGED);
  int fd = fixture_connect (fixture);
  int far;

  client_write (fd, "question", 8);
  far = target_accept (target);
  client_finish (fd);
  client_expect_reset (fd);
  client_close (fd);
  client_close (far);
  expect_closed (fixture, 1, TCP_TUNNEL_ERROR_LOST);
  g_assert_cmpuint (log_count ("warn tunnel", "no half-close"), ==, 1);
  g_assert_cmpuint (log_count ("warn gateway", ""), ==, 0);

  /* One that has closed both directions waits for nothing. */
  fd = fixture_connect (fixture);
  client_write (fd, "message", 7);
  far = target_accept (target);
  client_close (fd);
  client_close (far);
  expect_closed (fixture, 2, -1);
  g_assert_cmpuint (log_count ("warn", ""), ==, 1);
}

/* In order, but for a target that reads on after its end, as nginx does. */
static void
test_target_half_closes (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = start (target, mode, RAW_AND_TAGGED);
  int fd = fixture_connect (fixture);
  int far;
  char answer[6];

  client_write (fd, "question", 8);
  far = target_accept (target);
  client_write (far, "answer", 6);
  client_finish (far);
  client_read (fd, answer, sizeof answer);
  client_expect_eof (fd);
  client_close (fd);
  client_close (far);
  expect_closed (fixture, 1, -1);
  wait_for_ends (1);
  expect_quiet ("info");
}

/* Clients that are turned away */

static void
test_turned_away (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_RESUMABLE);
  int fd = fixture_connect (fixture);

  for (guint i = 0; i < 5; i++)
    {
      int other = client_connect (fixture_get_port (fixture));

      client_expect_end (other);
      client_close (other);
    }
  g_assert_cmpuint (log_count ("", "turned away"), ==, 5);
  g_assert_cmpuint (log_count ("warn", "turned away"), ==, 1);
  g_assert_cmpuint (log_count ("warn", "--mode multiplexed"), ==, 1);
  client_round_trip (fd, "the first goes on");
  client_close (fd);
}

int
main (int argc,
      char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  monitor_init (&monitor);
  lines = g_ptr_array_new_with_free_func (g_free);
  g_log_set_writer_func (write_log, NULL, NULL);

  add_mode_test ("/ends/goodbyes", test_goodbyes);
  add_mode_test ("/ends/client-leaves", test_client_leaves);
  add_mode_test ("/ends/target-leaves", test_target_leaves);
  add_mode_test ("/ends/tunnel-closed", test_tunnel_closed);
  add_mode_test ("/ends/unreachable", test_unreachable);
  add_mode_test ("/ends/missed-answer", test_missed_answer);
  add_mode_test ("/ends/target-half-closes", test_target_half_closes);
  g_test_add_func ("/ends/turned-away", test_turned_away);

  status = g_test_run ();
  g_ptr_array_unref (lines);
  monitor_clear (&monitor);
  return status;
}
