/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session/session-private.h"

#include "io/reactor.h"

/* The streams of a resumable session while they last: credit, data, ends. How they are
 * opened and reset is in resumable-open.c. */

/* What the application is told about credit is the sum over all streams. */

static void
stream_add_credit (TcpSession *self,
                   TcpFlow    *flow,
                   guint32     credit)
{
  flow->credit += credit;
  tcp_status_add (self->status, send_window, credit);
}

static void
stream_use_credit (TcpSession *self,
                   TcpFlow    *flow,
                   guint32     credit)
{
  flow->credit -= credit;
  tcp_status_sub (self->status, send_window, credit);
}

void
tcp_resumable_begin_stream (TcpSession *self,
                            TcpStream  *stream)
{
  TcpFlow *flow = tcp_stream_get_flow (stream);

  if (!flow->begun && self->resumable.begun)
    {
      flow->begun = TRUE;
      stream_add_credit (self, flow, self->resumable.peer_window);
    }
}

static void
stream_unblock (TcpSession *self,
                TcpStream  *stream)
{
  TcpFlow *flow = tcp_stream_get_flow (stream);

  if (!flow->blocked || flow->credit == 0)
    return;

  flow->blocked = FALSE;
  tcp_session_make_ready (self, stream);
}

/* The peer has said with how much credit streams begin. */
void
tcp_resumable_begin_streams (TcpSession *self)
{
  GHashTableIter iter;
  gpointer stream;

  g_hash_table_iter_init (&iter, self->streams);
  while (g_hash_table_iter_next (&iter, NULL, &stream))
    {
      tcp_resumable_begin_stream (self, stream);
      stream_unblock (self, stream);
    }
}

void
tcp_resumable_forgotten (TcpSession *self,
                         TcpStream  *stream)
{
  TcpFlow *flow = tcp_stream_get_flow (stream);

  tcp_status_sub (self->status, receive_window, flow->granted);
  tcp_status_sub (self->status, send_window, flow->credit);
  if (g_queue_remove (&self->resumable.ending, stream))
    tcp_stream_unref (stream);
  if (flow->owes && g_queue_remove (&self->resumable.owing, stream))
    tcp_stream_unref (stream);
  /* The goodbye of a session is not said from within. */
  tcp_timer_set (self->pump, 0);
}

/* Nothing of it is left, also not in its queue. It may have outlived what it was opened
 * in. */
void
tcp_resumable_closed (TcpSession *self,
                      TcpStream  *stream)
{
  TcpFlow *flow = tcp_stream_get_flow (stream);

  if (flow->window > 0)
    self->resumable.grown -= flow->window - tcp_resumable_first_window (self);
}

/* Ends */

static gboolean
stream_is_through (TcpSession *self,
                   TcpFlow    *flow)
{
  return flow->fin_sent && flow->fin_received && flow->fin_number < self->resumable.confirmed;
}

/* Both ends have said that they are through; what is left is to see that the peer has
 * heard it from us. */
static void
stream_await_end (TcpSession *self,
                  TcpStream  *stream)
{
  TcpFlow *flow = tcp_stream_get_flow (stream);

  if (!flow->fin_sent || !flow->fin_received)
    return;
  if (stream_is_through (self, flow))
    tcp_session_finish_stream (self, stream, TRUE);
  else
    g_queue_push_tail (&self->resumable.ending, tcp_stream_ref (stream));
}

/* The peer has more of what we sent. */
void
tcp_resumable_acknowledged (TcpSession *self)
{
  GQueue *ending = &self->resumable.ending;

  tcp_session_account (self);
  /* Somebody who hears that one has ended may end the others. */
  for (guint n = g_queue_get_length (ending); n > 0 && !g_queue_is_empty (ending); n--)
    {
      g_autoptr (TcpStream) stream = g_queue_pop_head (ending);

      if (tcp_session_lookup (self, tcp_stream_get_id (stream)) != stream)
        continue;
      if (stream_is_through (self, tcp_stream_get_flow (stream)))
        tcp_session_finish_stream (self, stream, TRUE);
      else
        g_queue_push_tail (ending, g_steal_pointer (&stream));
    }
}

static gboolean
handle_fin (TcpSession  *self,
            TcpStream   *stream,
            GError     **error)
{
  TcpFlow *flow = tcp_stream_get_flow (stream);

  if (flow->fin_received)
    return tcp_resumable_refuse_frame (error, "a second FIN");

  flow->fin_received = TRUE;
  /* If this is the second, TCP hears of it when ours has arrived, and the peer waits to
   * hear the same of its own. */
  if (flow->fin_sent)
    self->resumable.ack_due = TRUE;
  else
    tcp_stream_end (stream);
  if (!tcp_stream_is_closed (stream))
    stream_await_end (self, stream);
  return TRUE;
}

/* From TCP to the peer */

gboolean
tcp_resumable_readable (TcpSession *self,
                        TcpStream  *stream)
{
  TcpFlow *flow = tcp_stream_get_flow (stream);

  flow->blocked = flow->credit == 0;
  return !flow->blocked;
}

static void
local_end (TcpSession *self,
           TcpStream  *stream)
{
  TcpFlow *flow = tcp_stream_get_flow (stream);

  /* Whoever sees the end knows then that all it sent has arrived. */
  if (self->resumable.received > self->resumable.acknowledged)
    tcp_resumable_send_ack (self);
  flow->fin_sent = TRUE;
  flow->fin_number = self->resumable.retained.next;
  tcp_resumable_queue (self, tcp_resumable_encode (TCP_RESUMABLE_FIN, tcp_stream_get_id (stream), NULL, 0));
  stream_await_end (self, stream);
}

static void
read_stream (TcpSession *self,
             TcpStream  *stream)
{
  TcpFlow *flow = tcp_stream_get_flow (stream);
  gsize most = MIN (MIN (flow->credit, self->resumable.peer_payload), TCP_BUFFER_SIZE);
  g_autoptr (GError) error = NULL;
  TcpBuffer *buffer;
  gssize n;

  /* It was put in line before there was a dialect. */
  if (!tcp_resumable_readable (self, stream))
    return;

  buffer = tcp_buffer_new (most);
  n = tcp_stream_read (stream, buffer, &error);
  if (n > 0)
    {
      buffer = tcp_buffer_shrink (buffer);
      tcp_resumable_push_header (buffer, TCP_RESUMABLE_DATA, tcp_stream_get_id (stream));
      tcp_status_add (self->status, bytes_sent, n);
      stream_use_credit (self, flow, n);
      tcp_retained_add (&self->resumable.retained, buffer);
      tcp_session_account (self);
      if ((gsize) n < most)
        tcp_stream_watch (stream);
      else if (flow->credit > 0)
        tcp_session_make_ready (self, stream);
      else
        flow->blocked = TRUE;
      return;
    }

  tcp_buffer_unref (buffer);
  if (n == 0)
    local_end (self, stream);
  else if (error != NULL)
    tcp_stream_reset (stream, error);
  else
    tcp_stream_watch (stream);
}

/* From the peer to TCP */

/* How much further windows may grow. */
static guint32
growth (TcpSession *self)
{
  gsize given = (gsize) self->max_streams * tcp_resumable_first_window (self) + self->resumable.grown;
  gsize left = self->max_window - MIN (given, self->max_window);

  return MIN (MIN (left, tcp_budget_share_get_growth (&self->share)), G_MAXUINT32);
}

/* What a stream may begin with where others have come to need more than the first window,
 * for as long as half of what windows may grow is left to those that show such a need. */
static guint32
head_start (TcpSession *self,
            guint32     room)
{
  gsize kept = self->max_window / 4;

  return room > kept ? MIN (self->resumable.path_window, (room - kept) / 4) : 0;
}

static TcpBuffer *
give_credit (TcpSession *self,
             TcpStream  *stream)
{
  TcpResumable *r = &self->resumable;
  TcpFlow *flow = tcp_stream_get_flow (stream);
  gint64 now = tcp_now ();
  guint32 before = flow->window;
  guint32 room = growth (self);
  guint32 credit;
  TcpPath path;

  tcp_channel_measure_path (self->channel, now, &path);
  credit = tcp_flow_give (flow, tcp_stream_get_queued (stream), room, head_start (self, room), &path, now);
  if (flow->window > before)
    {
      r->grown += flow->window - before;
      r->path_window = MAX (r->path_window, flow->window);
    }
  tcp_session_account (self);
  tcp_status_add (self->status, receive_window, credit);

  return tcp_resumable_encode_window (tcp_stream_get_id (stream), credit);
}

/* Makes the frame that is next: credit first, as the peer waits for that. */
void
tcp_resumable_make_frame (TcpSession *self)
{
  gboolean owing = !g_queue_is_empty (&self->resumable.owing);
  g_autoptr (TcpStream) stream = g_queue_pop_head (owing ? &self->resumable.owing : &self->ready);

  if (tcp_session_lookup (self, tcp_stream_get_id (stream)) != stream)
    return;
  if (!owing)
    {
      read_stream (self, stream);
      return;
    }

  tcp_stream_get_flow (stream)->owes = FALSE;
  if (tcp_flow_is_due (tcp_stream_get_flow (stream), tcp_stream_get_queued (stream)))
    tcp_resumable_queue (self, give_credit (self, stream));
}

static void
check_owed (TcpSession *self,
            TcpStream  *stream)
{
  TcpFlow *flow = tcp_stream_get_flow (stream);

  if (flow->owes || !tcp_flow_is_due (flow, tcp_stream_get_queued (stream)))
    return;

  flow->owes = TRUE;
  g_queue_push_tail (&self->resumable.owing, tcp_stream_ref (stream));
}

void
tcp_resumable_flushed (TcpSession *self,
                       TcpStream  *stream)
{
  if (tcp_session_lookup (self, tcp_stream_get_id (stream)) != stream)
    return;

  check_owed (self, stream);
  tcp_session_pump (self);
}

static gboolean
handle_data (TcpSession               *self,
             TcpStream                *stream,
             const TcpResumableFrame  *frame,
             GError                  **error)
{
  TcpFlow *flow = tcp_stream_get_flow (stream);

  if (flow->fin_received)
    return tcp_resumable_refuse_frame (error, "DATA after a FIN");
  if (!tcp_flow_receive (flow, frame->length, tcp_now ()))
    {
      g_autoptr (GError) overrun = NULL;

      overrun = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL, "%s sent more than it had credit for",
                             self->peer);
      tcp_session_refuse (self, stream, TCP_RESET_FLOW_CONTROL, overrun);
      return TRUE;
    }

  tcp_status_sub (self->status, receive_window, frame->length);
  tcp_status_add (self->status, bytes_received, frame->length);
  tcp_stream_write (stream, frame->payload, frame->length);
  check_owed (self, stream);
  return TRUE;
}

static gboolean
handle_window (TcpSession               *self,
               TcpStream                *stream,
               const TcpResumableFrame  *frame,
               GError                  **error)
{
  TcpFlow *flow = tcp_stream_get_flow (stream);

  if (flow->credit + frame->number > TCP_RESUMABLE_MAX_CREDIT)
    return tcp_resumable_refuse_frame (error, "more credit than there may be");

  stream_add_credit (self, flow, frame->number);
  stream_unblock (self, stream);
  return TRUE;
}

gboolean
tcp_resumable_handle_stream_frame (TcpSession               *self,
                                   const TcpResumableFrame  *frame,
                                   GError                  **error)
{
  g_autoptr (TcpStream) stream = tcp_session_lookup (self, frame->id);

  if (stream != NULL)
    tcp_stream_ref (stream);
  if (frame->type == TCP_RESUMABLE_OPEN)
    return tcp_resumable_handle_open (self, stream, frame, error);
  /* It crossed with our reset. */
  if (stream == NULL)
    return TRUE;

  switch (frame->type)
    {
    case TCP_RESUMABLE_DATA:
      return handle_data (self, stream, frame, error);
    case TCP_RESUMABLE_FIN:
      return handle_fin (self, stream, error);
    case TCP_RESUMABLE_RESET:
      tcp_resumable_handle_reset (self, stream, frame);
      return TRUE;
    case TCP_RESUMABLE_WINDOW:
      return handle_window (self, stream, frame, error);
    default: /* OPENED: nothing waits for it */
      return TRUE;
    }
}
