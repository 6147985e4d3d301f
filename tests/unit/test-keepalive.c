/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel-end.h"
#include "test-util.h"

#include <string.h>

/* Far in the future: no deadline passes unless the test causes it. */
#define LONG 60000

static void
test_round_trip (void)
{
  g_autoptr (TcpStatus) status = tcp_status_new ();
  ChannelEndOptions options = { .interval = LONG, .timeout = LONG, .status = status };
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  g_autoptr (GBytes) ping = NULL;

  loopback_pair (fds, 0);
  end = channel_end_new (fds[0], FALSE, &options);
  raw = raw_end_new (fds[1]);

  g_assert_cmpint (end->channel->keepalive.round_trip, ==, -1);
  channel_end_send (end, 0, 100);
  g_assert_cmpuint (tcp_channel_get_unconfirmed (end->channel), ==, 100);

  /* The first ping is sent at once. */
  raw_end_wait_ping (raw, &ping);

  /* A pong that does not match the ping is not an answer to it. */
  raw_end_send (raw, 0x8a, TRUE, "", 0);
  raw_end_send (raw, 0x8a, TRUE, "12345678", 8);
  raw_end_send (raw, 0x82, TRUE, "x", 1);
  WAIT_UNTIL (end->messages->len == 1);
  g_assert_cmpint (end->channel->keepalive.round_trip, ==, -1);

  /* When a pong has arrived, so has all data that was sent before its ping. */
  channel_end_send (end, 0, 50);
  raw_end_answer_ping (raw, TRUE, ping);
  WAIT_UNTIL (end->channel->keepalive.round_trip >= 0);
  g_assert_cmpint (tcp_status_get (status, round_trip), ==, end->channel->keepalive.round_trip);
  g_assert_cmpuint (tcp_channel_get_unconfirmed (end->channel), ==, 50);
  g_assert_cmpuint (end->closed, ==, 0);
}

/* The round trip of the channel stays that of the shortest ping, but the status shows that of the last one. */
static void
test_last_round_trip (void)
{
  g_autoptr (TcpStatus) status = tcp_status_new ();
  ChannelEndOptions options = { .interval = 1, .timeout = LONG, .status = status };
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  g_autoptr (GBytes) first = NULL;
  g_autoptr (GBytes) second = NULL;
  gint64 shortest, sent;

  loopback_pair (fds, 0);
  end = channel_end_new (fds[0], FALSE, &options);
  raw = raw_end_new (fds[1]);

  raw_end_wait_ping (raw, &first);
  raw_end_answer_ping (raw, TRUE, first);
  WAIT_UNTIL (end->channel->keepalive.round_trip >= 0);
  shortest = end->channel->keepalive.round_trip;

  raw_end_wait_ping (raw, &second);
  memcpy (&sent, g_bytes_get_data (second, NULL), sizeof sent);
  WAIT_UNTIL (g_get_monotonic_time () - sent > 2 * shortest);
  raw_end_answer_ping (raw, TRUE, second);
  WAIT_UNTIL (tcp_status_get (status, round_trip) != shortest);
  g_assert_cmpint (tcp_status_get (status, round_trip), >, 2 * shortest);
  g_assert_cmpint (end->channel->keepalive.round_trip, ==, shortest);
}

/* A channel that may be brief is not pinged at once, as it may be over before. */
static void
test_brief (void)
{
  ChannelEndOptions options = { .interval = LONG, .timeout = LONG, .brief = TRUE };
  gint64 before = tcp_now ();
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  g_autoptr (GBytes) ping = NULL;

  loopback_pair (fds, 0);
  end = channel_end_new (fds[0], FALSE, &options);
  raw = raw_end_new (fds[1]);
  raw_end_wait_ping (raw, &ping);
  g_assert_cmpint (tcp_now () - before, >=, 20 * G_TIME_SPAN_MILLISECOND);
  /* From then on the channel is kept alive as usual. */
  raw_end_answer_ping (raw, TRUE, ping);
  WAIT_UNTIL (end->channel->keepalive.round_trip >= 0);
}

/* A peer that takes bytes and sends none is considered dead. */
static void
check_dead (gboolean client)
{
  ChannelEndOptions options = { .interval = 20, .timeout = 50 };
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;

  loopback_pair (fds, 0);
  end = channel_end_new (fds[0], client, &options);
  raw = raw_end_new (fds[1]);
  WAIT_UNTIL ((raw_end_read (raw, G_MAXUINT), end->closed == 1));
  g_assert_cmpuint (end->code, ==, 0);
  g_assert_error (end->error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TIMED_OUT);
  g_assert_nonnull (strstr (end->error->message, "50 ms"));
  WAIT_UNTIL ((raw_end_read (raw, G_MAXUINT), raw->eof));
}

static void
test_dead (void)
{
  check_dead (TRUE);
  check_dead (FALSE);
}

static void
test_many_pings (void)
{
  ChannelEndOptions options = { .interval = 1, .timeout = LONG };
  int fds[2];
  g_autoptr (ChannelEnd) client = NULL;
  g_autoptr (ChannelEnd) server = NULL;

  loopback_pair (fds, 0);
  client = channel_end_new (fds[0], TRUE, &options);
  server = channel_end_new (fds[1], FALSE, &options);
  for (guint i = 0; i < 50; i++)
    {
      channel_end_send (client, i, 1000);
      channel_end_send (server, i, 1000);
      WAIT_UNTIL (tcp_channel_get_unconfirmed (client->channel) == 0 &&
                  tcp_channel_get_unconfirmed (server->channel) == 0);
    }
  g_assert_cmpuint (client->closed + server->closed, ==, 0);
}

/* There are no pings if they are switched off. */
static void
test_off (void)
{
  ChannelEndOptions options = { .interval = 0, .timeout = 1 };
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  guint opcode;

  loopback_pair (fds, 0);
  end = channel_end_new (fds[0], TRUE, &options);
  raw = raw_end_new (fds[1]);

  channel_end_send (end, 0, 10);
  raw_end_send (raw, 0x82, FALSE, "x", 1);
  WAIT_UNTIL (end->messages->len == 1);
  tcp_timer_set (end->channel->keepalive.timer, 0);
  WAIT_UNTIL (tcp_timer_get (end->channel->keepalive.timer) == -1);

  /* A ping would have been sent before this. */
  channel_end_send (end, 1, 10);
  for (guint i = 0; i < 2; i++)
    {
      g_bytes_unref (raw_end_wait_frame (raw, &opcode, TRUE));
      g_assert_cmpuint (opcode, ==, TCP_FRAME_BINARY);
    }
  g_assert_cmpint (tcp_timer_get (end->channel->keepalive.timer), ==, -1);
  g_assert_cmpuint (end->closed, ==, 0);
}

/* A channel that does not read sends pongs to show that it is alive, and does not consider its peer dead. */
static void
check_paused (guint interval)
{
  ChannelEndOptions options = { .interval = interval, .timeout = 1 };
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  guint opcode;

  loopback_pair (fds, 0);
  end = channel_end_new (fds[0], TRUE, &options);
  raw = raw_end_new (fds[1]);
  tcp_channel_pause (end->channel);

  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GBytes) pong = NULL;

      /* The keep-alive timer expires. */
      tcp_timer_set (end->channel->keepalive.timer, 0);
      pong = raw_end_wait_frame (raw, &opcode, TRUE);
      g_assert_cmpuint (opcode, ==, TCP_FRAME_PONG);
      g_assert_cmpuint (g_bytes_get_size (pong), ==, 0);
    }
  g_assert_cmpuint (end->closed, ==, 0);
}

static void
test_paused (void)
{
  check_paused (LONG);
  check_paused (0);
}

/* While nothing can be written, at most one control frame waits. */
static void
check_blocked (gboolean paused)
{
  ChannelEndOptions options = { .interval = LONG };
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  g_autoptr (GBytes) frame = NULL;
  guint opcode;

  loopback_pair (fds, 20000);
  end = channel_end_new (fds[0], TRUE, &options);
  raw = raw_end_new (fds[1]);
  channel_end_send (end, 0, 1 << 20);
  if (paused)
    tcp_channel_pause (end->channel);

  for (guint i = 0; i < 50; i++)
    {
      end->channel->keepalive.next_ping = 0;
      channel_end_keep_alive (end);
      g_assert_cmpuint (end->channel->queue.controls, <=, 1);
    }
  g_assert_cmpuint (end->channel->queue.controls, ==, 1);

  /* It is sent when there is room. */
  do
    {
      g_clear_pointer (&frame, g_bytes_unref);
      frame = raw_end_wait_frame (raw, &opcode, TRUE);
      g_assert_nonnull (frame);
    }
  while (opcode != (paused ? TCP_FRAME_PONG : TCP_FRAME_PING));
  WAIT_UNTIL (end->channel->queue.controls == 0);
  g_assert_cmpuint (end->closed, ==, 0);

  /* The frame is the last ping, for whose answer the channel waits. */
  if (!paused)
    {
      raw_end_answer_ping (raw, FALSE, frame);
      WAIT_UNTIL (end->channel->keepalive.round_trip >= 0);
    }
}

static void
test_blocked (void)
{
  check_blocked (TRUE);
  check_blocked (FALSE);
}

/* Without a timeout pings continue although none is answered. */
static void
test_no_timeout (void)
{
  ChannelEndOptions options = { .interval = LONG };
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;

  loopback_pair (fds, 0);
  end = channel_end_new (fds[0], TRUE, &options);
  raw = raw_end_new (fds[1]);

  for (guint i = 0; i < 5; i++)
    {
      GBytes *frame;
      guint opcode;

      do
        {
          frame = raw_end_wait_frame (raw, &opcode, FALSE);
          g_assert_nonnull (frame);
          g_bytes_unref (frame);
        }
      while (opcode != TCP_FRAME_PING);

      /* Data that stays unconfirmed for long does not make the timer expire again and again. */
      channel_end_send (end, i, 100);
      g_assert_cmpint (end->channel->keepalive.unconfirmed_since, !=, 0);
      end->channel->keepalive.unconfirmed_since = 1;
      channel_end_keep_alive (end);

      end->channel->keepalive.next_ping = 0;
      channel_end_keep_alive (end);
    }
  g_assert_cmpuint (end->closed, ==, 0);
}

/* Another control frame that waits does not replace a ping. */
static void
test_blocked_pong (void)
{
  ChannelEndOptions options = { .interval = LONG };
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  guint pings = 0;
  guint pongs = 0;
  guint opcode;

  loopback_pair (fds, 20000);
  end = channel_end_new (fds[0], TRUE, &options);
  raw = raw_end_new (fds[1]);
  channel_end_keep_alive (end);
  channel_end_send (end, 0, 1 << 20);
  raw_end_send (raw, 0x89, FALSE, "ping", 4);
  WAIT_UNTIL (end->channel->queue.controls == 1);
  end->channel->keepalive.next_ping = 0;
  channel_end_keep_alive (end);
  g_assert_cmpuint (end->channel->queue.controls, ==, 2);

  while (pings < 2 || pongs < 1)
    {
      g_autoptr (GBytes) frame = raw_end_wait_frame (raw, &opcode, TRUE);

      g_assert_nonnull (frame);
      pings += opcode == TCP_FRAME_PING;
      pongs += opcode == TCP_FRAME_PONG;
    }
}

int
main (int    argc,
      char **argv)
{
  unit_test_init (&argc, &argv);
  g_test_add_func ("/keepalive/round-trip", test_round_trip);
  g_test_add_func ("/keepalive/last-round-trip", test_last_round_trip);
  g_test_add_func ("/keepalive/brief", test_brief);
  g_test_add_func ("/keepalive/dead", test_dead);
  g_test_add_func ("/keepalive/many-pings", test_many_pings);
  g_test_add_func ("/keepalive/off", test_off);
  g_test_add_func ("/keepalive/paused", test_paused);
  g_test_add_func ("/keepalive/blocked", test_blocked);
  g_test_add_func ("/keepalive/no-timeout", test_no_timeout);
  g_test_add_func ("/keepalive/blocked-pong", test_blocked_pong);
  return g_test_run ();
}
