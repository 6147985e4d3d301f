/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session/session-private.h"

#include "base/i18n.h"

/* How many frames are sent in one turn, about as much as the other direction receives in one. They leave in one system
 * call. */
#define PUMP_BUDGET 8

/* How many streams that have little to send get a turn before one that has much. */
#define MAX_SPARSE 8

/* Without credit: the maximum of data that waits for all connections that are not open yet. */
#define MAX_ALL_PENDING ((gsize) 64 * 1024 * 1024)

/* Answers that the peer causes, such as refusals of connections, are sent however much waits; above this amount nothing
 * is received. */
#define MAX_ANSWERS (1024 * 1024)

/* The maximum of data that waits for TCP in a session with credit, if its part of the budget allows as much: one or two
 * blocked streams must not stop the others. */
#define QUEUE_ALLOWANCE (128 * 1024)

/* The answers and ids that a session without credit may keep whatever others use. */
#define OWN_MEMORY (16 * 1024)

/* The amount that is read from TCP when there is no memory for more, so that no session stops. */
#define SMALL_PIECE (8 * 1024)

/* Accounting and limits */

/* Counted for each of its connections. */
static void
session_count_resumes (TcpSession *self,
                       guint64     n)
{
  GHashTable *sets[] = { self->streams, self->finishing };
  GHashTableIter iter;
  gpointer stream;

  for (guint i = 0; i < G_N_ELEMENTS (sets); i++)
    {
      g_hash_table_iter_init (&iter, sets[i]);
      while (g_hash_table_iter_next (&iter, &stream, NULL))
        if (tcp_stream_get_record (stream) != NULL)
          tcp_record_add (tcp_stream_get_record (stream), resumes, n);
    }
}

static void
session_report (TcpSession               *self,
                const TcpProtocolFigures *now)
{
#define REPORT(field, figure)                                                   \
  if (now->figure > self->reported.figure)                                      \
    tcp_status_add (self->status, field, now->figure - self->reported.figure);  \
  else if (now->figure < self->reported.figure)                                 \
    tcp_status_sub (self->status, field, self->reported.figure - now->figure)

  REPORT (unacknowledged_bytes, unacknowledged);
  REPORT (receive_window, receive_window);
  REPORT (send_window, send_window);
  if (now->resumes > self->reported.resumes)
    session_count_resumes (self, now->resumes - self->reported.resumes);
  REPORT (resumes, resumes);
  REPORT (bytes_replayed, replayed);
#undef REPORT

  self->reported = *now;
}

static gboolean
session_has_credit (TcpSession *self)
{
  return self->protocol != NULL && self->protocol->class->resumable;
}

/* The bytes that wait for the kernel on their way to the peer. */
static gsize
session_get_pending (TcpSession *self)
{
  return self->channel != NULL ? tcp_channel_get_pending (self->channel) : 0;
}

/* With credit: the bytes that wait for TCP and are not covered by the growth of windows. */
static gsize
session_get_excess (TcpSession *self)
{
  return session_has_credit (self) ? self->queued - MIN (self->queued, self->reported.grown) : 0;
}

/* With credit: the memory for unacknowledged data, and for a frame that was received in part. */
static gsize
session_get_kept (TcpSession *self)
{
  return self->protocol->figures.unacknowledged + self->protocol->figures.remembered;
}

/* Reports the memory that is used here to the budget and to the application. */
static void
session_account (TcpSession *self)
{
  gsize held;

  if (self->protocol != NULL)
    session_report (self, &self->protocol->figures);
  held = self->queued + self->pending + session_get_pending (self) + self->reported.remembered;
  /* With credit the queues are covered by what the windows allow, and data that waits for the kernel is part of the
   * unacknowledged data. The part that is set aside for each session is not counted. */
  if (session_has_credit (self))
    {
      gsize kept = session_get_kept (self);

      held = kept - MIN (kept, TCP_RESUMABLE_LEAST_SPARE_ROOM) + self->reported.grown;
    }
  if (held != self->share.held)
    tcp_budget_share_set (&self->share, held);
  if (session_get_excess (self) != self->queue_share.held)
    tcp_budget_share_set (&self->queue_share, session_get_excess (self));
}

/* The amount that may wait whatever other sessions use. It is lower if there are many, but not so low that a single
 * stream could stop its session: the program at its other end may not read before its own data is read, which requires
 * the acknowledgements. */
static gsize
session_get_allowance (TcpSession *self)
{
  gsize part = tcp_budget_share_get_part (&self->queue_share);

  return MAX (MIN (part, QUEUE_ALLOWANCE), self->protocol->figures.first_window);
}

/* With credit, each stream is limited, and not reading the channel would keep out the acknowledgements that make room.
 * But there may be more blocked streams than there is memory for their initial windows. */
static gboolean
session_is_swamped (TcpSession *self,
                    gsize       limit)
{
  gsize excess = session_get_excess (self);

  return excess > session_get_allowance (self) &&
         (excess > limit || !tcp_budget_share_allows (&self->queue_share, TCP_CHANNEL_MAX_WHOLE));
}

/* Without credit: whether it uses memory that others might need more. A message for TCP counts; answers and ids that
 * the peer causes count if there are many. */
static gboolean
session_has_plenty (TcpSession *self)
{
  return self->queued > 0 || session_get_pending (self) + self->reported.remembered > OWN_MEMORY;
}

/* Whether the maximum of data waits for TCP. Room for one more message is kept free. */
static gboolean
session_is_full (TcpSession *self)
{
  if (tcp_channel_get_pending (self->channel) > MAX_ANSWERS)
    return TRUE;
  if (session_has_credit (self))
    return session_is_swamped (self, self->options.max_window / 2);
  if (self->queued > 0 && self->queued + TCP_CHANNEL_MAX_WHOLE > self->max_buffered)
    return TRUE;
  return session_has_plenty (self) && !tcp_budget_share_allows (&self->share, TCP_CHANNEL_MAX_WHOLE);
}

static gboolean
session_has_room (TcpSession *self)
{
  if (tcp_channel_get_pending (self->channel) > MAX_ANSWERS / 2)
    return FALSE;
  if (session_has_credit (self))
    return !session_is_swamped (self, self->options.max_window / 8);
  if (!session_has_plenty (self))
    return TRUE;
  return self->queued <= self->max_buffered / 4 && tcp_budget_share_allows (&self->share, TCP_CHANNEL_MAX_WHOLE);
}

static void
session_update_pause (TcpSession *self)
{
  if (self->channel == NULL)
    return;

  if (!self->channel_paused && session_is_full (self))
    {
      self->channel_paused = TRUE;
      tcp_channel_pause (self->channel);
    }
  else if (self->channel_paused && session_has_room (self))
    {
      self->channel_paused = FALSE;
      tcp_channel_resume (self->channel);
    }

  /* The watch reports when there is room, and when others may use memory that is no longer needed. */
  if (self->channel_paused || (self->share.budget != NULL && !session_has_credit (self) && session_get_pending (self) > 0))
    tcp_channel_watch (self->channel);
}

/* Updates the timer, the accounting and the pause after any change. */
static void
session_update (TcpSession *self)
{
  gint64 timeout = self->protocol != NULL ? self->protocol->class->next_timeout (self->protocol) : -1;

  if (timeout != self->timeout_at)
    {
      self->timeout_at = timeout;
      tcp_timer_set (self->timeout, timeout);
    }
  session_account (self);
  session_update_pause (self);
}

/* Includes streams that only have to empty their queue, since that may take long. */
static guint
session_count (TcpSession *self)
{
  return g_hash_table_size (self->streams) + g_hash_table_size (self->finishing);
}

/* Whether there are streams of a former protocol, which the current one, which counts its own, does not know. */
static gboolean
session_has_orphans (TcpSession *self)
{
  return session_count (self) > self->protocol->n_streams;
}

/* From TCP into the channel */

/* Queues the stream to be read. */
static void
session_make_ready (TcpSession *self,
                    TcpStream  *stream)
{
  g_queue_push_tail (tcp_stream_has_plenty (stream) ? &self->bulk : &self->sparse, tcp_stream_ref (stream));
}

/* Returns the stream whose turn it is; owned. A stream with little data does not wait for all that have much, and a
 * stream with much data does not wait forever if many have little. */
static TcpStream *
session_take_ready (TcpSession *self)
{
  if (g_queue_is_empty (&self->bulk) || (self->n_sparse < MAX_SPARSE && !g_queue_is_empty (&self->sparse)))
    {
      self->n_sparse++;
      return g_queue_pop_head (&self->sparse);
    }

  self->n_sparse = 0;
  return g_queue_pop_head (&self->bulk);
}

static gboolean
session_takes_data (TcpSession *self)
{
  TcpProtocol *protocol = self->protocol;
  gsize kept;

  if ((g_queue_is_empty (&self->sparse) && g_queue_is_empty (&self->bulk)) || !protocol->class->takes_data (protocol))
    return FALSE;
  kept = session_has_credit (self) ? session_get_kept (self) : session_get_pending (self);
  return kept == 0 || (session_has_credit (self) && kept <= TCP_RESUMABLE_LEAST_SPARE_ROOM / 2) ||
         tcp_budget_share_allows (&self->share, TCP_BUFFER_MEMORY);
}

/* Counts bytes of payload, in total and for the stream. */
#define session_count_bytes(self, stream, field, n)                 \
  G_STMT_START                                                      \
  {                                                                 \
    TcpRecord *record_ = tcp_stream_get_record (stream);            \
                                                                    \
    tcp_status_add ((self)->status, field, n);                      \
    if (record_ != NULL)                                            \
      tcp_record_add (record_, field, n);                           \
  }                                                                 \
  G_STMT_END

/* How many pieces of a stream to read at once. Reading much at a time wakes its sender less often. However much is
 * read, at most one of the pieces exceeds the limit on data that waits for the kernel. */
static guint
session_get_n_pieces (TcpSession *self,
                      TcpStream  *stream)
{
  gsize pending = session_get_pending (self);
  guint n = 1;

  if (tcp_stream_has_plenty (stream) && pending < TCP_CHANNEL_MAX_PENDING)
    n = MIN (1 + (TCP_CHANNEL_MAX_PENDING - pending) / TCP_BUFFER_MEMORY, TCP_STREAM_MAX_BUFFERS);
  n = self->protocol->class->get_n_frames (self->protocol, tcp_stream_get_protocol (stream), n);
  while (n > 1 && !tcp_budget_share_has_room (&self->share, n * TCP_BUFFER_MEMORY))
    n--;
  return n;
}

static void
session_send_piece (TcpSession *self,
                    TcpStream  *stream,
                    TcpBuffer  *piece)
{
  TcpProtocol *protocol = self->protocol;

  session_count_bytes (self, stream, bytes_sent, piece->length);
  tcp_channel_send (self->channel, protocol->class->make_frame (protocol, tcp_stream_get_protocol (stream), piece));
  session_account (self);
}

/* Forwards some pieces of the stream whose turn it is. */
static void
session_forward (TcpSession *self)
{
  g_autoptr (TcpStream) stream = session_take_ready (self);
  TcpProtocolStream *known = tcp_stream_get_protocol (stream);
  TcpProtocol *protocol = self->protocol;
  g_autoptr (GError) error = NULL;
  TcpBuffer *pieces[TCP_STREAM_MAX_BUFFERS];
  gsize room;
  gssize n;
  guint n_pieces;

  if (known == NULL || !known->active)
    return;
  room = protocol->class->get_room (protocol, known);
  if (room == 0)
    return;
  if (!tcp_budget_share_has_room (&self->share, TCP_BUFFER_MEMORY))
    room = MIN (room, SMALL_PIECE);

  n_pieces = session_get_n_pieces (self, stream);
  for (guint i = 0; i < n_pieces; i++)
    pieces[i] = tcp_buffer_new (room);
  n = tcp_stream_read (stream, pieces, n_pieces, &error);
  for (guint i = 0; i < n_pieces; i++)
    if (n > 0 && pieces[i]->length > 0)
      session_send_piece (self, stream, pieces[i]);
    else
      tcp_buffer_unref (pieces[i]);

  if (n > 0 && tcp_stream_has_plenty (stream))
    session_make_ready (self, stream);
  else if (n == 0)
    protocol->class->end (protocol, known, tcp_now ());
  else if (error != NULL)
    tcp_stream_reset (stream, error);
  else
    tcp_stream_watch (stream);
}

/* Sends as much to the channel as it accepts: first the frames of the protocol, then a piece of each stream in turn, so
 * that a bulk transfer does not delay a keystroke. */
static void
session_pump (TcpSession *self)
{
  gint64 now = tcp_now ();
  gboolean room = TRUE;

  tcp_session_ref (self);
  session_account (self);
  for (guint i = 0; self->channel != NULL; i++)
    {
      TcpBuffer *frame;

      room = tcp_channel_can_send (self->channel);
      if (room && i >= PUMP_BUDGET)
        {
          tcp_timer_set (self->pump, 0);
          room = FALSE;
        }
      frame = self->protocol->class->next_frame (self->protocol, room, now);
      if (frame != NULL)
        tcp_channel_send (self->channel, frame);
      else if (room && session_takes_data (self))
        session_forward (self);
      else
        break;
    }
  if (self->channel != NULL)
    tcp_channel_flush (self->channel);
  /* The channel, or the memory, was full only until the flush. */
  if (self->channel != NULL && tcp_channel_can_send (self->channel) && (!room || session_takes_data (self)))
    tcp_timer_set (self->pump, 0);
  session_update (self);
  tcp_session_unref (self);
}

/* Sends the frames that do not wait for room. */
static void
session_flush (TcpSession *self,
               TcpChannel *channel)
{
  gint64 now = tcp_now ();
  TcpBuffer *frame;

  while ((frame = self->protocol->class->next_frame (self->protocol, FALSE, now)) != NULL)
    tcp_channel_send (channel, frame);
  tcp_channel_flush (channel);
}

static void
on_pump (gpointer user_data)
{
  g_autoptr (TcpSession) self = tcp_session_ref (user_data);

  if (self->protocol != NULL)
    self->protocol->class->wake (self->protocol, tcp_now ());
  session_pump (self);
}

static void
on_timeout (gpointer user_data)
{
  TcpSession *self = user_data;

  self->timeout_at = -1;
  on_pump (self);
}

/* Other sessions of the gateway have freed memory, or the protocol has work to do. */
static void
on_wakeup (gpointer user_data)
{
  TcpSession *self = user_data;

  tcp_timer_set (self->pump, 0);
}

/* Streams */

static GError *
session_local_error (TcpSession   *self,
                     TcpStream    *stream,
                     const GError *error)
{
  const char *target = tcp_stream_get_target (stream);

  if (error == NULL)
    return NULL;
  if (error->domain == TCP_TUNNEL_ERROR)
    return g_error_copy (error);
  if (tcp_stream_is_accepted (stream))
    return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_RESET, _("the TCP client broke the connection: %s"),
                        error->message);
  return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TARGET, _("the target %s broke the connection: %s"),
                      target != NULL ? target : self->target, error->message);
}

static void
session_release (TcpSession *self,
                 TcpStream  *stream)
{
  TcpProtocolStream *known = tcp_stream_get_protocol (stream);

  if (known == NULL)
    return;

  tcp_stream_set_protocol (stream, NULL);
  tcp_protocol_release (self->protocol, known);
}

static void
on_stream_closed (TcpStream    *stream,
                  const GError *socket_error,
                  gpointer      user_data)
{
  g_autoptr (TcpSession) self = tcp_session_ref (user_data);
  g_autoptr (TcpStream) kept G_GNUC_UNUSED = tcp_stream_ref (stream);
  g_autoptr (GError) error = session_local_error (self, stream, socket_error);
  TcpProtocolStream *known = tcp_stream_get_protocol (stream);

  if (known != NULL && known->active)
    self->protocol->class->reset (self->protocol, known, error, tcp_now ());
  if (self->channel != NULL)
    session_flush (self, self->channel);
  session_release (self, stream);
  if (!g_hash_table_remove (self->streams, stream))
    g_hash_table_remove (self->finishing, stream);
  if (g_queue_remove (&self->sparse, stream) || g_queue_remove (&self->bulk, stream))
    tcp_stream_unref (stream);

  tcp_status_sub (self->status, open_connections, 1);
  session_update (self);
  self->callbacks.stream_closed (self, stream, error, self->user_data);
}

static void
on_stream_flushed (TcpStream *stream,
                   gpointer   user_data)
{
  TcpSession *self = user_data;
  TcpProtocolStream *known = tcp_stream_get_protocol (stream);

  if (known != NULL)
    self->protocol->class->flushed (self->protocol, known, tcp_stream_get_queued (stream));
  session_pump (self);
}

static void
on_stream_readable (TcpStream *stream,
                    gpointer   user_data)
{
  TcpSession *self = user_data;

  session_make_ready (self, stream);
  session_pump (self);
}

static const TcpStreamCallbacks stream_callbacks = {
  .readable = on_stream_readable,
  .flushed = on_stream_flushed,
  .closed = on_stream_closed,
};

/* Makes a stream that is in no table, and is not counted. */
TcpStream *
tcp_session_new_stream (TcpSession *self)
{
  return tcp_stream_new (&self->queued, &stream_callbacks, self);
}

static TcpStream *
session_add_stream (TcpSession *self)
{
  TcpStream *stream = tcp_session_new_stream (self);

  g_hash_table_add (self->streams, stream);
  tcp_stream_set_serial (stream, tcp_status_add_connection (self->status));

  return stream;
}

static int
compare_serials (gconstpointer a,
                 gconstpointer b)
{
  guint64 first = tcp_stream_get_serial (*(TcpStream **) a);
  guint64 second = tcp_stream_get_serial (*(TcpStream **) b);

  return (first > second) - (first < second);
}

/* Returns all streams of a table, oldest first; callbacks may change the table. */
static GPtrArray *
list_streams (GHashTable *set)
{
  GPtrArray *streams = g_ptr_array_new_with_free_func ((GDestroyNotify) tcp_stream_unref);
  GHashTableIter iter;
  gpointer stream;

  g_hash_table_iter_init (&iter, set);
  while (g_hash_table_iter_next (&iter, &stream, NULL))
    g_ptr_array_add (streams, tcp_stream_ref (stream));
  g_ptr_array_sort (streams, compare_serials);

  return streams;
}

static void
reset_streams (GHashTable   *set,
               const GError *error)
{
  g_autoptr (GPtrArray) streams = list_streams (set);

  for (guint i = 0; i < streams->len; i++)
    tcp_stream_reset (streams->pdata[i], error);
}

/* Callbacks of the protocol */

static void
on_opened (TcpProtocolStream *known,
           const char        *target,
           gpointer           user_data)
{
  TcpSession *self = user_data;
  TcpStream *stream = session_add_stream (self);

  known->user_data = stream;
  tcp_stream_set_protocol (stream, known);
  self->callbacks.opened (self, stream, target, self->user_data);
}

static void
session_report_connected (TcpSession *self,
                          TcpStream  *stream)
{
  if (tcp_stream_is_connected (stream))
    return;

  tcp_stream_set_connected (stream);
  if (self->callbacks.connected != NULL)
    self->callbacks.connected (self, stream, self->user_data);
}

static void
on_connected (TcpProtocolStream *known,
              gpointer           user_data)
{
  g_autoptr (TcpStream) stream = tcp_stream_ref (known->user_data);

  session_report_connected (user_data, stream);
}

static void
on_arrived (TcpProtocolStream *known,
            guint32            listener,
            const char        *client,
            gpointer           user_data)
{
  TcpSession *self = user_data;
  TcpStream *stream = session_add_stream (self);

  known->user_data = stream;
  tcp_stream_set_protocol (stream, known);
  /* Data that waits for one connection must not stop the others. */
  if (!session_has_credit (self) && self->max_pending > 0)
    tcp_stream_set_total (stream, &self->pending);
  self->callbacks.arrived (self, stream, listener, client, self->user_data);
}

static void
on_listen (guint32     listener,
           guint16     port,
           const char *name,
           gpointer    user_data)
{
  TcpSession *self = user_data;

  self->callbacks.listen (self, listener, port, name, self->user_data);
}

static void
on_listening (guint32     listener,
              const char *host,
              guint16     port,
              gpointer    user_data)
{
  TcpSession *self = user_data;

  self->callbacks.listening (self, listener, host, port, self->user_data);
}

static void
on_unlistened (guint32       listener,
               TcpResetCode  code,
               const GError *error,
               gpointer      user_data)
{
  TcpSession *self = user_data;

  self->callbacks.unlistened (self, listener, code, error, self->user_data);
}

static gsize
on_data (TcpProtocolStream *known,
         const guint8      *data,
         gsize              length,
         gpointer           user_data)
{
  TcpSession *self = user_data;

  session_count_bytes (self, known->user_data, bytes_received, length);
  if (!self->whole)
    tcp_stream_write (known->user_data, data, length);
  else if (tcp_stream_gather (known->user_data, data, length))
    g_ptr_array_add (self->gathering, tcp_stream_ref (known->user_data));
  return tcp_stream_get_queued (known->user_data);
}

static void
on_half_closed (TcpProtocolStream *known,
                gpointer           user_data)
{
  g_autoptr (TcpStream) stream = tcp_stream_ref (known->user_data);

  tcp_stream_end (stream);
}

static void
on_finished (TcpProtocolStream *known,
             gboolean           complete,
             gpointer           user_data)
{
  TcpSession *self = user_data;
  g_autoptr (TcpStream) stream = tcp_stream_ref (known->user_data);

  g_hash_table_add (self->finishing, tcp_stream_ref (stream));
  g_hash_table_remove (self->streams, stream);
  if (complete)
    tcp_stream_finish (stream, TCP_FINISH_IN_ORDER);
  else
    tcp_stream_finish (stream, tcp_stream_is_accepted (stream) ? TCP_FINISH_UNANSWERED : TCP_FINISH_RESET);
}

static void
on_was_reset (TcpProtocolStream *known,
              const GError      *error,
              gboolean           left,
              gpointer           user_data)
{
  g_autoptr (TcpStream) stream = tcp_stream_ref (known->user_data);

  if (left)
    tcp_stream_mark_left (stream);
  tcp_stream_set_peer_code (stream, known->peer_code);
  tcp_stream_reset (stream, error);
}

static void
on_writable (TcpProtocolStream *known,
             gpointer           user_data)
{
  session_make_ready (user_data, known->user_data);
}

static void
on_hello (gpointer user_data)
{
  TcpSession *self = user_data;

  if (self->callbacks.hello != NULL)
    self->callbacks.hello (self, self->user_data);
}

static void
on_warn (const char *message,
         gpointer    user_data)
{
  TcpSession *self = user_data;

  if (self->warnings != NULL)
    tcp_log_limit_write (self->warnings, "%s", message);
  else
    tcp_log_warn (self->options.log, "%s", message);
}

static void
on_draining (gpointer user_data)
{
  TcpSession *self = user_data;

  if (self->callbacks.draining != NULL)
    self->callbacks.draining (self, self->user_data);
}

static void
on_sent_away (const GError *error,
              gpointer      user_data)
{
  TcpSession *self = user_data;

  if (self->callbacks.sent_away != NULL)
    self->callbacks.sent_away (self, error, self->user_data);
}

static void
on_close (guint       code,
          const char *reason,
          gpointer    user_data)
{
  TcpSession *self = user_data;

  if (self->channel == NULL)
    return;

  /* The rest of the data is not needed, and the peer may never read it. */
  if (code == TCP_CLOSE_PROTOCOL_ERROR || (session_has_credit (self) && self->protocol->over))
    tcp_channel_drop_unsent (self->channel);
  session_flush (self, self->channel);
  tcp_channel_close (self->channel, code, reason);
  /* The answer must be received, even if the data before it is discarded. */
  if (self->protocol->over)
    tcp_channel_resume (self->channel);
}

static void
on_abort (const GError *error,
          gpointer      user_data)
{
  TcpSession *self = user_data;

  if (self->channel != NULL)
    tcp_channel_abort (self->channel, error);
}

static void
on_take_back (GQueue   *frames,
              gpointer  user_data)
{
  TcpSession *self = user_data;

  /* If another process had the channel, there is none to take frames from. */
  if (self->detaching != NULL)
    tcp_channel_steal_unsent (self->detaching, frames);
}

static void
on_look_out (gint64              now,
             TcpProtocolOutlook *outlook,
             gpointer            user_data)
{
  TcpSession *self = user_data;
  TcpPath path;

  session_account (self);
  tcp_channel_measure_path (self->channel, now, &path);
  outlook->round_trip = path.round_trip;
  outlook->response_time = path.response_time;
  /* Streams of a former protocol are not accounted for in this one. */
  outlook->growth = session_has_orphans (self) ? 0 : tcp_budget_share_get_growth (&self->share);
}

static const char *
on_overdrawn (gpointer user_data)
{
  TcpSession *self = user_data;

  session_account (self);
  return tcp_budget_share_is_overdrawn (&self->share) ? tcp_budget_share_get_limit (&self->share) : NULL;
}

static const TcpProtocolCallbacks protocol_callbacks = {
  .opened = on_opened,
  .connected = on_connected,
  .arrived = on_arrived,
  .listen = on_listen,
  .listening = on_listening,
  .unlistened = on_unlistened,
  .data = on_data,
  .half_closed = on_half_closed,
  .finished = on_finished,
  .was_reset = on_was_reset,
  .writable = on_writable,
  .hello = on_hello,
  .warn = on_warn,
  .draining = on_draining,
  .sent_away = on_sent_away,
  .close = on_close,
  .abort = on_abort,
  .take_back = on_take_back,
  .look_out = on_look_out,
  .overdrawn = on_overdrawn,
  .wakeup = on_wakeup,
};

/* Creation and destruction */

TcpSession *
tcp_session_new (const TcpSessionOptions   *options,
                 const TcpSessionCallbacks *callbacks,
                 gpointer                   user_data)
{
  TcpSession *self = g_new0 (TcpSession, 1);

  g_ref_count_init (&self->refs);
  self->callbacks = *callbacks;
  self->user_data = user_data;
  self->options = (TcpProtocolOptions) {
    .client = options->client,
    .single = options->single,
    .lifts_single = options->lifts_single,
    .accepts = callbacks->opened != NULL,
    .listens = options->listens,
    .nameless = options->nameless,
    .reset_on_loss = options->reset_on_loss,
    .max_streams = options->max_streams,
    .max_unacknowledged = options->max_unacknowledged_bytes,
    .max_window = options->max_window_bytes,
    .max_first_window = options->max_first_window > 0 ? options->max_first_window : G_MAXSIZE,
    .session_timeout = options->session_timeout,
    .hello_timeout = options->hello_timeout,
    .peer = g_strdup (options->peer),
    .log = tcp_log_ref (options->log),
  };
  self->warnings = options->warnings;
  self->foreign = options->foreign;
  self->max_buffered = options->max_buffered_bytes;
  self->max_pending = options->max_pending_bytes;
  self->target = g_strdup (options->target);
  self->status = tcp_status_ref (options->status);
  self->streams = g_hash_table_new_full (NULL, NULL, (GDestroyNotify) tcp_stream_unref, NULL);
  self->finishing = g_hash_table_new_full (NULL, NULL, (GDestroyNotify) tcp_stream_unref, NULL);
  self->gathering = g_ptr_array_new_with_free_func ((GDestroyNotify) tcp_stream_unref);
  self->pump = tcp_timer_new (on_pump, self);
  self->timeout = tcp_timer_new (on_timeout, self);
  self->timeout_at = -1;
  tcp_budget_share_init (&self->share, options->budget, on_wakeup, self);
  tcp_budget_share_init (&self->queue_share, options->queue_budget, on_wakeup, self);
  if (options->protocol != NULL)
    tcp_session_set_protocol (self, options->protocol);

  return self;
}

static void
session_drop_protocol (TcpSession *self)
{
  GHashTable *sets[] = { self->streams, self->finishing };
  TcpProtocolFigures nothing = { 0 };
  GHashTableIter iter;
  gpointer stream;

  if (self->protocol == NULL)
    return;

  for (guint i = 0; i < G_N_ELEMENTS (sets); i++)
    {
      g_hash_table_iter_init (&iter, sets[i]);
      while (g_hash_table_iter_next (&iter, &stream, NULL))
        session_release (self, stream);
    }
  nothing.resumes = self->reported.resumes;
  nothing.replayed = self->reported.replayed;
  session_report (self, &nothing);
  self->reported = (TcpProtocolFigures) { 0 };
  g_clear_pointer (&self->protocol, tcp_protocol_free);
}

/* If the protocol cannot name a target, streams with a target would be connected to the wrong one. */
static void
session_reset_targeted (TcpSession *self,
                        GPtrArray  *streams)
{
  for (guint i = 0; i < streams->len; i++)
    {
      const char *target = tcp_stream_get_target (streams->pdata[i]);
      g_autoptr (GError) error = NULL;

      if (target == NULL)
        continue;
      error = tcp_session_target_error (self, target);
      tcp_stream_reset (streams->pdata[i], error);
    }
}

/* Called before the first channel, and after tcp_session_restart (). Streams that were opened before that only wait. */
void
tcp_session_set_protocol (TcpSession             *self,
                         const TcpProtocolClass *class)
{
  g_autoptr (GPtrArray) streams = NULL;
  guint32 next_id = self->protocol != NULL ? self->protocol->next_id : 1;

  g_assert (self->protocol == NULL || self->lost);

  self->lost = FALSE;
  if (self->protocol != NULL && self->protocol->class == class)
    return;

  session_drop_protocol (self);
  self->protocol = tcp_protocol_new (class, &self->options, &protocol_callbacks, self);
  /* Ids are not reused, although a former protocol may have used even ones. */
  if (self->options.client)
    self->protocol->next_id = next_id | 1;
  streams = list_streams (self->streams);
  for (guint i = 0; i < streams->len; i++)
    tcp_stream_set_protocol (streams->pdata[i], class->open (self->protocol, tcp_stream_get_target (streams->pdata[i]),
                                                            streams->pdata[i]));
  if (!class->names_targets)
    session_reset_targeted (self, streams);
}

/* Whether the peer has yet to show that it uses the close codes of this library. */
void
tcp_session_set_foreign (TcpSession *self,
                         gboolean    foreign)
{
  self->foreign = foreign;
}

/* Returns the code with which raw reports that the TCP connection of this end broke. A foreign client must not mistake
 * it for an orderly end, which is 1000. A foreign server expects the code of limrun's client, which is always 1000. */
guint
tcp_session_get_reset_code (TcpSession *self)
{
  if (!self->foreign)
    return TCP_CLOSE_RESET;
  return self->options.client ? TCP_CLOSE_NORMAL : TCP_CLOSE_SERVER_ERROR;
}

/* The peer no longer has the session, or has ended it: everything that it knew is lost. The session begins anew with
 * the next channel, for which the protocol must be set. */
void
tcp_session_restart (TcpSession   *self,
                     const GError *error)
{
  g_assert (self->channel == NULL);

  tcp_session_ref (self);
  if (self->protocol != NULL)
    {
      self->losing = TRUE;
      self->protocol->class->lose (self->protocol, error);
      self->losing = FALSE;
      self->lost = TRUE;
    }
  session_update (self);
  tcp_session_unref (self);
}

/* The same, but streams that the peer never knew end as well. */
void
tcp_session_abandon (TcpSession   *self,
                     const GError *error)
{
  tcp_session_ref (self);
  self->losing = TRUE;
  reset_streams (self->streams, error);
  self->losing = FALSE;
  tcp_session_restart (self, error);
  tcp_session_unref (self);
}

/* The error if @target cannot be requested. */
GError *
tcp_session_target_error (TcpSession *self,
                          const char *target)
{
  return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL,
                      _("%s cannot be asked for the target %s (it does not speak %s)"), self->options.peer, target,
                      tcp_protocol_resumable.name);
}

/* NULL if it is not negotiated yet. */
const TcpProtocolClass *
tcp_session_get_protocol (TcpSession *self)
{
  return self->protocol != NULL && !self->lost ? self->protocol->class : NULL;
}

TcpSession *
tcp_session_ref (TcpSession *self)
{
  g_ref_count_inc (&self->refs);
  return self;
}

/* The owner must close the session before it drops its reference. */
void
tcp_session_unref (TcpSession *self)
{
  if (!g_ref_count_dec (&self->refs))
    return;

  g_assert (self->channel == NULL && g_hash_table_size (self->streams) == 0);

  g_clear_pointer (&self->superseded, tcp_channel_unref);
  session_drop_protocol (self);
  tcp_budget_share_clear (&self->share);
  tcp_budget_share_clear (&self->queue_share);
  tcp_timer_clear (&self->pump);
  tcp_timer_clear (&self->timeout);
  g_queue_clear_full (&self->sparse, (GDestroyNotify) tcp_stream_unref);
  g_queue_clear_full (&self->bulk, (GDestroyNotify) tcp_stream_unref);
  g_hash_table_unref (self->streams);
  g_hash_table_unref (self->finishing);
  g_ptr_array_unref (self->gathering);
  tcp_log_unref (self->options.log);
  tcp_status_unref (self->status);
  g_free ((char *) self->options.peer);
  g_free (self->target);
  g_free (self);
}

TcpChannel *
tcp_session_get_channel (TcpSession *self)
{
  return self->channel;
}

/* Returns a reference to each stream, oldest first. */
GPtrArray *
tcp_session_list_streams (TcpSession *self)
{
  GPtrArray *streams = list_streams (self->streams);
  g_autoptr (GPtrArray) finishing = list_streams (self->finishing);

  g_ptr_array_extend_and_steal (streams, g_steal_pointer (&finishing));
  return streams;
}

/* The number of streams that the peer knows, without those that only have to empty their queue. */
guint
tcp_session_get_n_streams (TcpSession *self)
{
  return g_hash_table_size (self->streams);
}

/* Whether the session can be freed: nothing is left of any connection, and no connection can come over another
 * channel. */
gboolean
tcp_session_is_idle (TcpSession *self)
{
  const TcpProtocolClass *class = tcp_session_get_protocol (self);

  return session_count (self) == 0 &&
         (class == NULL || !class->resumable || tcp_session_is_over (self));
}

/* Whether the peer has finished all streams that are left, which only have to empty their queue. */
gboolean
tcp_session_is_finishing (TcpSession *self)
{
  return session_count (self) > 0 && g_hash_table_size (self->streams) == 0;
}

/* Whether its end loses nothing, except data of the peer that never arrived. */
gboolean
tcp_session_is_empty (TcpSession *self)
{
  return session_count (self) == 0 && (self->protocol == NULL || self->protocol->figures.unacknowledged == 0);
}

/* Whether it was ended, by this end or the other, so that no channel can continue it. */
gboolean
tcp_session_is_over (TcpSession *self)
{
  return self->closing || (self->protocol != NULL && self->protocol->over);
}

/* Whether there is something left to do that requires a channel. A multiplexed session can use one for later
 * connections as well. */
gboolean
tcp_session_wants_channel (TcpSession *self)
{
  if (tcp_session_is_over (self))
    return FALSE;
  return g_hash_table_size (self->streams) > 0 ||
         (self->protocol != NULL && !self->lost && self->protocol->figures.unacknowledged > 0);
}

/* Whether it continues after its first stream, with many streams: known after the peer's HELLO. */
gboolean
tcp_session_takes_many (TcpSession *self)
{
  return !self->options.single || (self->protocol != NULL && self->protocol->many);
}

/* The session has one stream from here on, even if the peer supports many. */
void
tcp_session_stay_single (TcpSession *self)
{
  self->options.lifts_single = FALSE;
  /* The current protocol continues to announce what it did before. */
  if (self->protocol != NULL)
    self->protocol->stays_single = TRUE;
}

/* Whether data has arrived, or a frame was acknowledged, since the last call: then it makes sense to connect again,
 * however short-lived the channels are. */
gboolean
tcp_session_take_progress (TcpSession *self)
{
  gboolean progress = self->protocol != NULL && self->protocol->progress;

  if (progress)
    self->protocol->progress = FALSE;
  return progress;
}

/* Returns the frames, of TcpBuffer, that end the session on a channel of their own, if the peer may not have read them;
 * none otherwise. */
void
tcp_session_take_goodbye (TcpSession *self,
                          GQueue     *frames)
{
  g_queue_init (frames);
  if (self->protocol == NULL)
    return;

  *frames = self->protocol->goodbye;
  g_queue_init (&self->protocol->goodbye);
}

/* For how many seconds the peer keeps the session without a channel; 0 if there is none to resume. */
guint
tcp_session_get_peer_timeout (TcpSession *self)
{
  return self->protocol == NULL || tcp_session_is_over (self) ? 0 : self->protocol->peer_timeout;
}

/* Opening */

/* FALSE if there are too many streams, or if frames of former ones cannot be sent. */
static gboolean
session_takes_streams (TcpSession *self)
{
  if (self->losing || tcp_session_is_over (self))
    return FALSE;
  if (self->channel != NULL && tcp_channel_get_pending (self->channel) > MAX_ANSWERS)
    return FALSE;
  if (self->protocol != NULL && !self->protocol->class->may_open (self->protocol))
    return FALSE;
  return (self->protocol != NULL && !session_has_orphans (self)) || session_count (self) < self->options.max_streams;
}

static TcpStream *
session_open (TcpSession        *self,
              GSocketConnection *connection)
{
  TcpStream *stream = session_takes_streams (self) ? session_add_stream (self) : NULL;

  if (stream != NULL && (self->options.client || connection != NULL))
    tcp_stream_set_accepted (stream);
  return stream;
}

/* Opens a connection from this end, to @target, or to the default target of the peer if that is NULL; only resumable/1
 * can name one. @connection may be NULL, to be attached later. Returns NULL if there are too many. */
TcpStream *
tcp_session_open (TcpSession        *self,
                  const char        *target,
                  GSocketConnection *connection)
{
  TcpStream *stream = session_open (self, connection);

  if (stream == NULL)
    return NULL;

  tcp_stream_set_target (stream, target);
  if (self->protocol != NULL)
    tcp_stream_set_protocol (stream, self->protocol->class->open (self->protocol, target, stream));
  if (self->channel != NULL && !self->protocol->class->names_targets)
    tcp_stream_set_connected (stream);
  if (connection != NULL)
    tcp_stream_attach (stream, connection);
  session_pump (self);
  return stream;
}

/* The same for a connection that @client made to a listener for the peer. */
TcpStream *
tcp_session_open_from (TcpSession        *self,
                       guint32            listener,
                       const char        *client,
                       GSocketConnection *connection)
{
  TcpStream *stream = session_open (self, connection);

  if (stream == NULL)
    return NULL;

  tcp_stream_set_protocol (stream, self->protocol->class->open_from (self->protocol, listener, client, stream));
  tcp_stream_attach (stream, connection);
  session_pump (self);
  return stream;
}

/* Asks the gateway to listen on the port, or on any for 0. Ids of listeners ascend. FALSE if the protocol has no
 * listeners. */
gboolean
tcp_session_listen (TcpSession *self,
                    guint32     listener,
                    guint16     port,
                    const char *name)
{
  if (self->protocol->class->listen == NULL)
    return FALSE;

  self->protocol->class->listen (self->protocol, listener, port, name);
  session_pump (self);
  return TRUE;
}

/* The error for that case. */
GError *
tcp_session_listen_error (TcpSession *self)
{
  return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL,
                      _("%s cannot be asked to listen for a service of this end (it does not speak %s)"),
                      self->options.peer, tcp_protocol_resumable.name);
}

/* The gateway listens for its client at this address. */
void
tcp_session_listening (TcpSession *self,
                       guint32     listener,
                       const char *host,
                       guint16     port)
{
  self->protocol->class->listening (self->protocol, listener, host, port);
  session_pump (self);
}

/* The gateway does not listen, or not any more, or the client does not need its listener any more. */
void
tcp_session_unlisten (TcpSession   *self,
                      guint32       listener,
                      TcpResetCode  code,
                      const char   *reason)
{
  g_autoptr (TcpSession) kept G_GNUC_UNUSED = tcp_session_ref (self);

  if (tcp_session_is_over (self))
    return;

  self->protocol->class->unlisten (self->protocol, listener, code, reason);
  session_pump (self);
}

/* The connection that the peer has opened is established. */
void
tcp_session_connected (TcpSession        *self,
                       TcpStream         *stream,
                       GSocketConnection *connection)
{
  TcpProtocolStream *known = tcp_stream_get_protocol (stream);

  tcp_session_ref (self);
  if (known != NULL && known->active)
    self->protocol->class->connected (self->protocol, known);
  tcp_stream_set_total (stream, &self->queued);
  tcp_stream_attach (stream, connection);
  session_update (self);
  tcp_session_unref (self);
}

/* The connection that the peer has opened is refused. */
void
tcp_session_refuse (TcpSession   *self,
                    TcpStream    *stream,
                    TcpResetCode  code,
                    const GError *error)
{
  TcpProtocolStream *known = tcp_stream_get_protocol (stream);

  if (known != NULL)
    known->reset_code = code;
  tcp_stream_reset (stream, error);
}

/* Accepts no new streams from the peer, if the protocol can announce that. */
void
tcp_session_drain (TcpSession *self)
{
  if (self->protocol == NULL)
    return;

  self->protocol->class->drain (self->protocol);
  session_pump (self);
}

/* Channels */

static GError *
session_closed_error (TcpSession   *self,
                      guint         code,
                      const char   *reason,
                      const GError *error)
{
  const char *peer = self->options.peer;
  gboolean has_reason = reason != NULL && *reason != '\0';

  if (code == TCP_CLOSE_RESET)
    return g_error_new (TCP_TUNNEL_ERROR, self->options.client ? TCP_TUNNEL_ERROR_TARGET : TCP_TUNNEL_ERROR_RESET,
                        _("%s broke the connection: %s"), peer, has_reason ? reason : _("no reason given"));
  if (code == TCP_CLOSE_NO_CODE)
    return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, _("%s closed the WebSocket without a code"), peer);
  if (code != 0 && has_reason)
    return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, _("%s closed the WebSocket (code %u: %s)"), peer, code,
                        reason);
  if (code != 0)
    return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, _("%s closed the WebSocket (code %u)"), peer, code);
  if (error->domain == TCP_TUNNEL_ERROR && error->code == TCP_TUNNEL_ERROR_TIMED_OUT)
    return g_error_copy (error);
  return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, _("the WebSocket to %s broke: %s"), peer,
                      error->message);
}

/* Passes on the data of this turn to TCP. */
static void
session_write_gathered (TcpSession *self)
{
  while (self->gathering->len > 0)
    {
      g_autoptr (TcpStream) stream = g_ptr_array_steal_index (self->gathering, self->gathering->len - 1);
      TcpProtocolStream *known;

      tcp_stream_write_gathered (stream);
      known = tcp_stream_get_protocol (stream);
      if (known != NULL)
        self->protocol->class->flushed (self->protocol, known, tcp_stream_get_queued (stream));
    }
}

/* The maximum for all connections together that are not open yet, unless a single one may have more. */
static gsize
session_get_max_all_pending (TcpSession *self)
{
  return MAX (self->max_pending, MAX_ALL_PENDING);
}

/* Includes streams that the peer has ended. NULL if there is none. */
static TcpStream *
session_find_longest_pending (TcpSession *self)
{
  GHashTable *sets[] = { self->streams, self->finishing };
  TcpStream *longest = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (sets); i++)
    {
      GHashTableIter iter;
      gpointer stream;

      g_hash_table_iter_init (&iter, sets[i]);
      while (g_hash_table_iter_next (&iter, &stream, NULL))
        if (!tcp_stream_is_attached (stream) &&
            tcp_stream_get_queued (stream) > (longest != NULL ? tcp_stream_get_queued (longest) : 0))
          longest = stream;
    }
  return longest;
}

/* Refuses the connection with the most data until the data of all is within the limit. */
static void
session_limit_all_pending (TcpSession *self)
{
  gsize max = session_get_max_all_pending (self);
  TcpStream *longest;

  while (self->pending > max && (longest = session_find_longest_pending (self)) != NULL)
    {
      g_autoptr (TcpStream) stream = tcp_stream_ref (longest);
      g_autoptr (GError) error = NULL;

      error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT,
                           "more than %" G_GSIZE_FORMAT " bytes came for connections whose target was not connected yet, "
                           "of which this had most", max);
      tcp_session_refuse (self, stream, TCP_RESET_LIMIT, error);
    }
}

/* Refuses connections with more data than may wait until they are open. */
static void
session_limit_pending (TcpSession *self)
{
  g_autoptr (GPtrArray) streams = list_streams (self->streams);

  for (guint i = 0; i < streams->len; i++)
    {
      g_autoptr (GError) error = NULL;

      if (tcp_stream_is_attached (streams->pdata[i]) || tcp_stream_get_queued (streams->pdata[i]) <= self->max_pending)
        continue;
      error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT,
                           "more than %" G_GSIZE_FORMAT " bytes came before the target was connected (max-pending-bytes)",
                           self->max_pending);
      tcp_session_refuse (self, streams->pdata[i], TCP_RESET_LIMIT, error);
    }

  session_limit_all_pending (self);
}

static void
session_detach (TcpSession   *self,
                TcpChannel   *channel,
                guint         code,
                const GError *error)
{
  TcpChannel *former = self->detaching;
  TcpProtocolLoss loss = {
    .code = code,
    .error = error,
    .pending = tcp_channel_get_pending (channel),
    .unconfirmed = tcp_channel_get_unconfirmed (channel),
    .now = tcp_now (),
  };

  self->detaching = channel;
  self->protocol->class->detached (self->protocol, &loss);
  self->detaching = former;
  session_update (self);
}

static void
on_channel_closed (TcpChannel   *channel,
                   guint         code,
                   const char   *reason,
                   const GError *error,
                   gpointer      user_data)
{
  g_autoptr (TcpSession) self = tcp_session_ref (user_data);
  g_autoptr (GError) why = session_closed_error (self, code, reason, error);

  session_write_gathered (self);
  g_clear_pointer (&self->channel, tcp_channel_unref);
  self->channel_paused = FALSE;
  session_detach (self, channel, code, why);

  self->callbacks.channel_closed (self, why, self->user_data);
}

/* If the budget is short, only a piece is read, or one read could exceed it by far. */
static gsize
on_channel_may_read (TcpChannel *channel,
                     gpointer    user_data)
{
  TcpSession *self = user_data;
  TcpBudgetShare *share = session_has_credit (self) ? &self->queue_share : &self->share;

  if (tcp_budget_share_has_room (share, TCP_CHANNEL_MAX_WHOLE))
    return G_MAXSIZE;
  return session_has_credit (self) ? self->protocol->figures.first_window : TCP_BUFFER_SIZE;
}

static void
on_channel_message (TcpChannel   *channel,
                    const guint8 *data,
                    gsize         length,
                    gboolean      first,
                    gboolean      last,
                    gpointer      user_data)
{
  g_autoptr (TcpSession) self = tcp_session_ref (user_data);

  self->whole = first && last;
  self->protocol->text = tcp_channel_is_text (channel);
  self->protocol->class->receive (self->protocol, data, length, first, last, tcp_now ());
  session_update_pause (self);
}

static void
on_channel_turn_over (TcpChannel *channel,
                      gpointer    user_data)
{
  g_autoptr (TcpSession) self = tcp_session_ref (user_data);

  session_write_gathered (self);
  if (self->pending > self->max_pending)
    session_limit_pending (self);
  session_pump (self);
}

static void
on_channel_drained (TcpChannel *channel,
                    gpointer    user_data)
{
  g_autoptr (TcpSession) self = tcp_session_ref (user_data);

  session_pump (self);
}

static const TcpChannelCallbacks channel_callbacks = {
  .may_read = on_channel_may_read,
  .message = on_channel_message,
  .turn_over = on_channel_turn_over,
  .drained = on_channel_drained,
  .closed = on_channel_closed,
};

/* Detaches the channel, and closes it with @code. @loss is the code that the protocol gets. */
static void
session_part (TcpSession   *self,
              guint         code,
              guint         loss,
              const GError *error)
{
  g_autoptr (TcpChannel) old = g_steal_pointer (&self->channel);

  tcp_channel_set_callbacks (old, NULL, NULL);
  session_detach (self, old, loss, error);
  tcp_channel_close (old, code, error->message);
  /* Its answer must be received, but at most one closing channel is kept. */
  tcp_channel_resume (old);
  if (self->superseded != NULL)
    tcp_channel_abort (self->superseded, NULL);
  g_clear_pointer (&self->superseded, tcp_channel_unref);
  self->superseded = g_steal_pointer (&old);
}

static void
session_supersede (TcpSession *self)
{
  g_autoptr (GError) error = NULL;

  session_write_gathered (self);
  error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, _("superseded by a newer WebSocket"));
  session_part (self, TCP_CLOSE_SUPERSEDED, TCP_CLOSE_SUPERSEDED, error);
}

/* Streams that the peer never reports as connected at least have a channel now. */
static void
session_report_all_connected (TcpSession *self)
{
  g_autoptr (GPtrArray) streams = NULL;

  if (self->protocol->class->names_targets || self->callbacks.connected == NULL)
    return;

  streams = list_streams (self->streams);
  for (guint i = 0; i < streams->len; i++)
    session_report_connected (self, streams->pdata[i]);
}

/* Continues with this channel. A former one is superseded. */
void
tcp_session_attach (TcpSession *self,
                    TcpChannel *channel)
{
  g_autoptr (TcpSession) kept G_GNUC_UNUSED = tcp_session_ref (self);

  if (self->channel != NULL)
    session_supersede (self);
  /* A callback about lost connections may have closed the session. */
  if (self->closing)
    {
      tcp_channel_close (channel, TCP_CLOSE_GOING_AWAY, NULL);
      tcp_channel_resume (channel);
      return;
    }

  self->channel = tcp_channel_ref (channel);
  self->channel_paused = FALSE;
  tcp_channel_set_callbacks (channel, &channel_callbacks, self);
  self->protocol->class->attached (self->protocol, tcp_session_get_reset_code (self), tcp_now ());

  tcp_channel_resume (channel);
  session_pump (self);
  if (self->channel != NULL)
    session_report_all_connected (self);
}

/* Asks the peer to return on another channel, with another token if @renew, if there is a channel, and closes it. The
 * callback channel_closed is not called. */
void
tcp_session_send_away (TcpSession *self,
                       gboolean    renew,
                       const char *reason)
{
  g_autoptr (TcpSession) kept G_GNUC_UNUSED = tcp_session_ref (self);
  g_autoptr (GError) error = NULL;

  if (self->channel == NULL)
    return;

  error = g_error_new_literal (TCP_TUNNEL_ERROR, renew ? TCP_TUNNEL_ERROR_UNAUTHORIZED : TCP_TUNNEL_ERROR_LOST, reason);
  session_write_gathered (self);
  /* All of these frames are sent again. */
  if (session_has_credit (self))
    tcp_channel_drop_unsent (self->channel);
  if (self->protocol->class->send_away != NULL)
    self->protocol->class->send_away (self->protocol, renew, reason);
  session_flush (self, self->channel);
  session_part (self, renew ? TCP_CLOSE_POLICY_VIOLATION : TCP_CLOSE_RESTARTING, 0, error);
}

/* Ends the session: resets every connection, and closes the channel. */
void
tcp_session_close (TcpSession   *self,
                   guint         code,
                   const char   *reason,
                   const GError *error)
{
  g_autoptr (TcpSession) kept G_GNUC_UNUSED = tcp_session_ref (self);
  g_autoptr (TcpChannel) channel = NULL;

  self->closing = TRUE;
  session_write_gathered (self);
  if (self->protocol != NULL)
    self->protocol->class->leave (self->protocol, reason, !self->options.client &&
                                  g_error_matches (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNAUTHORIZED));
  reset_streams (self->streams, error);
  reset_streams (self->finishing, error);

  channel = g_steal_pointer (&self->channel);
  if (channel != NULL)
    {
      tcp_channel_set_callbacks (channel, NULL, NULL);
      if (self->protocol != NULL)
        session_flush (self, channel);
      tcp_channel_close (channel, code, reason);
      /* Unread messages must not keep the answer from being received. */
      tcp_channel_resume (channel);
    }
}
