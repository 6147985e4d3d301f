/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The frames of a tunnel in resumable/1. The test operates the gateway. */

#include "resume-rig.h"
#include "tunnel-rig.h"

#include <string.h>
#include <unistd.h>

static void
come_back (TunnelRig *rig)
{
  resumable_server_welcome (rig->server);
}

static char *
get_session_id (ResumablePeer *server)
{
  g_autoptr (GHashTable) parameters = NULL;
  const char *query = strchr (server->query, '?');
  char *id;

  g_assert_nonnull (query);
  parameters = g_uri_parse_params (query + 1, -1, "&", G_URI_PARAMS_NONE, NULL);
  id = g_strdup (g_hash_table_lookup (parameters, "sessionId"));
  g_assert_nonnull (id);
  g_assert_true (g_uuid_string_is_valid (id));

  return id;
}

static guint32
expect_open (ResumablePeer *server)
{
  ResumableFrame frame;

  do
    g_assert_true (resumable_receive (server, &frame));
  while (frame.type == RESUMABLE_ACK);

  g_assert_cmpuint (frame.type, ==, RESUMABLE_OPEN);
  return frame.id;
}

/* Receives ACK frames until all that was sent is acknowledged, and requires that no other frame precedes. */
static void
expect_only_acknowledgements (ResumablePeer *server)
{
  ResumableFrame frame;

  while (server->confirmed < server->sent)
    {
      g_assert_true (resumable_receive (server, &frame));
      g_assert_cmpuint (frame.type, ==, RESUMABLE_ACK);
    }
}

static void
test_hello (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  g_autofree char *first_id = NULL;
  g_autofree char *second_id = NULL;
  ResumableHello *heard = &rig.server->heard;
  guint flags = mode == TCP_TUNNEL_MODE_AUTO ? RESUMABLE_MANY : 0;
  int fd;

  rig.server->hello.instance = G_GUINT64_CONSTANT (0xfedcba9876543210);
  fd = tunnel_rig_start (&rig);
  first_id = get_session_id (rig.server);
  g_assert_cmpuint (heard->version, ==, 1);
  g_assert_cmpuint (heard->flags, ==, flags);
  g_assert_cmpuint (heard->instance, ==, 0);
  g_assert_cmpuint (heard->received, ==, 0);
  g_assert_cmpuint (heard->session_timeout, ==, 0);
  g_assert_cmpuint (heard->reserved, ==, 0);
  g_assert_cmpuint (heard->window, >, 0);
  g_assert_cmpuint (heard->max_payload, >=, 1024);
  g_assert_cmpuint (heard->max_streams, >, 0);
  tunnel_rig_round_trip (&rig, fd, 1, "hello");

  resumable_reset (rig.server);
  come_back (&rig);
  second_id = get_session_id (rig.server);
  g_assert_cmpstr (second_id, ==, first_id);
  g_assert_cmpuint (heard->flags, ==, flags);
  g_assert_cmpuint (heard->instance, ==, rig.server->hello.instance);
  g_assert_cmpuint (heard->received, ==, 1);
  tunnel_rig_round_trip (&rig, fd, 1, "again");
  WAIT_UNTIL (test_figure (rig.tunnel, resumes) == 1);
  client_close (fd);
}

/* The tunnel's HELLO does not wait for that of the gateway; all other frames do. */
static void
test_hello_comes_first (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  int fd = tunnel_rig_begin (&rig);

  resumable_hear_hello (rig.server);
  if (fd < 0)
    fd = client_connect (test_tunnel_get_port (rig.tunnel));
  client_write (fd, "early", 5);
  /* A frame before that would be received in place of the OPEN. */
  WAIT_UNTIL (rig.recorder->opened == 1);
  resumable_say_hello (rig.server);
  resumable_expect (rig.server, RESUMABLE_OPEN, 1);
  resumable_expect_data (rig.server, 1, "early");
  client_close (fd);
}

/* Ids increase, no target is named, and data does not wait for OPENED. */
static void
test_streams (void)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (TCP_TUNNEL_MODE_MULTIPLEXED);
  int fds[5];

  fds[0] = tunnel_rig_start (&rig);
  for (guint i = 1; i < G_N_ELEMENTS (fds); i++)
    {
      fds[i] = client_connect (test_tunnel_get_port (rig.tunnel));
      g_assert_cmpuint (resumable_expect (rig.server, RESUMABLE_OPEN, 1 + 2 * i).length, ==, 0);
    }
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    tunnel_rig_round_trip (&rig, fds[i], 1 + 2 * i, "unasked");
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      client_finish (fds[i]);
      resumable_expect (rig.server, RESUMABLE_FIN, 1 + 2 * i);
      resumable_send_ack (rig.server, rig.server->taken);
      resumable_send (rig.server, RESUMABLE_FIN, 1 + 2 * i, NULL, 0);
      client_expect_eof (fds[i]);
      client_close (fds[i]);
    }
  WAIT_UNTIL (rig.recorder->closed == G_N_ELEMENTS (fds));
  g_assert_no_error (rig.recorder->closed_error);
}

static void
test_replay (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  int fd = tunnel_rig_start (&rig);

  for (char digit = '1'; digit <= '5'; digit++)
    {
      char text[] = { digit, '\0' };

      client_write (fd, text, 1);
      resumable_expect_data (rig.server, 1, text);
    }

  /* OPEN, 1 and 2 arrived. */
  rig.server->taken = 3;
  resumable_reset (rig.server);
  come_back (&rig);
  for (char digit = '3'; digit <= '5'; digit++)
    {
      char text[] = { digit, '\0' };

      resumable_expect_data (rig.server, 1, text);
    }
  tunnel_rig_round_trip (&rig, fd, 1, "6");
  WAIT_UNTIL (test_figure (rig.tunnel, bytes_replayed) > 0);
  client_close (fd);
}

/* A gateway of a later version sends unknown frames, also among those that it sends again. They are counted and
 * ignored. */
static void
test_later (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  char data[4];
  int fd;

  rig.server->hello.flags = 0xffff;
  rig.server->hello.reserved = G_MAXUINT32;
  rig.server->hello.n_later = 512 - 40;
  fd = tunnel_rig_start (&rig);
  resumable_send_later (rig.server);
  resumable_send_text (rig.server, RESUMABLE_DATA, 1, "late");
  client_read (fd, data, sizeof data);
  resumable_expect_confirmed (rig.server);
  g_assert_cmpuint (rig.server->confirmed, ==, 29 + 1);

  resumable_send_later (rig.server);
  resumable_reset (rig.server);
  come_back (&rig);
  for (guint64 i = rig.server->heard.received; i < 2 * 29 + 1; i++)
    resumable_send (rig.server, 0x43 + (i - 1) % 29, i, "again", 5);
  resumable_expect_confirmed (rig.server);
  g_assert_cmpuint (rig.server->confirmed, ==, 2 * 29 + 1);
  tunnel_rig_round_trip (&rig, fd, 1, "on");
  client_close (fd);
}

/* No frame arrived, not even the OPEN. */
static void
test_replay_of_everything (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  int fd = tunnel_rig_start (&rig);

  client_write (fd, "hello", 5);
  for (guint i = 0; i < 5; i++)
    {
      resumable_expect_data (rig.server, 1, "hello");
      rig.server->taken = 0;
      resumable_reset (rig.server);
      come_back (&rig);
      resumable_expect (rig.server, RESUMABLE_OPEN, 1);
    }
  resumable_expect_data (rig.server, 1, "hello");
  client_close (fd);
}

/* A new instance: the session is lost, and a new one begins without another HELLO. */
static void
test_lost (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  guint32 id;
  int fd = tunnel_rig_start (&rig);

  tunnel_rig_round_trip (&rig, fd, 1, "before");
  resumable_reset (rig.server);
  rig.server->hello.instance++;
  rig.server->taken = rig.server->sent = 0;
  resumable_server_accept (rig.server);
  resumable_say_hello (rig.server);
  client_expect_reset (fd);
  client_close (fd);
  tunnel_rig_expect_closed (&rig, 1, TCP_TUNNEL_ERROR_LOST);
  g_assert_cmpuint (rig.recorder->failures, ==, 0);

  if (mode == TCP_TUNNEL_MODE_MULTIPLEXED)
    {
      /* The frames are counted from 0 again. */
      resumable_hear_hello (rig.server);
      rig.server->sent = rig.server->confirmed = 0;
      fd = client_connect (test_tunnel_get_port (rig.tunnel));
      id = expect_open (rig.server);
      g_assert_cmpuint (rig.server->taken, ==, 1);
      tunnel_rig_round_trip (&rig, fd, id, "after");
      client_close (fd);
    }
}

/* The tunnel uses exactly the credit, and no payload exceeds the limit. */
static void
test_credit (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  guint64 credit = 100000, received = 0;
  int fd;

  rig.server->hello.window = credit;
  rig.server->hello.max_payload = 1024;
  fd = tunnel_rig_start (&rig);
  client_send_stream (fd, 200000, 1, 0);
  for (guint round = 0; round < 5; round++)
    {
      while (received < credit)
        {
          ResumableFrame frame = resumable_expect (rig.server, RESUMABLE_DATA, 1);
          guint8 expected[1024];

          g_assert_cmpuint (frame.length, <=, sizeof expected);
          test_fill (expected, frame.length, 1, received);
          g_assert_cmpmem (frame.payload, frame.length, expected, frame.length);
          received += frame.length;
        }
      g_assert_cmpuint (received, ==, credit);
      /* Any further data would arrive before the answer to this. */
      resumable_send_text (rig.server, RESUMABLE_DATA, 1, "x");
      expect_only_acknowledgements (rig.server);
      credit += round + 1;
      resumable_send_window (rig.server, 1, round + 1);
    }
  client_close (fd);
}

/* The gateway's FIN is passed on only when it is known that the client's FIN arrived. */
static void
test_fin_is_kept_back (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  int fd = tunnel_rig_start (&rig);
  char data[4];

  client_write (fd, "all", 3);
  client_finish (fd);
  resumable_expect_data (rig.server, 1, "all");
  resumable_expect (rig.server, RESUMABLE_FIN, 1);
  resumable_send_text (rig.server, RESUMABLE_DATA, 1, "last");
  resumable_send (rig.server, RESUMABLE_FIN, 1, NULL, 0);
  client_read (fd, data, sizeof data);
  resumable_expect_confirmed (rig.server);
  g_assert_false (client_has_ended (fd));

  /* A HELLO does not suffice: the RESET of a target that did not receive the FIN may follow it. */
  resumable_reset (rig.server);
  come_back (&rig);
  WAIT_UNTIL (test_figure (rig.tunnel, resumes) == 1);
  g_assert_false (client_has_ended (fd));
  resumable_send_ack (rig.server, rig.server->taken);
  client_expect_eof (fd);
  client_close (fd);
  WAIT_UNTIL (rig.recorder->closed == 1);
  g_assert_no_error (rig.recorder->closed_error);
  if (mode != TCP_TUNNEL_MODE_MULTIPLEXED)
    resumable_expect_goaway (rig.server, RESUMABLE_GOAWAY_DONE, 1000);
}

static void
test_resets (void)
{
  const struct
  {
    guint32 code;
    TcpTunnelError error;
  } cases[] = {
    { RESUMABLE_RESET_BROKEN, TCP_TUNNEL_ERROR_TARGET },
    { RESUMABLE_RESET_REFUSED, TCP_TUNNEL_ERROR_TARGET },
    { RESUMABLE_RESET_UNREACHABLE, TCP_TUNNEL_ERROR_TARGET },
    { RESUMABLE_RESET_TIMED_OUT, TCP_TUNNEL_ERROR_TARGET },
    { RESUMABLE_RESET_FORBIDDEN, TCP_TUNNEL_ERROR_FORBIDDEN },
    { RESUMABLE_RESET_LIMIT, TCP_TUNNEL_ERROR_LIMIT },
    { 4711, TCP_TUNNEL_ERROR_TARGET },
  };
  g_auto (TunnelRig) rig = tunnel_rig_new (TCP_TUNNEL_MODE_MULTIPLEXED);
  int other = tunnel_rig_start (&rig);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      int fd = tunnel_rig_connect (&rig, 3 + 2 * i);

      g_test_message ("code %u", cases[i].code);
      resumable_send_code (rig.server, RESUMABLE_RESET, 3 + 2 * i, cases[i].code, "because");
      client_expect_reset (fd);
      client_close (fd);
      tunnel_rig_expect_closed (&rig, i + 1, cases[i].error);
      g_assert_nonnull (strstr (rig.recorder->closed_error->message, "because"));
    }
  tunnel_rig_round_trip (&rig, other, 1, "unharmed");
  client_reset (other);
  resumable_expect_reset (rig.server, 1, RESUMABLE_RESET_BROKEN);
}

/* A close of the tunnel sends GOAWAY. */
static void
test_close (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  int fd = tunnel_rig_start (&rig);

  tunnel_rig_round_trip (&rig, fd, 1, "hello");
  tcp_endpoint_close (TCP_ENDPOINT (rig.tunnel));
  resumable_expect_goaway (rig.server, RESUMABLE_GOAWAY_DONE, 1000);
  client_expect_reset (fd);
  client_close (fd);
}

/* The gateway has ended the session: its connections are reset, and the tunnel begins another one. */
static void
check_goaway (TcpTunnelMode mode,
              guint32 code)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  g_autofree char *first_id = NULL;
  g_autofree char *second_id = NULL;
  ResumableFrame frame;
  guint32 id;
  int fd = tunnel_rig_start (&rig);

  tunnel_rig_round_trip (&rig, fd, 1, "hello");
  first_id = get_session_id (rig.server);
  resumable_send_code (rig.server, RESUMABLE_GOAWAY, 0, code, "that\nis \033[0mall");
  client_expect_reset (fd);
  client_close (fd);
  WAIT_UNTIL (rig.recorder->closed == 1);
  g_assert_nonnull (rig.recorder->closed_error);
  /* The message is one line of text, whatever was sent. */
  g_assert_nonnull (strstr (rig.recorder->closed_error->message, "that\\x0ais \\x1b[0mall"));
  while (resumable_receive (rig.server, &frame))
    ;
  client_close (rig.server->fd);
  rig.server->fd = -1;

  fd = -1;
  if (mode != TCP_TUNNEL_MODE_MULTIPLEXED)
    fd = client_connect (test_tunnel_get_port (rig.tunnel));
  rig.server->hello.instance++;
  rig.server->taken = rig.server->sent = 0;
  come_back (&rig);
  g_assert_cmpuint (rig.server->heard.received, ==, 0);
  if (fd < 0)
    fd = client_connect (test_tunnel_get_port (rig.tunnel));
  second_id = get_session_id (rig.server);
  if (g_str_equal (first_id, second_id))
    /* Then the gateway has to be able to distinguish the new session from the old one. */
    g_assert_cmpuint (rig.server->heard.instance, !=, rig.server->hello.instance);
  id = expect_open (rig.server);
  tunnel_rig_round_trip (&rig, fd, id, "after");
  client_close (fd);
}

static void
test_goaway (TcpTunnelMode mode)
{
  check_goaway (mode, RESUMABLE_GOAWAY_DONE);
  /* An unknown code is treated as the end. */
  check_goaway (mode, 4711);
}

/* A gateway is draining: the open connections continue. */
static void
test_draining (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  int fd = tunnel_rig_start (&rig);

  tunnel_rig_round_trip (&rig, fd, 1, "before");
  resumable_send_code (rig.server, RESUMABLE_GOAWAY, 0, RESUMABLE_GOAWAY_DRAINING, "soon");
  tunnel_rig_round_trip (&rig, fd, 1, "still");
  g_assert_cmpuint (rig.recorder->closed, ==, 0);
  client_finish (fd);
  resumable_expect (rig.server, RESUMABLE_FIN, 1);
  resumable_send_ack (rig.server, rig.server->taken);
  resumable_send (rig.server, RESUMABLE_FIN, 1, NULL, 0);
  client_expect_eof (fd);
  client_close (fd);
  /* That was the last connection of the session. */
  resumable_expect_goaway (rig.server, RESUMABLE_GOAWAY_DONE, 1000);
}

/* New clients are served by another session at once. */
static void
test_draining_and_new_clients (void)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autoptr (ResumablePeer) next = resumable_server_new ();
  g_autofree char *first_id = NULL;
  g_autofree char *second_id = NULL;
  char answer[3];
  guint32 id;
  int old = tunnel_rig_start (&rig);
  int fd;

  first_id = get_session_id (rig.server);
  resumable_send_code (rig.server, RESUMABLE_GOAWAY, 0, RESUMABLE_GOAWAY_DRAINING, "soon");
  /* Both listen on the same port. */
  close (next->listen_fd);
  next->listen_fd = dup (rig.server->listen_fd);
  resumable_server_welcome (next);
  second_id = get_session_id (next);
  g_assert_cmpstr (first_id, !=, second_id);
  fd = client_connect (test_tunnel_get_port (rig.tunnel));
  client_write (fd, "new", 3);
  id = expect_open (next);
  resumable_expect_data (next, id, "new");
  resumable_send_text (next, RESUMABLE_DATA, id, "new");
  client_read (fd, answer, sizeof answer);
  tunnel_rig_round_trip (&rig, old, 1, "old");
  client_close (fd);
  client_close (old);
}

/* The gateway cannot open connections through a tunnel that does not listen. */
static void
test_gateway_opens (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  int fd = tunnel_rig_start (&rig);

  for (guint32 id = 2; id < 10; id += 2)
    {
      resumable_send_text (rig.server, RESUMABLE_OPEN, id, "127.0.0.1:22");
      resumable_expect_reset (rig.server, id, RESUMABLE_RESET_FORBIDDEN);
      resumable_send_text (rig.server, RESUMABLE_DATA, id, "hello?");
    }
  tunnel_rig_round_trip (&rig, fd, 1, "unharmed");
  client_close (fd);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_mode_test ("/wire-tunnel/hello", test_hello);
  add_mode_test ("/wire-tunnel/hello-comes-first", test_hello_comes_first);
  g_test_add_func ("/wire-tunnel/streams", test_streams);
  add_mode_test ("/wire-tunnel/replay", test_replay);
  add_mode_test ("/wire-tunnel/later", test_later);
  add_mode_test ("/wire-tunnel/replay-of-everything", test_replay_of_everything);
  add_mode_test ("/wire-tunnel/lost", test_lost);
  add_mode_test ("/wire-tunnel/credit", test_credit);
  add_mode_test ("/wire-tunnel/fin-is-kept-back", test_fin_is_kept_back);
  g_test_add_func ("/wire-tunnel/resets", test_resets);
  add_mode_test ("/wire-tunnel/close", test_close);
  add_mode_test ("/wire-tunnel/goaway", test_goaway);
  add_mode_test ("/wire-tunnel/draining", test_draining);
  g_test_add_func ("/wire-tunnel/draining-and-new-clients", test_draining_and_new_clients);
  add_mode_test ("/wire-tunnel/gateway-opens", test_gateway_opens);

  return g_test_run ();
}
