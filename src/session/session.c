/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session/session-private.h"

#include "base/source.h"

/* Life */

static gboolean
on_pump (gpointer user_data)
{
  TcpSession *self = tcp_session_ref (user_data);

  tcp_session_pump (self);
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

  /* The end is not to be told as an orderly one. */
  if (self->reset_on_loss || self->ending)
    {
      g_autoptr (GError) error = NULL;

      error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST,
                           "the WebSocket to %s broke with up to %" G_GUINT64_FORMAT " bytes on their way (%s), "
                           "so the TCP connection was reset",
                           self->peer, unconfirmed, why);
      self->end_code = TCP_CLOSE_RESET;
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
  if (code == TCP_CLOSE_RESET)
    {
      tcp_stream_reset (stream, error);
      return;
    }
  if (code == TCP_CLOSE_NORMAL)
    {
      tcp_session_finish_stream (self, stream, !self->ending);
      return;
    }

  session_keep_stream (self, stream, channel, error->message);
  /* Our end was all that was left to say, and it was said. */
  if (self->ending && g_queue_is_empty (&self->unsent) && !tcp_stream_is_closed (stream))
    tcp_session_finish_stream (self, stream, FALSE);
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

static void
on_channel_message (TcpChannel   *channel,
                    const guint8 *data,
                    gsize         length,
                    gboolean      first,
                    gboolean      last,
                    gpointer      user_data)
{
  tcp_session_handle_message (user_data, data, length, first, last);
}

static void
on_channel_drained (TcpChannel *channel,
                    gpointer    user_data)
{
  TcpSession *self = tcp_session_ref (user_data);

  tcp_session_update_pause (self);
  tcp_session_pump (self);
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
      /* Its answer is to be seen. */
      tcp_channel_resume (old);
    }

  self->channel = tcp_channel_ref (channel);
  self->channel_paused = FALSE;
  self->decoder = (TcpDialectDecoder) { 0 };
  tcp_channel_set_callbacks (channel, &channel_callbacks, self);
  while ((buffer = g_queue_pop_head (&self->unsent)) != NULL)
    tcp_channel_send (channel, buffer);
  if (self->end_code != 0)
    tcp_channel_close (channel, self->end_code, "the connection has ended");

  tcp_channel_resume (channel);
  tcp_session_update_pause (self);
  tcp_session_pump (self);
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
