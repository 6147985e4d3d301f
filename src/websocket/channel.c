/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "websocket/channel-private.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include "base/i18n.h"
#include "base/text.h"

/* With this many control frames in the queue, pings are ignored: RFC 6455 allows an end to answer only the most recent
 * one, and a flood must not make the queue grow. */
#define MAX_QUEUED_CONTROLS 32

/* The maximum number of frames in one system call. */
#define MAX_VECTORS 16

/* Data beyond this amount that the kernel has not sent yet stays in our queue, where a control frame can still overtake
 * it. */
#define NOT_SENT_LOW_WATER (128 * 1024)

/* Unread data delays everything behind it, and the kernel would let it grow to many MiB. A path with a round trip of at
 * most SHORT_PATH microseconds is kept full by this amount, which the kernel doubles. */
#define SHORT_PATH 1000
#define SHORT_PATH_BUFFER (256 * 1024)

/* A buffer smaller than any default was configured to be so. */
#define MADE_SMALL (64 * 1024)

/* RFC 6455 allows 125 bytes, of which the code takes two. */
#define MAX_REASON 120

/* How long the peer may be silent after a probe, in ms, or this many round trips if those are longer. */
#define PROBE_TIMEOUT 2000
#define PROBE_ROUND_TRIPS 4

/* the channels of this thread */
static _Thread_local TcpTurns turns;

/* Applies to TLS as well: after the handshake, it only waits for what the socket waits for. */
static void
channel_set_interest (TcpChannel   *self,
                      GIOCondition  condition,
                      gboolean      wanted)
{
  GIOCondition interest = wanted ? self->interest | condition : self->interest & ~condition;

  if (self->interest == interest)
    return;

  self->interest = interest;
  if (interest == 0)
    tcp_watch_rest (self->watch);
  else
    tcp_watch_set (self->watch, interest);
}

/* Memory */

/* The memory for a control frame in the queue. */
#define CONTROL_MEMORY (sizeof (TcpBuffer) + TCP_BUFFER_HEADROOM + TCP_FRAME_MAX_CONTROL)

/* Updates the budget with the memory held here. The session accounts for data to be sent, until it has closed the
 * channel. */
static void
channel_account (TcpChannel *self)
{
  gsize held;

  if (self->share.budget == NULL)
    return;

  held = tcp_frame_reader_get_memory (&self->reader) + self->queue.controls * CONTROL_MEMORY;
  if (self->buffered != NULL)
    held += tcp_buffered_connection_get_memory (self->buffered);
  if (self->phase != TCP_CHANNEL_OPEN)
    held += self->queue.pending;
  if (held != self->share.held)
    tcp_budget_share_set (&self->share, held);
}

/* Others have freed memory. */
static void
on_relieved (gpointer user_data)
{
  TcpChannel *self = user_data;

  if (!self->starved)
    return;

  self->starved = FALSE;
  if (!self->paused)
    tcp_keepalive_resume (&self->keepalive);
  if (self->wakeup != NULL)
    tcp_timer_set (self->wakeup, self->next_turn);
}

/* A message was received in part, and there is no memory for the rest of it. */
static void
channel_starve (TcpChannel *self)
{
  self->starved = TRUE;
  channel_set_interest (self, G_IO_IN, FALSE);
  tcp_keepalive_pause (&self->keepalive);
}

/* A starved channel checks regularly whether there is room: the budget only calls when there is much more room than
 * before, so that it need not call for every byte. */
static void
channel_set_patience (TcpChannel *self)
{
  gint64 due = self->incomplete_since + self->message_timeout * G_TIME_SPAN_MILLISECOND;
  gint64 now = tcp_now ();
  gint64 next = now + G_TIME_SPAN_SECOND;

  if (now < due)
    next = self->starved ? MIN (due, next) : due;
  tcp_timer_set (self->patience, next);
}

static void
on_patience_lost (gpointer user_data)
{
  TcpChannel *self = user_data;
  gint64 due = self->incomplete_since + self->message_timeout * G_TIME_SPAN_MILLISECOND;
  gboolean has_room = tcp_budget_share_has_room (&self->share, TCP_FRAME_READER_SIZE);
  g_autoptr (GError) error = NULL;

  /* While it is paused nothing is due; the time restarts afterwards. */
  if (self->paused)
    self->incomplete_since = 0;
  if (self->incomplete_since == 0)
    return;

  if (has_room)
    on_relieved (self);
  if (has_room || tcp_now () < due)
    {
      channel_set_patience (self);
      return;
    }

  g_set_error (&error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT,
               "a message was not complete after %u ms, and there is no memory to keep it (%s)", self->message_timeout,
               tcp_budget_share_get_limit (&self->share));
  tcp_channel_abort (self, error);
}

/* Called after a turn; @progress: messages were complete in it. While memory is short, a peer that begins large
 * messages without completing them must not keep that memory. */
static void
channel_watch_message (TcpChannel *self,
                       gboolean    progress)
{
  /* A starved channel may use memory as well, for bytes that TLS has not processed. */
  gboolean incomplete = self->share.budget != NULL && !self->paused && self->phase == TCP_CHANNEL_OPEN &&
                        (self->starved || tcp_frame_reader_get_memory (&self->reader) > 0);

  if (!incomplete || progress)
    self->incomplete_since = 0;
  if (!incomplete || self->incomplete_since != 0)
    return;

  self->incomplete_since = tcp_now ();
  if (self->patience == NULL)
    self->patience = tcp_timer_new (on_patience_lost, self);
  if (tcp_timer_get (self->patience) < 0 || self->starved)
    channel_set_patience (self);
}

/* The end */

static void
on_deadline (gpointer user_data)
{
  TcpChannel *self = user_data;
  gint64 due = self->last_progress + TCP_CHANNEL_CLOSE_TIMEOUT;

  if (tcp_now () < due)
    {
      tcp_timer_set (self->deadline, due);
      return;
    }

  tcp_channel_abort (self, NULL);
}

/* From here on the channel ends, if necessary without its peer. */
static void
channel_start_deadline (TcpChannel *self)
{
  if (self->deadline != NULL || self->phase == TCP_CHANNEL_CLOSED)
    return;

  self->last_progress = tcp_now ();
  self->deadline = tcp_timer_new (on_deadline, self);
  tcp_timer_set (self->deadline, self->last_progress + TCP_CHANNEL_CLOSE_TIMEOUT);
}

/* Nothing more is read. */
static void
channel_stop_input (TcpChannel *self)
{
  channel_set_interest (self, G_IO_IN, FALSE);
  tcp_timer_clear (&self->wakeup);
}

/* Nothing more is written. */
static void
channel_stop_output (TcpChannel *self)
{
  channel_set_interest (self, G_IO_OUT, FALSE);
  self->output_failed = TRUE;
}

static void
channel_report (TcpChannel   *self,
                guint         code,
                const char   *reason,
                const GError *error)
{
  TcpChannelCallbacks callbacks = self->callbacks;
  gpointer user_data = self->user_data;

  if (self->reported)
    return;

  self->reported = TRUE;
  tcp_channel_set_callbacks (self, NULL, NULL);
  if (callbacks.closed != NULL)
    callbacks.closed (self, code, reason, error, user_data);
}

/* Every channel ends here. */
static void
channel_finish (TcpChannel *self)
{
  if (self->phase == TCP_CHANNEL_CLOSED)
    return;

  self->phase = TCP_CHANNEL_CLOSED;
  channel_stop_input (self);
  channel_stop_output (self);
  tcp_watch_clear (&self->watch);
  tcp_keepalive_stop (&self->keepalive);
  tcp_timer_clear (&self->deadline);
  tcp_timer_clear (&self->patience);
  tcp_budget_share_clear (&self->share);

  g_clear_pointer (&self->control, tcp_control_free);
  /* TLS would wait for the peer to read its close_notify, unless that goes into a buffer. */
  if (self->buffered == NULL)
    g_socket_shutdown (self->socket, TRUE, TRUE, NULL);
  g_io_stream_close (self->stream, NULL, NULL);
  if (self->counter != NULL)
    tcp_status_sub (self->counter, open_websockets, 1);
  g_clear_pointer (&self->counter, tcp_status_unref);
  g_clear_pointer (&self->group, tcp_channel_group_leave);
  g_clear_object (&self->stream);
  g_clear_object (&self->buffered);
  g_clear_object (&self->socket);

  if (self->error == NULL)
    g_set_error_literal (&self->error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST,
                         _("the WebSocket ended without a closing handshake"));
  channel_report (self, 0, NULL, self->error);
  tcp_channel_unref (self);
}

/* Data was sent, or never will be: continues what was waiting for that. */
static void
channel_flushed (TcpChannel *self)
{
  gboolean stuck = self->output_failed;

  channel_account (self);
  if (stuck)
    channel_start_deadline (self);
  if (self->watched && tcp_channel_can_send (self) && self->callbacks.drained != NULL)
    self->callbacks.drained (self, self->user_data);

  if (self->close_code != 0 && self->queue.pending == 0 && self->control != NULL)
    {
      guint code = self->close_code;

      self->close_code = 0;
      tcp_control_close (self->control, code, self->close_reason);
    }
  if (self->close_stream && self->control != NULL &&
      (stuck || (tcp_frame_queue_is_empty (&self->queue) && !(self->interest & G_IO_OUT))))
    {
      self->close_stream = FALSE;
      tcp_control_stream_closed (self->control);
    }
}

/* Closes the channel in order, after all queued messages. The callback closed follows. */
void
tcp_channel_close (TcpChannel *self,
                   guint       code,
                   const char *reason)
{
  const char *end;

  if (self->phase != TCP_CHANNEL_OPEN)
    return;

  self->phase = TCP_CHANNEL_CLOSING;
  self->close_code = code;
  if (reason != NULL)
    {
      /* The reason is not cut within a character. */
      end = reason + MIN (strlen (reason), MAX_REASON);
      if (*end != '\0')
        end = g_utf8_find_prev_char (reason, end);
      self->close_reason = end != NULL ? g_strndup (reason, end - reason) : NULL;
    }
  channel_start_deadline (self);
  tcp_channel_flush (self);
  channel_flushed (self);
}

/* Whether the callback closed was due, and does not follow any more. */
gboolean
tcp_channel_has_ended (TcpChannel *self)
{
  return self->reported;
}

/* Ends the channel at once, without a handshake. @error is passed to the callback closed, or NULL for the error that is
 * known. */
void
tcp_channel_abort (TcpChannel   *self,
                   const GError *error)
{
  if (self->phase == TCP_CHANNEL_CLOSED)
    return;

  if (error != NULL && self->error == NULL)
    self->error = g_error_copy (error);
  g_socket_shutdown (self->socket, TRUE, TRUE, NULL);
  channel_finish (self);
}

/* Output */

/* Writes the frame queue to the kernel, or to TLS, which encrypts it into the buffer below. */
static GPollableReturn
channel_write (TcpChannel *self,
               GError    **error)
{
  GPollableOutputStream *output = G_POLLABLE_OUTPUT_STREAM (g_io_stream_get_output_stream (self->stream));
  GPollableReturn result = G_POLLABLE_RETURN_OK;
  GOutputVector vectors[MAX_VECTORS];

  while (!tcp_frame_queue_is_empty (&self->queue) && result == G_POLLABLE_RETURN_OK)
    {
      guint n = tcp_frame_queue_get_vectors (&self->queue, vectors, self->plain ? MAX_VECTORS : 1);
      gsize written = 0;

      if (self->buffered != NULL && tcp_buffered_connection_is_full (self->buffered))
        {
          result = tcp_buffered_connection_flush (self->buffered, error);
          if (result == G_POLLABLE_RETURN_FAILED || tcp_buffered_connection_is_full (self->buffered))
            return result;
        }
      if (!self->plain)
        tcp_frame_queue_start (&self->queue);
      result = g_pollable_output_stream_writev_nonblocking (output, vectors, n, &written, NULL, error);
      if (tcp_frame_queue_advance (&self->queue, written))
        tcp_keepalive_sent (&self->keepalive, self->queue.sent);
    }

  if (self->buffered != NULL && result == G_POLLABLE_RETURN_OK)
    result = tcp_buffered_connection_flush (self->buffered, error);
  return result;
}

static void
channel_flush (TcpChannel *self)
{
  gboolean waits = !tcp_frame_queue_is_empty (&self->queue) || self->interest & G_IO_OUT;
  gboolean has_data = self->queue.pending > 0;
  g_autoptr (GError) error = NULL;
  GPollableReturn result;

  if (self->output_failed || self->held)
    return;

  result = channel_write (self, &error);
  /* If nothing was waiting, there is no progress: a peer that continues to send must not postpone the deadline of the
   * closing handshake. */
  if (waits)
    self->last_progress = tcp_now ();
  if (has_data)
    tcp_turns_note (&turns, self, self->last_progress);
  channel_set_interest (self, G_IO_OUT, result == G_POLLABLE_RETURN_WOULD_BLOCK);
  if (result == G_POLLABLE_RETURN_FAILED)
    {
      /* The peer may have sent a reason before it closed: the input is read to its end. */
      tcp_log_debug (self->log, "writing to the WebSocket failed: %s", error->message);
      channel_stop_output (self);
      if (self->error == NULL)
        self->error = g_steal_pointer (&error);
      channel_flushed (self);
    }
}

/* Sends what TLS has to send by itself. */
static void
channel_flush_tls (TcpChannel *self)
{
  if (self->buffered != NULL && !(self->interest & G_IO_OUT) && !self->output_failed &&
      tcp_buffered_connection_flush (self->buffered, NULL) == G_POLLABLE_RETURN_WOULD_BLOCK)
    channel_set_interest (self, G_IO_OUT, TRUE);
}

/* Only a client masks its frames. */
static void
channel_wrap (TcpChannel     *self,
              TcpBuffer      *buffer,
              TcpFrameOpcode  opcode)
{
  tcp_frame_wrap (buffer, opcode, self->client, self->client ? g_random_int () : 0);
}

static void
channel_queue_control (TcpChannel   *self,
                       gconstpointer frame,
                       gsize         length)
{
  if (self->output_failed)
    return;

  tcp_frame_queue_push_control (&self->queue, frame, length);
  if (!(self->interest & G_IO_OUT))
    channel_flush (self);
}

/* Whether another message is accepted. If not, the callback drained is called when it is. */
gboolean
tcp_channel_can_send (TcpChannel *self)
{
  if (self->phase != TCP_CHANNEL_OPEN || self->output_failed)
    return FALSE;

  /* Much data is sent in one system call, but data that waits for a slow path delays everything behind it. */
  self->watched = self->queue.pending >=
                  (self->interest & G_IO_OUT ? TCP_CHANNEL_MAX_PENDING / 2 : TCP_CHANNEL_MAX_PENDING);
  return !self->watched;
}

/* Requests the callback drained for when data was sent and the channel can send, even if it can now. */
void
tcp_channel_watch (TcpChannel *self)
{
  self->watched = TRUE;
}

/* Sends a message, whose protocol header is already in place, with the next tcp_channel_flush (). Takes ownership of
 * the buffer. Messages that were not sent completely when the channel ends can be taken back. */
void
tcp_channel_send (TcpChannel *self,
                  TcpBuffer  *buffer)
{
  g_assert (buffer->length > 0);

  if (self->phase != TCP_CHANNEL_OPEN)
    {
      tcp_buffer_unref (buffer);
      return;
    }

  /* A message that waits must not hold more memory than it needs. */
  buffer = tcp_buffer_shrink (buffer);
  channel_wrap (self, buffer, buffer->text ? TCP_FRAME_TEXT : TCP_FRAME_BINARY);
  tcp_frame_queue_push (&self->queue, buffer);
}

/* Writes queued messages to the kernel, in as few system calls as possible. */
void
tcp_channel_flush (TcpChannel *self)
{
  if (self->phase != TCP_CHANNEL_CLOSED && !(self->interest & G_IO_OUT))
    channel_flush (self);
}

/* The number of bytes that wait here for the kernel. */
gsize
tcp_channel_get_pending (TcpChannel *self)
{
  return self->queue.pending;
}

/* Moves the messages that were not sent completely to @unsent, in their original form. If one was sent in part, nothing
 * more is written. */
void
tcp_channel_steal_unsent (TcpChannel *self,
                          GQueue     *unsent)
{
  if (tcp_frame_queue_steal_unsent (&self->queue, unsent))
    channel_stop_output (self);
}

/* Whether the message that is being received is a text message. */
gboolean
tcp_channel_is_text (TcpChannel *self)
{
  return self->is_text;
}

/* Drops unsent messages, except those about the session, which is over. */
void
tcp_channel_drop_unsent (TcpChannel *self)
{
  tcp_frame_queue_drop_unsent (&self->queue);
}

/* Lists the messages that were not sent completely, in their original form: of TcpBuffer, which stay in the queue. */
void
tcp_channel_list_unsent (TcpChannel *self,
                         GQueue     *unsent)
{
  for (GList *l = self->queue.frames.head; l != NULL; l = l->next)
    if (!((TcpBuffer *) l->data)->control)
      g_queue_push_tail (unsent, l->data);
}

/* While the channel is held, nothing is written. The next tcp_channel_flush () after that writes what waits. */
void
tcp_channel_set_held (TcpChannel *self,
                      gboolean    held)
{
  self->held = held;
}

/* Payload bytes that were sent and are not confirmed by a pong yet. */
guint64
tcp_channel_get_unconfirmed (TcpChannel *self)
{
  return self->queue.sent - self->keepalive.confirmed;
}

/* Input */

static void
channel_protocol_error (TcpChannel   *self,
                        const GError *error)
{
  channel_stop_input (self);
  self->ignore_data = TRUE;
  if (self->control != NULL)
    tcp_control_close (self->control, TCP_CLOSE_PROTOCOL_ERROR, NULL);
  tcp_channel_abort (self, error);
}

/* No message follows. */
static void
channel_handle_close (TcpChannel     *self,
                      const TcpFrame *frame)
{
  guint code = frame->length == 0 ? TCP_CLOSE_NO_CODE : TCP_CLOSE_PROTOCOL_ERROR;
  g_autofree char *reason = NULL;

  self->ignore_data = TRUE;
  if (frame->length >= 2)
    {
      guint sent = frame->payload[0] << 8 | frame->payload[1];

      /* There are no codes below 1000 (0 means "no closing handshake" here), and 1005 means a frame without a code, so
       * that no frame may contain it. */
      if (sent >= TCP_CLOSE_NORMAL && sent != TCP_CLOSE_NO_CODE)
        code = sent;
      reason = tcp_text_from_peer ((const char *) frame->payload + 2, frame->length - 2);
    }
  if (self->phase == TCP_CHANNEL_OPEN)
    self->phase = TCP_CHANNEL_CLOSING;
  channel_start_deadline (self);
  channel_report (self, code, reason, NULL);
}

static void
channel_handle_control (TcpChannel     *self,
                        const TcpFrame *frame)
{
  gboolean first = !self->ignore_data;

  if (frame->opcode == TCP_FRAME_PONG)
    {
      if (tcp_keepalive_pong (&self->keepalive, frame->payload, frame->length) && self->status != NULL)
        tcp_status_set (self->status, round_trip, self->keepalive.last_round_trip);
      return;
    }
  if (!first || (frame->opcode == TCP_FRAME_PING && self->queue.controls >= MAX_QUEUED_CONTROLS))
    return;

  tcp_control_feed (self->control, frame->frame, frame->frame_length);
  if (frame->opcode == TCP_FRAME_CLOSE)
    channel_handle_close (self, frame);
}

/* The connection has ended, and all data before the end was delivered. */
static void
channel_handle_end (TcpChannel *self)
{
  channel_stop_input (self);
  /* A peer that ends without a closing frame does not read any more either. */
  if (self->phase == TCP_CHANNEL_OPEN)
    channel_stop_output (self);
  /* libsoup decides whether this end was expected. */
  tcp_control_end (self->control, self->end_error);
  /* Data that cannot be written is not waited for. */
  channel_start_deadline (self);
}

/* Channels that cause much work for this thread pause while others use it as well: these then find the thread idle most
 * of the time, and not within another turn. */
static void
channel_end_turn (TcpChannel *self)
{
  gint64 now;

  if (self->turn.bytes > 0)
    tcp_turns_note (&turns, self, self->turn.began);
  if (!self->turn_over)
    tcp_turn_complete (&self->turn);
  if (!self->turn_over || self->wakeup == NULL)
    return;

  now = tcp_now ();
  self->next_turn = tcp_turn_interrupt (&self->turn, &turns, self, now);
  if (self->next_turn > 0)
    channel_set_interest (self, G_IO_IN, FALSE);
  tcp_timer_set (self->wakeup, self->next_turn);
}

static void
channel_process (TcpChannel *self)
{
  g_autoptr (GError) error = NULL;
  gboolean all_seen = FALSE;
  gboolean progress = FALSE;
  TcpFrame frame;

  self->turn_over = FALSE;
  self->next_turn = 0;
  tcp_turn_begin (&self->turn, tcp_now ());
  while (!self->paused && self->phase != TCP_CHANNEL_CLOSED)
    {
      self->turn_over = tcp_turn_is_over (&self->turn, tcp_now ());
      if (self->turn_over)
        break;
      all_seen = !tcp_frame_reader_next (&self->reader, &frame, &error);
      if (all_seen)
        break;

      tcp_turn_add (&self->turn, frame.length);
      progress |= !tcp_frame_is_control (frame.opcode);
      if (frame.opcode == TCP_FRAME_TEXT || frame.opcode == TCP_FRAME_BINARY)
        self->is_text = frame.opcode == TCP_FRAME_TEXT;
      if (tcp_frame_is_control (frame.opcode))
        channel_handle_control (self, &frame);
      else if (!self->ignore_data && self->callbacks.message != NULL)
        self->callbacks.message (self, frame.payload, frame.length, frame.first, frame.last, self->user_data);
    }

  if (self->callbacks.turn_over != NULL)
    self->callbacks.turn_over (self, self->user_data);
  channel_end_turn (self);
  tcp_frame_reader_trim (&self->reader);
  channel_account (self);
  channel_watch_message (self, progress);
  if (error != NULL)
    channel_protocol_error (self, error);
  else if (self->ended && all_seen && !self->paused && self->phase != TCP_CHANNEL_CLOSED)
    channel_handle_end (self);
}

/* Whether there may be more data that does not make the socket readable. */
static gboolean
channel_fill (TcpChannel *self)
{
  GPollableInputStream *input = G_POLLABLE_INPUT_STREAM (g_io_stream_get_input_stream (self->stream));
  gsize left = self->callbacks.may_read != NULL ? self->callbacks.may_read (self, self->user_data) : G_MAXSIZE;
  g_autoptr (GError) error = NULL;
  gboolean any = FALSE;
  gssize n;

  /* TLS returns one record at a time, and keeps others in a buffer of its own. */
  do
    {
      gsize size;
      gboolean large = tcp_budget_share_has_room (&self->share, TCP_FRAME_READER_SIZE);
      guint8 *room = tcp_frame_reader_get_room (&self->reader, large, &size);

      /* Data that was read just now may be complete messages, which make room. */
      if (size == 0 && !large && !any && !tcp_budget_share_allows (&self->share, TCP_FRAME_READER_SIZE))
        {
          channel_starve (self);
          return FALSE;
        }
      size = MIN (size, left);
      if (size == 0)
        return !self->plain;
      n = g_pollable_input_stream_read_nonblocking (input, room, size, NULL, &error);
      tcp_frame_reader_add (&self->reader, MAX (n, 0));
      left -= MAX (n, 0);
      any |= n > 0;
      if (n > 0)
        tcp_keepalive_received (&self->keepalive);
    }
  while (n > 0 && !self->plain);
  channel_flush_tls (self);

  if (n == 0 || (n < 0 && !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)))
    {
      /* The end follows the data that was read, which may have to wait for its turn, or for the end of a pause. */
      self->ended = TRUE;
      self->end_error = g_steal_pointer (&error);
      channel_set_interest (self, G_IO_IN, FALSE);
    }
  return FALSE;
}

static void
channel_read (TcpChannel *self)
{
  gboolean more;

  if (self->turn_over)
    return;

  more = channel_fill (self);
  channel_process (self);
  if (more && !self->paused && self->wakeup != NULL)
    tcp_timer_set (self->wakeup, self->next_turn);
}

static void
on_wakeup (gpointer user_data)
{
  TcpChannel *self = tcp_channel_ref (user_data);

  channel_process (self);
  if (!self->paused && !self->turn_over && !self->ended && !self->starved && self->wakeup != NULL)
    {
      /* Data that was read together with the HTTP head is in the stream, not in the socket, so the stream is read
       * before waiting. */
      channel_set_interest (self, G_IO_IN, TRUE);
      channel_read (self);
    }
  tcp_channel_unref (self);
}

static void
on_ready (GIOCondition condition,
          gpointer     user_data)
{
  TcpChannel *self = tcp_channel_ref (user_data);

  /* Reading or writing detects an error or a hang-up. */
  if (self->interest & G_IO_OUT && condition & ~G_IO_IN)
    {
      channel_flush (self);
      channel_flushed (self);
    }
  if (self->interest & G_IO_IN && condition & ~G_IO_OUT)
    channel_read (self);
  tcp_channel_unref (self);
}

/* The message that is being handled will take this many microseconds of this thread later, which count for its turn. */
void
tcp_channel_charge (TcpChannel *self,
                    gint64      time)
{
  tcp_turn_charge (&self->turn, time);
}

/* Whether several channels of this thread had data recently. */
gboolean
tcp_channel_thread_is_shared (void)
{
  return tcp_turns_are_shared (&turns, tcp_now ());
}

/* No message is delivered until tcp_channel_resume (). */
void
tcp_channel_pause (TcpChannel *self)
{
  if (self->paused)
    return;

  self->paused = TRUE;
  channel_set_interest (self, G_IO_IN, FALSE);
  tcp_keepalive_pause (&self->keepalive);
}

void
tcp_channel_resume (TcpChannel *self)
{
  if (!self->paused)
    return;

  self->paused = FALSE;
  if (!self->starved)
    tcp_keepalive_resume (&self->keepalive);
  /* In the next iteration, since the caller may not be ready for messages yet. */
  if (self->wakeup != NULL)
    tcp_timer_set (self->wakeup, self->next_turn);
}

/* Control frames and keep-alive */

static void
on_control_write (gconstpointer frame,
                  gsize         length,
                  gpointer      user_data)
{
  channel_queue_control (user_data, frame, length);
}

static void
on_control_close_stream (gpointer user_data)
{
  TcpChannel *self = user_data;

  self->close_stream = TRUE;
  channel_flushed (self);
}

static void
on_control_closed (const GError *error,
                   gpointer      user_data)
{
  TcpChannel *self = user_data;

  if (self->error == NULL && error != NULL)
    self->error = g_error_copy (error);
  channel_finish (self);
}

static const TcpControlCallbacks control_callbacks = {
  .write = on_control_write,
  .close_stream = on_control_close_stream,
  .closed = on_control_closed,
};

static void
on_keepalive_send (TcpFrameOpcode opcode,
                   gconstpointer  payload,
                   gsize          length,
                   gpointer       user_data)
{
  TcpChannel *self = user_data;
  g_autoptr (TcpBuffer) buffer = NULL;

  /* Unsent pings must not accumulate: the last ping has the information of the others, and any frame is a sign of
   * life. */
  if (opcode == TCP_FRAME_PING)
    tcp_frame_queue_drop_pings (&self->queue);
  else if (self->queue.controls > 0)
    return;

  buffer = tcp_buffer_new (0);
  buffer->payload = buffer->data + TCP_FRAME_MAX_HEADER + length;
  tcp_buffer_push (buffer, payload, length);
  channel_wrap (self, buffer, opcode);
  channel_queue_control (self, buffer->payload - buffer->header, buffer->header + buffer->length);
}

static gboolean
on_keepalive_is_behind (gpointer user_data)
{
  TcpChannel *self = user_data;

  return self->turn_over;
}

static void
on_keepalive_dead (const GError *error,
                   gpointer      user_data)
{
  tcp_channel_abort (user_data, error);
}

static const TcpKeepaliveCallbacks keepalive_callbacks = {
  .send = on_keepalive_send,
  .is_behind = on_keepalive_is_behind,
  .dead = on_keepalive_dead,
};

/* Sends a ping at once, even without keep-alive. If nothing arrives for @timeout ms, or the keep-alive's timeout if
 * that is 0, the channel ends. */
void
tcp_channel_probe (TcpChannel *self,
                   guint       timeout)
{
  if (self->phase == TCP_CHANNEL_OPEN)
    tcp_keepalive_probe (&self->keepalive, timeout);
}

/* How long the peer may be silent when it may be dead, and a false alarm costs little; in ms. */
guint
tcp_channel_get_probe_timeout (TcpChannel *self)
{
  return MAX (PROBE_TIMEOUT, PROBE_ROUND_TRIPS * self->keepalive.round_trip / G_TIME_SPAN_MILLISECOND);
}

/* Returns what is known about the path. */
void
tcp_channel_measure_path (TcpChannel *self,
                          gint64      now,
                          TcpPath    *path)
{
  tcp_path_gauge_measure (&self->path, self->socket, self->keepalive.round_trip, now, path);
}

/* Creation and destruction */

static void
bound_input (GSocket *socket)
{
  int fd = g_socket_get_fd (socket);
  struct tcp_info info = { 0 };
  socklen_t length = sizeof info;
  int size;

  if (getsockopt (fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0 || info.tcpi_rtt == 0 || info.tcpi_rtt > SHORT_PATH)
    return;
  if (g_socket_get_option (socket, SOL_SOCKET, SO_RCVBUF, &size, NULL) && size >= MADE_SMALL)
    g_socket_set_option (socket, SOL_SOCKET, SO_RCVBUF, SHORT_PATH_BUFFER, NULL);
}

static void
configure_socket (GSocket *socket)
{
  g_socket_set_option (socket, IPPROTO_TCP, TCP_NODELAY, TRUE, NULL);
  g_socket_set_option (socket, IPPROTO_TCP, TCP_NOTSENT_LOWAT, NOT_SENT_LOW_WATER, NULL);
}

/* Takes over @stream, on which the WebSocket handshake was completed. Messages are delivered after tcp_channel_resume
 * (). The owner must close or abort the channel. */
TcpChannel *
tcp_channel_new (GIOStream               *stream,
                 const TcpChannelOptions *options)
{
  TcpChannel *self = g_new0 (TcpChannel, 1);

  g_ref_count_init (&self->refs);
  self->client = options->client;
  self->plain = options->plain;
  self->log = tcp_log_ref (options->log);
  self->status = options->status != NULL ? tcp_status_ref (options->status) : NULL;
  if (options->counter != NULL)
    {
      self->counter = tcp_status_ref (options->counter);
      tcp_status_add (self->counter, open_websockets, 1);
    }
  self->group = tcp_channel_group_enter (options->group);
  self->stream = g_object_ref (stream);
  if (options->buffered != NULL)
    self->buffered = g_object_ref (options->buffered);
  self->socket = g_object_ref (options->socket);
  configure_socket (self->socket);
  /* With a single connection, nothing else is delayed. */
  if (!options->brief)
    bound_input (self->socket);

  self->paused = TRUE; /* until the user accepts messages */
  tcp_frame_reader_init (&self->reader, !self->client);
  tcp_budget_share_init (&self->share, options->budget, on_relieved, self);
  self->message_timeout = options->message_timeout;
  if (options->early != NULL && options->early->len > 0)
    {
      gsize size;
      guint8 *room = tcp_frame_reader_get_room (&self->reader, TRUE, &size);

      g_assert (options->early->len <= size);
      memcpy (room, options->early->data, options->early->len);
      tcp_frame_reader_add (&self->reader, options->early->len);
    }
  self->wakeup = tcp_timer_new (on_wakeup, self);
  self->watch = tcp_watch_new (g_socket_get_fd (self->socket), 0, on_ready, self);
  tcp_watch_rest (self->watch);
  channel_flush_tls (self);
  self->control = tcp_control_new (options->uri, self->client, &control_callbacks, self);
  tcp_keepalive_start (&self->keepalive, self->socket, options->keepalive_interval, options->keepalive_timeout,
                       options->brief, &keepalive_callbacks, self);
  if (options->late_ping)
    tcp_keepalive_defer (&self->keepalive);

  /* The channel exists until it is closed, independently of other references. */
  return tcp_channel_ref (self);
}

TcpChannel *
tcp_channel_ref (TcpChannel *self)
{
  g_ref_count_inc (&self->refs);
  return self;
}

void
tcp_channel_unref (TcpChannel *self)
{
  if (!g_ref_count_dec (&self->refs))
    return;

  tcp_frame_queue_clear (&self->queue);
  tcp_frame_reader_clear (&self->reader);
  g_free (self->close_reason);
  g_clear_error (&self->error);
  g_clear_error (&self->end_error);
  g_clear_pointer (&self->status, tcp_status_unref);
  tcp_log_unref (self->log);
  g_free (self);
}

void
tcp_channel_set_callbacks (TcpChannel                *self,
                           const TcpChannelCallbacks *callbacks,
                           gpointer                   user_data)
{
  if (callbacks != NULL)
    self->callbacks = *callbacks;
  else
    memset (&self->callbacks, 0, sizeof (self->callbacks));
  self->user_data = user_data;
}
