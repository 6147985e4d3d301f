/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is logged at the end of connections: a warning for a loss, none for ends that happen every day, and nothing
 * that a peer could forge. */

#include "limits-rig.h"
#include "log-tap.h"
#include "resume-rig.h"
#include "stub-rig.h"
#include "tunnel-rig.h"

#include <string.h>
#include <sys/socket.h>

#define RAW_AND_TAGGED FIXTURE_PLAIN

/* The log */

/* Requires that no end was logged at this level or a more severe one. */
static void
expect_quiet (const char *level)
{
  const char *const levels[] = { "error", "warn", "info" };

  for (guint i = 0; i < G_N_ELEMENTS (levels); i++)
    {
      g_auto (GStrv) lines = log_tap_get (levels[i]);

      for (guint j = 0; lines[j] != NULL; j++)
        if (strstr (lines[j], "connection ") != NULL)
          g_test_message ("%s", lines[j]);
      g_assert_cmpuint (log_tap_count (levels[i], ": connection "), ==, 0);
      if (strcmp (levels[i], level) == 0)
        return;
    }
}

static guint
count_ends (const char *who)
{
  g_autofree char *text = g_strconcat (who, ": connection ", NULL);

  return log_tap_count ("", text) - log_tap_count ("", "was opened") / 2;
}

/* Waits until both ends have logged the end of @n connections. Each also logs that a connection was opened. */
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

  log_tap_clear ();
  fixture_start (fixture);
  return fixture;
}

/* With tagged, the connection to the target is opened only when the client has sent data. */
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

/* As with pgbench -C over TLS: the client sends its goodbye and closes; the server sends one too, which nobody
 * reads. */
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
  g_assert_null (tcp_tunnel_dup_last_error (fixture->tunnel));
}

static void
test_goodbyes (TcpTunnelMode mode)
{
  check_goodbyes (mode, FIXTURE_RESUMABLE);
  check_goodbyes (mode, RAW_AND_TAGGED);
}

/* A client that closes does not read the remaining data. */
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

/* The target closes with unread data. This is only reported if the client has not ended before. */
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
  LOG_TAP_EXPECT ("info", "broke", 2);
}

/* Connections that end because the tunnel is closed are not reported at its end. */
static void
check_closed (TcpTunnelMode mode,
              FixtureFlags flags)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = start (target, mode, flags);
  g_auto (Pair) pair G_GNUC_UNUSED = begin (fixture, target);

  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
  wait_for_ends (1);
  expect_quiet ("warn");
  g_assert_cmpuint (log_tap_count ("info", "tunnel: connection "), ==, 0);
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

  /* The connection may be reset already, since only tagged waits for data. */
  (void) !send (fd, "question", 8, MSG_NOSIGNAL);
  client_expect_end (fd);
  client_close (fd);
  WAIT_UNTIL (fixture->recorder->closed == 1);
  wait_for_ends (1);
  LOG_TAP_EXPECT ("warn gateway", "cannot be reached", 1);
  /* Tagged cannot transmit this. */
  if (mode != TCP_TUNNEL_MODE_MULTIPLEXED || flags & FIXTURE_RESUMABLE)
    LOG_TAP_EXPECT ("warn tunnel", "cannot be reached", 1);
}

static void
test_unreachable (TcpTunnelMode mode)
{
  check_unreachable (mode, FIXTURE_RESUMABLE);
  check_unreachable (mode, RAW_AND_TAGGED);
}

/* Raw and tagged have no half-close: the client does not get the answer that it waits for. */
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
  LOG_TAP_EXPECT ("warn tunnel", "no half-close", 1);
  g_assert_cmpuint (log_tap_count ("warn gateway", ""), ==, 0);

  /* A client that has closed both directions waits for nothing. */
  fd = fixture_connect (fixture);
  client_write (fd, "message", 7);
  far = target_accept (target);
  client_close (fd);
  client_expect_eof (far);
  client_close (far);
  expect_closed (fixture, 2, -1);
  LOG_TAP_EXPECT ("warn", "", 1);
}

/* The end is orderly, except for a target that reads on after its own end, as nginx does. */
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

/* Clients that are refused */

static void
test_refused_clients (void)
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
  LOG_TAP_EXPECT ("", "a TCP client was refused", 5);
  LOG_TAP_EXPECT ("warn", "a TCP client was refused", 1);
  LOG_TAP_EXPECT ("warn", "--mode auto", 1);
  client_round_trip (fd, "the first goes on");
  client_close (fd);
}

/* Text from peers */

/* A line like one of the log, a colour, a line break and a direction override of Unicode. */
#define FORGED "x\ngateway: all is well\033[2J\342\200\250y\342\200\256z"
#define SHOWN "x\\x0agateway: all is well\\x1b[2J\\u2028y\\u202ez"

static void
expect_clean (const char *text)
{
  g_assert_null (strpbrk (text, "\n\r\033"));
  g_assert_null (strstr (text, "\342\200\250"));
  g_assert_null (strstr (text, "\342\200\256"));
  g_assert_null (strstr (text, TEST_TOKEN));
  g_assert_null (strstr (text, "correct-horse"));
}

static void
expect_clean_log (const char *shown)
{
  g_auto (GStrv) lines = NULL;

  WAIT_UNTIL (log_tap_count ("", shown) > 0);
  lines = log_tap_get ("");
  for (guint i = 0; lines[i] != NULL; i++)
    expect_clean (lines[i]);
}

static void
test_forged_target (void)
{
  g_auto (LimitsRig) rig = limits_rig_new_started ();
  g_autoptr (ResumablePeer) peer = limits_rig_join (&rig);

  log_tap_clear ();
  resumable_send_text (peer, RESUMABLE_OPEN, 1, FORGED ":1");
  resumable_expect_reset (peer, 1, RESUMABLE_RESET_FORBIDDEN);
  expect_clean_log ("does not allow the target " SHOWN ":1");
}

/* The reasons of resets and of GOAWAY, in both directions. */
static void
test_forged_reset (void)
{
  g_auto (LimitsRig) rig = limits_rig_new_started ();
  g_autoptr (ResumablePeer) peer = limits_rig_join (&rig);

  log_tap_clear ();
  resumable_open (peer, 1);
  resumable_send_code (peer, RESUMABLE_RESET, 1, RESUMABLE_RESET_BROKEN, FORGED);
  expect_clean_log ("reset the connection: " SHOWN);

  log_tap_clear ();
  resumable_open (peer, 3);
  resumable_send_code (peer, RESUMABLE_GOAWAY, 0, RESUMABLE_GOAWAY_DONE, FORGED);
  expect_clean_log ("ended the session: " SHOWN);
}

static void
test_forged_by_gateway (void)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (TCP_TUNNEL_MODE_MULTIPLEXED);
  int fd = tunnel_rig_start (&rig);

  log_tap_clear ();
  g_object_set (rig.tunnel, "log-level", TCP_TUNNEL_LOG_LEVEL_DEBUG, NULL);
  resumable_send_code (rig.server, RESUMABLE_RESET, 1, RESUMABLE_RESET_BROKEN, FORGED " " TEST_TOKEN);
  WAIT_UNTIL (rig.recorder->closed == 1);
  g_assert_nonnull (strstr (rig.recorder->closed_error->message, SHOWN " [token]"));
  expect_clean (rig.recorder->closed_error->message);
  expect_clean_log ("reset the connection: " SHOWN " [token]");
  client_close (fd);
}

static void
test_forged_close (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = start (target, TCP_TUNNEL_MODE_MULTIPLEXED, RAW_AND_TAGGED);
  int fd = ws_connect (fixture_get_gateway_port (fixture), "/?mode=multiplexed", TEST_TOKEN);

  ws_send (fd, WS_BINARY, "\0\0\0\1hello", 9);
  client_close (target_accept (target));
  ws_send (fd, WS_CLOSE, "\x03\xf3" FORGED, 2 + strlen (FORGED));
  expect_clean_log (SHOWN);
  client_close (fd);
}

static void
test_echoed_token (void)
{
  const char *const phrases[] = {
    TEST_TOKEN " " FORGED,
    "You said correct-horse-bat",
    "You said Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ==",
  };

  for (guint i = 0; i < G_N_ELEMENTS (phrases); i++)
    {
      g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_MULTIPLEXED, "/");
      g_autofree char *phrase = g_strdelimit (g_strdup (phrases[i]), "\n", ' ');
      g_autofree char *answer = g_strdup_printf ("HTTP/1.1 403 %s\r\nContent-Length: 0\r\n\r\n", phrase);
      g_autoptr (GError) error = NULL;

      log_tap_clear ();
      http_stub_push_raw (rig.stub, answer);
      g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (rig.tunnel), NULL, &error));
      g_assert_nonnull (error);
      expect_clean (error->message);
      g_assert_nonnull (strstr (error->message, "[token]"));
      g_assert_null (strstr (error->message, "Y29ycmVj"));
    }
}

/* Long outages */

#define FAILURE "follows in "
#define BREAK "WebSocket ended without a closing handshake"

static void
set_short_delays (TcpTunnel *tunnel)
{
  g_object_set (tunnel, "reconnect-delay", 1, "max-reconnect-delay", 1, "max-reconnect-attempts", -1, NULL);
}

/* The first failures in a row are logged as warnings, later ones ever more rarely. */
static void
expect_few_warnings (void)
{
  g_auto (GStrv) lines = log_tap_get ("");
  guint failures = 0, warnings = 0, expected = 0;

  for (guint i = 0; lines[i] != NULL; i++)
    if (strstr (lines[i], FAILURE) != NULL)
      {
        failures++;
        expected += failures <= 6 || (failures & (failures - 1)) == 0;
        warnings += g_str_has_prefix (lines[i], "warn");
      }
  g_assert_cmpuint (warnings, ==, expected);
}

static void
test_outage (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");

  set_short_delays (rig.tunnel);
  for (guint i = 0; i < 60; i++)
    http_stub_push_answer (rig.stub, 503, NULL, NULL);
  http_stub_push_upgrade (rig.stub, NULL, "\x82\x01x", 3, TRUE);
  http_stub_push_answer (rig.stub, 503, NULL, NULL);
  log_tap_clear ();
  test_tunnel_start (rig.tunnel);

  /* Clients that give up and come again do not change this. */
  for (guint i = 1; i <= 3; i++)
    {
      int fd = client_connect (test_tunnel_get_port (rig.tunnel));

      g_assert_true (http_stub_wait_requests (rig.stub, 20 * i));
      if (i == 3)
        {
          guint8 byte;

          client_read (fd, &byte, 1);
          expect_few_warnings ();
          WAIT_UNTIL (log_tap_count ("", FAILURE) > 50);
          /* A break of a WebSocket that was useful is logged as a warning again. */
          log_tap_clear ();
          http_stub_drop_held (rig.stub);
          WAIT_UNTIL (log_tap_count ("", FAILURE) > 6);
          LOG_TAP_EXPECT ("warn", BREAK, 1);
          WAIT_UNTIL (log_tap_count ("warn", FAILURE) >= 6);
        }
      client_reset (fd);
      WAIT_UNTIL (rig.recorder->closed == i);
    }
}

/* A gateway, or a proxy in front of one, that accepts each WebSocket and ends it. */
static void
test_accepted_and_ended (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_MULTIPLEXED, "/");

  set_short_delays (rig.tunnel);
  http_stub_push_upgrade (rig.stub, NULL, NULL, 0, FALSE);
  log_tap_clear ();
  test_tunnel_start (rig.tunnel);
  g_assert_true (http_stub_wait_requests (rig.stub, 60));
  tcp_endpoint_close (TCP_ENDPOINT (rig.tunnel));
  WAIT_UNTIL (log_tap_count ("", FAILURE) > 50);
  /* On a slow machine, some WebSockets may last long enough to count as useful. */
  g_assert_cmpuint (log_tap_count ("warn", FAILURE), <, 30);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  log_tap_install ();

  add_mode_test ("/ends/goodbyes", test_goodbyes);
  add_mode_test ("/ends/client-leaves", test_client_leaves);
  add_mode_test ("/ends/target-leaves", test_target_leaves);
  add_mode_test ("/ends/tunnel-closed", test_tunnel_closed);
  add_mode_test ("/ends/unreachable", test_unreachable);
  add_mode_test ("/ends/missed-answer", test_missed_answer);
  add_mode_test ("/ends/target-half-closes", test_target_half_closes);
  g_test_add_func ("/ends/refused-clients", test_refused_clients);

  g_test_add_func ("/ends/outage", test_outage);
  g_test_add_func ("/ends/accepted-and-ended", test_accepted_and_ended);

  g_test_add_func ("/ends/forged-target", test_forged_target);
  g_test_add_func ("/ends/forged-reset", test_forged_reset);
  g_test_add_func ("/ends/forged-by-gateway", test_forged_by_gateway);
  g_test_add_func ("/ends/forged-close", test_forged_close);
  g_test_add_func ("/ends/echoed-token", test_echoed_token);

  return g_test_run ();
}
