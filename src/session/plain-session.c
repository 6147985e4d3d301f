/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session/session-private.h"

#include "io/reactor.h"

/* Raw and tagged: what a WebSocket had on its way when it broke is gone. */

/* Channels */

static void
plain_attached (TcpSession *self)
{
  TcpBuffer *buffer;

  self->plain.decoder = (TcpDialectDecoder) { 0 };
  while ((buffer = g_queue_pop_head (&self->plain.unsent)) != NULL)
    tcp_channel_send (self->channel, buffer);
  if (self->plain.end_code != 0)
    tcp_channel_close (self->channel, self->plain.end_code, "the connection has ended");
}

/* The raw connection when its WebSocket broke: it waits for the next. What was on
 * its way then is gone, in the other direction without a trace. */
static void
plain_keep_stream (TcpSession   *self,
                   TcpStream    *stream,
                   TcpChannel   *channel,
                   const GError *why)
{
  guint64 unconfirmed = tcp_channel_get_unconfirmed (channel);

  tcp_channel_steal_unsent (channel, &self->plain.unsent);
  if (unconfirmed == 0)
    return;

  /* The end is not to be told as an orderly one. */
  if (self->reset_on_loss || self->plain.ending)
    {
      g_autoptr (GError) error = NULL;

      error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST,
                           "the WebSocket to %s broke with up to %" G_GUINT64_FORMAT " bytes on their way (%s), "
                           "so the TCP connection was reset",
                           self->peer, unconfirmed, why->message);
      /* Nothing comes behind what is missing. */
      g_queue_clear_full (&self->plain.unsent, (GDestroyNotify) tcp_buffer_unref);
      self->plain.end_code = tcp_session_get_reset_code (self);
      tcp_stream_reset (stream, error);
      return;
    }

  tcp_log_warn (self->log,
                "the WebSocket to %s broke: up to %" G_GUINT64_FORMAT " bytes sent since the last answer may be lost",
                self->peer, unconfirmed);
}

/* Whether the peer said with this code that its stream is complete. Browsers, ws and
 * websocat give none when they are done. A peer that cannot come back has no other use for
 * a closing handshake, whatever its code. */
static gboolean
raw_is_end (TcpSession *self,
            guint       code)
{
  return code == TCP_CLOSE_NORMAL || code == TCP_CLOSE_NO_CODE || (self->nameless && code != 0);
}

static void
raw_detached (TcpSession   *self,
              TcpChannel   *channel,
              guint         code,
              const GError *error)
{
  g_autoptr (TcpStream) stream = tcp_session_lookup (self, TCP_RAW_ID);

  if (stream == NULL)
    return;

  tcp_stream_ref (stream);
  if (code == TCP_CLOSE_RESET)
    {
      /* From the gateway it may also be that the target was never reached. */
      if (!self->client || tcp_stream_has_ended (stream))
        tcp_stream_mark_left (stream);
      tcp_stream_reset (stream, error);
      return;
    }
  if (raw_is_end (self, code))
    {
      tcp_session_finish_stream (self, stream, !self->plain.ending);
      return;
    }
  if (self->nameless && (!self->plain.ending || tcp_channel_get_pending (channel) > 0 ||
                         tcp_channel_get_unconfirmed (channel) > 0))
    {
      g_autoptr (GError) lost = NULL;

      lost = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST,
                          "%s; it gave no sessionId with which it could come back", error->message);
      tcp_stream_reset (stream, lost);
      return;
    }

  plain_keep_stream (self, stream, channel, error);
  /* Our end was all that was left to say, and it was said. */
  if (code != TCP_CLOSE_SUPERSEDED && self->plain.ending && g_queue_is_empty (&self->plain.unsent) &&
      !tcp_stream_is_closed (stream))
    tcp_session_finish_stream (self, stream, FALSE);
}

static void
plain_detached (TcpSession   *self,
                TcpChannel   *channel,
                guint         code,
                const GError *error)
{
  GHashTableIter iter;
  gpointer stream;

  if (self->dialect->outlives_channel)
    {
      raw_detached (self, channel, code, error);
      return;
    }

  /* A client that says goodbye has no more use for its connections. */
  g_hash_table_iter_init (&iter, self->streams);
  while (!self->client && code != 0 && g_hash_table_iter_next (&iter, NULL, &stream))
    tcp_stream_mark_left (stream);
  tcp_session_reset_all (self, error);
}

static void
plain_lose (TcpSession   *self,
            const GError *error)
{
  self->resumable.losing = TRUE;
  tcp_session_reset_all (self, error);
  self->resumable.losing = FALSE;
  g_queue_clear_full (&self->plain.unsent, (GDestroyNotify) tcp_buffer_unref);
  g_clear_pointer (&self->plain.closed_ids, tcp_closed_ids_free);
  self->plain = (TcpPlain) { 0 };
}

static void
plain_leaving (TcpSession *self,
               const char *reason)
{
}

/* Streams */

static void
plain_opened (TcpSession *self,
              TcpStream  *stream)
{
}

static void
plain_forgotten (TcpSession *self,
                 TcpStream  *stream)
{
  if (self->dialect->multiplexed)
    tcp_closed_ids_add (self->plain.closed_ids, tcp_stream_get_id (stream), tcp_now ());
}

static void
plain_send_end (TcpSession *self,
                guint32     id)
{
  tcp_channel_send (self->channel, self->dialect->encode_end (id));
}

static void
plain_broken (TcpSession   *self,
              TcpStream    *stream,
              const GError *error)
{
  if (self->channel == NULL || self->closing || self->plain.ending)
    return;

  if (self->dialect->multiplexed)
    {
      plain_send_end (self, tcp_stream_get_id (stream));
    }
  else
    {
      self->plain.ending = TRUE;
      self->plain.end_code = tcp_session_get_reset_code (self);
      tcp_channel_close (self->channel, self->plain.end_code,
                         error != NULL ? error->message : "the TCP connection broke");
    }
}

static void
plain_flushed (TcpSession *self,
               TcpStream  *stream)
{
}

/* The TCP peer has no more to say. These dialects have no half-close: that ends
 * the connection, and as the far end may have had more to say, TCP sees a reset. */
static void
plain_local_end (TcpSession *self,
                 TcpStream  *stream)
{
  if (self->dialect->multiplexed)
    {
      plain_send_end (self, tcp_stream_get_id (stream));
      tcp_session_finish_stream (self, stream, FALSE);
      return;
    }

  /* What still comes before the answer is passed on. */
  self->plain.ending = TRUE;
  self->plain.end_code = TCP_CLOSE_NORMAL;
  tcp_channel_close (self->channel, TCP_CLOSE_NORMAL, "end of stream");
}

static gboolean
plain_readable (TcpSession *self,
                TcpStream  *stream)
{
  return !self->plain.ending;
}

static void
plain_read (TcpSession *self,
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
        tcp_session_make_ready (self, stream);
      else
        tcp_stream_watch (stream);
      return;
    }

  tcp_buffer_unref (buffer);
  if (n == 0)
    plain_local_end (self, stream);
  else if (error != NULL)
    tcp_stream_reset (stream, error);
  else
    tcp_stream_watch (stream);
}

static gboolean
plain_has_more (TcpSession *self)
{
  return !g_queue_is_empty (&self->ready);
}

static void
plain_send (TcpSession *self)
{
  g_autoptr (TcpStream) stream = g_queue_pop_head (&self->ready);

  if (!tcp_stream_is_closed (stream) && !tcp_stream_is_finishing (stream))
    plain_read (self, stream);
}

/* From the channel to TCP */

static TcpStream *
plain_peer_opens (TcpSession *self,
                  guint32     id)
{
  if (!self->dialect->multiplexed || self->callbacks.opened == NULL || id == 0 ||
      tcp_closed_ids_contains (self->plain.closed_ids, id, tcp_now ()))
    {
      tcp_log_debug (self->log, "data for connection %u, which is unknown, was dropped", id);
      return NULL;
    }
  if (tcp_session_is_crowded (self))
    {
      tcp_log_debug (self->log, "%s opened more than %u connections: one was refused", self->peer, self->max_streams);
      tcp_closed_ids_add (self->plain.closed_ids, id, tcp_now ());
      plain_send_end (self, id);
      tcp_session_update_pause (self);
      return NULL;
    }

  self->callbacks.opened (self, tcp_session_add_stream (self, id), NULL, self->user_data);
  /* It may have been refused on the spot. */
  return tcp_session_lookup (self, id);
}

static void
plain_message (TcpSession   *self,
               const guint8 *data,
               gsize         length,
               gboolean      first,
               gboolean      last)
{
  TcpDialectFrame frame = { 0 };
  TcpStream *stream;

  self->dialect->decode (&self->plain.decoder, data, length, first, last, &frame);
  stream = tcp_session_lookup (self, frame.id);

  switch (frame.kind)
    {
    case TCP_DIALECT_NOTHING:
      if (frame.reason != NULL)
        tcp_log_debug (self->log, "%s sent %s, which was dropped", self->peer, frame.reason);
      break;

    case TCP_DIALECT_DATA:
      self->progress = TRUE;
      if (stream == NULL)
        stream = plain_peer_opens (self, frame.id);
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
}

const TcpSessionOps tcp_plain_session_ops = {
  .attached = plain_attached,
  .detached = plain_detached,
  .message = plain_message,
  .has_more = plain_has_more,
  .send = plain_send,
  .opened = plain_opened,
  .readable = plain_readable,
  .flushed = plain_flushed,
  .broken = plain_broken,
  .forgotten = plain_forgotten,
  .lose = plain_lose,
  .leaving = plain_leaving,
};
