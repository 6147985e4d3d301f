/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session/session-private.h"

#include "base/text.h"

/* How the streams of a resumable session come and are cut off. */

/* Opening */

static void
stream_prepare (TcpSession *self,
                TcpStream  *stream)
{
  TcpFlow *flow = tcp_stream_get_flow (stream);

  flow->window = flow->granted = tcp_resumable_first_window (self);
  tcp_status_add (self->status, receive_window, flow->granted);
  tcp_resumable_begin_stream (self, stream);
}

void
tcp_resumable_opened (TcpSession *self,
                      TcpStream  *stream)
{
  stream_prepare (self, stream);
  tcp_stream_get_flow (stream)->open_number = self->resumable.retained.next;
  tcp_resumable_queue (self, tcp_resumable_encode (TCP_RESUMABLE_OPEN, tcp_stream_get_id (stream), NULL, 0));
}

static void
refuse_open (TcpSession   *self,
             guint32       id,
             TcpResetCode  code,
             const char   *why)
{
  tcp_log_debug (self->log, "%s was refused a connection: %s", self->peer, why);
  tcp_resumable_queue (self, tcp_resumable_encode_text (TCP_RESUMABLE_RESET, id, code, why));
}

gboolean
tcp_resumable_handle_open (TcpSession               *self,
                           TcpStream                *stream,
                           const TcpResumableFrame  *frame,
                           GError                  **error)
{
  g_autofree char *target = NULL;

  /* The peer may know by now that such a stream is over, where we wait to hear that. */
  if (stream != NULL && tcp_stream_get_flow (stream)->fin_sent && tcp_stream_get_flow (stream)->fin_received)
    tcp_session_finish_stream (self, stream, TRUE);
  else if (stream != NULL)
    return tcp_resumable_refuse_frame (error, "an OPEN for a stream that is there");
  if (frame->id % 2 != (self->client ? 0 : 1))
    return tcp_resumable_refuse_frame (error, "an OPEN with an id that is not its sender's to use");
  if (!g_utf8_validate_len ((const char *) frame->payload, frame->length, NULL))
    return tcp_resumable_refuse_frame (error, "an OPEN for a target that is no UTF-8");

  if (self->callbacks.opened == NULL)
    refuse_open (self, frame->id, TCP_RESET_FORBIDDEN, "nothing can be opened from your end");
  else if (self->resumable.draining)
    refuse_open (self, frame->id, TCP_RESET_DRAINING, "the gateway takes no new connections");
  else if (tcp_session_is_crowded (self))
    refuse_open (self, frame->id, TCP_RESET_LIMIT, "there are too many connections");
  else
    {
      target = frame->length > 0 ? g_strndup ((const char *) frame->payload, frame->length) : NULL;
      stream = tcp_session_add_stream (self, frame->id);
      stream_prepare (self, stream);
      self->callbacks.opened (self, stream, target, self->user_data);
    }
  return TRUE;
}

/* Takes those from the table of which the peer has never heard. */
GPtrArray *
tcp_resumable_take_unsent_streams (TcpSession *self)
{
  GPtrArray *unsent = g_ptr_array_new_with_free_func ((GDestroyNotify) tcp_stream_unref);
  GHashTableIter iter;
  gpointer stream;

  g_hash_table_iter_init (&iter, self->streams);
  while (g_hash_table_iter_next (&iter, NULL, &stream))
    if (tcp_stream_get_flow (stream)->open_number >= self->resumable.retained.most)
      {
        g_ptr_array_add (unsent, tcp_stream_ref (stream));
        tcp_resumable_forgotten (self, stream);
        g_hash_table_iter_remove (&iter);
      }

  return unsent;
}

/* And puts them back, for the history that begins. */
void
tcp_resumable_put_back (TcpSession *self,
                        GPtrArray  *streams)
{
  for (guint i = 0; i < streams->len; i++)
    {
      TcpStream *stream = streams->pdata[i];
      TcpFlow *flow = tcp_stream_get_flow (stream);

      /* Whoever gives it credit next, if that is done at all, does not know that it waits. */
      if (flow->blocked)
        tcp_session_make_ready (self, stream);
      tcp_resumable_closed (self, stream);
      *flow = (TcpFlow) { 0 };
      g_hash_table_insert (self->streams, GUINT_TO_POINTER (tcp_stream_get_id (stream)), tcp_stream_ref (stream));
    }
  if (self->closing)
    {
      g_autoptr (GError) error = NULL;

      error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED, "the session was closed");
      tcp_session_reset_all (self, error);
    }
}

/* Resets */

static TcpResetCode
reset_code (TcpFlow      *flow,
            const GError *error)
{
  if (flow->reset_code != 0)
    return flow->reset_code;
  if (g_error_matches (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED))
    return TCP_RESET_CLOSED;
  return TCP_RESET_BROKEN;
}

void
tcp_resumable_broken (TcpSession   *self,
                      TcpStream    *stream,
                      const GError *error)
{
  TcpFlow *flow = tcp_stream_get_flow (stream);

  /* Those of a session that was lost are not known to the next. */
  if (self->resumable.losing)
    return;

  tcp_resumable_queue (self, tcp_resumable_encode_text (TCP_RESUMABLE_RESET, tcp_stream_get_id (stream),
                                                        reset_code (flow, error),
                                                        error != NULL ? error->message : "the TCP connection broke"));
}

/* The connection that the peer opened is not to be. */
void
tcp_session_refuse (TcpSession   *self,
                    TcpStream    *stream,
                    TcpResetCode  code,
                    const GError *error)
{
  tcp_stream_get_flow (stream)->reset_code = code;
  tcp_stream_reset (stream, error);
}

/* The connection that the peer opened is there. */
void
tcp_session_connected (TcpSession        *self,
                       TcpStream         *stream,
                       GSocketConnection *connection)
{
  tcp_session_ref (self);
  if (self->dialect->resumable)
    tcp_resumable_queue (self, tcp_resumable_encode (TCP_RESUMABLE_OPENED, tcp_stream_get_id (stream), NULL, 0));
  tcp_stream_attach (stream, connection);
  tcp_session_unref (self);
}

static TcpTunnelError
error_of_reset (TcpSession *self,
                guint64     code)
{
  switch (code)
    {
    case TCP_RESET_REFUSED:
    case TCP_RESET_UNREACHABLE:
    case TCP_RESET_TIMED_OUT:
    case TCP_RESET_FORBIDDEN: return TCP_TUNNEL_ERROR_TARGET;
    case TCP_RESET_LIMIT: return TCP_TUNNEL_ERROR_LIMIT;
    case TCP_RESET_FLOW_CONTROL: return TCP_TUNNEL_ERROR_PROTOCOL;
    case TCP_RESET_CLOSED:
    case TCP_RESET_DRAINING: return TCP_TUNNEL_ERROR_CLOSED;
    default: return self->client ? TCP_TUNNEL_ERROR_TARGET : TCP_TUNNEL_ERROR_RESET;
    }
}

void
tcp_resumable_handle_reset (TcpSession              *self,
                            TcpStream               *stream,
                            const TcpResumableFrame *frame)
{
  g_autofree char *reason = tcp_text_from_peer ((const char *) frame->payload, frame->length);
  g_autoptr (GError) error = NULL;

  error = g_error_new (TCP_TUNNEL_ERROR, error_of_reset (self, frame->number), "%s reset the connection: %s",
                       self->peer, *reason != '\0' ? reason : "no reason given");
  tcp_session_forget (self, stream);
  if (frame->number == TCP_RESET_BROKEN)
    tcp_stream_mark_left (stream);
  tcp_stream_reset (stream, error);
}
