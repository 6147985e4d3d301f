/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session/session-private.h"

#include "io/reactor.h"

/* Life */

static void
on_pump (gpointer user_data)
{
  TcpSession *self = tcp_session_ref (user_data);

  tcp_session_update_pause (self);
  tcp_session_pump (self);
  tcp_resumable_settle (self);
  tcp_session_unref (self);
}

/* Other sessions of the gateway have made room. */
static void
on_relieved (gpointer user_data)
{
  TcpSession *self = user_data;

  tcp_timer_set (self->pump, 0);
}

TcpSession *
tcp_session_new (const TcpSessionOptions   *options,
                 const TcpSessionCallbacks *callbacks,
                 gpointer                   user_data)
{
  TcpSession *self = g_new0 (TcpSession, 1);

  g_ref_count_init (&self->refs);
  self->callbacks = *callbacks;
  self->user_data = user_data;
  self->client = options->client;
  self->single = options->single;
  self->foreign = options->foreign;
  self->nameless = options->nameless;
  self->max_buffered = options->max_buffered_bytes;
  self->max_retained = options->max_retained_bytes;
  self->max_window = options->max_window_bytes;
  self->max_first_window = options->max_first_window > 0 ? options->max_first_window : G_MAXSIZE;
  self->max_streams = options->max_streams;
  self->session_timeout = options->session_timeout;
  self->greeting_timeout = options->greeting_timeout;
  self->reset_on_loss = options->reset_on_loss;
  self->peer = g_strdup (options->peer);
  self->local = g_strdup (options->local);
  self->local_code = options->local_code;
  self->log = tcp_log_ref (options->log);
  self->status = tcp_status_ref (options->status);
  self->streams = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) tcp_stream_unref);
  self->finishing = g_hash_table_new_full (NULL, NULL, (GDestroyNotify) tcp_stream_unref, NULL);
  self->next_id = 1;
  self->pump = tcp_timer_new (on_pump, self);
  tcp_budget_share_init (&self->share, options->budget, on_relieved, self);
  if (options->dialect != NULL)
    tcp_session_set_dialect (self, options->dialect);

  return self;
}

/* Once, before the first channel. Streams that were opened until then only wait. */
void
tcp_session_set_dialect (TcpSession       *self,
                         const TcpDialect *dialect)
{
  GHashTableIter iter;
  gpointer stream;

  g_assert (self->dialect == NULL);

  self->dialect = dialect;
  if (dialect->resumable)
    {
      self->ops = &tcp_resumable_session_ops;
      tcp_resumable_init (self);
    }
  else
    {
      self->ops = &tcp_plain_session_ops;
      self->plain.closed_ids = tcp_closed_ids_new ();
    }

  g_hash_table_iter_init (&iter, self->streams);
  while (g_hash_table_iter_next (&iter, NULL, &stream))
    self->ops->opened (self, stream);
}

/* Whether the peer has yet to show that it knows the close codes of this library. */
void
tcp_session_set_foreign (TcpSession *self,
                         gboolean    foreign)
{
  self->foreign = foreign;
}

/* The code with which raw passes on that the TCP connection of this end broke. A foreign
 * client must not take it for an orderly end, which 1000 is. A foreign server expects what
 * limrun's client sends, which is 1000 in every case. */
guint
tcp_session_get_reset_code (TcpSession *self)
{
  if (!self->foreign)
    return TCP_CLOSE_RESET;
  return self->client ? TCP_CLOSE_NORMAL : TCP_CLOSE_SERVER_ERROR;
}

/* The peer does not know the session any more, or ended it: what it knew of is lost. The
 * session begins anew with the next channel, for which the dialect is still to be set. */
void
tcp_session_restart (TcpSession   *self,
                     const GError *error)
{
  g_assert (self->channel == NULL);

  tcp_session_ref (self);
  if (self->ops != NULL)
    self->ops->lose (self, error);
  self->ops = NULL;
  self->dialect = NULL;
  /* Tagged has other ids than resumable, which it may become. */
  self->next_id |= 1;
  tcp_session_unref (self);
}

/* The same where nothing waits any longer: streams of which the peer never knew end as well. */
void
tcp_session_abandon (TcpSession   *self,
                     const GError *error)
{
  tcp_session_ref (self);
  self->resumable.losing = TRUE;
  tcp_session_reset_all (self, error);
  self->resumable.losing = FALSE;
  tcp_session_restart (self, error);
  tcp_session_unref (self);
}

/* NULL if it was not negotiated yet. */
const TcpDialect *
tcp_session_get_dialect (TcpSession *self)
{
  return self->dialect;
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

  g_clear_pointer (&self->superseded, tcp_channel_unref);
  tcp_resumable_clear (self);
  tcp_budget_share_clear (&self->share);
  tcp_timer_clear (&self->pump);
  g_queue_clear_full (&self->ready, (GDestroyNotify) tcp_stream_unref);
  g_queue_clear_full (&self->plain.unsent, (GDestroyNotify) tcp_buffer_unref);
  g_clear_pointer (&self->plain.closed_ids, tcp_closed_ids_free);
  g_hash_table_unref (self->streams);
  g_hash_table_unref (self->finishing);
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

/* Whether it can be forgotten: nothing is left of any connection, and none can come
 * over another channel. */
gboolean
tcp_session_is_idle (TcpSession *self)
{
  return g_hash_table_size (self->streams) == 0 && g_hash_table_size (self->finishing) == 0 &&
         (self->dialect == NULL || !self->dialect->resumable || tcp_session_is_over (self));
}

/* Whether it was ended, by this end or the other, so that no channel can revive it. */
gboolean
tcp_session_is_over (TcpSession *self)
{
  return self->closing || self->resumable.goodbye;
}

/* Whether there is something left to do that takes a channel. A multiplexed session
 * also has use of one for what may still come. */
gboolean
tcp_session_wants_channel (TcpSession *self)
{
  if (tcp_session_is_over (self))
    return FALSE;
  return g_hash_table_size (self->streams) > 0 || !g_queue_is_empty (&self->resumable.retained.frames);
}

/* Whether any byte has come, or frame was acknowledged, since it was last asked: reconnecting
 * is of use then, however short-lived the channels are. */
gboolean
tcp_session_take_progress (TcpSession *self)
{
  gboolean progress = self->progress;

  self->progress = FALSE;
  return progress;
}

/* For how many seconds the peer keeps the session without a channel; 0 if there is none that
 * could be resumed. */
guint
tcp_session_get_peer_timeout (TcpSession *self)
{
  return tcp_session_is_over (self) ? 0 : self->resumable.peer_timeout;
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

/* Channels */

void
tcp_session_reset_all (TcpSession   *self,
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

static GError *
session_closed_error (TcpSession   *self,
                      guint         code,
                      const char   *reason,
                      const GError *error)
{
  gboolean has_reason = reason != NULL && *reason != '\0';

  if (code == TCP_CLOSE_RESET)
    return g_error_new (TCP_TUNNEL_ERROR, self->client ? TCP_TUNNEL_ERROR_TARGET : TCP_TUNNEL_ERROR_RESET,
                        "%s broke the connection: %s", self->peer, has_reason ? reason : "no reason given");
  if (code == TCP_CLOSE_NO_CODE)
    return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, "%s closed the WebSocket without a code", self->peer);
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
  self->ops->detached (self, channel, code, why);

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
  TcpSession *self = tcp_session_ref (user_data);

  self->ops->message (self, data, length, first, last);
  tcp_session_unref (self);
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

static void
session_supersede (TcpSession *self)
{
  g_autoptr (TcpChannel) old = g_steal_pointer (&self->channel);
  g_autoptr (GError) error = NULL;

  error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, "superseded by a newer WebSocket");
  tcp_channel_set_callbacks (old, NULL, NULL);
  self->ops->detached (self, old, TCP_CLOSE_SUPERSEDED, error);
  tcp_channel_close (old, TCP_CLOSE_SUPERSEDED, error->message);
  /* Its answer is to be seen, but those that wait for theirs are not to pile up. */
  tcp_channel_resume (old);
  if (self->superseded != NULL)
    tcp_channel_abort (self->superseded, NULL);
  g_clear_pointer (&self->superseded, tcp_channel_unref);
  self->superseded = g_steal_pointer (&old);
}

/* Goes on with this channel. One that is still there is superseded. */
void
tcp_session_attach (TcpSession *self,
                    TcpChannel *channel)
{
  tcp_session_ref (self);
  if (self->channel != NULL)
    session_supersede (self);
  /* Somebody who heard what that cost may have closed it. */
  if (self->closing)
    {
      tcp_channel_close (channel, TCP_CLOSE_GOING_AWAY, NULL);
      tcp_channel_resume (channel);
      tcp_session_unref (self);
      return;
    }

  self->channel = tcp_channel_ref (channel);
  self->channel_paused = FALSE;
  tcp_channel_set_callbacks (channel, &channel_callbacks, self);
  self->ops->attached (self);

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
  self->closing = TRUE;
  tcp_session_reset_all (self, error);
  while (g_hash_table_iter_init (&iter, self->finishing), g_hash_table_iter_next (&iter, &stream, NULL))
    tcp_stream_reset (stream, error);

  channel = g_steal_pointer (&self->channel);
  if (channel != NULL)
    {
      self->channel = channel;
      self->ops->leaving (self, reason);
      self->channel = NULL;
      tcp_channel_set_callbacks (channel, NULL, NULL);
      tcp_channel_close (channel, code, reason);
      /* Unread messages must not keep the answer from being seen. */
      tcp_channel_resume (channel);
    }
  tcp_session_unref (self);
}
