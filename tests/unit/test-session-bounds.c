/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session-end.h"
#include "protocol/plain-frame.h"
#include "test-util.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define CAP (512 * 1024)
#define TOTAL ((gsize) test_count (8 << 20, 3 << 20))

/* After this many iterations without any progress, nothing moves any more. */
#define IDLE 300

/* A transfer as a whole has no time limit, as a busy machine may take any time for it, but some progress has to be
 * made before the deadline. */
static void
check_progress (gint64   *deadline,
                gboolean  moved)
{
  if (moved)
    *deadline = test_deadline ();
  g_assert_cmpint (g_get_monotonic_time (), <, *deadline);
}

/* Iterates once, and checks the bounds. */
static void
step (SessionEnd *end)
{
  TcpChannel *channel = tcp_session_get_channel (end->session);

  g_main_context_iteration (NULL, FALSE);
  g_assert_cmpuint (end->session->queued, <=, CAP);
  g_assert_cmpuint (tcp_channel_get_pending (channel), <=,
                    TCP_CHANNEL_MAX_PENDING + TCP_BUFFER_SIZE + sizeof (TcpBuffer) + TCP_BUFFER_HEADROOM);
}

/* Writes what the socket takes, and returns its length. */
static gsize
write_some (RawEnd       *raw,
            const guint8 *data,
            gsize         length)
{
  gssize n = length > 0 ? send (raw->fd, data, length, MSG_NOSIGNAL) : 0;

  g_assert_true (n >= 0 || errno == EAGAIN);
  return MAX (n, 0);
}

static gboolean
is_holding (SessionEnd *end)
{
  return end->session->queued > 0 || tcp_channel_get_pending (tcp_session_get_channel (end->session)) > 0;
}

/* Writes until nothing is taken any more and the session holds some of it: a busy system may take its time to deliver
 * what was written. */
static gsize
write_until_stuck (SessionEnd   *end,
                   RawEnd       *raw,
                   const guint8 *data,
                   gsize         length)
{
  gint64 deadline = test_deadline ();
  gsize written = 0;

  for (guint idle = 0; idle < IDLE; idle++)
    {
      gsize n = write_some (raw, data + written, length - written);

      written += n;
      /* Frames that wait for their turn are still being handled. */
      if (n > 0 || tcp_session_get_channel (end->session)->turn_over || !is_holding (end))
        idle = 0;
      step (end);
      check_progress (&deadline, n > 0 || is_holding (end));
    }
  g_assert_cmpuint (written, <, length);
  return written;
}

static void
finish (SessionEnd   *end,
        RawEnd       *from,
        const guint8 *data,
        gsize         length,
        RawEnd       *to,
        gsize         wanted)
{
  gint64 deadline = test_deadline ();

  while (to->in->len < wanted)
    {
      gsize before = to->in->len;
      gsize n = write_some (from, data, length);

      data += n;
      length -= n;
      /* Slowly, so that the queue fills again and again. */
      raw_end_read (to, to->in->len + 30000);
      step (end);
      check_progress (&deadline, n > 0 || to->in->len > before);
    }
  g_assert_cmpuint (length, ==, 0);
}

/* From the WebSocket to a TCP peer that does not read. */
static void
check_down (const TcpProtocolClass *protocol,
            gsize             message)
{
  SessionEndOptions options = {
    .protocol = protocol, .accepts = TRUE, .max_buffered_bytes = CAP, .max_streams = 10, .buffer = 20000,
  };
  gsize header = protocol->multiplexed ? 4 : 0;
  g_autoptr (SessionEnd) end = session_end_new (&options);
  g_autoptr (RawEnd) raw = session_end_connect (end);
  g_autoptr (RawEnd) raw_peer = NULL;
  g_autoptr (GByteArray) wire = g_byte_array_new ();
  g_autofree guint8 *stream = g_malloc (TOTAL);
  RawEnd *peer;
  gsize written;
  gsize total = TOTAL / message * message;

  test_fill (stream, TOTAL, 1, 0);
  for (gsize at = 0; at < total; at += message)
    {
      g_autoptr (TcpBuffer) buffer = tcp_buffer_new (message);

      memcpy (buffer->payload, stream + at, message);
      buffer->length = message;
      if (protocol->multiplexed)
        tcp_tagged_push_tag (buffer, 1);
      g_assert_cmpuint (buffer->length, ==, message + header);
      tcp_frame_wrap (buffer, TCP_FRAME_BINARY, TRUE, 0x01020304);
      g_byte_array_append (wire, buffer->payload - buffer->header, buffer->header + buffer->length);
    }

  if (!protocol->multiplexed)
    raw_peer = session_end_open (end, NULL);
  written = write_until_stuck (end, raw, wire->data, wire->len);
  peer = raw_peer != NULL ? raw_peer : end->peers->pdata[0];
  g_assert_cmpuint (end->session->queued, >, 0);

  finish (end, raw, wire->data + written, wire->len - written, peer, total);
  g_assert_cmpuint (peer->in->len, ==, total);
  g_assert_cmpmem (peer->in->data, total, stream, total);
  g_assert_cmpuint (end->session->queued, ==, 0);
}

static void
test_down (void)
{
  static const gsize messages[] = { 100, 65536, TCP_CHANNEL_MAX_WHOLE - 4, TCP_CHANNEL_MAX_WHOLE + 4, 1 << 20 };

  for (guint i = 0; i < G_N_ELEMENTS (messages); i++)
    {
      check_down (&tcp_protocol_raw, messages[i]);
      check_down (&tcp_protocol_tagged, messages[i]);
    }
}

/* Removes the frames of @raw from its input. */
static void
take_frames (RawEnd     *raw,
             GByteArray *stream,
             gsize       header)
{
  GBytes *frame;
  guint opcode;

  while ((frame = raw_end_take_frame (raw, &opcode)) != NULL)
    {
      const guint8 *data = g_bytes_get_data (frame, NULL);

      /* If it takes long, an end that does not read sends pongs to show that it is alive. */
      if (opcode != TCP_FRAME_PONG)
        {
          g_assert_cmpuint (opcode, ==, TCP_FRAME_BINARY);
          g_byte_array_append (stream, data + header, g_bytes_get_size (frame) - header);
        }
      g_bytes_unref (frame);
    }
}

/* From TCP to a peer that does not read its WebSocket. */
static void
check_up (const TcpProtocolClass *protocol)
{
  SessionEndOptions options = {
    .protocol = protocol, .client = TRUE, .max_buffered_bytes = CAP, .max_streams = 10, .buffer = 20000,
  };
  g_autoptr (SessionEnd) end = session_end_new (&options);
  g_autoptr (RawEnd) raw = session_end_connect (end);
  g_autoptr (RawEnd) peer = session_end_open (end, NULL);
  g_autofree guint8 *stream = g_malloc (TOTAL);
  g_autoptr (GByteArray) got = g_byte_array_new ();
  gint64 deadline = test_deadline ();
  gsize written;

  test_fill (stream, TOTAL, 2, 0);
  written = write_until_stuck (end, peer, stream, TOTAL);
  g_assert_cmpuint (tcp_channel_get_pending (tcp_session_get_channel (end->session)), >, 0);

  while (got->len < TOTAL)
    {
      gsize before = got->len;
      gsize n = write_some (peer, stream + written, TOTAL - written);

      written += n;
      raw_end_read (raw, raw->in->len + 30000);
      take_frames (raw, got, protocol->multiplexed ? 4 : 0);
      step (end);
      check_progress (&deadline, n > 0 || got->len > before);
    }
  g_assert_cmpmem (got->data, got->len, stream, TOTAL);
}

static void
test_up (void)
{
  check_up (&tcp_protocol_raw);
  check_up (&tcp_protocol_tagged);
}

#define N_PEERS 16
#define BUDGET ((gsize) 200000)
#define PIECE TCP_BUFFER_MEMORY

/* Peers that do not read their WebSockets: the data that waits for all of them is within the budget, except for one
 * piece each, with which each of them continues. */
static void
check_budget (const TcpProtocolClass *protocol)
{
  g_autoptr (TcpBudgetPool) pool = tcp_budget_pool_new (BUDGET, 1);
  g_autoptr (TcpBudget) budget = tcp_budget_new (pool, NULL);
  SessionEndOptions options = {
    .protocol = protocol, .client = TRUE, .max_buffered_bytes = CAP, .max_streams = 10, .buffer = 20000, .budget = budget,
  };
  g_autofree guint8 *stream = g_malloc (TOTAL);
  g_autoptr (GPtrArray) ends = g_ptr_array_new_with_free_func ((GDestroyNotify) session_end_free);
  g_autoptr (GPtrArray) raws = g_ptr_array_new_with_free_func ((GDestroyNotify) raw_end_free);
  g_autoptr (GPtrArray) peers = g_ptr_array_new_with_free_func ((GDestroyNotify) raw_end_free);
  gsize written[N_PEERS];
  gsize pending = 0;

  test_fill (stream, TOTAL, 3, 0);
  for (guint i = 0; i < N_PEERS; i++)
    {
      g_ptr_array_add (ends, session_end_new (&options));
      g_ptr_array_add (raws, session_end_connect (ends->pdata[i]));
      g_ptr_array_add (peers, session_end_open (ends->pdata[i], NULL));
    }
  for (guint i = 0; i < N_PEERS; i++)
    written[i] = write_until_stuck (ends->pdata[i], peers->pdata[i], stream, TOTAL);
  for (guint i = 0; i < N_PEERS; i++)
    {
      gsize own = tcp_channel_get_pending (tcp_session_get_channel (((SessionEnd *) ends->pdata[i])->session));

      g_assert_cmpuint (own, >, 0);
      pending += own;
    }
  g_assert_cmpuint (tcp_budget_get_used (budget), ==, pending);
  g_assert_cmpuint (pending, <=, BUDGET + N_PEERS * PIECE);

  for (guint i = 0; i < N_PEERS; i++)
    {
      g_autoptr (GByteArray) got = g_byte_array_new ();
      RawEnd *raw = raws->pdata[i];
      gint64 deadline = test_deadline ();

      while (got->len < written[i])
        {
          gsize before = got->len;

          raw_end_read (raw, raw->in->len + 30000);
          take_frames (raw, got, protocol->multiplexed ? 4 : 0);
          step (ends->pdata[i]);
          check_progress (&deadline, got->len > before);
        }
      g_assert_cmpmem (got->data, got->len, stream, written[i]);
    }
  /* Nothing more happens to these sessions, and none of the budget is in use any more. */
  WAIT_UNTIL (tcp_budget_get_used (budget) == 0);
  /* The other end of a channel has to be freed before it. */
  g_ptr_array_set_size (raws, 0);
}

static void
test_budget (void)
{
  check_budget (&tcp_protocol_raw);
  check_budget (&tcp_protocol_tagged);
}

/* While one connection has much data, another with little does not wait for it. */
static void
test_turns (void)
{
  SessionEndOptions options = {
    .protocol = &tcp_protocol_tagged, .client = TRUE, .max_buffered_bytes = CAP, .max_streams = 10,
  };
  g_autoptr (SessionEnd) end = session_end_new (&options);
  g_autoptr (RawEnd) raw = session_end_connect (end);
  g_autoptr (RawEnd) busy = session_end_open (end, NULL);
  g_autoptr (RawEnd) calm = session_end_open (end, NULL);
  g_autofree guint8 *stream = g_malloc0 (TOTAL);
  gboolean calm_came = FALSE;
  gsize before = 0;

  write_some (busy, stream, TOTAL);
  write_some (calm, stream, 1);
  while (!calm_came)
    {
      guint opcode;
      g_autoptr (GBytes) frame = raw_end_wait_frame (raw, &opcode, FALSE);
      const guint8 *data = g_bytes_get_data (frame, NULL);

      calm_came = data[3] == 2;
      if (!calm_came)
        before += g_bytes_get_size (frame);
    }
  g_assert_cmpuint (before, <=, 2 * TCP_CHANNEL_MAX_PENDING);
}

#define N_BUSY 8

/* Each connection that has much data gets a large turn; one with little waits for no more than one of these. */
static void
test_sparse_first (void)
{
  SessionEndOptions options = {
    .protocol = &tcp_protocol_tagged, .client = TRUE, .max_buffered_bytes = CAP, .max_streams = N_BUSY + 1,
  };
  g_autoptr (SessionEnd) end = session_end_new (&options);
  g_autoptr (RawEnd) raw = session_end_connect (end);
  g_autoptr (GPtrArray) busy = g_ptr_array_new_with_free_func ((GDestroyNotify) raw_end_free);
  g_autoptr (RawEnd) calm = NULL;
  g_autofree guint8 *stream = g_malloc0 (TOTAL);
  guint64 sent;
  gsize before = 0;
  gboolean calm_came = FALSE;

  for (guint i = 0; i < N_BUSY; i++)
    g_ptr_array_add (busy, session_end_open (end, NULL));
  calm = session_end_open (end, NULL);
  while (end->session->bulk.length < N_BUSY)
    {
      for (guint i = 0; i < N_BUSY; i++)
        write_some (busy->pdata[i], stream, TOTAL);
      raw_end_read (raw, raw->in->len + 30000);
      step (end);
    }
  write_some (calm, stream, 1);
  while (end->session->sparse.length == 0)
    step (end);
  sent = tcp_status_get (end->status, bytes_sent);

  while (!calm_came)
    {
      guint opcode;
      g_autoptr (GBytes) frame = raw_end_wait_frame (raw, &opcode, FALSE);
      const guint8 *data = g_bytes_get_data (frame, NULL);

      calm_came = data[3] == N_BUSY + 1;
      if (!calm_came)
        before += g_bytes_get_size (frame) - 4;
    }
  g_assert_cmpuint (before, >=, sent);
  g_assert_cmpuint (before - sent, <=, TCP_STREAM_MAX_BUFFERS * TCP_BUFFER_SIZE);
}

/* Reads a little, and returns the number of refusals in it. */
static guint
take_refusals (RawEnd *raw)
{
  GBytes *frame;
  guint opcode;
  guint n = 0;

  raw_end_read (raw, raw->in->len + 4096);
  while ((frame = raw_end_take_frame (raw, &opcode)) != NULL)
    {
      n += opcode == TCP_FRAME_BINARY && g_bytes_get_size (frame) == 4;
      g_bytes_unref (frame);
    }
  return n;
}

/* A peer that opens more and more connections and does not read that they are refused. */
static void
test_refusals (void)
{
  SessionEndOptions options = {
    .protocol = &tcp_protocol_tagged, .accepts = TRUE, .max_buffered_bytes = CAP, .max_streams = 1, .buffer = 20000,
    .is_unix = TRUE,
  };
  guint opens = test_count (200000, 120000);
  g_autoptr (SessionEnd) end = session_end_new (&options);
  g_autoptr (RawEnd) raw = session_end_connect (end);
  g_autoptr (GByteArray) wire = g_byte_array_new ();
  TcpChannel *channel = tcp_session_get_channel (end->session);
  gint64 deadline = test_deadline ();
  gsize written = 0;
  guint refused = 0;
  RawEnd *peer;

  for (guint32 id = 1; id <= opens; id++)
    {
      guint8 message[] = { id >> 24, id >> 16, id >> 8, id, 'x' };

      append_frame (wire, 0x82, TRUE, message, sizeof (message));
    }

  for (guint idle = 0; idle < IDLE; idle++)
    {
      gsize n = write_some (raw, wire->data + written, wire->len - written);

      written += n;
      if (n > 0 || channel->turn_over || !channel->paused)
        idle = 0;
      g_main_context_iteration (NULL, FALSE);
      check_progress (&deadline, n > 0 || channel->paused);
      g_assert_cmpuint (tcp_channel_get_pending (channel), <=, (1 << 20) + (TCP_CHANNEL_MAX_WHOLE + TCP_FRAME_MAX_HEADER));
    }
  g_assert_cmpuint (written, <, wire->len);
  g_assert_true (channel->paused);

  deadline = test_deadline ();
  while (refused < opens - 1)
    {
      gsize n = write_some (raw, wire->data + written, wire->len - written);
      guint taken = take_refusals (raw);

      written += n;
      refused += taken;
      g_main_context_iteration (NULL, FALSE);
      check_progress (&deadline, n > 0 || taken > 0);
    }
  g_assert_false (channel->paused);

  /* The connection that was not refused is not affected. */
  g_assert_cmpuint (end->peers->len, ==, 1);
  peer = end->peers->pdata[0];
  raw_end_send (raw, 0x82, TRUE, "\0\0\0\1y", 5);
  WAIT_UNTIL ((raw_end_read (peer, G_MAXUINT), peer->in->len == 2));
  g_assert_cmpmem (peer->in->data, 2, "xy", 2);
}

/* A pause that has two reasons, of which the first ends while the second begins */

#define MESSAGE 65536
#define IDLE_STREAMS 24000 /* their ends are more than the kernel and half of ANSWERS hold */
#define ANSWERS (1024 * 1024)

/* Keeps the streams that the peer opens, without a TCP connection. */
static void
keep_opened (TcpSession *session,
             TcpStream  *stream,
             const char *target,
             gpointer    user_data)
{
  SessionEnd *end = user_data;

  g_ptr_array_add (end->opened, tcp_stream_ref (stream));
}

static void
open_idle_streams (SessionEnd *end,
                   RawEnd     *raw)
{
  g_autoptr (GByteArray) wire = g_byte_array_new ();

  end->session->callbacks.opened = keep_opened;
  for (guint id = 2; id < 2 + IDLE_STREAMS; id++)
    {
      guint8 message[] = { id >> 24, id >> 16, id >> 8, id, 'x' };

      append_frame (wire, 0x82, TRUE, message, sizeof (message));
    }
  raw_end_write (raw, wire->data, wire->len);
  WAIT_UNTIL (end->opened->len == 1 + IDLE_STREAMS);
}

static GByteArray *
make_stream (gsize size)
{
  g_autofree guint8 *message = g_malloc0 (4 + MESSAGE);
  GByteArray *wire = g_byte_array_new ();

  message[3] = 1;
  for (gsize at = 0; at < size; at += MESSAGE)
    {
      test_fill (message + 4, MESSAGE, 1, at);
      append_frame (wire, 0x82, TRUE, message, 4 + MESSAGE);
    }
  return wire;
}

static void
test_pause_again (void)
{
  SessionEndOptions options = {
    .protocol = &tcp_protocol_tagged, .accepts = TRUE, .max_buffered_bytes = CAP, .max_streams = 2 * IDLE_STREAMS,
    .buffer = 20000,
  };
  const gsize size = 6 * CAP;
  g_autoptr (SessionEnd) end = session_end_new (&options);
  g_autoptr (RawEnd) raw = session_end_connect (end);
  g_autoptr (GByteArray) wire = make_stream (size);
  TcpChannel *channel = tcp_session_get_channel (end->session);
  gsize written = 0;
  RawEnd *peer;

  raw_end_send (raw, 0x82, TRUE, "\0\0\0\1", 5);
  WAIT_UNTIL (end->peers->len == 1);
  peer = end->peers->pdata[0];
  WAIT_UNTIL ((raw_end_read (peer, 1), peer->in->len == 1));
  g_byte_array_set_size (peer->in, 0);
  open_idle_streams (end, raw);

  /* The TCP peer does not read, */
  WAIT_UNTIL ((written += write_some (raw, wire->data + written, wire->len - written), channel->paused));
  /* and then the WebSocket's peer does not read the answers, */
  for (guint i = 1; i < end->opened->len; i++)
    tcp_stream_reset (end->opened->pdata[i], NULL);
  g_assert_cmpuint (tcp_channel_get_pending (channel), >, ANSWERS / 2);
  /* for longer than the TCP peer. */
  WAIT_UNTIL ((raw_end_read (peer, G_MAXUINT), end->session->queued == 0));
  g_assert_true (channel->paused);
  WAIT_UNTIL ((raw_end_read (raw, G_MAXUINT), !channel->paused));

  /* The same once more. */
  WAIT_UNTIL ((written += write_some (raw, wire->data + written, wire->len - written), channel->paused));
  WAIT_UNTIL ((written += write_some (raw, wire->data + written, wire->len - written), raw_end_read (peer, G_MAXUINT), peer->in->len == size));
  assert_stream (peer->in->data, peer->in->len, 1);
  g_assert_false (channel->paused);
}

int
main (int    argc,
      char **argv)
{
  unit_test_init (&argc, &argv);
  g_test_add_func ("/session-bounds/down", test_down);
  g_test_add_func ("/session-bounds/up", test_up);
  g_test_add_func ("/session-bounds/budget", test_budget);
  g_test_add_func ("/session-bounds/turns", test_turns);
  g_test_add_func ("/session-bounds/sparse-first", test_sparse_first);
  g_test_add_func ("/session-bounds/refusals", test_refusals);
  g_test_add_func ("/session-bounds/pause-again", test_pause_again);
  return g_test_run ();
}
