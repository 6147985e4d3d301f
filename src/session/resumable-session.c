/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session/session-private.h"

#include <string.h>
#include "base/text.h"
#include "io/reactor.h"

/* The session of resumable/1: its greeting, its history, its end. Its streams are in
 * resumable-streams.c, what goes over the wire in docs/resumable.md. */

/* When to acknowledge. */
#define ACK_FRAMES 32
#define ACK_BYTES (256 * 1024)
#define ACK_DELAY (50 * G_TIME_SPAN_MILLISECOND)

/* The credit with which a stream begins. */
#define WINDOW_MIN (16 * 1024)
#define WINDOW_FIRST (256 * 1024)

/* What a WebSocket is closed with after a protocol error (RFC 6455). */
#define CLOSE_PROTOCOL_ERROR 1002

static void
on_ack_timer (gpointer user_data)
{
  TcpSession *self = tcp_session_ref (user_data);

  self->resumable.ack_due |= self->resumable.received > self->resumable.acknowledged;
  tcp_session_pump (self);
  tcp_session_unref (self);
}

void
tcp_resumable_init (TcpSession *self)
{
  TcpResumable *r = &self->resumable;

  self->max_streams = CLAMP (self->max_streams, 1, self->max_window / 2 / WINDOW_MIN);
  if (r->pieces == NULL)
    {
      r->pieces = g_byte_array_new ();
      r->ack_timer = tcp_timer_new (on_ack_timer, self);
      r->greeting_timer = tcp_timer_new (tcp_resumable_greeting_timeout, self);
    }
  /* A gateway draws the name of this history of the session. */
  while (!self->client && r->instance == 0)
    r->instance = (guint64) g_random_int () << 32 | g_random_int ();
}

void
tcp_resumable_clear (TcpSession *self)
{
  TcpResumable *r = &self->resumable;

  tcp_resumable_forget_history (self);
  tcp_timer_clear (&r->ack_timer);
  tcp_timer_clear (&r->greeting_timer);
  g_queue_clear_full (&r->owing, (GDestroyNotify) tcp_stream_unref);
  g_queue_clear_full (&r->ending, (GDestroyNotify) tcp_stream_unref);
  g_clear_pointer (&r->pieces, g_byte_array_unref);
}

/* So much that all streams that there may be take up half of the window of the session;
 * the other half is for those that can use more. */
guint32
tcp_resumable_first_window (TcpSession *self)
{
  gsize part = MIN (self->max_window / 2 / self->max_streams, self->max_first_window);

  return CLAMP (part, WINDOW_MIN, WINDOW_FIRST);
}

/* The end */

/* Also if there is nothing new, and not before frames that wait. */
void
tcp_resumable_send_ack (TcpSession *self)
{
  TcpResumable *r = &self->resumable;

  if (r->retained.unsent != NULL)
    return;

  r->ack_due = FALSE;
  r->acknowledged = r->received;
  r->unacknowledged = 0;
  tcp_channel_send (self->channel, tcp_resumable_encode_ack (r->received));
}

static void
resumable_say_goodbye (TcpSession    *self,
                       TcpGoawayCode  code,
                       const char    *reason)
{
  self->resumable.goodbye = TRUE;
  if (self->channel == NULL)
    return;

  /* What did arrive is not to count as lost. */
  if (code == TCP_GOAWAY_DONE && self->resumable.greeted)
    tcp_resumable_send_ack (self);
  tcp_channel_send (self->channel, tcp_resumable_encode_text (TCP_RESUMABLE_GOAWAY, 0, code, reason));
}

/* The session is over: no connection of it may look complete. */
static void
resumable_end (TcpSession   *self,
               guint         close_code,
               const GError *error)
{
  tcp_resumable_forget_history (self);
  tcp_session_reset_all (self, error);
  if (self->channel == NULL)
    return;

  tcp_channel_close (self->channel, close_code, error->message);
  /* The answer is to be seen. */
  tcp_channel_resume (self->channel);
}

/* The peer does not keep to the protocol, so that nothing it says can be relied on. */
void
tcp_resumable_fail (TcpSession *self,
                    const char *what)
{
  g_autoptr (GError) error = NULL;

  if (self->resumable.goodbye)
    return;

  error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL, "%s broke the protocol: %s", self->peer, what);
  tcp_log_warn (self->log, "%s", error->message);
  resumable_say_goodbye (self, TCP_GOAWAY_PROTOCOL_ERROR, what);
  resumable_end (self, CLOSE_PROTOCOL_ERROR, error);
}

/* Whether that which is not data has become more than an honest peer leaves
 * unacknowledged. */
static gboolean
resumable_is_overrun (TcpSession *self)
{
  gsize spare = TCP_RESUMABLE_SPARE_ROOM + (gsize) self->max_streams * TCP_RESUMABLE_SPARE_ROOM_PER_STREAM;

  return self->resumable.retained.dataless > spare;
}

/* Draws the conclusions, where nobody counts on a stream to be still there: ends a
 * session whose peer acknowledges nothing, or one for which this end has no further use
 * when the peer has all. */
void
tcp_resumable_settle (TcpSession *self)
{
  TcpResumable *r = &self->resumable;

  if (resumable_is_overrun (self))
    {
      tcp_resumable_fail (self, "it acknowledges nothing");
      return;
    }
  if (!self->client || !(self->single || r->last) || !r->greeted || tcp_session_is_over (self))
    return;
  if (g_hash_table_size (self->streams) > 0 || !g_queue_is_empty (&r->retained.frames))
    return;

  resumable_say_goodbye (self, TCP_GOAWAY_DONE, "done");
  tcp_channel_close (self->channel, TCP_CLOSE_NORMAL, "done");
}

static void
resumable_leaving (TcpSession *self,
                   const char *reason)
{
  if (!self->resumable.goodbye)
    resumable_say_goodbye (self, TCP_GOAWAY_DONE, reason != NULL ? reason : "");
}

/* Takes no new streams from the peer. Other dialects cannot say it. */
void
tcp_session_drain (TcpSession *self)
{
  TcpResumable *r = &self->resumable;

  if (r->draining)
    return;

  r->draining = TRUE;
  if (r->greeted && !tcp_session_is_over (self))
    tcp_channel_send (self->channel,
                      tcp_resumable_encode_text (TCP_RESUMABLE_GOAWAY, 0, TCP_GOAWAY_DRAINING, "draining"));
}

/* Sending */

/* Puts a sequenced frame in line. */
void
tcp_resumable_queue (TcpSession *self,
                     TcpBuffer  *frame)
{
  TcpResumable *r = &self->resumable;

  if (tcp_session_is_over (self))
    {
      tcp_buffer_unref (frame);
      return;
    }

  frame->dataless = TRUE;
  tcp_retained_add (&r->retained, frame);
  tcp_timer_set (self->pump, 0);
}

static gboolean
resumable_has_room (TcpSession *self)
{
  gsize more = sizeof (TcpBuffer) + TCP_BUFFER_HEADROOM + TCP_BUFFER_SIZE;

  return self->resumable.retained.bytes == 0 ||
         (self->resumable.retained.bytes + more <= self->max_retained &&
          tcp_budget_share_allows (&self->share, more));
}

static gboolean
resumable_has_more (TcpSession *self)
{
  TcpResumable *r = &self->resumable;

  return r->greeted && !r->goodbye &&
         (r->ack_due || r->retained.unsent != NULL || !g_queue_is_empty (&r->owing) ||
          (!g_queue_is_empty (&self->ready) && resumable_has_room (self)));
}

static void
resumable_send (TcpSession *self)
{
  TcpResumable *r = &self->resumable;
  TcpBuffer *frame;

  /* What waits comes before an acknowledgement: a RESET must not be overtaken by the word
   * that bytes arrived which it made us drop. */
  if (r->retained.unsent == NULL && r->ack_due)
    {
      tcp_resumable_send_ack (self);
      return;
    }

  if (r->retained.unsent == NULL)
    tcp_resumable_make_frame (self);
  /* One that broke may have made somebody close the session. */
  if (self->channel == NULL)
    return;
  frame = tcp_retained_send (&r->retained);
  if (frame != NULL)
    tcp_channel_send (self->channel, frame);
}

static void
resumable_detached (TcpSession   *self,
                    TcpChannel   *channel,
                    guint         code,
                    const GError *error)
{
  GQueue unsent = G_QUEUE_INIT;

  /* All that counts is retained. */
  tcp_channel_steal_unsent (channel, &unsent);
  g_queue_clear_full (&unsent, (GDestroyNotify) tcp_buffer_unref);
  g_byte_array_set_size (self->resumable.pieces, 0);
  self->resumable.greeted = FALSE;
  self->resumable.path_window = 0;
  self->resumable.ack_due = FALSE;
  tcp_timer_set (self->resumable.ack_timer, -1);
  tcp_timer_set (self->resumable.greeting_timer, -1);
}

/* Receiving */

static gboolean
resumable_handle_ack (TcpSession               *self,
                      const TcpResumableFrame  *frame,
                      GError                  **error)
{
  TcpResumable *r = &self->resumable;
  guint64 before = r->retained.first;

  if (frame->number > r->retained.sent || !tcp_retained_acknowledge (&r->retained, frame->number))
    return tcp_resumable_refuse_frame (error, "an ACK of %" G_GUINT64_FORMAT " frames, of %" G_GUINT64_FORMAT
                                       " to %" G_GUINT64_FORMAT, frame->number, r->retained.first, r->retained.sent);

  self->progress |= r->retained.first > before;
  r->confirmed = frame->number;
  tcp_resumable_acknowledged (self);
  return TRUE;
}

static void
resumable_handle_goaway (TcpSession              *self,
                         const TcpResumableFrame *frame)
{
  g_autofree char *reason = tcp_text_from_peer ((const char *) frame->payload, frame->length);
  TcpTunnelError code = TCP_TUNNEL_ERROR_CLOSED;
  g_autoptr (GError) error = NULL;

  if (frame->number == TCP_GOAWAY_DRAINING)
    {
      tcp_log_info (self->log, "%s takes no new connections: %s", self->peer, reason);
      self->resumable.last = TRUE;
      if (self->callbacks.draining != NULL)
        self->callbacks.draining (self, self->user_data);
      return;
    }

  if (frame->number == TCP_GOAWAY_UNAUTHORIZED)
    code = TCP_TUNNEL_ERROR_UNAUTHORIZED;
  if (frame->number == TCP_GOAWAY_PROTOCOL_ERROR)
    code = TCP_TUNNEL_ERROR_PROTOCOL;
  error = g_error_new (TCP_TUNNEL_ERROR, code, "%s ended the session: %s", self->peer, reason);
  self->resumable.goodbye = TRUE;
  resumable_end (self, TCP_CLOSE_NORMAL, error);
}

/* Counts a frame that was taken in. */
static void
resumable_count (TcpSession              *self,
                 const TcpResumableFrame *frame)
{
  TcpResumable *r = &self->resumable;

  self->progress = TRUE;
  r->received++;
  r->unacknowledged += frame->length;
  if (r->unacknowledged >= ACK_BYTES || r->received - r->acknowledged >= ACK_FRAMES)
    r->ack_due = TRUE;
  else if (r->received == r->acknowledged + 1)
    tcp_timer_set (r->ack_timer, tcp_now () + ACK_DELAY);
}

static gboolean
resumable_handle (TcpSession    *self,
                  const guint8  *data,
                  gsize          length,
                  GError       **error)
{
  TcpResumableFrame frame;

  if (!tcp_resumable_decode (data, length, &frame, error))
    return FALSE;
  if ((frame.type == TCP_RESUMABLE_HELLO) == self->resumable.greeted)
    return tcp_resumable_refuse_frame (error, self->resumable.greeted ? "a second HELLO" : "something before the HELLO");

  switch (frame.type)
    {
    case TCP_RESUMABLE_HELLO:
      return tcp_resumable_handle_hello (self, &frame, error);
    case TCP_RESUMABLE_ACK:
      return resumable_handle_ack (self, &frame, error);
    case TCP_RESUMABLE_GOAWAY:
      resumable_handle_goaway (self, &frame);
      return TRUE;
    default:
      resumable_count (self, &frame);
      return tcp_resumable_handle_stream_frame (self, &frame, error);
    }
}

static void
resumable_message (TcpSession   *self,
                   const guint8 *data,
                   gsize         length,
                   gboolean      first,
                   gboolean      last)
{
  TcpResumable *r = &self->resumable;
  g_autoptr (GError) error = NULL;

  if (tcp_session_is_over (self))
    return;

  /* An intermediary may have fragmented it. */
  if (first)
    g_byte_array_set_size (r->pieces, 0);
  if (!first || !last)
    {
      if (r->pieces->len + length > TCP_RESUMABLE_HEADER_SIZE + TCP_RESUMABLE_MAX_PAYLOAD)
        {
          tcp_resumable_fail (self, "a frame that is too large");
          return;
        }
      g_byte_array_append (r->pieces, data, length);
      if (!last)
        return;
      data = r->pieces->data;
      length = r->pieces->len;
    }

  if (!resumable_handle (self, data, length, &error))
    {
      tcp_resumable_fail (self, error->message);
      return;
    }
  tcp_session_update_pause (self);
  tcp_session_pump (self);
  tcp_resumable_settle (self);
}

const TcpSessionOps tcp_resumable_session_ops = {
  .attached = tcp_resumable_attached,
  .detached = resumable_detached,
  .message = resumable_message,
  .has_more = resumable_has_more,
  .send = resumable_send,
  .leaving = resumable_leaving,
  .lose = tcp_resumable_lose,
  .opened = tcp_resumable_opened,
  .readable = tcp_resumable_readable,
  .flushed = tcp_resumable_flushed,
  .broken = tcp_resumable_broken,
  .forgotten = tcp_resumable_forgotten,
};
