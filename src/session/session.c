/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session/session.h"

#include "base/timer.h"
#include "session/closed-ids.h"

/* How many reads in one go, before other sources get their turn. */
#define PUMP_BUDGET 16

struct _TcpSession
{
  grefcount refs;
  const TcpDialect *dialect;
  TcpSessionCallbacks callbacks;
  gpointer user_data;
  gsize max_buffered;
  guint max_streams;
  gboolean reset_on_loss;
  char *peer;
  char *local;
  TcpTunnelError local_code;
  TcpLog *log;
  TcpStatus *status;

  TcpChannel *channel;
  gboolean channel_paused;
  TcpDialectDecoder decoder;

  GHashTable *streams;     /* id → TcpStream, those that the peer knows */
  GHashTable *finishing;   /* set of those that only have to empty their queue */
  gsize queued;            /* bytes that wait for TCP, in all streams */
  GQueue ready;            /* of TcpStream (owned), to be read in turn */
  GSource *pump;
  GQueue unsent;           /* of TcpBuffer, for the next channel */
  gboolean ending;         /* the closing of the channel will say what happened */
  guint32 next_id;
  TcpClosedIds *closed_ids;
};

static void session_pump (TcpSession *self);

/* Life */

static gboolean
on_pump (gpointer user_data)
{
  TcpSession *self = tcp_session_ref (user_data);

  session_pump (self);
  tcp_session_unref (self);
  return G_SOURCE_CONTINUE;
}

TcpSession *
tcp_session_new (const TcpSessionOptions   *options,
                 const TcpSessionCallbacks *callbacks,
                 gpointer                   user_data)
{
  TcpSession *self = g_new0 (TcpSession, 1);

  g_ref_count_init (&self->refs);
  self->dialect = options->dialect;
  self->callbacks = *callbacks;
  self->user_data = user_data;
  self->max_buffered = options->max_buffered_bytes;
  self->max_streams = options->max_streams;
  self->reset_on_loss = options->reset_on_loss;
  self->peer = g_strdup (options->peer);
  self->local = g_strdup (options->local);
  self->local_code = options->local_code;
  self->log = tcp_log_ref (options->log);
  self->status = tcp_status_ref (options->status);
  self->streams = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) tcp_stream_unref);
  self->finishing = g_hash_table_new_full (NULL, NULL, (GDestroyNotify) tcp_stream_unref, NULL);
  self->closed_ids = tcp_closed_ids_new ();
  self->next_id = 1;
  self->pump = tcp_timer_new ("[tcptunnel] session pump", on_pump, self);

  return self;
}

TcpSession *
tcp_session_ref (TcpSession *self)
{
  g_ref_count_inc (&self->refs);
  return self;
}

/* The owner has closed it before it drops its reference. */
void
tcp_session_unref (TcpSession *self)
{
  if (!g_ref_count_dec (&self->refs))
    return;

  g_assert (self->channel == NULL && g_hash_table_size (self->streams) == 0);

  tcp_source_clear (&self->pump);
  g_queue_clear_full (&self->ready, (GDestroyNotify) tcp_stream_unref);
  g_queue_clear_full (&self->unsent, (GDestroyNotify) tcp_buffer_free);
  g_hash_table_unref (self->streams);
  g_hash_table_unref (self->finishing);
  tcp_closed_ids_free (self->closed_ids);
  tcp_log_unref (self->log);
  tcp_status_unref (self->status);
  g_free (self->peer);
  g_free (self->local);
  g_free (self);
}

TcpChannel *
tcp_session_get_channel (TcpSession *self)
{
  return self->channel;
}

/* Those that the peer knows of: not the ones that only have to empty their queue. */
guint
tcp_session_get_n_streams (TcpSession *self)
{
  return g_hash_table_size (self->streams);
}

/* Nothing is left of any connection. */
gboolean
tcp_session_is_idle (TcpSession *self)
{
  return g_hash_table_size (self->streams) == 0 && g_hash_table_size (self->finishing) == 0;
}

gsize
tcp_session_get_queued (TcpSession *self)
{
  return self->queued;
}

void
tcp_session_set_next_id (TcpSession *self,
                         guint32     id)
{
  self->next_id = id;
}

/* Toward TCP */

/* The room that is kept free is what one more message may bring. */
static gboolean
session_is_full (TcpSession *self)
{
  return self->queued + TCP_CHANNEL_MAX_WHOLE > self->max_buffered;
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
  else if (self->channel_paused && self->queued <= self->max_buffered / 4)
    {
      self->channel_paused = FALSE;
      tcp_channel_resume (self->channel);
    }
}

static void
session_send_end (TcpSession *self,
                  guint32     id)
{
  tcp_channel_send (self->channel, self->dialect->encode_end (id));
}

/* Takes it from the table: the peer will hear no more of it. */
static void
session_forget (TcpSession *self,
                TcpStream  *stream)
{
  guint32 id = tcp_stream_get_id (stream);

  if (self->dialect->multiplexed)
    tcp_closed_ids_add (self->closed_ids, id, g_get_monotonic_time ());
  g_hash_table_remove (self->streams, GUINT_TO_POINTER (id));
}

static void
session_finish_stream (TcpSession *self,
                       TcpStream  *stream,
                       gboolean    complete)
{
  g_hash_table_add (self->finishing, tcp_stream_ref (stream));
  session_forget (self, stream);
  tcp_stream_finish (stream, complete);
}

/* A stream whose TCP connection broke: tells the peer. */
static void
session_end_broken (TcpSession   *self,
                    TcpStream    *stream,
                    const GError *error)
{
  session_forget (self, stream);
  if (self->channel == NULL || self->ending)
    return;

  if (self->dialect->multiplexed)
    {
      session_send_end (self, tcp_stream_get_id (stream));
    }
  else
    {
      self->ending = TRUE;
      tcp_channel_close (self->channel, TCP_CLOSE_RESET,
                         error != NULL ? error->message : "the TCP connection broke");
    }
}

static GError *
session_local_error (TcpSession   *self,
                     const GError *error)
{
  if (error == NULL)
    return NULL;
  if (error->domain == TCP_TUNNEL_ERROR)
    return g_error_copy (error);
  return g_error_new (TCP_TUNNEL_ERROR, self->local_code, "%s broke the connection: %s", self->local,
                      error->message);
}

static void
on_stream_closed (TcpStream    *stream,
                  const GError *socket_error,
                  gpointer      user_data)
{
  TcpSession *self = tcp_session_ref (user_data);
  g_autoptr (TcpStream) kept = tcp_stream_ref (stream);
  g_autoptr (GError) error = session_local_error (self, socket_error);

  if (g_hash_table_lookup (self->streams, GUINT_TO_POINTER (tcp_stream_get_id (stream))) == stream)
    session_end_broken (self, stream, error);
  else
    g_hash_table_remove (self->finishing, stream);
  if (g_queue_remove (&self->ready, stream))
    tcp_stream_unref (stream);

  tcp_status_sub (self->status, open_connections, 1);
  session_update_pause (self);
  self->callbacks.stream_closed (self, stream, error, self->user_data);
  tcp_session_unref (self);
}

static void
on_stream_flushed (TcpStream *stream,
                   gpointer   user_data)
{
  session_update_pause (user_data);
}

static void
on_stream_readable (TcpStream *stream,
                    gpointer   user_data)
{
  TcpSession *self = user_data;

  /* One in the middle of its end, or one that the raw dialect still listens to. */
  if (tcp_stream_is_finishing (stream) || self->ending)
    return;
  g_queue_push_tail (&self->ready, tcp_stream_ref (stream));
  session_pump (self);
}

static const TcpStreamCallbacks stream_callbacks = {
  .readable = on_stream_readable,
  .flushed = on_stream_flushed,
  .closed = on_stream_closed,
};

static TcpStream *
session_add_stream (TcpSession *self,
                    guint32     id)
{
  TcpStream *stream = tcp_stream_new (id, &self->queued, &stream_callbacks, self);

  g_hash_table_insert (self->streams, GUINT_TO_POINTER (id), stream);
  tcp_status_add (self->status, open_connections, 1);
  tcp_stream_set_serial (stream, tcp_status_add (self->status, total_connections, 1) + 1);

  return stream;
}

static guint32
session_next_id (TcpSession *self)
{
  guint32 id;

  if (!self->dialect->multiplexed)
    return TCP_RAW_ID;

  do
    id = self->next_id++;
  while (id == 0 || g_hash_table_contains (self->streams, GUINT_TO_POINTER (id)));

  return id;
}

/* Opens a connection from this end. @connection may be NULL: it is attached later.
 * Returns NULL if there are too many. */
TcpStream *
tcp_session_open (TcpSession        *self,
                  GSocketConnection *connection)
{
  TcpStream *stream;

  if (g_hash_table_size (self->streams) >= self->max_streams)
    return NULL;

  stream = session_add_stream (self, session_next_id (self));
  if (connection != NULL)
    tcp_stream_attach (stream, connection);
  return stream;
}

/* Breaks a connection, at both ends. */
void
tcp_session_reset_stream (TcpSession   *self,
                          TcpStream    *stream,
                          const GError *error)
{
  tcp_stream_reset (stream, error);
}

/* From TCP into the channel */

/* The TCP peer has no more to say. These dialects have no half-close: that ends
 * the connection, and as the far end may have had more to say, TCP sees a reset. */
static void
session_local_end (TcpSession *self,
                   TcpStream  *stream)
{
  if (self->dialect->multiplexed)
    {
      session_send_end (self, tcp_stream_get_id (stream));
      session_finish_stream (self, stream, FALSE);
      return;
    }

  /* What still comes before the answer is passed on. */
  self->ending = TRUE;
  tcp_channel_close (self->channel, TCP_CLOSE_NORMAL, "end of stream");
}

static void
session_read (TcpSession *self,
              TcpStream  *stream)
{
  TcpBuffer *buffer = tcp_buffer_new (TCP_BUFFER_SIZE);
  g_autoptr (GError) error = NULL;
  gssize n = tcp_stream_read (stream, buffer, &error);

  if (n > 0)
    {
      gboolean more = (gsize) n == buffer->capacity;

      tcp_status_add (self->status, bytes_sent, n);
      self->dialect->encode_data (buffer, tcp_stream_get_id (stream));
      tcp_channel_send (self->channel, buffer);
      if (more)
        g_queue_push_tail (&self->ready, tcp_stream_ref (stream));
      else
        tcp_stream_watch (stream);
      return;
    }

  tcp_buffer_free (buffer);
  if (n == 0)
    session_local_end (self, stream);
  else if (error != NULL)
    tcp_stream_reset (stream, error);
  else
    tcp_stream_watch (stream);
}

static gboolean
session_can_pump (TcpSession *self)
{
  return !g_queue_is_empty (&self->ready) && self->channel != NULL && tcp_channel_can_send (self->channel);
}

/* Reads from the streams in turn, a message each, so that a bulk transfer does not
 * delay a keystroke, for as long as the channel takes it. */
static void
session_pump (TcpSession *self)
{
  tcp_session_ref (self);
  for (guint i = 0; session_can_pump (self); i++)
    {
      g_autoptr (TcpStream) stream = NULL;

      if (i == PUMP_BUDGET)
        {
          g_source_set_ready_time (self->pump, 0);
          break;
        }
      stream = g_queue_pop_head (&self->ready);
      if (!tcp_stream_is_closed (stream) && !tcp_stream_is_finishing (stream))
        session_read (self, stream);
    }
  tcp_session_unref (self);
}

/* From the channel to TCP */

static TcpStream *
session_peer_opens (TcpSession *self,
                    guint32     id)
{
  TcpStream *stream;

  if (!self->dialect->multiplexed || self->callbacks.opened == NULL || id == 0 ||
      tcp_closed_ids_contains (self->closed_ids, id, g_get_monotonic_time ()))
    {
      tcp_log_debug (self->log, "data for connection %u, which is unknown, was dropped", id);
      return NULL;
    }
  if (g_hash_table_size (self->streams) >= self->max_streams)
    {
      tcp_log_warn (self->log, "%s opened more than %u connections: one was refused", self->peer, self->max_streams);
      tcp_closed_ids_add (self->closed_ids, id, g_get_monotonic_time ());
      session_send_end (self, id);
      return NULL;
    }

  stream = session_add_stream (self, id);
  self->callbacks.opened (self, stream, self->user_data);
  /* It may have been refused on the spot. */
  return g_hash_table_lookup (self->streams, GUINT_TO_POINTER (id));
}

static void
on_channel_message (TcpChannel   *channel,
                    const guint8 *data,
                    gsize         length,
                    gboolean      first,
                    gboolean      last,
                    gpointer      user_data)
{
  TcpSession *self = tcp_session_ref (user_data);
  TcpDialectFrame frame = { 0 };
  TcpStream *stream;

  self->dialect->decode (&self->decoder, data, length, first, last, &frame);
  stream = g_hash_table_lookup (self->streams, GUINT_TO_POINTER (frame.id));

  switch (frame.kind)
    {
    case TCP_DIALECT_NOTHING:
      if (frame.reason != NULL)
        tcp_log_debug (self->log, "%s sent %s, which was dropped", self->peer, frame.reason);
      break;

    case TCP_DIALECT_DATA:
      if (stream == NULL)
        stream = session_peer_opens (self, frame.id);
      if (stream != NULL)
        {
          tcp_status_add (self->status, bytes_received, frame.length);
          tcp_stream_write (stream, frame.data, frame.length);
          session_update_pause (self);
        }
      break;

    case TCP_DIALECT_END:
      if (stream != NULL)
        session_finish_stream (self, stream, TRUE);
      else
        tcp_log_debug (self->log, "%s ended connection %u, which is unknown", self->peer, frame.id);
      break;
    }

  tcp_session_unref (self);
}

static void
on_channel_drained (TcpChannel *channel,
                    gpointer    user_data)
{
  session_pump (user_data);
}

/* The end of a channel */

static void
session_reset_all (TcpSession   *self,
                   const GError *error)
{
  g_autoptr (GPtrArray) streams = g_ptr_array_new_with_free_func ((GDestroyNotify) tcp_stream_unref);
  GHashTableIter iter;
  gpointer stream;

  /* The callbacks change the tables. */
  g_hash_table_iter_init (&iter, self->streams);
  while (g_hash_table_iter_next (&iter, NULL, &stream))
    g_ptr_array_add (streams, tcp_stream_ref (stream));

  for (guint i = 0; i < streams->len; i++)
    tcp_stream_reset (streams->pdata[i], error);
}

/* The raw connection when its WebSocket broke: it waits for the next. What was on
 * its way then is gone, in the other direction without a trace. */
static void
session_keep_stream (TcpSession *self,
                     TcpStream  *stream,
                     TcpChannel *channel,
                     const char *why)
{
  guint64 unconfirmed = tcp_channel_get_unconfirmed (channel);

  tcp_channel_steal_unsent (channel, &self->unsent);
  if (unconfirmed == 0)
    return;

  if (self->reset_on_loss)
    {
      g_autoptr (GError) error = NULL;

      error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST,
                           "the WebSocket to %s broke with up to %" G_GUINT64_FORMAT " bytes on their way (%s), "
                           "so the TCP connection was reset",
                           self->peer, unconfirmed, why);
      tcp_stream_reset (stream, error);
      return;
    }

  tcp_log_warn (self->log,
                "the WebSocket to %s broke: up to %" G_GUINT64_FORMAT " bytes sent since the last answer may be lost",
                self->peer, unconfirmed);
}

static void
session_raw_closed (TcpSession   *self,
                    TcpChannel   *channel,
                    guint         code,
                    const GError *error)
{
  g_autoptr (TcpStream) stream = g_hash_table_lookup (self->streams, GUINT_TO_POINTER (TCP_RAW_ID));

  if (stream == NULL)
    return;

  tcp_stream_ref (stream);
  if (self->ending && code != 0)
    session_finish_stream (self, stream, FALSE);
  else if (self->ending || code == TCP_CLOSE_RESET)
    tcp_stream_reset (stream, error);
  else if (code == TCP_CLOSE_NORMAL)
    session_finish_stream (self, stream, TRUE);
  else
    session_keep_stream (self, stream, channel, error->message);
}

static GError *
session_closed_error (TcpSession   *self,
                      guint         code,
                      const char   *reason,
                      const GError *error)
{
  gboolean has_reason = reason != NULL && *reason != '\0';

  if (code == TCP_CLOSE_RESET)
    return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TARGET, "%s broke the connection: %s", self->peer,
                        has_reason ? reason : "no reason given");
  if (code != 0)
    return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, "%s closed the WebSocket (code %u%s%s)", self->peer,
                        code, has_reason ? ": " : "", has_reason ? reason : "");
  if (error->domain == TCP_TUNNEL_ERROR && error->code == TCP_TUNNEL_ERROR_TIMED_OUT)
    return g_error_copy (error);
  return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, "the WebSocket to %s broke: %s", self->peer,
                      error->message);
}

static void
on_channel_closed (TcpChannel   *channel,
                   guint         code,
                   const char   *reason,
                   const GError *error,
                   gpointer      user_data)
{
  TcpSession *self = tcp_session_ref (user_data);
  g_autoptr (GError) why = session_closed_error (self, code, reason, error);

  g_clear_pointer (&self->channel, tcp_channel_unref);
  self->channel_paused = FALSE;
  if (self->dialect->outlives_channel)
    session_raw_closed (self, channel, code, why);
  else
    session_reset_all (self, why);

  self->callbacks.channel_closed (self, why, self->user_data);
  tcp_session_unref (self);
}

static const TcpChannelCallbacks channel_callbacks = {
  .message = on_channel_message,
  .drained = on_channel_drained,
  .closed = on_channel_closed,
};

/* Goes on with this channel. One that is still there is superseded. */
void
tcp_session_attach (TcpSession *self,
                    TcpChannel *channel)
{
  TcpBuffer *buffer;

  tcp_session_ref (self);
  if (self->channel != NULL)
    {
      g_autoptr (TcpChannel) old = g_steal_pointer (&self->channel);
      TcpStream *stream = g_hash_table_lookup (self->streams, GUINT_TO_POINTER (TCP_RAW_ID));

      tcp_channel_set_callbacks (old, NULL, NULL);
      if (stream != NULL && self->dialect->outlives_channel)
        session_keep_stream (self, stream, old, "superseded");
      tcp_channel_close (old, TCP_CLOSE_SUPERSEDED, "superseded by a newer WebSocket");
    }

  self->channel = tcp_channel_ref (channel);
  self->channel_paused = FALSE;
  self->decoder = (TcpDialectDecoder) { 0 };
  tcp_channel_set_callbacks (channel, &channel_callbacks, self);
  while ((buffer = g_queue_pop_head (&self->unsent)) != NULL)
    tcp_channel_send (channel, buffer);

  tcp_channel_resume (channel);
  session_update_pause (self);
  session_pump (self);
  tcp_session_unref (self);
}

/* Ends everything: every connection in a reset, then the channel. */
void
tcp_session_close (TcpSession   *self,
                   guint         code,
                   const char   *reason,
                   const GError *error)
{
  g_autoptr (TcpChannel) channel = NULL;
  GHashTableIter iter;
  gpointer stream;

  tcp_session_ref (self);
  self->ending = TRUE;
  session_reset_all (self, error);
  while (g_hash_table_iter_init (&iter, self->finishing), g_hash_table_iter_next (&iter, &stream, NULL))
    tcp_stream_reset (stream, error);

  channel = g_steal_pointer (&self->channel);
  if (channel != NULL)
    {
      tcp_channel_set_callbacks (channel, NULL, NULL);
      tcp_channel_close (channel, code, reason);
      /* Unread messages must not keep the answer from being seen. */
      tcp_channel_resume (channel);
    }
  tcp_session_unref (self);
}
