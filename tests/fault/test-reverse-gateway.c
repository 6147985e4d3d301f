/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A gateway that listens for its clients, which the test operates: its answers, the state of the port, and the TCP
 * clients that connect there. */

#include "client.h"
#include "endpoint.h"
#include "log-tap.h"
#include "resumable-peer.h"
#include "socket-util.h"
#include "targets.h"
#include "test-util.h"
#include "ws-client.h"

#include <glib/gstdio.h>
#include <string.h>
#include <tcptunnel/tcptunnel.h>
#include <unistd.h>

#define ALICE "alices-token"
#define BOB "bobs-token"

typedef struct
{
  TcpGateway *gateway;
  char *token_file;
  guint16 port;
  guint16 reverse_port; /* on which it may listen, */
  guint16 taken_port;   /* and this one as well, which is in use */
  int taken;
} Rig;

/* The gateway is not started, and has no ports to listen on. */
static Rig
rig_prepare (void)
{
  Rig rig = { .gateway = tcp_gateway_new ("127.0.0.1:9") };
  g_autoptr (GError) error = NULL;
  int fd = g_file_open_tmp ("tcptunnel-test-XXXXXX", &rig.token_file, &error);

  g_assert_no_error (error);
  close (fd);
  g_file_set_contents (rig.token_file, "alice:" ALICE "\nbob:" BOB "\n", -1, &error);
  g_assert_no_error (error);
  rig.reverse_port = socket_find_port ();
  rig.taken = socket_listen (0, &rig.taken_port);
  g_object_set (rig.gateway, "token-file", rig.token_file, "log-level", TCP_TUNNEL_LOG_LEVEL_DEBUG, NULL);
  return rig;
}

static void
rig_start (Rig *rig)
{
  g_autoptr (GError) error = NULL;

  tcp_endpoint_start (TCP_ENDPOINT (rig->gateway), NULL, &error);
  g_assert_no_error (error);
  rig->port = test_port_of (rig->gateway);
}

static Rig
rig_new_with (const char *property,
              guint       value)
{
  Rig rig = rig_prepare ();
  g_autofree char *first = g_strdup_printf ("%u", rig.reverse_port);
  g_autofree char *second = g_strdup_printf ("%u-%u", rig.taken_port, rig.taken_port);

  g_object_set (rig.gateway, "reverse-ports", (const char *[]) { first, second, NULL }, property, value, NULL);
  rig_start (&rig);
  return rig;
}

static Rig
rig_new (void)
{
  return rig_new_with ("max-connections", 1000);
}

static void
rig_clear (Rig *rig)
{
  tcp_endpoint_close (TCP_ENDPOINT (rig->gateway));
  g_object_unref (rig->gateway);
  g_unlink (rig->token_file);
  g_free (rig->token_file);
  close (rig->taken);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Rig, rig_clear)

static ResumablePeer *
join_as (Rig        *rig,
         const char *token)
{
  ResumablePeer *peer = resumable_client_new (rig->port, token, TRUE);

  peer->hello.flags = RESUMABLE_LISTENERS;
  resumable_client_connect (peer);
  resumable_say_hello (peer);
  g_assert_cmpuint (peer->heard.flags, ==, RESUMABLE_LISTENERS);
  return peer;
}

static ResumablePeer *
join (Rig *rig)
{
  return join_as (rig, ALICE);
}

static void
rejoin (ResumablePeer *peer)
{
  resumable_client_connect (peer);
  resumable_say_hello (peer);
}

static void
expect_listening (ResumablePeer *peer,
                  guint32        listener,
                  guint16        port)
{
  ResumableFrame frame = resumable_expect (peer, RESUMABLE_LISTENING, listener);

  g_assert_cmpuint (frame.payload[0] << 8 | frame.payload[1], ==, port);
  g_assert_cmpmem (frame.payload + 2, frame.length - 2, "127.0.0.1", 9);
}

static void
ask (ResumablePeer *peer,
     guint32        listener,
     guint16        port)
{
  resumable_send_port (peer, RESUMABLE_LISTEN, listener, port, "a service");
}

/* Returns a client for which the gateway listens on the port. */
static ResumablePeer *
join_and_listen (Rig *rig)
{
  ResumablePeer *peer = join (rig);

  ask (peer, 1, rig->reverse_port);
  expect_listening (peer, 1, rig->reverse_port);
  return peer;
}

static void
expect_unlistened (ResumablePeer *peer,
                   guint32        listener,
                   guint32        code)
{
  ResumableFrame frame = resumable_expect (peer, RESUMABLE_UNLISTEN, listener);

  g_assert_cmpuint (resumable_get_u32 (&frame), ==, code);
}

static void
expect_arrival (ResumablePeer *peer,
                guint32        id,
                guint32        listener)
{
  ResumableFrame frame = resumable_expect (peer, RESUMABLE_OPEN, id);
  g_autofree char *from = NULL;

  g_assert_cmpuint (frame.length, >, 4);
  g_assert_cmpuint (resumable_get_u32 (&frame), ==, listener);
  from = g_strndup ((const char *) frame.payload + 4, frame.length - 4);
  g_assert_true (g_str_has_prefix (from, "127.0.0.1:"));
}

static gboolean
is_refused (guint16 port)
{
  int fd;
  int code = client_try_connect (port, &fd);

  if (code == 0)
    client_close (fd);
  return code != 0;
}

/* The service sends first, both directions transfer data, and each ends on its own. */
static void
test_connections (void)
{
  g_auto (Rig) rig = rig_new ();
  g_autoptr (ResumablePeer) peer = join_and_listen (&rig);
  int first = client_connect (rig.reverse_port);
  int second;
  char banner[4];
  char answer[4];

  expect_arrival (peer, 2, 1);
  resumable_send (peer, RESUMABLE_OPENED, 2, NULL, 0);
  resumable_send_text (peer, RESUMABLE_DATA, 2, "220\n");
  client_read (first, banner, sizeof banner);
  g_assert_cmpmem (banner, sizeof banner, "220\n", 4);

  second = client_connect (rig.reverse_port);
  expect_arrival (peer, 4, 1);
  client_write (second, "ping", 4);
  resumable_expect_data (peer, 4, "ping");
  client_finish (first);
  resumable_expect (peer, RESUMABLE_FIN, 2);
  resumable_send_text (peer, RESUMABLE_DATA, 2, "late");
  client_read (first, answer, sizeof answer);
  resumable_send (peer, RESUMABLE_FIN, 2, NULL, 0);
  resumable_send_ack (peer, peer->taken);
  client_expect_eof (first);
  client_close (first);

  resumable_send_code (peer, RESUMABLE_RESET, 4, RESUMABLE_RESET_REFUSED, "nobody is there");
  client_expect_reset (second);
  client_close (second);
}

static void
test_answers (void)
{
  g_auto (Rig) rig = rig_new ();
  g_autoptr (ResumablePeer) peer = join (&rig);
  g_autoptr (ResumablePeer) bob = join_as (&rig, BOB);

  ask (peer, 1, 1);
  expect_unlistened (peer, 1, RESUMABLE_RESET_FORBIDDEN);
  ask (peer, 2, rig.taken_port);
  expect_unlistened (peer, 2, RESUMABLE_RESET_IN_USE);
  ask (peer, 5, 0);
  expect_listening (peer, 5, rig.reverse_port);
  ask (peer, 6, 0);
  expect_unlistened (peer, 6, RESUMABLE_RESET_IN_USE);
  /* The request of another principal does not even wait for the port. */
  ask (bob, 1, rig.reverse_port);
  expect_unlistened (bob, 1, RESUMABLE_RESET_IN_USE);
  ask (bob, 2, 0);
  expect_unlistened (bob, 2, RESUMABLE_RESET_IN_USE);

  resumable_send_code (peer, RESUMABLE_UNLISTEN, 5, RESUMABLE_RESET_CLOSED, "enough");
  ask (peer, 7, rig.taken_port);
  expect_unlistened (peer, 7, RESUMABLE_RESET_IN_USE);
  g_assert_true (is_refused (rig.reverse_port));
  ask (bob, 3, rig.reverse_port);
  expect_listening (bob, 3, rig.reverse_port);
}

/* A client that has not announced listeners in its HELLO cannot have any. */
static void
test_not_agreed (void)
{
  g_auto (Rig) rig = rig_new ();
  g_autoptr (ResumablePeer) peer = resumable_client_start (rig.port, ALICE, TRUE);

  ask (peer, 1, rig.reverse_port);
  resumable_expect_confirmed (peer);
  g_assert_true (is_refused (rig.reverse_port));
}

/* TCP clients that connect while there is no WebSocket wait for the next one. */
static void
test_away (void)
{
  g_auto (Rig) rig = rig_new ();
  g_autoptr (ResumablePeer) peer = join_and_listen (&rig);
  char text[5];
  int fds[3];

  resumable_expect_confirmed (peer);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      resumable_reset (peer);
      fds[i] = client_connect (rig.reverse_port);
      client_write (fds[i], "hello", 5);
      rejoin (peer);
      expect_arrival (peer, 2 * (i + 1), 1);
      resumable_expect_data (peer, 2 * (i + 1), "hello");
      resumable_send_text (peer, RESUMABLE_DATA, 2 * (i + 1), "hello");
      resumable_send_ack (peer, peer->taken);
      client_read (fds[i], text, sizeof text);
      g_assert_cmpmem (text, sizeof text, "hello", 5);
    }
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    client_close (fds[i]);
}

static void
rig_reload (Rig        *rig,
            const char *tokens)
{
  g_autoptr (GError) error = NULL;

  g_file_set_contents (rig->token_file, tokens, -1, &error);
  g_assert_no_error (error);
  test_reload_gateway (rig->gateway);
}

/* While a client has no WebSocket, its token is revoked or expires: the gateway does not listen for it any more. With
 * another token, the client resumes its session and asks again. */
static void
check_lapsed (gboolean expires)
{
  g_auto (Rig) rig = rig_new ();
  g_autoptr (ResumablePeer) peer = NULL;
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autoptr (GDateTime) soon = g_date_time_add (now, test_scaled_ms (1000) * G_TIME_SPAN_MILLISECOND);
  g_autofree char *time = g_date_time_format_iso8601 (soon);
  g_autofree char *tokens = g_strdup_printf ("alice:" ALICE " expires=%s\nalice:another\n", time);
  guint before = log_tap_count ("debug", "the listeners of the client alice end");

  if (expires)
    rig_reload (&rig, tokens);
  peer = join_and_listen (&rig);
  resumable_expect_confirmed (peer);
  resumable_reset (peer);
  if (!expires)
    rig_reload (&rig, "alice:another\n");
  WAIT_UNTIL (log_tap_count ("debug", "the listeners of the client alice end") == before + 1);
  WAIT_UNTIL (is_refused (rig.reverse_port));

  g_free (peer->token);
  peer->token = g_strdup ("another");
  rejoin (peer);
  expect_unlistened (peer, 1, RESUMABLE_RESET_BROKEN);
  ask (peer, 2, rig.reverse_port);
  expect_listening (peer, 2, rig.reverse_port);
  client_close (client_connect (rig.reverse_port));
  expect_arrival (peer, 2, 2);
}

static void
test_revoked_away (void)
{
  check_lapsed (FALSE);
}

static void
test_expired_away (void)
{
  check_lapsed (TRUE);
}

/* A client with a WebSocket is asked for another token, and keeps the port: TCP clients that connect meanwhile
 * wait. */
static void
test_renewed (void)
{
  g_auto (Rig) rig = rig_new ();
  g_autoptr (ResumablePeer) peer = join_and_listen (&rig);
  ResumableFrame frame;
  int fd;

  resumable_expect_confirmed (peer);
  rig_reload (&rig, "alice:another\n");
  frame = resumable_expect (peer, RESUMABLE_GOAWAY, 0);
  g_assert_cmpuint (resumable_get_u32 (&frame), ==, RESUMABLE_GOAWAY_RENEW);
  while (resumable_receive (peer, &frame))
    ;
  resumable_drop (peer);
  fd = client_connect (rig.reverse_port);

  g_free (peer->token);
  peer->token = g_strdup ("another");
  rejoin (peer);
  expect_arrival (peer, 2, 1);
  client_close (fd);
}

/* The port is released at the end of the session. */
static void
test_end (void)
{
  g_auto (Rig) rig = rig_new ();
  g_autoptr (ResumablePeer) peer = join_and_listen (&rig);
  g_autoptr (ResumablePeer) bob = join_as (&rig, BOB);
  int fd = client_connect (rig.reverse_port);

  expect_arrival (peer, 2, 1);
  resumable_send_code (peer, RESUMABLE_GOAWAY, 0, RESUMABLE_GOAWAY_DONE, "done");
  client_expect_reset (fd);
  client_close (fd);
  WAIT_UNTIL (is_refused (rig.reverse_port));
  ask (bob, 1, rig.reverse_port);
  expect_listening (bob, 1, rig.reverse_port);
}

/* A program that was killed gets its port again in a new session. If its former session is resumed after all, it is
 * informed about the port. */
static void
test_taken_over (void)
{
  g_auto (Rig) rig = rig_new ();
  g_autoptr (ResumablePeer) former = join_and_listen (&rig);
  g_autoptr (ResumablePeer) peer = NULL;
  int fd;

  resumable_expect_confirmed (former);
  resumable_reset (former);
  peer = join_and_listen (&rig);
  fd = client_connect (rig.reverse_port);
  expect_arrival (peer, 2, 1);
  client_close (fd);

  rejoin (former);
  expect_unlistened (former, 1, RESUMABLE_RESET_CLOSED);
}

/* The same if it leaves the choice of the port to the gateway, which has no other. */
static void
test_taken_over_anywhere (void)
{
  g_auto (Rig) rig = rig_new ();
  g_autoptr (ResumablePeer) former = join_and_listen (&rig);
  g_autoptr (ResumablePeer) peer = NULL;

  resumable_expect_confirmed (former);
  resumable_reset (former);
  peer = join (&rig);
  ask (peer, 1, 0);
  expect_listening (peer, 1, rig.reverse_port);
}

/* The same if the gateway has not noticed yet that the former WebSocket is dead. */
static void
test_dead (void)
{
  g_auto (Rig) rig = rig_new ();
  g_autoptr (ResumablePeer) former = join_and_listen (&rig);
  g_autoptr (ResumablePeer) peer = NULL;

  former->deaf = TRUE;
  peer = join_and_listen (&rig);
  g_assert_nonnull (peer);
}

static gpointer
stay_alive (gpointer data)
{
  ResumableFrame frame;

  while (resumable_receive (data, &frame))
    ;
  return NULL;
}

static void
test_alive (void)
{
  g_auto (Rig) rig = rig_new ();
  g_autoptr (ResumablePeer) former = join_and_listen (&rig);
  g_autoptr (ResumablePeer) peer = join (&rig);
  GThread *thread = g_thread_new ("alive", stay_alive, former);

  ask (peer, 1, rig.reverse_port);
  expect_unlistened (peer, 1, RESUMABLE_RESET_IN_USE);
  g_assert_false (is_refused (rig.reverse_port));
  tcp_endpoint_close (TCP_ENDPOINT (rig.gateway));
  g_thread_join (thread);
  g_assert_true (is_refused (rig.reverse_port));
}

static void
on_drained (GObject      *object,
            GAsyncResult *result,
            gpointer      user_data)
{
  tcp_gateway_drain_finish (TCP_GATEWAY (object), result, NULL);
  *(gboolean *) user_data = TRUE;
}

/* During a drain, no new TCP clients are accepted, and open connections continue. */
static void
test_drain (void)
{
  g_auto (Rig) rig = rig_new ();
  g_autoptr (ResumablePeer) peer = join_and_listen (&rig);
  int fd = client_connect (rig.reverse_port);
  gboolean drained = FALSE;

  expect_arrival (peer, 2, 1);
  tcp_gateway_drain_async (rig.gateway, TEST_DEADLINE_MS, NULL, on_drained, &drained);
  resumable_expect (peer, RESUMABLE_GOAWAY, 0);
  expect_unlistened (peer, 1, RESUMABLE_RESET_DRAINING);
  g_assert_true (is_refused (rig.reverse_port));
  ask (peer, 2, rig.reverse_port);
  expect_unlistened (peer, 2, RESUMABLE_RESET_DRAINING);
  client_write (fd, "still there", 11);
  resumable_expect_data (peer, 2, "still there");
  client_reset (fd);
  resumable_expect (peer, RESUMABLE_RESET, 2);
  WAIT_UNTIL (drained);
}

/* The protocol of limrun, in which the gateway chooses the ids. */
static void
test_limrun (void)
{
  g_auto (Rig) rig = rig_new ();
  g_autofree char *path = g_strdup_printf ("/reverse-tunnel?remotePort=%u", rig.reverse_port);
  g_autofree char *wanted = g_strdup_printf ("{\"type\":\"ready\",\"remoteHost\":\"127.0.0.1\",\"remotePort\":%u}",
                                             rig.reverse_port);
  int ws = ws_connect (rig.port, path, ALICE);
  int fd;
  guint opcode;
  char answer[4];
  g_autoptr (GBytes) ready = ws_receive (ws, &opcode);
  g_autoptr (GBytes) data = NULL;

  g_assert_cmpuint (opcode, ==, WS_TEXT);
  g_assert_cmpmem (g_bytes_get_data (ready, NULL), g_bytes_get_size (ready), wanted, strlen (wanted));

  fd = client_connect (rig.reverse_port);
  client_write (fd, "ping", 4);
  data = ws_receive (ws, &opcode);
  g_assert_cmpuint (opcode, ==, WS_BINARY);
  g_assert_cmpmem (g_bytes_get_data (data, NULL), g_bytes_get_size (data), "\0\0\0\1ping", 8);
  /* Text messages, short messages and unknown ids are ignored. */
  ws_send (ws, WS_TEXT, "{\"type\":\"ready\"}", 16);
  ws_send (ws, WS_BINARY, "\0\0\1", 3);
  ws_send (ws, WS_BINARY, "\0\0\0\7what", 8);
  ws_send (ws, WS_BINARY, "\0\0\0\1pong", 8);
  client_read (fd, answer, sizeof answer);
  g_assert_cmpmem (answer, sizeof answer, "pong", 4);
  ws_send (ws, WS_BINARY, "\0\0\0\1", 4);
  client_expect_eof (fd);
  client_close (fd);
  client_close (ws);
  WAIT_UNTIL (is_refused (rig.reverse_port));
}

static void
test_limrun_refused (void)
{
  g_auto (Rig) rig = rig_new ();
  g_autofree char *path = g_strdup_printf ("/reverse-tunnel?remotePort=%u", rig.taken_port);
  g_autofree char *wanted = g_strdup_printf ("{\"type\":\"error\",\"message\":\"port %u is already in use\"}", rig.taken_port);
  int ws = ws_connect (rig.port, path, ALICE);
  guint opcode;
  g_autoptr (GBytes) refusal = ws_receive (ws, &opcode);

  g_assert_cmpuint (opcode, ==, WS_TEXT);
  g_assert_cmpmem (g_bytes_get_data (refusal, NULL), g_bytes_get_size (refusal), wanted, strlen (wanted));
  ws_expect_close (ws, 1000);
  client_close (ws);
}

/* Sends a LISTEN for any port. Returns 0, or the code of the refusal. */
static guint
ask_any (ResumablePeer *peer,
         guint32        listener)
{
  ResumableFrame frame;

  ask (peer, listener, 0);
  while (resumable_receive (peer, &frame))
    {
      if (frame.id != listener)
        continue;
      if (frame.type == RESUMABLE_LISTENING)
        return 0;
      if (frame.type == RESUMABLE_UNLISTEN)
        return resumable_get_u32 (&frame);
    }
  g_assert_not_reached ();
}

/* Ports that are reserved for one principal. */
static void
test_names (void)
{
  g_auto (Rig) rig = rig_prepare ();
  g_autofree char *alices = g_strdup_printf ("alice@%u", rig.reverse_port);
  g_autoptr (ResumablePeer) bob = NULL;
  g_autoptr (ResumablePeer) peer = NULL;

  g_object_set (rig.gateway, "reverse-ports", (const char *[]) { alices, NULL }, NULL);
  rig_start (&rig);
  bob = join_as (&rig, BOB);
  ask (bob, 1, rig.reverse_port);
  expect_unlistened (bob, 1, RESUMABLE_RESET_FORBIDDEN);
  g_assert_cmpuint (ask_any (bob, 2), ==, RESUMABLE_RESET_IN_USE);
  peer = join_and_listen (&rig);
  g_assert_nonnull (peer);
}

/* Ports that other programs use are tried a few at a time, and not the same ones again. */
static void
test_many_taken (void)
{
  g_auto (Rig) rig = rig_prepare ();
  g_autoptr (GPtrArray) patterns = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (ResumablePeer) peer = NULL;
  guint16 ports[18];
  int fds[G_N_ELEMENTS (ports)];
  guint code = RESUMABLE_RESET_IN_USE;
  guint listener = 0;

  for (guint i = 0; i < G_N_ELEMENTS (ports); i++)
    {
      fds[i] = socket_listen (0, &ports[i]);
      g_ptr_array_add (patterns, g_strdup_printf ("%u", ports[i]));
    }
  g_ptr_array_add (patterns, g_strdup_printf ("%u", rig.reverse_port));
  g_ptr_array_add (patterns, NULL);
  g_object_set (rig.gateway, "reverse-ports", patterns->pdata, NULL);
  rig_start (&rig);
  peer = join (&rig);
  while (code == RESUMABLE_RESET_IN_USE && listener < 2)
    code = ask_any (peer, ++listener);
  g_assert_cmpuint (code, ==, 0);
  g_assert_false (is_refused (rig.reverse_port));
  for (guint i = 0; i < G_N_ELEMENTS (ports); i++)
    close (fds[i]);
}

/* The listeners are limited to a part of the file descriptors, and those of one client to a part of that. */
static void
test_quota (void)
{
  g_auto (Rig) rig = rig_prepare ();
  g_autoptr (ResumablePeer) peer = NULL;
  g_autoptr (ResumablePeer) bob = NULL;
  guint64 before = test_set_descriptors (512);
  guint n = 0;

  g_object_set (rig.gateway, "reverse-ports", (const char *[]) { "20000-29999", NULL }, NULL);
  rig_start (&rig);
  peer = join (&rig);
  while (n < 32 && ask_any (peer, n + 1) == 0)
    n++;
  /* Of 32, a quarter is reserved. */
  g_assert_cmpuint (n, ==, 24);
  g_assert_cmpuint (ask_any (peer, 40), ==, RESUMABLE_RESET_LIMIT);
  resumable_send_code (peer, RESUMABLE_UNLISTEN, 1, RESUMABLE_RESET_CLOSED, "enough");
  g_assert_cmpuint (ask_any (peer, 41), ==, 0);
  bob = join_as (&rig, BOB);
  g_assert_cmpuint (ask_any (bob, 1), ==, 0);
  test_set_descriptors (before);
}

/* The port of a client without a WebSocket is given to another client that asks for it, and the first is informed. */
static void
test_port_needed (void)
{
  g_auto (Rig) rig = rig_new_with ("session-timeout", 20000);
  g_autoptr (ResumablePeer) peer = join_and_listen (&rig);
  g_autoptr (ResumablePeer) bob = join_as (&rig, BOB);
  gint64 deadline = test_deadline ();
  guint code;
  guint32 listener = 0;

  resumable_expect_confirmed (peer);
  ask (bob, ++listener, rig.reverse_port);
  expect_unlistened (bob, listener, RESUMABLE_RESET_IN_USE);
  resumable_reset (peer);
  do
    {
      code = ask_any (bob, ++listener);
      g_assert_cmpint (g_get_monotonic_time (), <, deadline);
      g_usleep (20000);
    }
  while (code != 0);
  rejoin (peer);
  expect_unlistened (peer, 1, RESUMABLE_RESET_IN_USE);
}

/* TCP clients at the gateway use at most half of the connections of the client. */
static void
test_arrivals (void)
{
  g_auto (Rig) rig = rig_new_with ("max-principal-connections", 4);
  g_autoptr (ResumablePeer) peer = join_and_listen (&rig);
  int fds[3];

  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      fds[i] = client_connect (rig.reverse_port);
      if (i < 2)
        expect_arrival (peer, 2 * (i + 1), 1);
    }
  client_expect_reset (fds[2]);
  resumable_send (peer, RESUMABLE_OPEN, 1, NULL, 0);
  {
    ResumableFrame frame = resumable_expect (peer, RESUMABLE_RESET, 1);

    g_assert_cmpuint (resumable_get_u32 (&frame), ==, RESUMABLE_RESET_REFUSED);
  }
  client_close (fds[0]);
  resumable_expect (peer, RESUMABLE_FIN, 2);
  resumable_send_code (peer, RESUMABLE_RESET, 2, RESUMABLE_RESET_CLOSED, "enough");
  resumable_expect_confirmed (peer);
  client_close (fds[2]);
  fds[2] = client_connect (rig.reverse_port);
  expect_arrival (peer, 6, 1);
  client_close (fds[1]);
  client_close (fds[2]);
}

static guint64
count_connections (Rig *rig)
{
  g_autoptr (TcpStatistics) statistics = tcp_endpoint_get_statistics (TCP_ENDPOINT (rig->gateway));

  return statistics->total_connections;
}

/* Without a WebSocket, a few TCP clients are accepted, and the others wait until there is one. */
static void
test_backlog (void)
{
  g_auto (Rig) rig = rig_new ();
  g_autoptr (ResumablePeer) peer = join_and_listen (&rig);
  int fds[80];

  resumable_expect_confirmed (peer);
  log_tap_clear ();
  resumable_reset (peer);
  WAIT_UNTIL (log_tap_count ("", "the WebSocket of the client alice ended") > 0);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    fds[i] = client_connect (rig.reverse_port);
  WAIT_UNTIL (count_connections (&rig) >= 64);
  for (guint i = 0; i < 10; i++)
    {
      g_autoptr (ResumablePeer) bob G_GNUC_UNUSED = join_as (&rig, BOB);

      g_assert_cmpuint (count_connections (&rig), ==, 64);
    }
  rejoin (peer);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    expect_arrival (peer, 2 * (i + 1), 1);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    client_close (fds[i]);
}

/* A session waits neither for its own port nor for a port for which it already waits. */
static void
test_waits_once (void)
{
  g_auto (Rig) rig = rig_new ();
  g_autoptr (ResumablePeer) former = join_and_listen (&rig);
  g_autoptr (ResumablePeer) peer = join (&rig);

  ask (former, 2, rig.reverse_port);
  expect_unlistened (former, 2, RESUMABLE_RESET_IN_USE);
  former->deaf = TRUE;
  ask (peer, 1, rig.reverse_port);
  ask (peer, 2, rig.reverse_port);
  expect_unlistened (peer, 2, RESUMABLE_RESET_IN_USE);
  expect_listening (peer, 1, rig.reverse_port);
}

static void
reload_ports (Rig           *rig,
              const guint16 *ports,
              guint          n_ports)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_auto (GStrv) items = NULL;

  for (guint i = 0; i < n_ports; i++)
    {
      g_autofree char *text = g_strdup_printf ("%u", ports[i]);

      g_strv_builder_add (builder, text);
    }
  items = g_strv_builder_end (builder);
  g_object_set (rig->gateway, "reverse-ports", items, NULL);
  test_reload_gateway (rig->gateway);
}

/* After a reload, listeners on ports that are still allowed continue, the others end, and new ports may be used. */
static void
test_reloaded (void)
{
  g_auto (Rig) rig = rig_new ();
  g_autoptr (ResumablePeer) peer = join_and_listen (&rig);
  g_autoptr (ResumablePeer) bob = NULL;
  guint16 ports[] = { rig.reverse_port, socket_find_port () };
  g_autoptr (GError) error = NULL;
  int fd;

  reload_ports (&rig, ports, 2);
  fd = client_connect (ports[0]);
  expect_arrival (peer, 2, 1);
  ask (peer, 2, ports[1]);
  expect_listening (peer, 2, ports[1]);

  reload_ports (&rig, ports + 1, 1);
  expect_unlistened (peer, 1, RESUMABLE_RESET_FORBIDDEN);
  g_assert_true (is_refused (ports[0]));
  resumable_send (peer, RESUMABLE_OPENED, 2, NULL, 0);
  client_write (fd, "on", 2);
  resumable_expect_data (peer, 2, "on");
  ask (peer, 3, ports[0]);
  expect_unlistened (peer, 3, RESUMABLE_RESET_FORBIDDEN);

  /* An invalid value changes nothing. */
  g_object_set (rig.gateway, "reverse-ports", (const char *[]) { "0", NULL }, NULL);
  g_assert_false (tcp_gateway_reload (rig.gateway, NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_assert_false (is_refused (ports[1]));
  expect_arrival (peer, 4, 2);
  resumable_expect (peer, RESUMABLE_FIN, 4);

  reload_ports (&rig, NULL, 0);
  expect_unlistened (peer, 2, RESUMABLE_RESET_FORBIDDEN);
  g_assert_true (is_refused (ports[1]));

  /* Ports may be allowed again, and used by another client. */
  reload_ports (&rig, ports, 2);
  bob = join_as (&rig, BOB);
  ask (bob, 1, ports[0]);
  expect_listening (bob, 1, ports[0]);
  ask (peer, 4, ports[1]);
  expect_listening (peer, 4, ports[1]);
  client_close (fd);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  log_tap_install ();
  g_test_add_func ("/reverse-gateway/connections", test_connections);
  g_test_add_func ("/reverse-gateway/answers", test_answers);
  g_test_add_func ("/reverse-gateway/not-agreed", test_not_agreed);
  g_test_add_func ("/reverse-gateway/away", test_away);
  g_test_add_func ("/reverse-gateway/revoked-away", test_revoked_away);
  g_test_add_func ("/reverse-gateway/expired-away", test_expired_away);
  g_test_add_func ("/reverse-gateway/renewed", test_renewed);
  g_test_add_func ("/reverse-gateway/end", test_end);
  g_test_add_func ("/reverse-gateway/taken-over", test_taken_over);
  g_test_add_func ("/reverse-gateway/taken-over-anywhere", test_taken_over_anywhere);
  g_test_add_func ("/reverse-gateway/dead", test_dead);
  g_test_add_func ("/reverse-gateway/alive", test_alive);
  g_test_add_func ("/reverse-gateway/drain", test_drain);
  g_test_add_func ("/reverse-gateway/names", test_names);
  g_test_add_func ("/reverse-gateway/many-taken", test_many_taken);
  g_test_add_func ("/reverse-gateway/quota", test_quota);
  g_test_add_func ("/reverse-gateway/port-needed", test_port_needed);
  g_test_add_func ("/reverse-gateway/reloaded", test_reloaded);
  g_test_add_func ("/reverse-gateway/arrivals", test_arrivals);
  g_test_add_func ("/reverse-gateway/backlog", test_backlog);
  g_test_add_func ("/reverse-gateway/waits-once", test_waits_once);
  g_test_add_func ("/reverse-gateway/limrun", test_limrun);
  g_test_add_func ("/reverse-gateway/limrun-refused", test_limrun_refused);
  return g_test_run ();
}
