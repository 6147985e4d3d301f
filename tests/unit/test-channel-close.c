/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel-end.h"
#include "test-util.h"

#include <string.h>
#include <sys/socket.h>

#define CLOSE 0x88
#define PING 0x89

typedef struct
{
  ChannelEnd *end;
  RawEnd *raw;
} Pair;

static Pair
pair_new (gboolean client)
{
  int fds[2];

  loopback_pair (fds, 0);
  return (Pair) { channel_end_new (fds[0], client, NULL), raw_end_new (fds[1]) };
}

static void
pair_clear (Pair *pair)
{
  g_clear_pointer (&pair->end, channel_end_free);
  g_clear_pointer (&pair->raw, raw_end_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Pair, pair_clear)

/* Waits for a close frame, and drops all frames before it. */
static guint
wait_close (RawEnd  *raw,
            GBytes **payload)
{
  for (;;)
    {
      guint opcode = 0;
      g_autoptr (GBytes) frame = raw_end_wait_frame (raw, &opcode, FALSE);
      const guint8 *data;
      gsize length;

      g_assert_nonnull (frame);
      if (opcode != TCP_FRAME_CLOSE)
        continue;
      data = g_bytes_get_data (frame, &length);
      if (payload != NULL)
        *payload = g_bytes_ref (frame);
      return length >= 2 ? data[0] << 8 | data[1] : 0;
    }
}

static void
wait_end (RawEnd *raw)
{
  WAIT_UNTIL ((raw_end_read (raw, G_MAXUINT), raw->eof));
}

static void
send_close (Pair       *pair,
            guint16     code,
            const char *reason)
{
  g_autoptr (GByteArray) payload = g_byte_array_new ();
  guint16 number = GUINT16_TO_BE (code);

  g_byte_array_append (payload, (guint8 *) &number, 2);
  g_byte_array_append (payload, (const guint8 *) reason, strlen (reason));
  raw_end_send (pair->raw, CLOSE, !pair->end->channel->client, payload->data, payload->len);
}

/* Between two channels */

static void
check_handshake (gboolean    by_client,
                 guint       code,
                 const char *reason)
{
  int fds[2];
  g_autoptr (ChannelEnd) closer = NULL;
  g_autoptr (ChannelEnd) other = NULL;

  loopback_pair (fds, 0);
  closer = channel_end_new (fds[0], by_client, NULL);
  other = channel_end_new (fds[1], !by_client, NULL);
  tcp_channel_close (closer->channel, code, reason);
  /* Only the first close counts. */
  tcp_channel_close (closer->channel, 1001, "again");
  g_assert_cmpuint (closer->closed, ==, 0);
  WAIT_UNTIL (closer->closed == 1 && other->closed == 1);
  g_assert_cmpuint (other->code, ==, code);
  g_assert_cmpstr (other->reason, ==, reason != NULL ? reason : "");
  g_assert_no_error (other->error);
  g_assert_cmpuint (closer->code, ==, code);
  g_assert_no_error (closer->error);
}

static void
test_handshake (void)
{
  for (gboolean by_client = FALSE; by_client <= TRUE; by_client++)
    {
      check_handshake (by_client, TCP_CLOSE_NORMAL, "end of stream");
      check_handshake (by_client, TCP_CLOSE_NORMAL, NULL);
      check_handshake (by_client, TCP_CLOSE_GOING_AWAY, "");
      check_handshake (by_client, TCP_CLOSE_SUPERSEDED, "größer");
      check_handshake (by_client, TCP_CLOSE_RESET, "Connection refused");
    }
}

/* The close frame is sent behind all data, however much waits. */
static void
check_data_first (gboolean client)
{
  int fds[2];
  g_autoptr (ChannelEnd) closer = NULL;
  g_autoptr (ChannelEnd) other = NULL;

  loopback_pair (fds, 20000);
  closer = channel_end_new (fds[0], client, NULL);
  other = channel_end_new (fds[1], !client, NULL);
  for (guint i = 0; i < 40; i++)
    channel_end_send (closer, i, 50000);
  tcp_channel_close (closer->channel, TCP_CLOSE_NORMAL, NULL);
  g_assert_false (tcp_channel_can_send (closer->channel));
  /* This is too late. */
  channel_end_send (closer, 99, 10);
  WAIT_UNTIL (closer->closed == 1 && other->closed == 1);
  g_assert_cmpuint (other->code, ==, TCP_CLOSE_NORMAL);
  g_assert_cmpuint (other->messages->len, ==, 40);
  for (guint i = 0; i < 40; i++)
    {
      GByteArray *message = other->messages->pdata[i];

      g_assert_cmpuint (message->len, ==, 50000);
      assert_stream (message->data, 50000, i);
    }
}

static void
test_data_first (void)
{
  check_data_first (TRUE);
  check_data_first (FALSE);
}

static void
test_both_at_once (void)
{
  int fds[2];
  g_autoptr (ChannelEnd) client = NULL;
  g_autoptr (ChannelEnd) server = NULL;

  loopback_pair (fds, 0);
  client = channel_end_new (fds[0], TRUE, NULL);
  server = channel_end_new (fds[1], FALSE, NULL);
  tcp_channel_close (client->channel, 1000, "one");
  tcp_channel_close (server->channel, 1001, "two");
  WAIT_UNTIL (client->closed == 1 && server->closed == 1);
  g_assert_cmpuint (client->code, ==, 1001);
  g_assert_cmpuint (server->code, ==, 1000);
}

/* Against a raw end */

static void
check_reason (const char *character)
{
  g_auto (Pair) pair = pair_new (TRUE);
  g_autoptr (GString) reason = g_string_new ("x");
  g_autoptr (GBytes) payload = NULL;
  g_autofree char *got = NULL;
  gsize length;

  while (reason->len < 400)
    g_string_append (reason, character);
  tcp_channel_close (pair.end->channel, 1000, reason->str);
  g_assert_cmpuint (wait_close (pair.raw, &payload), ==, 1000);
  length = g_bytes_get_size (payload) - 2;
  got = g_strndup ((const char *) g_bytes_get_data (payload, NULL) + 2, length);
  g_assert_true (g_utf8_validate (got, length, NULL));
  g_assert_true (g_str_has_prefix (reason->str, got));
  g_assert_cmpuint (length, <=, 123);
  g_assert_cmpuint (length, >, 110);
  send_close (&pair, 1000, "");
}

/* The reason is cut to the size that fits, at the end of a character. */
static void
test_long_reason (void)
{
  check_reason ("a");
  check_reason ("é");
  check_reason ("€");
  check_reason ("😀");
  check_reason ("aé€😀");
}

static void
test_peer_closes (void)
{
  static const guint16 codes[] = { 1000, 1001, 1011, 4001, 4002, 4999 };

  for (guint i = 0; i < 2 * G_N_ELEMENTS (codes); i++)
    {
      g_auto (Pair) pair = pair_new (i % 2);

      send_close (&pair, codes[i / 2], "reason");
      WAIT_UNTIL (pair.end->closed == 1);
      g_assert_cmpuint (pair.end->code, ==, codes[i / 2]);
      g_assert_cmpstr (pair.end->reason, ==, "reason");
      g_assert_cmpuint (wait_close (pair.raw, NULL), ==, codes[i / 2]);
    }
}

static void
test_peer_closes_without_a_code (void)
{
  g_auto (Pair) pair = pair_new (FALSE);

  raw_end_send (pair.raw, CLOSE, TRUE, "", 0);
  WAIT_UNTIL (pair.end->closed == 1);
  g_assert_cmpuint (pair.end->code, ==, SOUP_WEBSOCKET_CLOSE_NO_STATUS);
  wait_end (pair.raw);
}

/* Codes that a peer must not send are protocol errors; 0 and 1005 above all, as these have a meaning of their own
 * within the library. */
static void
test_forbidden_codes (void)
{
  static const guint16 codes[] = { 0, 1, 999, 1005 };

  for (guint i = 0; i < G_N_ELEMENTS (codes); i++)
    {
      g_auto (Pair) pair = pair_new (FALSE);

      send_close (&pair, codes[i], "reason");
      WAIT_UNTIL (pair.end->closed == 1);
      g_assert_cmpuint (pair.end->code, ==, SOUP_WEBSOCKET_CLOSE_PROTOCOL_ERROR);
      wait_end (pair.raw);
    }
}

static void
test_reason_that_is_not_utf8 (void)
{
  g_auto (Pair) pair = pair_new (FALSE);

  send_close (&pair, 1000, "\xff\xfe");
  WAIT_UNTIL (pair.end->closed == 1);
  g_assert_true (pair.end->reason == NULL || g_utf8_validate (pair.end->reason, -1, NULL));
  wait_end (pair.raw);
}

/* What follows a close frame is not delivered. */
static void
test_data_after_close (void)
{
  g_auto (Pair) pair = pair_new (FALSE);

  raw_end_send (pair.raw, 0x82, TRUE, "before", 6);
  send_close (&pair, 1000, "");
  raw_end_send (pair.raw, 0x82, TRUE, "after", 5);
  WAIT_UNTIL (pair.end->closed == 1);
  wait_end (pair.raw);
  g_assert_cmpuint (pair.end->messages->len, ==, 1);
}

typedef struct
{
  const char *bytes;
  gsize length;
} Broken;

#define BROKEN(bytes) { bytes, sizeof (bytes) - 1 }

static void
check_broken (gboolean      client,
              const Broken *broken,
              guint         n_broken)
{
  for (guint i = 0; i < n_broken; i++)
    {
      g_auto (Pair) pair = pair_new (client);

      raw_end_write (pair.raw, broken[i].bytes, broken[i].length);
      WAIT_UNTIL (pair.end->closed == 1);
      g_assert_cmpuint (pair.end->code, ==, 0);
      g_assert_error (pair.end->error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL);
      g_assert_cmpuint (pair.end->messages->len, <=, 1);
      g_assert_cmpuint (wait_close (pair.raw, NULL), ==, 1002);
      wait_end (pair.raw);
    }
}

static void
test_protocol_errors (void)
{
  static const Broken to_server[] = {
    BROKEN ("\x82\x01x"),                                 /* not masked */
    BROKEN ("\x89\x00"),
    BROKEN ("\xc2\x81\0\0\0\0x"),                         /* reserved bit */
    BROKEN ("\x83\x80\0\0\0\0"),                          /* unknown opcode */
    BROKEN ("\x8b\x80\0\0\0\0"),
    BROKEN ("\x09\x80\0\0\0\0"),                          /* fragmented control frame */
    BROKEN ("\x89\xfe\0\x7e\0\0\0\0"),                    /* control frame that is too large */
    BROKEN ("\x80\x81\0\0\0\0x"),                         /* continuation of no message */
    BROKEN ("\x02\x81\0\0\0\0x\x82\x81\0\0\0\0y"),        /* a message within another */
    BROKEN ("\x82\xfe\0\x05\0\0\0\0hello"),               /* length in too long a form */
    BROKEN ("\x82\xff\xff\0\0\0\0\0\0\0\0\0\0\0"),        /* length beyond all bounds */
  };
  static const Broken to_client[] = {
    BROKEN ("\x82\x81\0\0\0\0x"),
    BROKEN ("\x8a\x80\0\0\0\0"),
    BROKEN ("\xa2\x01x"),
    BROKEN ("\x00\x01x"),
  };

  check_broken (FALSE, to_server, G_N_ELEMENTS (to_server));
  check_broken (TRUE, to_client, G_N_ELEMENTS (to_client));
}

static void
test_connection_ends (void)
{
  for (guint i = 0; i < 4; i++)
    {
      g_auto (Pair) pair = pair_new (i % 2);

      /* In the middle of a message, or not. */
      if (i >= 2)
        raw_end_write (pair.raw, i % 2 ? "\x82\x05he" : "\x82\x85\0\0\0\0he", i % 2 ? 4 : 8);
      shutdown (pair.raw->fd, SHUT_RDWR);
      WAIT_UNTIL (pair.end->closed == 1);
      g_assert_cmpuint (pair.end->code, ==, 0);
      g_assert_nonnull (pair.end->error);
      g_assert_cmpuint (pair.end->messages->len, ==, 0);
    }
}

/* All messages before the end are delivered first, at the pace at which the channel is resumed, even if they were
 * read together with the end. */
static void
check_pauses_before_end (gboolean as_tls,
                         gboolean closed)
{
  const ChannelEndOptions options = { .as_tls = as_tls };
  int fds[2];
  g_auto (Pair) pair = { 0 };

  loopback_pair (fds, 0);
  pair = (Pair) { channel_end_new (fds[0], FALSE, &options), raw_end_new (fds[1]) };
  tcp_channel_pause (pair.end->channel);
  pair.end->pauses = TRUE;
  for (guint i = 0; i < 10; i++)
    raw_end_send (pair.raw, 0x82, TRUE, "x", 1);
  if (closed)
    send_close (&pair, TCP_CLOSE_NORMAL, "");
  g_assert_no_errno (shutdown (fds[1], SHUT_WR));
  wait_for_hang_up (fds[0]);

  for (guint i = 1; i <= 10; i++)
    {
      tcp_channel_resume (pair.end->channel);
      WAIT_UNTIL (pair.end->messages->len == i);
      while (g_main_context_iteration (NULL, FALSE))
        ;
      g_assert_cmpuint (pair.end->messages->len, ==, i);
      g_assert_cmpuint (pair.end->closed, ==, 0);
    }
  tcp_channel_resume (pair.end->channel);
  WAIT_UNTIL (pair.end->closed == 1);
  g_assert_cmpuint (pair.end->code, ==, closed ? TCP_CLOSE_NORMAL : 0);
}

static void
test_pauses_before_end (void)
{
  for (guint i = 0; i < 4; i++)
    check_pauses_before_end (i % 2, i >= 2);
}

static void
test_abort (void)
{
  g_auto (Pair) pair = pair_new (TRUE);
  g_autoptr (GError) error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED, "enough");

  tcp_channel_abort (pair.end->channel, error);
  g_assert_cmpuint (pair.end->closed, ==, 1);
  g_assert_error (pair.end->error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED);
  /* Calls on a channel that has ended do no harm. */
  tcp_channel_close (pair.end->channel, 1000, NULL);
  tcp_channel_pause (pair.end->channel);
  tcp_channel_resume (pair.end->channel);
  channel_end_send (pair.end, 0, 10);
  g_assert_false (tcp_channel_can_send (pair.end->channel));
  wait_end (pair.raw);
}

/* However many pings come while their pongs are not read, little is held for them. */
static void
test_ping_flood (void)
{
  g_auto (Pair) pair = pair_new (FALSE);
  g_autofree char *payload = g_strnfill (125, 'p');
  TcpChannel *channel = pair.end->channel;
  guint opcode;
  GBytes *frame;

  for (guint i = 0; i < 50000; i++)
    {
      raw_end_send (pair.raw, PING, TRUE, payload, 125);
      if (i % 64 == 0)
        g_main_context_iteration (NULL, FALSE);
      g_assert_cmpuint (g_queue_get_length (&channel->queue.frames), <=, 64);
    }

  /* The channel still works. */
  raw_end_send (pair.raw, 0x82, TRUE, "alive", 5);
  WAIT_UNTIL (pair.end->messages->len == 1);
  channel_end_send (pair.end, 0, 100);
  frame = raw_end_wait_frame (pair.raw, &opcode, FALSE);
  g_assert_cmpuint (opcode, ==, TCP_FRAME_BINARY);
  g_bytes_unref (frame);
}

/* This test and the next have to wait: a channel that makes no progress is given up after 5 s. */
static void
test_end_while_blocked (void)
{
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;

  if (test_is_quick ())
    {
      g_test_skip ("it takes 5 s");
      return;
    }

  loopback_pair (fds, 20000);
  end = channel_end_new (fds[0], FALSE, NULL);
  raw = raw_end_new (fds[1]);
  channel_end_send (end, 0, 1 << 20);
  g_assert_cmpuint (tcp_channel_get_pending (end->channel), >, 0);
  g_assert_no_errno (shutdown (raw->fd, SHUT_WR));
  WAIT_UNTIL (end->closed == 1);
  g_assert_cmpuint (end->code, ==, 0);
  g_assert_nonnull (end->error);
}

/* A peer that does not answer a close frame. */
static void
test_no_answer (void)
{
  g_auto (Pair) one = pair_new (TRUE);
  g_auto (Pair) two = pair_new (FALSE);

  if (test_is_quick ())
    {
      g_test_skip ("it takes 5 s");
      return;
    }

  tcp_channel_close (one.end->channel, 1000, NULL);
  tcp_channel_close (two.end->channel, 1000, NULL);
  g_assert_cmpuint (wait_close (one.raw, NULL), ==, 1000);
  g_assert_cmpuint (wait_close (two.raw, NULL), ==, 1000);
  WAIT_UNTIL (one.end->closed == 1 && two.end->closed == 1);
  g_assert_cmpuint (one.end->code + two.end->code, ==, 0);
  g_assert_error (one.end->error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST);
  wait_end (one.raw);
  wait_end (two.raw);
}

/* A peer that sends data or pings instead of an answer does not delay the end: neither counts as progress of the
 * output, all of which has been sent. */
static void
check_continues_without_answer (gboolean client)
{
  g_auto (Pair) pair = pair_new (client);
  TcpChannel *channel = pair.end->channel;

  tcp_channel_close (channel, 1000, NULL);
  g_assert_cmpuint (wait_close (pair.raw, NULL), ==, 1000);
  for (guint i = 1; i <= 3; i++)
    {
      channel->last_progress -= TCP_CHANNEL_CLOSE_TIMEOUT;
      raw_end_send (pair.raw, PING, !client, "p", 1);
      raw_end_send (pair.raw, 0x82, !client, "x", 1);
      WAIT_UNTIL (pair.end->messages->len == i);
      tcp_channel_flush (channel);
    }
  g_assert_cmpuint (pair.end->closed, ==, 0);

  tcp_timer_set (channel->deadline, 0);
  WAIT_UNTIL (pair.end->closed == 1 || tcp_timer_get (channel->deadline) != 0);
  g_assert_cmpuint (pair.end->closed, ==, 1);
  g_assert_cmpuint (pair.end->code, ==, 0);
  g_assert_error (pair.end->error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST);
  wait_end (pair.raw);
}

static void
test_continues_without_answer (void)
{
  check_continues_without_answer (TRUE);
  check_continues_without_answer (FALSE);
}

int
main (int    argc,
      char **argv)
{
  unit_test_init (&argc, &argv);
  g_test_add_func ("/channel-close/handshake", test_handshake);
  g_test_add_func ("/channel-close/data-first", test_data_first);
  g_test_add_func ("/channel-close/both-at-once", test_both_at_once);
  g_test_add_func ("/channel-close/long-reason", test_long_reason);
  g_test_add_func ("/channel-close/peer-closes", test_peer_closes);
  g_test_add_func ("/channel-close/peer-closes-without-a-code", test_peer_closes_without_a_code);
  g_test_add_func ("/channel-close/forbidden-codes", test_forbidden_codes);
  g_test_add_func ("/channel-close/reason-that-is-not-utf8", test_reason_that_is_not_utf8);
  g_test_add_func ("/channel-close/data-after-close", test_data_after_close);
  g_test_add_func ("/channel-close/protocol-errors", test_protocol_errors);
  g_test_add_func ("/channel-close/connection-ends", test_connection_ends);
  g_test_add_func ("/channel-close/pauses-before-end", test_pauses_before_end);
  g_test_add_func ("/channel-close/abort", test_abort);
  g_test_add_func ("/channel-close/ping-flood", test_ping_flood);
  g_test_add_func ("/channel-close/continues-without-answer", test_continues_without_answer);
  g_test_add_func ("/channel-close/end-while-blocked", test_end_while_blocked);
  g_test_add_func ("/channel-close/no-answer", test_no_answer);
  return g_test_run ();
}
