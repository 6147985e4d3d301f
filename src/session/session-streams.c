/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session/session-private.h"

/* How many reads in one go, before other sources get their turn: about as much as the
 * other direction takes in one. */
#define PUMP_BUDGET 4

/* Toward TCP */

/* What the peer makes us say, such as that connections are refused, is said however
 * much waits; with this much waiting it is not listened to. */
#define MAX_ANSWERS (1024 * 1024)

/* The room that is kept free is what one more message may bring. */
static gboolean
session_is_full (TcpSession *self)
{
  return (self->queued > 0 && self->queued + TCP_CHANNEL_MAX_WHOLE > self->max_buffered) ||
         tcp_channel_get_pending (self->channel) > MAX_ANSWERS;
}

void
tcp_session_update_pause (TcpSession *self)
{
  if (self->channel == NULL)
    return;

  if (!self->channel_paused && session_is_full (self))
    {
      self->channel_paused = TRUE;
      tcp_channel_pause (self->channel);
      /* Asks to be told when there is room. */
      (void) tcp_channel_can_send (self->channel);
    }
  else if (self->channel_paused && self->queued <= self->max_buffered / 4 &&
           tcp_channel_get_pending (self->channel) <= MAX_ANSWERS / 2)
    {
      self->channel_paused = FALSE;
      tcp_channel_resume (self->channel);
    }
  else if (self->channel_paused)
    {
      (void) tcp_channel_can_send (self->channel);
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

void
tcp_session_finish_stream (TcpSession *self,
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
      self->end_code = TCP_CLOSE_RESET;
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
  g_autoptr (TcpStream) kept G_GNUC_UNUSED = tcp_stream_ref (stream);
  g_autoptr (GError) error = session_local_error (self, socket_error);

  if (g_hash_table_lookup (self->streams, GUINT_TO_POINTER (tcp_stream_get_id (stream))) == stream)
    session_end_broken (self, stream, error);
  else
    g_hash_table_remove (self->finishing, stream);
  if (g_queue_remove (&self->ready, stream))
    tcp_stream_unref (stream);

  tcp_status_sub (self->status, open_connections, 1);
  tcp_session_update_pause (self);
  self->callbacks.stream_closed (self, stream, error, self->user_data);
  tcp_session_unref (self);
}

static void
on_stream_flushed (TcpStream *stream,
                   gpointer   user_data)
{
  tcp_session_update_pause (user_data);
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
  tcp_session_pump (self);
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
      tcp_session_finish_stream (self, stream, FALSE);
      return;
    }

  /* What still comes before the answer is passed on. */
  self->ending = TRUE;
  self->end_code = TCP_CLOSE_NORMAL;
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
void
tcp_session_pump (TcpSession *self)
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
      tcp_log_debug (self->log, "%s opened more than %u connections: one was refused", self->peer, self->max_streams);
      tcp_closed_ids_add (self->closed_ids, id, g_get_monotonic_time ());
      session_send_end (self, id);
      tcp_session_update_pause (self);
      return NULL;
    }

  stream = session_add_stream (self, id);
  self->callbacks.opened (self, stream, self->user_data);
  /* It may have been refused on the spot. */
  return g_hash_table_lookup (self->streams, GUINT_TO_POINTER (id));
}

void
tcp_session_handle_message (TcpSession   *self,
                            const guint8 *data,
                            gsize         length,
                            gboolean      first,
                            gboolean      last)
{
  TcpDialectFrame frame = { 0 };
  TcpStream *stream;

  tcp_session_ref (self);
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
          tcp_session_update_pause (self);
        }
      break;

    case TCP_DIALECT_END:
      if (stream != NULL)
        tcp_session_finish_stream (self, stream, TRUE);
      else
        tcp_log_debug (self->log, "%s ended connection %u, which is unknown", self->peer, frame.id);
      break;
    }

  tcp_session_unref (self);
}
