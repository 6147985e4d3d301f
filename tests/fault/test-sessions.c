/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Sessions of a gateway in the protocols raw and tagged. The test operates the client. */

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

  tcp_endpoint_start (TCP_ENDPOINT (rig->gateway), NULL, &error);
  g_assert_no_error (error);
  return test_port_of (rig->gateway);
}

static void
rig_clear (Rig *rig)
{
  tcp_endpoint_close (TCP_ENDPOINT (rig->gateway));
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

#define ALICE "Authorization: Bearer alices-token\r\n"

/* Requires that the WebSocket is held: it answers pings, and neither data nor a close frame arrives. */
static void
expect_held (int fd)
{
  guint opcode = 0;

  ws_send (fd, WS_BINARY, "is anyone there?", 16);
  ws_send (fd, WS_PING, "held", 4);
  do
    {
      g_autoptr (GBytes) frame = ws_receive_any (fd, &opcode);

      g_assert_nonnull (frame);
      if (opcode == WS_PONG)
        g_assert_cmpmem (g_bytes_get_data (frame, NULL), g_bytes_get_size (frame), "held", 4);
      else
        g_assert_cmpuint (opcode, ==, WS_PING);
    }
  while (opcode != WS_PONG);
}

/* A stream that was cut must not continue with another connection to the target. A client of this library gets an
 * error, and the WebSocket of any other client is held. */
static void
expect_gone (guint16 port)
{
  g_autofree char *body = NULL;
  int fd;

  /* A request that arrives while the session ends may be accepted, and is closed then. */
  WAIT_UNTIL ((g_free (body), http_get (port, SESSION_1, WS_UPGRADE WS_OURS ALICE, &body, NULL)) == 410);
  g_assert_cmpuint (strlen (body), >, 0);
  fd = ws_connect (port, SESSION_1, "alices-token");
  expect_held (fd);
  client_close (fd);
}

/* With code 0, sends a close frame without a code. */
static void
send_close (int fd,
            guint16 code)
{
  if (code != 0)
    ws_send_close (fd, code);
  else
    ws_send (fd, WS_CLOSE, NULL, 0);
}

/* The session ends in order after all data was delivered. */
static void
check_end (const char *path_and_query,
           guint16 code)
{
  const gsize size = 1000000;
  g_autoptr (Target) target = target_new_sink ();
  g_auto (Rig) rig = rig_new (target);
  guint16 port = start (&rig);
  int fd = ws_connect (port, path_and_query, "alices-token");
  g_autofree guint8 *data = g_malloc (size);
  g_autofree char *expected = test_digest (size, 3);
  g_autofree char *digest = NULL;

  g_test_message ("%s, code %u", path_and_query, code);
  test_fill (data, size, 3, 0);
  ws_send (fd, WS_BINARY, data, size);
  send_close (fd, code);
  g_assert_true (target_wait_bytes_in (target, size));
  g_assert_true (target_wait_open (target, 0));
  g_assert_cmpuint (target_get_counters (target).resets, ==, 0);
  digest = target_get_digest (target);
  g_assert_cmpstr (digest, ==, expected);
  client_expect_end (fd);
  client_close (fd);
  if (strcmp (path_and_query, SESSION_1) == 0)
    expect_gone (port);
}

static void
test_end_of_session (void)
{
  check_end (SESSION_1, 1000);
  check_end (SESSION_1, 0);
}

/* A client whose session has no id cannot return, so that every close frame is an orderly end. */
static void
test_end_without_name (void)
{
  const guint16 codes[] = { 0, 1000, 1001, 1011, 4001, 4999 };

  for (guint i = 0; i < G_N_ELEMENTS (codes); i++)
    check_end ("/", codes[i]);
}

static void
on_connection_closed (TcpGateway *gateway,
                      TcpConnection *connection,
                      gpointer user_data)
{
  GError **last = user_data;

  g_assert_no_error (*last);
  *last = tcp_connection_dup_error (connection);
}

/* Without an id, a break ends the connection with an error. */
static void
test_break_without_name (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = rig_new (target);
  g_autoptr (GError) error = NULL;
  int fd;

  g_signal_connect (rig.gateway, "connection-closed", G_CALLBACK (on_connection_closed), &error);
  fd = ws_connect (start (&rig), "/", "alices-token");
  ws_round_trip (fd, "hello");
  client_close (fd);
  g_assert_true (target_wait_open (target, 0));
  g_assert_cmpuint (target_get_counters (target).resets, ==, 1);
  WAIT_UNTIL (error != NULL);
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST);
  g_assert_nonnull (strstr (error->message, "sessionId"));
  WAIT_UNTIL (test_figure (rig.gateway, open_connections) == 0);
}

/* With an id, a client may return after any close code other than those for an end. */
static void
test_close_with_name (void)
{
  const guint16 codes[] = { 1001, 1005, 1011, 1014, 3000, 4999 };
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = rig_new (target);
  guint16 port = start (&rig);

  for (guint i = 0; i < G_N_ELEMENTS (codes); i++)
    {
      int fd = ws_connect (port, SESSION_1, "alices-token");

      g_test_message ("code %u", codes[i]);
      ws_round_trip (fd, "hello");
      send_close (fd, codes[i]);
      client_expect_end (fd);
      client_close (fd);
    }
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 1);
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

/* A session expires only while it has no WebSocket. */
static void
test_does_not_expire_in_use (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = rig_new (target);
  guint16 port;
  int kept, lost;

  g_object_set (rig.gateway, "session-timeout", test_scaled_ms (500), NULL);
  port = start (&rig);
  kept = ws_connect (port, SESSION_1, "alices-token");
  ws_round_trip (kept, "hello");
  client_close (kept);
  kept = ws_connect (port, SESSION_1, "alices-token");
  ws_round_trip (kept, "again");

  /* By the time that a later session has expired, this one would have, too. */
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

  /* Nor while the session has no WebSocket. */
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

/* The target has ended, but the WebSocket of the client breaks at that moment. When the client returns, it must
 * receive an answer. */
static void
test_target_ends_at_break (void)
{
  g_autoptr (Target) target = target_new_source (100000, 3);
  g_auto (Rig) rig = rig_new (target);
  guint16 port = start (&rig);
  int first = ws_connect_ours (port, SESSION_1, "alices-token");
  int second;
  guint status;

  ws_expect_close (first, 1000);
  status = http_get (port, SESSION_1, WS_UPGRADE WS_OURS ALICE, NULL, &second);
  /* No pong confirms that all data arrived, so that the end must not look orderly. */
  if (status == 101)
    ws_expect_close (second, 4002);
  else
    g_assert_cmpuint (status, ==, 410);
  client_close (second);
  client_close (first);
}

/* If the target resets the connection, or cannot be reached, the close code must not be 1000, which is an orderly
 * end. Clients that know it receive 4002. */
static void
test_target_broken (void)
{
  g_autoptr (Target) breaking = target_new_reset_after (3);
  g_autoptr (Target) refusing = target_new_refusing ();
  g_auto (Rig) rig = rig_new (breaking);
  g_autofree char *address = target_get_address (refusing);
  guint16 port = start (&rig);
  int ours = ws_connect_ours (port, SESSION_1, "alices-token");
  int foreign = ws_connect (port, SESSION_2, "alices-token");

  ws_send (ours, WS_BINARY, "123", 3);
  ws_expect_close (ours, 4002);
  client_close (ours);
  ws_send (foreign, WS_BINARY, "123", 3);
  ws_expect_close (foreign, 1011);
  client_close (foreign);

  tcp_endpoint_close (TCP_ENDPOINT (rig.gateway));
  g_object_set (rig.gateway, "target", address, NULL);
  port = start (&rig);
  ours = ws_connect_ours (port, SESSION_1, "alices-token");
  ws_expect_close (ours, 4002);
  client_close (ours);
  foreign = ws_connect (port, SESSION_2, "alices-token");
  ws_expect_close (foreign, 1011);
  client_close (foreign);
  foreign = ws_connect (port, "/", "alices-token");
  ws_expect_close (foreign, 1011);
  client_close (foreign);
  WAIT_UNTIL (test_figure (rig.gateway, open_connections) == 0);
}

static guint
request_status (guint16 port,
                const char *path_and_query,
                const char *headers)
{
  g_autofree char *all = g_strconcat (WS_UPGRADE, headers, NULL);

  return http_get (port, path_and_query, all, NULL, NULL);
}

/* However often a client returns to a session that has ended, nothing reaches the target, and the WebSocket stays
 * open until the client closes it. */
static void
test_held (void)
{
  g_autoptr (Target) target = target_new_source (1000, 3);
  g_auto (Rig) rig = rig_new (target);
  guint16 port = start (&rig);
  int fd = ws_connect (port, SESSION_1, "alices-token");
  int next;

  ws_expect_close (fd, 1000);
  send_close (fd, 1000);
  client_expect_end (fd);
  client_close (fd);
  g_assert_true (target_wait_open (target, 0));

  for (guint i = 0; i < 3; i++)
    {
      fd = ws_connect (port, SESSION_1, "alices-token");
      expect_held (fd);
      client_reset (fd);
    }

  /* A newer WebSocket of the session replaces it, unless it is that of another principal. */
  fd = ws_connect (port, SESSION_1, "alices-token");
  g_assert_cmpuint (request_status (port, SESSION_1, "Authorization: Bearer bobs-token\r\n"), ==, 403);
  expect_held (fd);
  next = ws_connect (port, SESSION_1, "alices-token");
  ws_expect_close (fd, 1001);
  client_close (fd);
  expect_held (next);
  send_close (next, 1000);
  ws_expect_close (next, 1000);
  client_close (next);
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 1);

  /* Another session is served. */
  fd = ws_connect (port, SESSION_2, "alices-token");
  ws_expect_close (fd, 1000);
  client_close (fd);
}

/* Another principal does not learn the protocol of a session. */
static void
test_other_protocol (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = rig_new (target);
  guint16 port = start (&rig);
  int fd = ws_connect (port, SESSION_1, "alices-token");

  g_assert_cmpuint (request_status (port, SESSION_1, "Tcp-Tunnel-Protocol: resumable/1\r\n"
                                                     "Authorization: Bearer bobs-token\r\n"), ==, 403);
  g_assert_cmpuint (request_status (port, SESSION_1, "Tcp-Tunnel-Protocol: resumable/1\r\n"
                                                     "Authorization: Bearer alices-token\r\n"), ==, 410);
  client_close (fd);
}

static guint
count_fds (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) directory = g_dir_open ("/proc/self/fd", 0, &error);
  guint count = 0;

  g_assert_no_error (error);
  while (g_dir_read_name (directory) != NULL)
    count++;
  return count;
}

/* If a client returns again and again and answers no closing handshake, its former WebSockets do not accumulate at
 * the gateway. */
static void
test_held_again_and_again (void)
{
  const guint n = 100;
  g_autoptr (Target) target = target_new_source (1000, 3);
  g_auto (Rig) rig = rig_new (target);
  guint16 port = start (&rig);
  g_autofree int *fds = g_new (int, n);
  int fd = ws_connect (port, SESSION_1, "alices-token");
  guint before;

  ws_expect_close (fd, 1000);
  send_close (fd, 1000);
  client_expect_end (fd);
  client_close (fd);

  before = count_fds ();
  for (guint i = 0; i < n; i++)
    {
      fds[i] = ws_connect (port, SESSION_1, "alices-token");
      expect_held (fds[i]);
    }
  /* The client's ends are in this process as well. */
  g_assert_cmpuint (count_fds (), <=, before + n + 8);
  for (guint i = 0; i < n; i++)
    client_close (fds[i]);
}

/* Returns a WebSocket of a session that has ended because its target refused the connection. */
static int
hold (guint16 port,
      guint number,
      const char *token,
      guint *status)
{
  g_autofree char *path = g_strdup_printf ("/?sessionId=session-%u", number);
  g_autofree char *headers = g_strdup_printf (WS_UPGRADE "Authorization: Bearer %s\r\n", token);
  int fd = ws_connect (port, path, token);

  ws_expect_close (fd, 1011);
  send_close (fd, 1011);
  client_expect_end (fd);
  client_close (fd);
  *status = http_get (port, path, headers, NULL, &fd);
  return fd;
}

/* The number of held WebSockets of a principal is limited. */
static void
test_held_cap (void)
{
  const guint max_held = 64;
  g_autoptr (Target) target = target_new_refusing ();
  g_auto (Rig) rig = rig_new (target);
  guint16 port = start (&rig);
  g_autofree int *fds = g_new (int, max_held);
  guint status;
  int fd;

  for (guint i = 0; i < max_held; i++)
    {
      fds[i] = hold (port, i, "alices-token", &status);
      g_assert_cmpuint (status, ==, 101);
    }
  fd = hold (port, max_held, "alices-token", &status);
  g_assert_cmpuint (status, ==, 503);
  client_close (fd);
  fd = hold (port, max_held + 1, "bobs-token", &status);
  g_assert_cmpuint (status, ==, 101);
  expect_held (fd);
  client_close (fd);

  client_close (fds[0]);
  WAIT_UNTIL (request_status (port, "/?sessionId=session-64", ALICE) == 101);
  for (guint i = 1; i < max_held; i++)
    {
      expect_held (fds[i]);
      client_close (fds[i]);
    }
}

/* Held WebSockets do not delay a drain or a close. */
static void
test_held_at_the_end (void)
{
  g_autoptr (Target) target = target_new_refusing ();
  g_auto (Rig) rig = rig_new (target);
  g_autoptr (GError) error = NULL;
  guint16 port = start (&rig);
  guint status;
  int fd = hold (port, 1, "alices-token", &status);

  g_assert_cmpuint (status, ==, 101);
  expect_held (fd);
  g_assert_true (tcp_gateway_drain (rig.gateway, TEST_DEADLINE_MS, NULL, &error));
  g_assert_no_error (error);
  ws_expect_close (fd, 1001);
  client_close (fd);

  port = start (&rig);
  fd = hold (port, 1, "alices-token", &status);
  g_assert_cmpuint (status, ==, 101);
  expect_held (fd);
  tcp_endpoint_close (TCP_ENDPOINT (rig.gateway));
  ws_expect_close (fd, 1001);
  client_close (fd);
}

/* A request for a reverse tunnel must not be treated as one for a connection to the target. */
static void
test_reverse (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = rig_new (target);
  guint16 port = start (&rig);

  g_assert_cmpuint (request_status (port, "/?remotePort=57090", ALICE), ==, 400);
  g_assert_cmpuint (request_status (port, "/?remotePort=57090&mode=multiplexed", ALICE), ==, 400);
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 0);
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

  /* Invalid messages: one that is too short, and closes of unknown ids, twice. */
  ws_send (fd, WS_BINARY, "\0\0\1", 3);
  send_tagged (fd, 7, "");
  send_tagged (fd, 7, "");

  send_tagged (fd, 1, "one");
  expect_tagged (fd, 1, "one");
  send_tagged (fd, 4294967295u, "last");
  expect_tagged (fd, 4294967295u, "last");
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 2);

  /* Each end closes a connection. A second close and late data have no effect and open nothing. */
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

/* Limits */

static guint
ask_for_session (guint16 port,
                 guint number,
                 const char *token,
                 char **body,
                 int *fd)
{
  g_autofree char *path = g_strdup_printf ("/?sessionId=session-%u", number);
  g_autofree char *headers = g_strdup_printf (WS_UPGRADE "Authorization: Bearer %s\r\n", token);

  return http_get (port, path, headers, body, fd);
}

/* A principal cannot have all sessions of the gateway, */
static void
test_quota_of_clients (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = rig_new (target);
  g_autofree char *body = NULL;
  guint16 port;
  int fds[4];

  g_object_set (rig.gateway, "max-connections", 4, NULL);
  port = start (&rig);
  for (guint i = 0; i < 3; i++)
    g_assert_cmpuint (ask_for_session (port, i, "alices-token", NULL, &fds[i]), ==, 101);
  g_assert_cmpuint (ask_for_session (port, 3, "alices-token", &body, NULL), ==, 503);
  g_assert_cmpstr (body, ==, "The client alice has as many sessions as it may have (max-principal-sessions: 3); try again later.\n");
  g_assert_cmpuint (ask_for_session (port, 4, "bobs-token", NULL, &fds[3]), ==, 101);
  ws_round_trip (fds[3], "there is room for others");

  /* Sessions that have ended do not count any more. */
  send_close (fds[0], 1000);
  WAIT_UNTIL (test_figure (rig.gateway, open_connections) == 3);
  WAIT_UNTIL (request_status (port, "/?sessionId=session-5", ALICE) == 101);
  for (guint i = 0; i < 4; i++)
    client_close (fds[i]);
}

/* nor all connections. */
static void
test_quota_of_connections (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = rig_new (target);
  guint16 port;
  int alice, bob;

  g_object_set (rig.gateway, "max-connections", 4, NULL);
  port = start (&rig);
  alice = ws_connect (port, "/?mode=multiplexed", "alices-token");
  bob = ws_connect (port, "/?mode=multiplexed", "bobs-token");
  for (guint32 id = 1; id <= 3; id++)
    {
      send_tagged (alice, id, "x");
      expect_tagged (alice, id, "x");
    }
  send_tagged (alice, 4, "x");
  expect_tagged (alice, 4, "");
  send_tagged (bob, 1, "y");
  expect_tagged (bob, 1, "y");
  client_close (alice);
  client_close (bob);
}

/* Principals that use as much as they can leave a part for another one. */
static void
test_set_aside (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = rig_new (target);
  g_autoptr (GError) error = NULL;
  g_autofree char *body = NULL;
  GPtrArray *fds = g_ptr_array_new ();
  const char *tokens[] = { "alices-token", "bobs-token" };
  guint16 port;
  int alice, bob, carol, fd;
  guint number = 0;

  g_file_set_contents (rig.token_file, "alice:alices-token\nbob:bobs-token\ncarol:carols-token\n", -1, &error);
  g_assert_no_error (error);
  g_object_set (rig.gateway, "max-connections", 24, NULL);
  port = start (&rig);
  for (guint i = 0; i < 2; i++)
    {
      while (ask_for_session (port, number++, tokens[i], NULL, &fd) == 101)
        g_ptr_array_add (fds, GINT_TO_POINTER (fd));
      client_close (fd);
    }
  /* Two of six are reserved for the third. */
  g_assert_cmpuint (fds->len, ==, 22);
  g_assert_cmpuint (http_get (port, "/?sessionId=more", WS_UPGRADE WS_OURS ALICE, &body, NULL), ==, 503);
  g_assert_nonnull (strstr (body, "max-principal-sessions"));
  for (guint i = 0; i < 2; i++)
    {
      g_assert_cmpuint (ask_for_session (port, number++, "carols-token", NULL, &fd), ==, 101);
      ws_round_trip (fd, "there is room");
      g_ptr_array_add (fds, GINT_TO_POINTER (fd));
    }
  for (guint i = 0; i < fds->len; i++)
    client_close (GPOINTER_TO_INT (fds->pdata[i]));
  g_ptr_array_unref (fds);
  tcp_endpoint_close (TCP_ENDPOINT (rig.gateway));

  /* Nor can they use all connections, or more than one of them is allowed. */
  g_object_set (rig.gateway, "max-principal-connections", 15, "max-principal-sessions", 1, NULL);
  port = start (&rig);
  alice = ws_connect (port, "/?mode=multiplexed", "alices-token");
  bob = ws_connect (port, "/?mode=multiplexed", "bobs-token");
  carol = ws_connect (port, "/?mode=multiplexed", "carols-token");
  g_assert_cmpuint (ask_for_session (port, 0, "carols-token", NULL, &fd), ==, 503);
  client_close (fd);
  for (guint32 id = 1; id <= 16; id++)
    {
      send_tagged (alice, id, "x");
      expect_tagged (alice, id, id <= 15 ? "x" : "");
    }
  for (guint32 id = 1; id <= 8; id++)
    {
      send_tagged (bob, id, "y");
      expect_tagged (bob, id, id <= 7 ? "y" : "");
    }
  for (guint32 id = 1; id <= 3; id++)
    {
      send_tagged (carol, id, "z");
      expect_tagged (carol, id, id <= 2 ? "z" : "");
    }
  client_close (alice);
  client_close (bob);
  client_close (carol);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/sessions/kept-across-reconnect", test_kept_across_reconnect);
  g_test_add_func ("/sessions/end-of-session", test_end_of_session);
  g_test_add_func ("/sessions/end-without-name", test_end_without_name);
  g_test_add_func ("/sessions/break-without-name", test_break_without_name);
  g_test_add_func ("/sessions/close-with-name", test_close_with_name);
  g_test_add_func ("/sessions/quota-of-clients", test_quota_of_clients);
  g_test_add_func ("/sessions/quota-of-connections", test_quota_of_connections);
  g_test_add_func ("/sessions/set-aside", test_set_aside);
  g_test_add_func ("/sessions/expires", test_expires);
  g_test_add_func ("/sessions/does-not-expire-in-use", test_does_not_expire_in_use);
  g_test_add_func ("/sessions/other-principal", test_other_principal);
  g_test_add_func ("/sessions/superseded", test_superseded);
  g_test_add_func ("/sessions/target-ends", test_target_ends);
  g_test_add_func ("/sessions/target-ends-at-break", test_target_ends_at_break);
  g_test_add_func ("/sessions/target-broken", test_target_broken);
  g_test_add_func ("/sessions/held", test_held);
  g_test_add_func ("/sessions/other-protocol", test_other_protocol);
  g_test_add_func ("/sessions/held-again-and-again", test_held_again_and_again);
  g_test_add_func ("/sessions/held-cap", test_held_cap);
  g_test_add_func ("/sessions/held-at-the-end", test_held_at_the_end);
  g_test_add_func ("/sessions/reverse", test_reverse);
  g_test_add_func ("/sessions/apart", test_sessions_apart);
  g_test_add_func ("/sessions/tagged", test_tagged);

  return g_test_run ();
}
