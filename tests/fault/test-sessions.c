/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The gateway's side of the wire, spoken to by hand. */

#include "fixture.h"

#include <glib/gstdio.h>
#include <string.h>

#define SESSION_1 "/?sessionId=0a2f2b5e-5d0f-4a57-9c3e-7f1f0a7c9d11"
#define SESSION_2 "/?sessionId=1b2f2b5e-5d0f-4a57-9c3e-7f1f0a7c9d12"

typedef struct
{
  TcpGateway *gateway;
  char *token_file;
} Rig;

static Rig
rig_new (Target *target)
{
  g_autofree char *address = target_get_address (target);
  g_autoptr (GError) error = NULL;
  Rig rig = { .gateway = tcp_gateway_new (address) };
  int fd = g_file_open_tmp ("tcptunnel-test-XXXXXX", &rig.token_file, &error);

  g_assert_no_error (error);
  client_close (fd);
  g_file_set_contents (rig.token_file, "# who: what\n\nalice:alices-token\nbob:bobs-token\n", -1, &error);
  g_assert_no_error (error);
  g_object_set (rig.gateway, "token-file", rig.token_file, "log-level", TCP_TUNNEL_LOG_LEVEL_DEBUG, NULL);
  return rig;
}

static guint16
start (Rig *rig)
{
  g_autoptr (GError) error = NULL;

  tcp_gateway_start (rig->gateway, NULL, &error);
  g_assert_no_error (error);
  return g_inet_socket_address_get_port (tcp_gateway_get_local_address (rig->gateway));
}

static void
rig_clear (Rig *rig)
{
  tcp_gateway_close (rig->gateway);
  g_object_unref (rig->gateway);
  g_unlink (rig->token_file);
  g_free (rig->token_file);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Rig, rig_clear)

static void
ws_round_trip (int fd,
               const char *text)
{
  ws_send (fd, WS_BINARY, text, strlen (text));
  ws_expect (fd, text);
}

static void
test_kept_across_reconnect (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = rig_new (target);
  guint16 port = start (&rig);
  int fd = ws_connect (port, SESSION_1, "alices-token");

  ws_round_trip (fd, "before");
  for (guint i = 0; i < 5; i++)
    {
      if (i % 2 == 0)
        client_reset (fd);
      else
        client_close (fd);
      fd = ws_connect (port, SESSION_1, "alices-token");
      ws_round_trip (fd, "after");
    }
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 1);
  client_close (fd);
}

/* A stream that was cut must not go on with another connection to the target. */
static void
expect_gone (guint16 port)
{
  g_autofree char *body = NULL;

  /* A request that comes while it ends may still be let in, and is closed then. */
  WAIT_UNTIL ((g_free (body), http_get (port, SESSION_1, WS_UPGRADE "Authorization: Bearer alices-token\r\n", &body, NULL)) == 410);
  g_assert_cmpuint (strlen (body), >, 0);
}

static void
test_end_of_session (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = rig_new (target);
  guint16 port = start (&rig);
  int fd = ws_connect (port, SESSION_1, "alices-token");

  ws_round_trip (fd, "hello");
  ws_send (fd, WS_BINARY, "last", 4);
  ws_send_close (fd, 1000);
  g_assert_true (target_wait_bytes_in (target, 9));
  g_assert_true (target_wait_open (target, 0));
  g_assert_cmpuint (target_get_counters (target).resets, ==, 0);
  client_expect_end (fd);
  client_close (fd);
  expect_gone (port);
}

static void
test_expires (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = rig_new (target);
  guint16 port;
  int fd;

  g_object_set (rig.gateway, "session-timeout", 50, NULL);
  port = start (&rig);
  fd = ws_connect (port, SESSION_1, "alices-token");
  ws_round_trip (fd, "hello");
  client_reset (fd);
  g_assert_true (target_wait_open (target, 0));
  expect_gone (port);
}

/* The clock of a session runs only while it has no WebSocket. */
static void
test_does_not_expire_in_use (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = rig_new (target);
  guint16 port;
  int kept, lost;

  g_object_set (rig.gateway, "session-timeout", test_scaled_ms (200), NULL);
  port = start (&rig);
  kept = ws_connect (port, SESSION_1, "alices-token");
  ws_round_trip (kept, "hello");
  client_close (kept);
  kept = ws_connect (port, SESSION_1, "alices-token");
  ws_round_trip (kept, "again");

  /* When a later session has expired, so would have this one. */
  lost = ws_connect (port, SESSION_2, "alices-token");
  ws_round_trip (lost, "hello");
  client_close (lost);
  g_assert_true (target_wait_open (target, 1));
  ws_round_trip (kept, "still here");
  client_close (kept);
}

static void
test_other_principal (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = rig_new (target);
  g_autofree char *body = NULL;
  guint16 port = start (&rig);
  int fd = ws_connect (port, SESSION_1, "alices-token");

  ws_round_trip (fd, "hello");
  g_assert_cmpuint (http_get (port, SESSION_1, WS_UPGRADE "Authorization: Bearer bobs-token\r\n", &body, NULL), ==, 403);
  g_assert_cmpuint (strlen (body), >, 0);
  ws_round_trip (fd, "unharmed");
  client_reset (fd);

  /* Nor while nobody is there. */
  g_assert_cmpuint (http_get (port, SESSION_1, WS_UPGRADE "Authorization: Bearer bobs-token\r\n", NULL, NULL), ==, 403);
  fd = ws_connect (port, SESSION_1, "alices-token");
  ws_round_trip (fd, "back");
  client_close (fd);
}

static void
test_superseded (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = rig_new (target);
  guint16 port = start (&rig);
  int first = ws_connect (port, SESSION_1, "alices-token");
  int second;

  ws_round_trip (first, "one");
  second = ws_connect (port, SESSION_1, "alices-token");
  ws_expect_close (first, 4001);
  ws_round_trip (second, "two");
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 1);
  client_close (first);
  ws_round_trip (second, "three");
  client_close (second);
}

static void
test_target_ends (void)
{
  g_autoptr (Target) target = target_new_source (100000, 3);
  g_auto (Rig) rig = rig_new (target);
  guint16 port = start (&rig);
  int fd = ws_connect (port, SESSION_1, "alices-token");

  ws_expect_close (fd, 1000);
  client_close (fd);
  g_assert_true (target_wait_open (target, 0));
}

/* The target has ended, but the client never heard of it: its link is dead at that moment. What it
 * finds when it comes back must not be silence. */
static void
test_target_ended_unheard (void)
{
  g_autoptr (Target) target = target_new_source (100000, 3);
  g_auto (Rig) rig = rig_new (target);
  guint16 port = start (&rig);
  int first = ws_connect (port, SESSION_1, "alices-token");
  int second;
  guint status;

  ws_expect_close (first, 1000);
  status = http_get (port, SESSION_1, WS_UPGRADE "Authorization: Bearer alices-token\r\n", NULL, &second);
  /* No pong says that all of it arrived, so that the end is not to look orderly. */
  if (status == 101)
    ws_expect_close (second, 4002);
  else
    g_assert_cmpuint (status, ==, 410);
  client_close (second);
  client_close (first);
}

static void
test_target_broken (void)
{
  g_autoptr (Target) breaking = target_new_reset_after (3);
  g_autoptr (Target) refusing = target_new_refusing ();
  g_auto (Rig) rig = rig_new (breaking);
  g_autofree char *address = target_get_address (refusing);
  guint16 port = start (&rig);
  int fd = ws_connect (port, SESSION_1, "alices-token");

  ws_send (fd, WS_BINARY, "123", 3);
  ws_expect_close (fd, 4002);
  client_close (fd);

  tcp_gateway_close (rig.gateway);
  tcp_gateway_set_target (rig.gateway, address);
  port = start (&rig);
  fd = ws_connect (port, SESSION_1, "alices-token");
  ws_expect_close (fd, 4002);
  client_close (fd);
  WAIT_UNTIL (tcp_gateway_get_open_connections (rig.gateway) == 0);
}

static void
test_sessions_apart (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = rig_new (target);
  guint16 port = start (&rig);
  int alice = ws_connect (port, SESSION_1, "alices-token");
  int bob = ws_connect (port, SESSION_2, "bobs-token");

  ws_send (alice, WS_BINARY, "alice", 5);
  ws_send (bob, WS_BINARY, "bob", 3);
  ws_expect (bob, "bob");
  ws_expect (alice, "alice");
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 2);
  client_close (alice);
  client_close (bob);
}

static void
send_tagged (int fd,
             guint32 id,
             const char *payload)
{
  g_autofree guint8 *message = g_malloc (4 + strlen (payload));
  guint32 tag = GUINT32_TO_BE (id);

  memcpy (message, &tag, sizeof tag);
  memcpy (message + 4, payload, strlen (payload));
  ws_send (fd, WS_BINARY, message, 4 + strlen (payload));
}

static void
expect_tagged (int fd,
               guint32 id,
               const char *payload)
{
  guint opcode = 0;
  g_autoptr (GBytes) message = ws_receive (fd, &opcode);
  guint32 tag = GUINT32_TO_BE (id);
  gsize length;
  const guint8 *data;

  g_assert_nonnull (message);
  g_assert_cmpuint (opcode, ==, WS_BINARY);
  data = g_bytes_get_data (message, &length);
  g_assert_cmpmem (data, 4, &tag, 4);
  g_assert_cmpmem (data + 4, length - 4, payload, strlen (payload));
}

static void
check_tagged (const char *path_and_query)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = rig_new (target);
  guint16 port = start (&rig);
  int fd = ws_connect (port, path_and_query, "alices-token");

  /* What means nothing: too short, closes of ids that nobody opened, twice. */
  ws_send (fd, WS_BINARY, "\0\0\1", 3);
  send_tagged (fd, 7, "");
  send_tagged (fd, 7, "");

  send_tagged (fd, 1, "one");
  expect_tagged (fd, 1, "one");
  send_tagged (fd, 4294967295u, "last");
  expect_tagged (fd, 4294967295u, "last");
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 2);

  /* Closed here, closed there; a second close and late data do no harm and open nothing. */
  send_tagged (fd, 1, "");
  send_tagged (fd, 1, "");
  g_assert_true (target_wait_open (target, 1));
  send_tagged (fd, 1, "late");
  target_reset_all (target);
  g_assert_true (target_wait_open (target, 0));
  send_tagged (fd, 2, "two");
  for (;;)
    {
      guint opcode = 0;
      g_autoptr (GBytes) message = ws_receive (fd, &opcode);

      g_assert_nonnull (message);
      if (g_bytes_get_size (message) > 4)
        {
          g_assert_cmpmem (g_bytes_get_data (message, NULL), g_bytes_get_size (message), "\0\0\0\2two", 7);
          break;
        }
    }
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 3);
  client_close (fd);
  g_assert_true (target_wait_open (target, 0));
}

static void
test_tagged (void)
{
  check_tagged ("/?mode=multiplexed");
  check_tagged ("/?port=5555");
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/sessions/kept-across-reconnect", test_kept_across_reconnect);
  g_test_add_func ("/sessions/end-of-session", test_end_of_session);
  g_test_add_func ("/sessions/expires", test_expires);
  g_test_add_func ("/sessions/does-not-expire-in-use", test_does_not_expire_in_use);
  g_test_add_func ("/sessions/other-principal", test_other_principal);
  g_test_add_func ("/sessions/superseded", test_superseded);
  g_test_add_func ("/sessions/target-ends", test_target_ends);
  g_test_add_func ("/sessions/target-ended-unheard", test_target_ended_unheard);
  g_test_add_func ("/sessions/target-broken", test_target_broken);
  g_test_add_func ("/sessions/apart", test_sessions_apart);
  g_test_add_func ("/sessions/tagged", test_tagged);

  return g_test_run ();
}
