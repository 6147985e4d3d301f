/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A gateway that violates resumable/1: the tunnel sends a GOAWAY and gives up the session, and its TCP clients are
 * reset. */

#include "bad-frames.h"
#include "resume-rig.h"
#include "tunnel-rig.h"

#include <poll.h>
#include <string.h>

#define KIB 1024

static void
expect_given_up (TunnelRig *rig,
                 int fd)
{
  resumable_expect_goaway (rig->server, RESUMABLE_GOAWAY_PROTOCOL, 1002);
  client_expect_reset (fd);
  client_close (fd);
  tunnel_rig_expect_closed (rig, 1, TCP_TUNNEL_ERROR_PROTOCOL);
}

static void
test_bad_frames (TcpTunnelMode mode)
{
  for (guint i = 0; i < n_bad_frames; i++)
    {
      g_auto (TunnelRig) rig = tunnel_rig_new (mode);
      int fd = tunnel_rig_start (&rig);

      g_test_message ("%s", bad_frames[i].what);
      resumable_send_message (rig.server, bad_frames[i].bytes, bad_frames[i].length);
      expect_given_up (&rig, fd);
    }
}

static void
check_frame (TcpTunnelMode mode,
             const char *what,
             ResumableType type,
             guint32 id,
             gsize length)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  g_autofree char *payload = g_strnfill (length, 'x');
  int fd = tunnel_rig_start (&rig);

  g_test_message ("%s", what);
  resumable_send (rig.server, type, id, payload, length);
  expect_given_up (&rig, fd);
}

static void
test_more_frames (TcpTunnelMode mode)
{
  check_frame (mode, "a stream of the client's", RESUMABLE_OPEN, 3, 0);
  check_frame (mode, "a long target", RESUMABLE_OPEN, 2, 513);
  check_frame (mode, "a long reason", RESUMABLE_RESET, 1, 4 + 513);
  check_frame (mode, "a long farewell", RESUMABLE_GOAWAY, 0, 4 + 513);
  check_frame (mode, "much data", RESUMABLE_DATA, 1, 16 * MIB);
}

/* No frame may follow the FIN of a stream. */
static void
test_after_fin (TcpTunnelMode mode)
{
  for (guint i = 0; i < 2; i++)
    {
      g_auto (TunnelRig) rig = tunnel_rig_new (mode);
      int fd = tunnel_rig_start (&rig);

      resumable_send_text (rig.server, RESUMABLE_DATA, 1, "last");
      resumable_send (rig.server, RESUMABLE_FIN, 1, NULL, 0);
      if (i == 0)
        resumable_send_text (rig.server, RESUMABLE_DATA, 1, "and more");
      else
        resumable_send (rig.server, RESUMABLE_FIN, 1, NULL, 0);
      resumable_expect_goaway (rig.server, RESUMABLE_GOAWAY_PROTOCOL, 1002);
      client_close (fd);
      tunnel_rig_expect_closed (&rig, 1, TCP_TUNNEL_ERROR_PROTOCOL);
    }
}

/* HELLO */

static void
check_first_hello (TcpTunnelMode mode,
                   const char *what,
                   ResumableHello hello)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  int fd = tunnel_rig_begin (&rig);

  g_test_message ("%s", what);
  resumable_send_hello (rig.server, &hello);
  resumable_expect_goaway (rig.server, RESUMABLE_GOAWAY_PROTOCOL, 1002);
  if (fd >= 0)
    {
      client_expect_reset (fd);
      client_close (fd);
    }
}

static void
test_first_hello (TcpTunnelMode mode)
{
  const ResumableHello good = { .version = 1, .instance = 1, .window = 65536, .max_payload = 65536, .max_streams = 100 };
  ResumableHello bad;

#define CHECK(field, value) \
  G_STMT_START \
  { \
    bad = good; \
    bad.field = (value); \
    check_first_hello (mode, #field " " #value, bad); \
  } \
  G_STMT_END

  CHECK (version, 0);
  CHECK (version, 2);
  CHECK (instance, 0);
  CHECK (received, 1);
  CHECK (received, G_MAXUINT64);
  CHECK (max_payload, 0);
  CHECK (max_payload, 1023);
  CHECK (n_later, 512 - 40 + 1);
  CHECK (window, (guint32) G_MAXINT32 + 1);
#undef CHECK
}

static void
test_second_hello (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  int fd = tunnel_rig_start (&rig);

  resumable_say_hello (rig.server);
  expect_given_up (&rig, fd);
}

static void
test_no_hello (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  int fd = tunnel_rig_begin (&rig);

  resumable_send_text (rig.server, RESUMABLE_DATA, 1, "hello?");
  resumable_expect_goaway (rig.server, RESUMABLE_GOAWAY_PROTOCOL, 1002);
  if (fd >= 0)
    {
      client_expect_reset (fd);
      client_close (fd);
    }
}

/* The tunnel has sent four frames, of which two are acknowledged. */
static void
check_false_hello (TcpTunnelMode mode,
                   guint64 received)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  int fd = tunnel_rig_start (&rig);

  g_test_message ("%" G_GUINT64_FORMAT, received);
  tunnel_rig_round_trip (&rig, fd, 1, "one");
  resumable_send_ack (rig.server, 2);
  tunnel_rig_round_trip (&rig, fd, 1, "two");
  tunnel_rig_round_trip (&rig, fd, 1, "three");
  resumable_reset (rig.server);
  rig.server->taken = received;
  resumable_server_accept (rig.server);
  resumable_say_hello (rig.server);
  expect_given_up (&rig, fd);
}

static void
test_false_hello (TcpTunnelMode mode)
{
  check_false_hello (mode, 0);
  check_false_hello (mode, 1);
  check_false_hello (mode, 5);
  check_false_hello (mode, G_MAXUINT64);
}

/* A server that opens the WebSocket and sends no HELLO is given up after a while. */
static void
test_silent_server (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  int fd;

  g_object_set (rig.tunnel, "connect-timeout", test_scaled_ms (200), NULL);
  fd = tunnel_rig_begin (&rig);
  resumable_hear_hello (rig.server);
  client_expect_end (rig.server->fd);
  client_close (rig.server->fd);
  rig.server->fd = -1;
  if (fd >= 0)
    client_close (fd);
}

/* Streams */

/* The gateway ignores the credit that the tunnel grants, and does not wait for it: the tunnel has to reset the stream
 * before the loop gives up. */
static void
test_credit_overrun (void)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (TCP_TUNNEL_MODE_MULTIPLEXED);
  gboolean refused = FALSE;
  guint64 sent = 0;
  int other = tunnel_rig_start (&rig);
  int fd = tunnel_rig_connect (&rig, 3);

  client_set_receive_buffer (fd, 4 * KIB);
  while (!refused)
    {
      struct pollfd poll_fd = { .fd = rig.server->fd, .events = POLLIN };
      ResumableFrame frame;

      g_assert_cmpuint (sent, <, 256 * MIB);
      resumable_send_stream (rig.server, 3, 16 * KIB, 0, sent);
      sent += 16 * KIB;
      while (!refused && poll (&poll_fd, 1, 0) == 1)
        {
          g_assert_true (resumable_receive (rig.server, &frame));
          refused = frame.type == RESUMABLE_RESET;
          if (refused)
            g_assert_cmpuint (resumable_get_u32 (&frame), ==, RESUMABLE_RESET_FLOW_CONTROL);
        }
    }
  client_expect_reset (fd);
  client_close (fd);
  tunnel_rig_expect_closed (&rig, 1, TCP_TUNNEL_ERROR_PROTOCOL);
  tunnel_rig_round_trip (&rig, other, 1, "unharmed");
  client_close (other);
}

/* A gateway that acknowledges nothing: the tunnel does not buffer more than the limit. */
static void
test_never_acknowledges (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  guint64 sent, received = 0;
  guint32 cap = MIB;
  int fd;

  g_object_set (rig.tunnel, "max-unacknowledged-bytes", cap, NULL);
  rig.server->hello.window = 64 * MIB;
  fd = tunnel_rig_start (&rig);
  sent = client_blast (fd, 64 * MIB, 200);
  g_assert_cmpuint (sent, <, 64 * MIB);
  while (received < sent)
    {
      ResumableFrame frame = resumable_expect (rig.server, RESUMABLE_DATA, 1);
      g_autofree guint8 *expected = g_malloc (frame.length);

      test_fill (expected, frame.length, 0, received);
      g_assert_cmpmem (frame.payload, frame.length, expected, frame.length);
      received += frame.length;
      g_assert_cmpuint (test_figure (rig.tunnel, unacknowledged_bytes), <=, cap + KIB);
      /* The tunnel waits only for this. */
      if (received % (512 * KIB) < frame.length)
        resumable_send_ack (rig.server, rig.server->taken);
    }
  resumable_send_ack (rig.server, rig.server->taken);
  WAIT_UNTIL (test_figure (rig.tunnel, unacknowledged_bytes) == 0);
  client_close (fd);
}

/* Each of 100,000 OPENs from the gateway is refused. */
static void
test_many_opens (void)
{
  guint count = test_count (100000, 5000);
  g_auto (TunnelRig) rig = tunnel_rig_new (TCP_TUNNEL_MODE_MULTIPLEXED);
  int fd = tunnel_rig_start (&rig);
  guint64 before = test_memory ("VmRSS");

  for (guint i = 0; i < count; i += 100)
    {
      for (guint j = i; j < i + 100; j++)
        resumable_send (rig.server, RESUMABLE_OPEN, 2 + 2 * j, NULL, 0);
      for (guint j = i; j < i + 100; j++)
        resumable_expect_reset (rig.server, 2 + 2 * j, RESUMABLE_RESET_FORBIDDEN);
      resumable_send_ack (rig.server, rig.server->taken);
    }
  if (test_memory_is_meaningful ())
    g_assert_cmpuint (test_memory ("VmRSS"), <, before + 8 * MIB);
  tunnel_rig_round_trip (&rig, fd, 1, "unharmed");
  client_close (fd);
}

/* As in tunnel/links.c. */
#define MAX_DRAINING 16

/* A gateway drains one session after the other, and never lets one end. The session that is given up is the oldest,
 * or @idle, of which only the end of its connection is not acknowledged. */
static void
check_draining (int idle)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (TCP_TUNNEL_MODE_MULTIPLEXED);
  int clients[MAX_DRAINING + 1];
  int websockets[MAX_DRAINING + 1];

  g_object_set (rig.tunnel, "reconnect-delay", 1, "max-reconnect-delay", 1, NULL);
  for (int i = 0; i <= MAX_DRAINING; i++)
    {
      if (i > 0)
        resumable_server_welcome (rig.server);
      clients[i] = i > 0 ? tunnel_rig_connect (&rig, 1) : tunnel_rig_start (&rig);
      if (i == idle)
        {
          client_reset (clients[i]);
          resumable_expect_reset (rig.server, 1, RESUMABLE_RESET_BROKEN);
        }
      resumable_send_code (rig.server, RESUMABLE_GOAWAY, 0, RESUMABLE_GOAWAY_DRAINING, "elsewhere");
      websockets[i] = rig.server->fd;
      /* The next session is a new one. */
      rig.server->fd = -1;
      rig.server->taken = rig.server->sent = rig.server->confirmed = 0;
    }

  rig.server->fd = websockets[MAX (idle, 0)];
  resumable_expect_goaway (rig.server, RESUMABLE_GOAWAY_DONE, 1000);
  tunnel_rig_expect_closed (&rig, 1, idle < 0 ? TCP_TUNNEL_ERROR_LOST : TCP_TUNNEL_ERROR_RESET);
  if (idle < 0)
    client_expect_reset (clients[0]);
  g_assert_cmpuint (test_figure (rig.tunnel, open_connections), ==, MAX_DRAINING);
  for (int i = 0; i <= MAX_DRAINING; i++)
    {
      if (i != idle)
        client_close (clients[i]);
      if (i != MAX (idle, 0))
        client_close (websockets[i]);
    }
}

static void
test_draining (void)
{
  check_draining (-1);
}

static void
test_draining_idle (void)
{
  check_draining (3);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_mode_test ("/limits-tunnel/bad-frames", test_bad_frames);
  add_mode_test ("/limits-tunnel/more-frames", test_more_frames);
  add_mode_test ("/limits-tunnel/after-fin", test_after_fin);
  add_mode_test ("/limits-tunnel/first-hello", test_first_hello);
  add_mode_test ("/limits-tunnel/second-hello", test_second_hello);
  add_mode_test ("/limits-tunnel/no-hello", test_no_hello);
  add_mode_test ("/limits-tunnel/false-hello", test_false_hello);
  add_mode_test ("/limits-tunnel/silent-server", test_silent_server);
  g_test_add_func ("/limits-tunnel/credit-overrun", test_credit_overrun);
  add_mode_test ("/limits-tunnel/never-acknowledges", test_never_acknowledges);
  g_test_add_func ("/limits-tunnel/many-opens", test_many_opens);
  g_test_add_func ("/limits-tunnel/draining", test_draining);
  g_test_add_func ("/limits-tunnel/draining-idle", test_draining_idle);

  return g_test_run ();
}
