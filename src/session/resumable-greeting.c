/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session/session-private.h"

#include "io/reactor.h"

/* What the ends of a resumable session say first on a WebSocket, and what they conclude
 * from it: whose history goes on, and from where. */

void
tcp_resumable_forget_history (TcpSession *self)
{
  TcpResumable *r = &self->resumable;

  tcp_retained_clear (&r->retained);
  r->received = r->acknowledged = r->unacknowledged = r->confirmed = 0;
  r->ack_due = FALSE;
  /* What streams begin with is said anew. */
  r->begun = FALSE;
  r->peer_timeout = 0;
  tcp_session_account (self);
}

/* A WebSocket on which nothing is said may be answered by something in between. */
void
tcp_resumable_greeting_timeout (gpointer user_data)
{
  TcpSession *self = user_data;
  g_autoptr (GError) error = NULL;

  if (self->channel == NULL || self->resumable.greeted)
    return;

  error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TIMED_OUT, "%s said nothing on the WebSocket within %u ms",
                       self->peer, self->greeting_timeout);
  tcp_channel_abort (self->channel, error);
}

void
tcp_resumable_attached (TcpSession *self)
{
  TcpResumable *r = &self->resumable;
  TcpResumableHello hello = {
    .instance = r->instance,
    .received = r->received,
    .window = tcp_resumable_first_window (self),
    .max_payload = TCP_RESUMABLE_MAX_PAYLOAD,
    .max_streams = self->max_streams,
    .session_timeout = self->session_timeout,
  };

  r->acknowledged = r->received;
  r->unacknowledged = 0;
  tcp_channel_send (self->channel, tcp_resumable_encode_hello (&hello));
  if (self->greeting_timeout > 0)
    tcp_timer_set (r->greeting_timer, tcp_now () + self->greeting_timeout * G_TIME_SPAN_MILLISECOND);
}

/* The gateway does not know the session any more: what was on its way is lost. Streams
 * that only waited for a channel stay, and are to be opened anew. */
void
tcp_resumable_lose (TcpSession   *self,
                    const GError *error)
{
  g_autoptr (GPtrArray) unharmed = tcp_resumable_take_unsent_streams (self);

  tcp_log_warn (self->log, "%s", error->message);
  /* None of the others is to be told to the new history. */
  self->resumable.losing = TRUE;
  tcp_session_reset_all (self, error);
  self->resumable.losing = FALSE;
  tcp_resumable_forget_history (self);
  self->resumable.goodbye = FALSE;
  self->resumable.instance = 0;
  tcp_resumable_put_back (self, unharmed);
}

static void
resumable_begin_anew (TcpSession *self)
{
  g_autoptr (GError) error = NULL;
  GHashTableIter iter;
  gpointer stream;

  error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST,
                       "%s has lost the session: it was restarted, or gave it up after its timeout", self->peer);
  tcp_resumable_lose (self, error);

  g_hash_table_iter_init (&iter, self->streams);
  while (g_hash_table_iter_next (&iter, NULL, &stream))
    tcp_resumable_opened (self, stream);
}

/* Whose history it is that the peer goes on with. */
static gboolean
resumable_compare_instance (TcpSession        *self,
                            TcpResumableHello *hello,
                            GError           **error)
{
  TcpResumable *r = &self->resumable;

  if (hello->instance == r->instance && hello->instance != 0)
    {
      if (r->begun)
        tcp_status_add (self->status, resumes, 1);
      return TRUE;
    }

  if (self->client && hello->instance != 0)
    {
      if (r->instance != 0)
        resumable_begin_anew (self);
      r->instance = hello->instance;
      return TRUE;
    }
  if (!self->client && r->retained.most == 0 && r->received == 0)
    {
      /* It has yet to learn that its session is gone, and counts on in that. */
      if (hello->instance != 0)
        hello->received = 0;
      return TRUE;
    }

  return tcp_resumable_refuse_frame (error, "a HELLO of another session");
}

static void
resumable_count_replay (TcpSession *self)
{
  TcpRetained *retained = &self->resumable.retained;
  guint64 number = retained->first;
  gsize bytes = 0;

  for (GList *l = retained->frames.head; number < retained->most; l = l->next, number++)
    bytes += ((TcpBuffer *) l->data)->length;

  tcp_status_add (self->status, bytes_replayed, bytes);
  if (bytes > 0)
    tcp_log_debug (self->log, "%" G_GSIZE_FORMAT " bytes go out again to %s", bytes, self->peer);
}

gboolean
tcp_resumable_handle_hello (TcpSession               *self,
                        const TcpResumableFrame  *frame,
                        GError                  **error)
{
  TcpResumable *r = &self->resumable;
  TcpResumableHello hello;
  guint64 before;

  if (!tcp_resumable_decode_hello (frame, &hello, error) || !resumable_compare_instance (self, &hello, error))
    return FALSE;
  /* Somebody who heard of a loss may have closed it. */
  if (tcp_session_is_over (self))
    return TRUE;
  before = r->retained.first;
  if (!tcp_retained_acknowledge (&r->retained, hello.received))
    return tcp_resumable_refuse_frame (error, "a HELLO that has received %" G_GUINT64_FORMAT " frames, of %" G_GUINT64_FORMAT
                                       " to %" G_GUINT64_FORMAT, hello.received, r->retained.first, r->retained.most);

  self->progress |= r->retained.first > before;
  tcp_retained_rewind (&r->retained);
  resumable_count_replay (self);
  r->greeted = r->begun = TRUE;
  r->peer_window = hello.window;
  r->peer_payload = hello.max_payload;
  r->peer_streams = hello.max_streams;
  r->peer_timeout = hello.session_timeout;
  /* HELLO says what was taken in, and only ACK that nothing which it made us say comes
   * behind it. */
  r->ack_due = TRUE;
  if (r->draining)
    tcp_channel_send (self->channel,
                      tcp_resumable_encode_text (TCP_RESUMABLE_GOAWAY, 0, TCP_GOAWAY_DRAINING, "draining"));
  if (self->callbacks.greeted != NULL)
    self->callbacks.greeted (self, self->user_data);
  tcp_resumable_begin_streams (self);
  tcp_resumable_acknowledged (self);
  return TRUE;
}
