/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session/session-private.h"

#include "io/reactor.h"

/* How many pieces in one go, before other sources get their turn: about as much as the
 * other direction takes in one. */
#define PUMP_BUDGET 4

/* What the peer makes us say, such as that connections are refused, is said however
 * much waits; with this much waiting it is not listened to. */
#define MAX_ANSWERS (1024 * 1024)

/* Bounds */

/* Tells the budget, and the application, what is held here. */
void
tcp_session_account (TcpSession *self)
{
  TcpResumable *r = &self->resumable;

  if (r->retained.bytes > r->reported)
    tcp_status_add (self->status, retained_bytes, r->retained.bytes - r->reported);
  else if (r->retained.bytes < r->reported)
    tcp_status_sub (self->status, retained_bytes, r->reported - r->retained.bytes);
  r->reported = r->retained.bytes;

  /* Of a resumable session the queues count by what the windows allow. */
  if (self->dialect == &tcp_dialect_resumable)
    tcp_budget_share_set (&self->share, r->retained.bytes + r->grown);
  else
    tcp_budget_share_set (&self->share, self->queued);
}

/* Whether as much waits for TCP as may. The room that is kept free is what one more
 * message may bring. In a resumable session credit sees to that, stream by stream; not to
 * read it would keep the acknowledgements out that make room. */
static gboolean
session_is_full (TcpSession *self)
{
  if (tcp_channel_get_pending (self->channel) > MAX_ANSWERS)
    return TRUE;
  if (self->dialect->resumable || self->queued == 0)
    return FALSE;
  return self->queued + TCP_CHANNEL_MAX_WHOLE > self->max_buffered ||
         !tcp_budget_share_allows (&self->share, TCP_CHANNEL_MAX_WHOLE);
}

static gboolean
session_has_room (TcpSession *self)
{
  if (tcp_channel_get_pending (self->channel) > MAX_ANSWERS / 2)
    return FALSE;
  if (self->dialect->resumable || self->queued == 0)
    return TRUE;
  return self->queued <= self->max_buffered / 4 && tcp_budget_share_allows (&self->share, TCP_CHANNEL_MAX_WHOLE);
}

void
tcp_session_update_pause (TcpSession *self)
{
  tcp_session_account (self);
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

  /* Asks to be told when there is room. */
  if (self->channel_paused)
    (void) tcp_channel_can_send (self->channel);
}

/* The table of streams */

TcpStream *
tcp_session_lookup (TcpSession *self,
                    guint32     id)
{
  return g_hash_table_lookup (self->streams, GUINT_TO_POINTER (id));
}

/* Takes it from the table: the peer will hear no more of it. */
void
tcp_session_forget (TcpSession *self,
                    TcpStream  *stream)
{
  self->ops->forgotten (self, stream);
  g_hash_table_remove (self->streams, GUINT_TO_POINTER (tcp_stream_get_id (stream)));
}

void
tcp_session_finish_stream (TcpSession *self,
                           TcpStream  *stream,
                           gboolean    complete)
{
  g_hash_table_add (self->finishing, tcp_stream_ref (stream));
  tcp_session_forget (self, stream);
  if (complete)
    tcp_stream_finish (stream, TCP_FINISH_IN_ORDER);
  else
    tcp_stream_finish (stream, self->client ? TCP_FINISH_UNANSWERED : TCP_FINISH_RESET);
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

  if (tcp_session_lookup (self, tcp_stream_get_id (stream)) == stream)
    {
      /* One that was opened before there was a dialect is not known to anybody. */
      if (self->ops != NULL)
        {
          self->ops->broken (self, stream, error);
          self->ops->forgotten (self, stream);
        }
      g_hash_table_remove (self->streams, GUINT_TO_POINTER (tcp_stream_get_id (stream)));
    }
  else
    {
      g_hash_table_remove (self->finishing, stream);
    }
  tcp_resumable_closed (self, stream);
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
  TcpSession *self = user_data;

  tcp_session_update_pause (self);
  if (self->ops != NULL)
    self->ops->flushed (self, stream);
}

/* Puts it in line to be read. */
void
tcp_session_make_ready (TcpSession *self,
                        TcpStream  *stream)
{
  g_queue_push_tail (&self->ready, tcp_stream_ref (stream));
}

static void
on_stream_readable (TcpStream *stream,
                    gpointer   user_data)
{
  TcpSession *self = user_data;

  /* One in the middle of its end, or one that the raw dialect still listens to. */
  if (tcp_stream_is_finishing (stream) || (self->ops != NULL && !self->ops->readable (self, stream)))
    return;
  tcp_session_make_ready (self, stream);
  tcp_session_pump (self);
}

static const TcpStreamCallbacks stream_callbacks = {
  .readable = on_stream_readable,
  .flushed = on_stream_flushed,
  .closed = on_stream_closed,
};

TcpStream *
tcp_session_add_stream (TcpSession *self,
                        guint32     id)
{
  TcpStream *stream = tcp_stream_new (id, &self->queued, &stream_callbacks, self);

  g_hash_table_insert (self->streams, GUINT_TO_POINTER (id), stream);
  tcp_status_add (self->status, open_connections, 1);
  tcp_stream_set_serial (stream, tcp_status_add (self->status, total_connections, 1) + 1);

  return stream;
}

/* Opening */

static guint32
session_next_id (TcpSession *self)
{
  /* Resumable, which it may turn out to be, has the odd ones for the client. */
  guint step = self->dialect == &tcp_dialect_tagged ? 1 : 2;
  guint32 id;

  if (self->single)
    return TCP_RAW_ID;

  do
    {
      id = self->next_id;
      self->next_id += step;
    }
  while (id == 0 || tcp_session_lookup (self, id) != NULL);

  return id;
}

/* Also those count that only have to empty their queue: it may be long. But those do not
 * that are through with it, and of which we wait to hear that they are over: the peer may
 * know it by now. */
gboolean
tcp_session_is_crowded (TcpSession *self)
{
  guint n = g_hash_table_size (self->streams) + g_hash_table_size (self->finishing);

  for (GList *l = self->resumable.ending.head; l != NULL; l = l->next)
    if (tcp_stream_get_queued (l->data) == 0)
      n--;

  return n >= self->max_streams;
}

/* Not if there are too many, nor if that which former ones have left to be said does
 * not get away. */
static gboolean
session_takes_streams (TcpSession *self)
{
  gboolean refused = self->resumable.begun && g_hash_table_size (self->streams) >= self->resumable.peer_streams;

  return !tcp_session_is_crowded (self) && !refused && !self->resumable.losing && !self->resumable.last && !tcp_session_is_over (self) &&
         self->resumable.retained.dataless <= TCP_RESUMABLE_SPARE_ROOM / 2 &&
         (self->channel == NULL || tcp_channel_get_pending (self->channel) <= MAX_ANSWERS);
}

/* Opens a connection from this end. @connection may be NULL: it is attached later.
 * Returns NULL if there are too many. */
TcpStream *
tcp_session_open (TcpSession        *self,
                  GSocketConnection *connection)
{
  TcpStream *stream;

  if (!session_takes_streams (self))
    return NULL;

  stream = tcp_session_add_stream (self, session_next_id (self));
  if (self->ops != NULL)
    self->ops->opened (self, stream);
  if (connection != NULL)
    tcp_stream_attach (stream, connection);
  tcp_session_pump (self);
  return stream;
}

/* From TCP into the channel */

/* Gives the channel what there is for it, a piece each from the streams in turn, so
 * that a bulk transfer does not delay a keystroke, for as long as the channel takes it. */
void
tcp_session_pump (TcpSession *self)
{
  tcp_session_ref (self);
  for (guint i = 0; self->channel != NULL && self->ops->has_more (self) && tcp_channel_can_send (self->channel); i++)
    {
      if (i == PUMP_BUDGET)
        {
          tcp_timer_set (self->pump, 0);
          break;
        }
      self->ops->send (self);
    }
  tcp_session_unref (self);
}
