/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "protocol/resumable.h"

#include <string.h>
#include <tcptunnel/tcptunnel.h>
#include "base/close-code.h"
#include "base/host-port.h"
#include "base/i18n.h"
#include "base/text.h"

/* Creation and destruction */

static void
listener_free (gpointer data)
{
  TcpResumableListener *self = data;

  g_free (self->name);
  g_free (self);
}

static void
resumable_init (TcpProtocol *base)
{
  TcpResumable *self = (TcpResumable *) base;

  tcp_windows_init (&self->windows, base->options.max_window, base->options.max_first_window,
                    base->options.max_streams);
  base->figures.first_window = self->windows.first;
  self->pieces = g_byte_array_new ();
  self->listeners = g_ptr_array_new_with_free_func (listener_free);
  /* The client uses the odd ids. */
  base->next_id = base->options.client ? 1 : 2;
  /* A gateway chooses a random id for this history of the session. */
  while (!base->options.client && self->instance == 0)
    self->instance = (guint64) g_random_int () << 32 | g_random_int ();
}

static void
resumable_clear_urgent (TcpResumable *self)
{
  g_queue_clear_full (&self->urgent, (GDestroyNotify) tcp_buffer_unref);
}

static void
resumable_update_figures (TcpResumable *self)
{
  self->base.figures.unacknowledged = self->sent.bytes;
  self->base.figures.grown = self->windows.grown;
}

/* The buffer for a message that an intermediary has fragmented is freed after it. */
static void
resumable_drop_pieces (TcpResumable *self)
{
  self->base.figures.remembered = 0;
  if (self->pieces->len == 0)
    return;

  g_byte_array_unref (self->pieces);
  self->pieces = g_byte_array_new ();
}

static void
resumable_forget_history (TcpResumable *self)
{
  tcp_unacknowledged_clear (&self->sent);
  self->receipts = (TcpReceipts) { 0 };
  self->confirmed = 0;
  /* The HELLOs announce the initial windows anew. They also negotiate whether there may be many streams, but until then
   * as many as before may wait. */
  self->begun = self->listeners_agreed = FALSE;
  self->base.peer_timeout = 0;
  resumable_update_figures (self);
}

static void
resumable_clear (TcpProtocol *base)
{
  TcpResumable *self = (TcpResumable *) base;

  resumable_forget_history (self);
  resumable_clear_urgent (self);
  g_queue_clear_full (&base->goodbye, (GDestroyNotify) tcp_buffer_unref);
  g_byte_array_unref (self->pieces);
  g_ptr_array_unref (self->listeners);
}

/* Sending */

/* Queues a sequenced frame. */
static void
resumable_queue (TcpResumable *self,
                 TcpBuffer    *frame)
{
  if (self->base.over)
    {
      tcp_buffer_unref (frame);
      return;
    }

  frame->dataless = TRUE;
  tcp_unacknowledged_add (&self->sent, frame);
  resumable_update_figures (self);
  self->base.callbacks.wakeup (self->base.user_data);
}

/* Queues a frame that is not sequenced, and is sent at once. */
static void
resumable_send_urgent (TcpResumable *self,
                       TcpBuffer    *frame)
{
  frame->unsequenced = TRUE;
  g_queue_push_tail (&self->urgent, frame);
}

/* Also sent if there is nothing new, but not before frames that wait: an acknowledgement of bytes that were dropped
 * because of a RESET must not overtake that RESET. */
static void
resumable_send_ack (TcpResumable *self)
{
  if (self->sent.unsent == NULL)
    resumable_send_urgent (self, tcp_resumable_encode_ack (tcp_receipts_take (&self->receipts)));
}

static void
resumable_send_goaway (TcpResumable  *self,
                       TcpGoawayCode  code,
                       const char    *reason)
{
  resumable_send_urgent (self, tcp_resumable_encode_text (TCP_RESUMABLE_GOAWAY, 0, code, reason));
}

static TcpBuffer *
resumable_make_hello (TcpResumable *self)
{
  TcpResumableHello hello = {
    .flags = (self->base.options.lifts_single ? TCP_RESUMABLE_MANY : 0) |
             (self->base.options.listens ? TCP_RESUMABLE_LISTENERS : 0),
    .instance = self->instance,
    .received = self->receipts.received,
    .window = self->windows.first,
    .max_payload = TCP_RESUMABLE_MAX_PAYLOAD,
    .max_streams = self->base.options.max_streams,
    .session_timeout = self->base.options.session_timeout,
  };

  return tcp_resumable_encode_hello (&hello);
}

static void
resumable_give_credit (TcpResumable       *self,
                       TcpResumableStream *stream,
                       gint64              now)
{
  TcpProtocol *base = &self->base;
  TcpProtocolOutlook outlook;
  guint32 credit;

  base->callbacks.look_out (now, &outlook, base->user_data);
  credit = tcp_windows_give (&self->windows, &stream->flow, stream->base.queued, outlook.growth, outlook.round_trip,
                             outlook.response_time, now);
  base->figures.receive_window += credit;
  if (credit > 0)
    resumable_queue (self, tcp_resumable_encode_window (stream->base.id, credit));
}

static void
stream_stop_owing (TcpResumable       *self,
                   TcpResumableStream *stream)
{
  if (stream->flow.owes)
    g_queue_unlink (&self->owing, &stream->owing_link);
  stream->flow.owes = FALSE;
}

/* Returns credit to the next stream for which it is due. */
static void
resumable_pay_back (TcpResumable *self,
                    gint64        now)
{
  TcpResumableStream *stream = g_queue_peek_head (&self->owing);

  stream_stop_owing (self, stream);
  if (tcp_flow_is_due (&stream->flow, stream->base.queued))
    resumable_give_credit (self, stream, now);
}

static TcpBuffer *
resumable_next_frame (TcpProtocol *base,
                      gboolean     room,
                      gint64       now)
{
  TcpResumable *self = (TcpResumable *) base;

  if (!g_queue_is_empty (&self->urgent))
    return g_queue_pop_head (&self->urgent);
  if (!room || !self->ready || base->over)
    return NULL;

  if (self->sent.unsent == NULL && self->receipts.due)
    return tcp_resumable_encode_ack (tcp_receipts_take (&self->receipts));
  /* Credit goes before data, since the peer waits for it. */
  while (self->sent.unsent == NULL && !g_queue_is_empty (&self->owing))
    resumable_pay_back (self, now);

  return tcp_unacknowledged_send (&self->sent);
}

static gboolean
resumable_takes_data (TcpProtocol *base)
{
  TcpResumable *self = (TcpResumable *) base;

  return self->ready && !base->over &&
         (self->sent.bytes == 0 || self->sent.bytes + TCP_BUFFER_MEMORY <= base->options.max_unacknowledged);
}

static gsize
resumable_get_room (TcpProtocol       *base,
                    TcpProtocolStream *stream)
{
  TcpResumable *self = (TcpResumable *) base;
  TcpFlow *flow = &((TcpResumableStream *) stream)->flow;

  flow->blocked = flow->credit == 0;
  return flow->blocked ? 0 : MIN (MIN (flow->credit, self->peer_payload), TCP_BUFFER_SIZE);
}

static guint
resumable_get_n_frames (TcpProtocol       *base,
                        TcpProtocolStream *stream,
                        guint              max)
{
  TcpResumable *self = (TcpResumable *) base;
  gsize room = resumable_get_room (base, stream);
  gsize spare = base->options.max_unacknowledged - MIN (self->sent.bytes, base->options.max_unacknowledged);

  return CLAMP (MIN (((TcpResumableStream *) stream)->flow.credit / room, spare / TCP_BUFFER_MEMORY), 1, max);
}

static TcpBuffer *
resumable_make_frame (TcpProtocol       *base,
                      TcpProtocolStream *stream,
                      TcpBuffer         *data)
{
  TcpResumable *self = (TcpResumable *) base;
  TcpFlow *flow = &((TcpResumableStream *) stream)->flow;

  flow->credit -= data->length;
  base->figures.send_window -= data->length;
  data = tcp_buffer_shrink (data);
  tcp_resumable_push_header (data, TCP_RESUMABLE_DATA, stream->id);
  tcp_unacknowledged_add (&self->sent, data);
  resumable_update_figures (self);
  return tcp_unacknowledged_send (&self->sent);
}

/* The end */

/* Without reading the goodbye, a gateway keeps the session until its timeout. A client that does not read it is refused
 * when it comes back. */
static void
resumable_keep_goodbye (TcpResumable  *self,
                        TcpGoawayCode  code,
                        const char    *reason)
{
  GQueue *goodbye = &self->base.goodbye;

  if (!self->base.options.client || !self->begun)
    return;

  g_queue_push_tail (goodbye, resumable_make_hello (self));
  /* Otherwise an end that the peer has not seen confirmed would count as a reset. */
  if (code == TCP_GOAWAY_DONE)
    g_queue_push_tail (goodbye, tcp_resumable_encode_ack (self->receipts.received));
  g_queue_push_tail (goodbye, tcp_resumable_encode_text (TCP_RESUMABLE_GOAWAY, 0, code, reason));
}

static void
resumable_forget_goodbye (TcpResumable *self)
{
  g_queue_clear_full (&self->base.goodbye, (GDestroyNotify) tcp_buffer_unref);
}

static void
resumable_say_goodbye (TcpResumable  *self,
                       TcpGoawayCode  code,
                       const char    *reason)
{
  self->base.over = TRUE;
  resumable_keep_goodbye (self, code, reason);
  if (!self->attached)
    return;

  /* Data that has arrived must not count as lost. */
  if (code == TCP_GOAWAY_DONE && self->ready)
    resumable_send_ack (self);
  resumable_send_goaway (self, code, reason);
}

/* All listeners end. */
static void
resumable_drop_listeners (TcpResumable *self,
                          TcpResetCode  code,
                          const GError *error)
{
  while (self->listeners->len > 0)
    {
      guint32 id = ((TcpResumableListener *) self->listeners->pdata[0])->id;

      g_ptr_array_remove_index (self->listeners, 0);
      self->base.callbacks.unlistened (id, code, error, self->base.user_data);
    }
}

/* The session is over: no connection of it may look complete. */
static void
resumable_end (TcpResumable *self,
               guint         close_code,
               const GError *error)
{
  TcpProtocol *base = &self->base;

  resumable_forget_history (self);
  resumable_drop_pieces (self);
  /* A client requests its listeners again in its next session. */
  if (!base->options.client)
    resumable_drop_listeners (self, TCP_RESET_CLOSED, error);
  tcp_protocol_reset_all (base, error, FALSE);
  base->callbacks.close (close_code, error->message, base->user_data);
}

/* The peer violates the protocol, so that nothing that it sends can be relied on. */
static void
resumable_fail (TcpResumable *self,
                const char   *what)
{
  TcpProtocol *base = &self->base;
  g_autoptr (GError) error = NULL;

  if (base->over)
    return;

  error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL, "%s broke the protocol: %s", base->options.peer,
                       what);
  base->callbacks.warn (error->message, base->user_data);
  resumable_say_goodbye (self, TCP_GOAWAY_PROTOCOL_ERROR, what);
  resumable_end (self, TCP_CLOSE_PROTOCOL_ERROR, error);
}

/* Whether the session has one stream, and ends with it. */
static gboolean
resumable_is_single (TcpResumable *self)
{
  return self->base.options.single && !self->base.many;
}

/* There is no memory for what the peer makes this end keep. */
static void
resumable_fail_for_memory (TcpResumable *self,
                           const char   *what,
                           const char   *limit)
{
  g_autofree char *text = g_strdup_printf ("%s, for which there is no memory (%s)", what, limit);

  resumable_fail (self, text);
}

/* Ends the session if the size of frames without data exceeds what a well-behaved peer leaves unacknowledged, or the
 * memory available. */
static gboolean
resumable_check_overrun (TcpResumable *self)
{
  gsize spare = TCP_RESUMABLE_SPARE_ROOM + (gsize) self->peak_streams * TCP_RESUMABLE_SPARE_ROOM_PER_STREAM;
  const char *limit;

  if (self->sent.dataless <= TCP_RESUMABLE_LEAST_SPARE_ROOM)
    return TRUE;
  if (self->sent.dataless > spare)
    {
      resumable_fail (self, "it acknowledges too little");
      return FALSE;
    }
  limit = self->base.callbacks.overdrawn (self->base.user_data);
  if (limit != NULL)
    resumable_fail_for_memory (self, "it acknowledges too little", limit);
  return limit == NULL;
}

/* Called when no caller relies on a stream any more: ends a session whose peer acknowledges too little, or one that
 * this end does not need any more, when the peer has everything. */
static void
resumable_finish_if_idle (TcpResumable *self)
{
  TcpProtocol *base = &self->base;

  if (!resumable_check_overrun (self))
    return;
  if (!base->options.client || !(resumable_is_single (self) || self->last) || !self->ready || base->over)
    return;
  if (g_hash_table_size (base->streams) > 0 || !g_queue_is_empty (&self->sent.frames))
    return;

  resumable_say_goodbye (self, TCP_GOAWAY_DONE, "done");
  base->callbacks.close (TCP_CLOSE_NORMAL, "done", base->user_data);
}

static void
resumable_send_away (TcpProtocol *base,
                     gboolean     renew,
                     const char  *reason)
{
  if (!base->over)
    resumable_send_goaway ((TcpResumable *) base, renew ? TCP_GOAWAY_RENEW : TCP_GOAWAY_RESTARTING, reason);
}

static void
resumable_leave (TcpProtocol *base,
                 const char  *reason,
                 gboolean     unauthorized)
{
  if (!base->over)
    resumable_say_goodbye ((TcpResumable *) base, unauthorized ? TCP_GOAWAY_UNAUTHORIZED : TCP_GOAWAY_DONE,
                           reason != NULL ? reason : "");
}

static void
resumable_drain (TcpProtocol *base)
{
  TcpResumable *self = (TcpResumable *) base;

  if (self->draining)
    return;

  self->draining = TRUE;
  if (self->ready && !base->over)
    resumable_send_goaway (self, TCP_GOAWAY_DRAINING, "draining");
}

/* Streams */

/* Streams that have ended except for a confirmation are not counted: the peer may have it already. Streams that only
 * have to empty their queue are, since that may take long. */
static gboolean
resumable_is_crowded (TcpResumable *self)
{
  guint max_streams = resumable_is_single (self) ? 1 : self->base.options.max_streams;

  return self->base.n_streams - self->n_through >= max_streams;
}

/* FALSE if frames of former streams cannot be sent. */
static gboolean
resumable_may_open (TcpProtocol *base)
{
  TcpResumable *self = (TcpResumable *) base;
  gboolean refused = self->begun && g_hash_table_size (base->streams) >= self->peer_streams;

  return !base->over && !self->last && !refused && !resumable_is_crowded (self) &&
         self->sent.dataless <= TCP_RESUMABLE_SPARE_ROOM / 2;
}

static void
stream_begin (TcpResumable       *self,
              TcpResumableStream *stream)
{
  if (stream->flow.begun || !self->begun)
    return;

  stream->flow.begun = TRUE;
  stream->flow.credit += self->peer_window;
  self->base.figures.send_window += self->peer_window;
}

static void
stream_prepare (TcpResumable       *self,
                TcpResumableStream *stream)
{
  stream->owing_link.data = stream->fin_link.data = stream;
  self->peak_streams = MAX (self->peak_streams, self->base.n_streams - self->n_through);
  tcp_windows_add (&self->windows, &stream->flow);
  self->base.figures.receive_window += stream->flow.granted;
  stream_begin (self, stream);
}

static void
stream_open (TcpResumable       *self,
             TcpResumableStream *stream)
{
  gsize length = stream->target != NULL ? strlen (stream->target) : 0;

  stream_prepare (self, stream);
  stream->open_number = self->sent.next;
  resumable_queue (self, tcp_resumable_encode (TCP_RESUMABLE_OPEN, stream->base.id, stream->target, length));
}

static TcpProtocolStream *
resumable_open (TcpProtocol *base,
                const char  *target,
                gpointer     user_data)
{
  gboolean one = base->options.single && !base->options.lifts_single;
  guint32 id = one ? 1 : tcp_protocol_next_id (base, 2);
  TcpProtocolStream *stream = tcp_protocol_add (base, id, user_data);

  ((TcpResumableStream *) stream)->target = g_strdup (target);
  stream_open ((TcpResumable *) base, (TcpResumableStream *) stream);
  return stream;
}

static TcpProtocolStream *
resumable_open_from (TcpProtocol *base,
                     guint32      listener,
                     const char  *client,
                     gpointer     user_data)
{
  TcpProtocolStream *stream = tcp_protocol_add (base, tcp_protocol_next_id (base, 2), user_data);

  stream_prepare ((TcpResumable *) base, (TcpResumableStream *) stream);
  resumable_queue ((TcpResumable *) base,
                   tcp_resumable_encode_arrival (stream->id, listener, client != NULL ? client : ""));
  return stream;
}

static void
resumable_connected (TcpProtocol       *base,
                     TcpProtocolStream *stream)
{
  resumable_queue ((TcpResumable *) base, tcp_resumable_encode (TCP_RESUMABLE_OPENED, stream->id, NULL, 0));
}

static void
stream_unblock (TcpResumable       *self,
                TcpResumableStream *stream)
{
  if (!stream->flow.blocked || stream->flow.credit == 0)
    return;

  stream->flow.blocked = FALSE;
  self->base.callbacks.writable (&stream->base, self->base.user_data);
}

/* The peer has announced the initial credit of streams. */
static void
resumable_begin_streams (TcpResumable *self)
{
  GHashTableIter iter;
  gpointer stream;

  g_hash_table_iter_init (&iter, self->base.streams);
  while (g_hash_table_iter_next (&iter, NULL, &stream))
    {
      stream_begin (self, stream);
      stream_unblock (self, stream);
    }
}

static void
stream_stop_awaiting_fin (TcpResumable       *self,
                          TcpResumableStream *stream)
{
  if (stream->awaits_fin)
    g_queue_unlink (&self->fins, &stream->fin_link);
  stream->awaits_fin = FALSE;
}

static void
stream_take_off_books (TcpResumable       *self,
                       TcpResumableStream *stream)
{
  self->base.figures.receive_window -= stream->flow.granted;
  self->base.figures.send_window -= stream->flow.credit;
  stream_stop_owing (self, stream);
  stream_stop_awaiting_fin (self, stream);
  if (stream->through)
    self->n_through--;
  stream->through = FALSE;
}

static void
resumable_forgotten (TcpProtocol       *base,
                     TcpProtocolStream *stream)
{
  stream_take_off_books ((TcpResumable *) base, (TcpResumableStream *) stream);
  /* The goodbye of a session is not sent from within this call. */
  base->callbacks.wakeup (base->user_data);
}

static void
resumable_released (TcpProtocol       *base,
                    TcpProtocolStream *stream)
{
  TcpResumable *self = (TcpResumable *) base;

  tcp_windows_remove (&self->windows, &((TcpResumableStream *) stream)->flow);
  g_clear_pointer (&((TcpResumableStream *) stream)->target, g_free);
  resumable_update_figures (self);
}

static TcpResetCode
reset_code (TcpProtocolStream *stream,
            const GError      *error)
{
  if (stream->reset_code != 0)
    return stream->reset_code;
  if (g_error_matches (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED))
    return TCP_RESET_CLOSED;
  return TCP_RESET_BROKEN;
}

static void
resumable_reset (TcpProtocol       *base,
                 TcpProtocolStream *stream,
                 const GError      *error,
                 gint64             now)
{
  tcp_protocol_forget (base, stream);
  /* Streams of a lost session are not known to the next one. */
  if (((TcpResumableStream *) stream)->lost)
    return;

  resumable_queue ((TcpResumable *) base,
                   tcp_resumable_encode_text (TCP_RESUMABLE_RESET, stream->id, reset_code (stream, error),
                                              error != NULL ? error->message : "the TCP connection broke"));
}

/* Counts the stream when both ends have sent FIN, and nothing waits for TCP: only the confirmation of our FIN is
 * left. */
static void
stream_check_through (TcpResumable       *self,
                      TcpResumableStream *stream)
{
  if (stream->through || !stream->flow.fin_sent || !stream->flow.fin_received || stream->base.queued > 0)
    return;

  stream->through = TRUE;
  self->n_through++;
}

/* One end or the other has sent FIN. */
static void
stream_await_end (TcpResumable       *self,
                  TcpResumableStream *stream)
{
  if (stream->flow.fin_sent && stream->flow.fin_received && !stream->awaits_fin)
    tcp_protocol_finish (&self->base, &stream->base, TRUE);
  else
    stream_check_through (self, stream);
}

static void
resumable_stream_end (TcpProtocol       *base,
                      TcpProtocolStream *stream,
                      gint64             now)
{
  TcpResumable *self = (TcpResumable *) base;
  TcpResumableStream *ending = (TcpResumableStream *) stream;

  /* An end that receives the FIN then knows that all its data has arrived. */
  if (self->receipts.received > self->receipts.acknowledged)
    resumable_send_ack (self);
  ending->flow.fin_sent = TRUE;
  ending->fin_number = self->sent.next;
  ending->awaits_fin = TRUE;
  g_queue_push_tail_link (&self->fins, &ending->fin_link);
  resumable_queue (self, tcp_resumable_encode (TCP_RESUMABLE_FIN, stream->id, NULL, 0));
  stream_await_end (self, ending);
}

static void
stream_check_owed (TcpResumable       *self,
                   TcpResumableStream *stream)
{
  if (stream->flow.owes || !tcp_flow_is_due (&stream->flow, stream->base.queued))
    return;

  stream->flow.owes = TRUE;
  g_queue_push_tail_link (&self->owing, &stream->owing_link);
}

static void
resumable_flushed (TcpProtocol       *base,
                   TcpProtocolStream *stream,
                   gsize              queued)
{
  stream->queued = queued;
  if (!stream->active)
    return;

  stream_check_owed ((TcpResumable *) base, (TcpResumableStream *) stream);
  stream_check_through ((TcpResumable *) base, (TcpResumableStream *) stream);
}

/* The peer has confirmed the number of our frames that it has. */
static void
resumable_confirm (TcpResumable *self,
                   guint64       received)
{
  TcpResumableStream *stream;

  self->confirmed = received;
  /* The callback about one end may end other streams. */
  while ((stream = g_queue_peek_head (&self->fins)) != NULL && stream->fin_number < self->confirmed)
    {
      stream_stop_awaiting_fin (self, stream);
      stream_await_end (self, stream);
    }
}

/* Listeners */

static TcpResumableListener *
resumable_find_listener (TcpResumable *self,
                         guint32       id)
{
  for (guint i = 0; i < self->listeners->len; i++)
    if (((TcpResumableListener *) self->listeners->pdata[i])->id == id)
      return self->listeners->pdata[i];
  return NULL;
}

static TcpResumableListener *
resumable_add_listener (TcpResumable *self,
                        guint32       id,
                        guint16       port,
                        const char   *name)
{
  TcpResumableListener *listener = g_new0 (TcpResumableListener, 1);

  listener->id = self->last_listener = id;
  listener->port = port;
  listener->name = g_strdup (name);
  g_ptr_array_add (self->listeners, listener);
  return listener;
}

/* Called when the gateway's HELLO was read: requests those listeners that it has not requested yet. They end if the
 * gateway does not support listeners. */
static void
resumable_ask_to_listen (TcpResumable *self)
{
  g_autoptr (GError) error = NULL;

  if (!self->listeners_agreed)
    {
      error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_FORBIDDEN,
                           _("%s does not listen for its clients (see the property reverse-ports of a gateway)"),
                           self->base.options.peer);
      resumable_drop_listeners (self, TCP_RESET_FORBIDDEN, error);
      return;
    }

  for (guint i = 0; i < self->listeners->len; i++)
    {
      TcpResumableListener *listener = self->listeners->pdata[i];

      if (!listener->asked)
        resumable_queue (self, tcp_resumable_encode_port (TCP_RESUMABLE_LISTEN, listener->id, listener->port,
                                                          listener->name));
      listener->asked = TRUE;
    }
}

static void
resumable_listen (TcpProtocol *base,
                  guint32      id,
                  guint16      port,
                  const char  *name)
{
  TcpResumable *self = (TcpResumable *) base;

  if (resumable_find_listener (self, id) != NULL)
    return;

  resumable_add_listener (self, id, port, name);
  if (self->ready && !base->over)
    resumable_ask_to_listen (self);
}

static void
resumable_listening (TcpProtocol *base,
                     guint32      id,
                     const char  *host,
                     guint16      port)
{
  TcpResumable *self = (TcpResumable *) base;

  if (resumable_find_listener (self, id) != NULL)
    resumable_queue (self, tcp_resumable_encode_port (TCP_RESUMABLE_LISTENING, id, port, host));
}

static void
resumable_unlisten (TcpProtocol  *base,
                    guint32       id,
                    TcpResetCode  code,
                    const char   *reason)
{
  TcpResumable *self = (TcpResumable *) base;
  TcpResumableListener *listener = resumable_find_listener (self, id);

  if (listener == NULL)
    return;

  /* Only if the client has sent a request for it. */
  if (listener->asked)
    resumable_queue (self, tcp_resumable_encode_text (TCP_RESUMABLE_UNLISTEN, id, code, reason));
  g_ptr_array_remove (self->listeners, listener);
}

/* Histories of a session */

/* The peer no longer has the session: data on its way is lost. Streams that the peer does not know are kept, and opened
 * again. */
static void
resumable_lose (TcpProtocol  *base,
                const GError *error)
{
  TcpResumable *self = (TcpResumable *) base;
  g_autoptr (GArray) lost = g_array_new (FALSE, FALSE, sizeof (guint32));
  guint64 carried = self->sent.carried;
  GHashTableIter iter;
  TcpResumableStream *stream;

  resumable_forget_history (self);
  resumable_forget_goodbye (self);
  base->over = FALSE;
  self->instance = 0;
  for (guint i = 0; i < self->listeners->len; i++)
    ((TcpResumableListener *) self->listeners->pdata[i])->asked = FALSE;

  g_hash_table_iter_init (&iter, base->streams);
  while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &stream))
    {
      gboolean blocked = stream->flow.blocked;

      /* A peer without the session does not know the streams that the gateway opened either. */
      if (stream->base.id % 2 == 0 || stream->open_number < carried)
        {
          stream->lost = TRUE;
          g_array_append_val (lost, stream->base.id);
          continue;
        }
      stream_take_off_books (self, stream);
      tcp_windows_remove (&self->windows, &stream->flow);
      stream->flow = (TcpFlow) { 0 };
      stream_open (self, stream);
      /* The user of the stream does not know that it waits. */
      if (blocked)
        base->callbacks.writable (&stream->base, base->user_data);
    }
  resumable_update_figures (self);

  /* Without streams nothing is lost. */
  tcp_log (base->options.log, lost->len > 0 ? TCP_TUNNEL_LOG_LEVEL_WARN : TCP_TUNNEL_LOG_LEVEL_DEBUG, "%s",
           error->message);
  for (guint i = 0; i < lost->len; i++)
    {
      stream = (TcpResumableStream *) tcp_protocol_lookup (base, g_array_index (lost, guint32, i));
      if (stream != NULL && stream->lost)
        tcp_protocol_reset (base, &stream->base, error, FALSE);
    }
}

static void
resumable_begin_anew (TcpResumable *self)
{
  g_autoptr (GError) error = NULL;

  error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST,
                       _("%s has lost the session: it was restarted, or gave it up after its timeout"),
                       self->base.options.peer);
  resumable_lose (&self->base, error);
}

static gboolean
resumable_compare_instance (TcpResumable       *self,
                            TcpResumableHello  *hello,
                            GError            **error)
{
  TcpProtocol *base = &self->base;

  if (hello->instance == self->instance && hello->instance != 0)
    {
      if (self->begun)
        base->figures.resumes++;
      return TRUE;
    }

  if (base->options.client && hello->instance != 0)
    {
      if (self->instance != 0)
        resumable_begin_anew (self);
      self->instance = hello->instance;
      return TRUE;
    }
  if (!base->options.client && self->sent.carried == 0 && self->receipts.received == 0)
    {
      /* The client does not know yet that its session is gone, and continues its numbers. */
      self->misled = hello->instance != 0;
      if (self->misled)
        hello->received = 0;
      return TRUE;
    }

  return tcp_resumable_refuse_frame (error, "a HELLO of another session");
}

static void
resumable_count_replay (TcpResumable *self)
{
  guint64 number = self->sent.first;
  gsize bytes = 0;

  for (GList *l = self->sent.frames.head; number < self->sent.carried; l = l->next, number++)
    bytes += ((TcpBuffer *) l->data)->length;

  self->base.figures.replayed += bytes;
  if (bytes > 0)
    tcp_log_debug (self->base.options.log, "%" G_GSIZE_FORMAT " bytes go out again to %s", bytes,
                   self->base.options.peer);
}

static gboolean
handle_hello (TcpResumable            *self,
              const TcpResumableFrame *frame,
              GError                 **error)
{
  TcpProtocol *base = &self->base;
  TcpResumableHello hello;
  guint64 before;

  if (!tcp_resumable_decode_hello (frame, &hello, error) || !resumable_compare_instance (self, &hello, error))
    return FALSE;
  /* The callback about a loss may have closed the session. */
  if (base->over)
    return TRUE;
  before = self->sent.first;
  if (!tcp_unacknowledged_acknowledge (&self->sent, hello.received))
    return tcp_resumable_refuse_frame (error, "a HELLO that has received %" G_GUINT64_FORMAT " frames, of %" G_GUINT64_FORMAT
                                       " to %" G_GUINT64_FORMAT, hello.received, self->sent.first, self->sent.carried);

  if (self->begun && ((base->many && (hello.flags & TCP_RESUMABLE_MANY) == 0) ||
                      (self->listeners_agreed && (hello.flags & TCP_RESUMABLE_LISTENERS) == 0)))
    return tcp_resumable_refuse_frame (error, "a HELLO that takes back what an earlier one said");

  base->progress |= self->sent.first > before;
  tcp_unacknowledged_rewind (&self->sent);
  resumable_count_replay (self);
  self->ready = self->begun = TRUE;
  base->many = base->options.lifts_single && !base->stays_single && (hello.flags & TCP_RESUMABLE_MANY) != 0;
  self->listeners_agreed = base->options.listens && (hello.flags & TCP_RESUMABLE_LISTENERS) != 0;
  self->peer_window = hello.window;
  self->peer_payload = hello.max_payload;
  self->peer_streams = hello.max_streams;
  base->peer_timeout = hello.session_timeout;
  /* HELLO contains the number of received frames; only an ACK means that no frame caused by them follows. */
  self->receipts.due = TRUE;
  if (self->draining)
    resumable_send_goaway (self, TCP_GOAWAY_DRAINING, "draining");
  base->callbacks.hello (base->user_data);
  resumable_begin_streams (self);
  resumable_update_figures (self);
  /* A callback may have ended the session. */
  if (base->options.client && self->ready)
    resumable_ask_to_listen (self);
  return TRUE;
}

/* Transports */

static void
resumable_attached (TcpProtocol *base,
                    guint        reset_code,
                    gint64       now)
{
  TcpResumable *self = (TcpResumable *) base;

  self->attached = TRUE;
  tcp_receipts_take (&self->receipts);
  resumable_send_urgent (self, resumable_make_hello (self));
  if (base->options.hello_timeout > 0)
    self->hello_deadline = now + base->options.hello_timeout * G_TIME_SPAN_MILLISECOND;
}

static void
resumable_detached (TcpProtocol           *base,
                    const TcpProtocolLoss *loss)
{
  TcpResumable *self = (TcpResumable *) base;
  GQueue unsent = G_QUEUE_INIT;

  /* The frames that matter are kept here. */
  base->callbacks.take_back (&unsent, base->user_data);
  g_queue_clear_full (&unsent, (GDestroyNotify) tcp_buffer_unref);
  resumable_clear_urgent (self);
  /* The peer answers the closing handshake after it has read all frames before it. */
  if (loss->code == TCP_CLOSE_NORMAL || loss->code == TCP_CLOSE_PROTOCOL_ERROR)
    resumable_forget_goodbye (self);
  resumable_drop_pieces (self);
  tcp_receipts_stop (&self->receipts);
  self->attached = self->ready = self->misled = FALSE;
  self->hello_deadline = 0;
  self->windows.path_window = 0;
}

static gint64
resumable_next_timeout (TcpProtocol *base)
{
  TcpResumable *self = (TcpResumable *) base;
  gint64 ack = self->receipts.deadline;
  gint64 hello = self->hello_deadline;

  if (ack == 0 && hello == 0)
    return -1;
  if (ack == 0 || hello == 0)
    return MAX (ack, hello);
  return MIN (ack, hello);
}

/* A transport without any frame may have been accepted by an intermediary. */
static void
resumable_check_hello (TcpResumable *self,
                       gint64        now)
{
  TcpProtocol *base = &self->base;
  g_autoptr (GError) error = NULL;

  if (self->hello_deadline == 0 || now < self->hello_deadline)
    return;

  self->hello_deadline = 0;
  if (self->ready)
    return;

  error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TIMED_OUT, _("%s sent nothing on the WebSocket within %u ms"),
                       base->options.peer, base->options.hello_timeout);
  base->callbacks.abort (error, base->user_data);
}

static void
resumable_wake (TcpProtocol *base,
                gint64       now)
{
  TcpResumable *self = (TcpResumable *) base;

  tcp_receipts_check (&self->receipts, now);
  resumable_check_hello (self, now);
  resumable_finish_if_idle (self);
}

/* Receiving */

static void
refuse_open (TcpResumable *self,
             guint32       id,
             TcpResetCode  code,
             const char   *why)
{
  tcp_log_debug (self->base.options.log, "%s was refused a connection: %s", self->base.options.peer, why);
  resumable_queue (self, tcp_resumable_encode_text (TCP_RESUMABLE_RESET, id, code, why));
}

/* Whether a stream that the peer opens may begin. */
static gboolean
may_accept (TcpResumable *self,
            guint32       id,
            gboolean      wanted,
            TcpResetCode  code,
            const char   *why)
{
  g_autofree char *crowded = NULL;

  if (wanted && resumable_is_crowded (self))
    crowded = g_strdup_printf ("the session has %u connections already (max-connections: %u)",
                               self->base.n_streams - self->n_through, self->base.options.max_streams);

  if (!wanted)
    refuse_open (self, id, code, why);
  else if (self->draining)
    refuse_open (self, id, TCP_RESET_DRAINING, "the gateway takes no new connections");
  else if (crowded != NULL)
    refuse_open (self, id, TCP_RESET_LIMIT, crowded);
  else
    return TRUE;
  return FALSE;
}

static TcpProtocolStream *
resumable_accept (TcpResumable *self,
                  guint32       id)
{
  TcpProtocolStream *stream = tcp_protocol_add (&self->base, id, NULL);

  stream_prepare (self, (TcpResumableStream *) stream);
  return stream;
}

/* The client of a gateway requests a connection. */
static gboolean
handle_request (TcpResumable             *self,
                const TcpResumableFrame  *frame,
                GError                  **error)
{
  TcpProtocol *base = &self->base;
  g_autofree char *target = NULL;

  if (!g_utf8_validate_len ((const char *) frame->payload, frame->length, NULL))
    return tcp_resumable_refuse_frame (error, "an OPEN for a target that is no UTF-8");
  if (!may_accept (self, frame->id, base->options.accepts, TCP_RESET_FORBIDDEN,
                   "nothing can be opened from your end"))
    return TRUE;

  target = frame->length > 0 ? g_strndup ((const char *) frame->payload, frame->length) : NULL;
  base->callbacks.opened (resumable_accept (self, frame->id), target, base->user_data);
  return TRUE;
}

/* A connection was made to a listener at the gateway. */
static gboolean
handle_arrival (TcpResumable             *self,
                const TcpResumableFrame  *frame,
                GError                  **error)
{
  TcpProtocol *base = &self->base;
  g_autofree char *client = NULL;
  guint32 listener;

  if (!self->listeners_agreed)
    {
      refuse_open (self, frame->id, TCP_RESET_FORBIDDEN, "nothing can be opened from your end");
      return TRUE;
    }
  if (!tcp_resumable_decode_arrival (frame, &listener, &client, error))
    return FALSE;
  /* The frame may have crossed with an UNLISTEN of this end. */
  if (may_accept (self, frame->id, resumable_find_listener (self, listener) != NULL, TCP_RESET_CLOSED,
                  "there is no such listener any more"))
    base->callbacks.arrived (resumable_accept (self, frame->id), listener, client, base->user_data);
  return TRUE;
}

static gboolean
handle_open (TcpResumable             *self,
             const TcpResumableFrame  *frame,
             GError                  **error)
{
  TcpProtocol *base = &self->base;
  TcpResumableStream *stream = (TcpResumableStream *) tcp_protocol_lookup (base, frame->id);

  /* The peer may know already that this stream has ended, while we wait for its confirmation. */
  if (stream != NULL && stream->flow.fin_sent && stream->flow.fin_received)
    tcp_protocol_finish (base, &stream->base, TRUE);
  else if (stream != NULL)
    return tcp_resumable_refuse_frame (error, "an OPEN for a stream that is there");
  if (frame->id % 2 != (base->options.client ? 0 : 1))
    return tcp_resumable_refuse_frame (error, "an OPEN with an id that is not its sender's to use");

  return base->options.client ? handle_arrival (self, frame, error) : handle_request (self, frame, error);
}

/* A client requests a listener. */
static gboolean
handle_listen (TcpResumable             *self,
               const TcpResumableFrame  *frame,
               GError                  **error)
{
  TcpProtocol *base = &self->base;
  g_autofree char *name = NULL;

  if (base->options.client)
    return tcp_resumable_refuse_frame (error, "a LISTEN from a gateway");
  if (frame->id <= self->last_listener)
    return tcp_resumable_refuse_frame (error, "a LISTEN whose id is not above all before");
  if (!g_utf8_validate_len ((const char *) frame->payload, frame->length, NULL))
    return tcp_resumable_refuse_frame (error, "a LISTEN whose name is no UTF-8");

  name = tcp_text_from_peer ((const char *) frame->payload, frame->length);
  resumable_add_listener (self, frame->id, frame->number, name)->asked = TRUE;
  if (self->draining)
    resumable_unlisten (base, frame->id, TCP_RESET_DRAINING, "the gateway takes no new connections");
  else if (self->listeners->len > TCP_RESUMABLE_MAX_LISTENERS)
    {
      g_autofree char *why = g_strdup_printf ("there are %u listeners in this session already, as many as there may be",
                                              TCP_RESUMABLE_MAX_LISTENERS);

      resumable_unlisten (base, frame->id, TCP_RESET_LIMIT, why);
    }
  else
    base->callbacks.listen (frame->id, frame->number, name, base->user_data);
  return TRUE;
}

static gboolean
handle_listening (TcpResumable             *self,
                  const TcpResumableFrame  *frame,
                  GError                  **error)
{
  TcpProtocol *base = &self->base;
  g_autofree char *host = NULL;

  if (!base->options.client || frame->number == 0)
    return tcp_resumable_refuse_frame (error, "a LISTENING that makes no sense");

  host = g_strndup ((const char *) frame->payload, frame->length);
  /* The host may be passed to programs of the user. A C string would end early if it contained a 0. */
  if (strlen (host) != frame->length || !tcp_host_is_harmless (host))
    return tcp_resumable_refuse_frame (error, "a LISTENING whose host is neither an address nor a name");
  if (resumable_find_listener (self, frame->id) != NULL)
    base->callbacks.listening (frame->id, host, frame->number, base->user_data);
  return TRUE;
}

static TcpTunnelError
error_of_listener (guint64 code)
{
  switch (code)
    {
    case TCP_RESET_FORBIDDEN: return TCP_TUNNEL_ERROR_FORBIDDEN;
    case TCP_RESET_LIMIT: return TCP_TUNNEL_ERROR_LIMIT;
    case TCP_RESET_CLOSED:
    case TCP_RESET_DRAINING: return TCP_TUNNEL_ERROR_CLOSED;
    default: return TCP_TUNNEL_ERROR_LISTEN;
    }
}

/* Both ends send UNLISTEN; it may cross with one from this end. */
static void
handle_unlisten (TcpResumable            *self,
                 const TcpResumableFrame *frame)
{
  TcpProtocol *base = &self->base;
  TcpResumableListener *listener = resumable_find_listener (self, frame->id);
  g_autofree char *reason = tcp_text_from_peer ((const char *) frame->payload, frame->length);
  g_autoptr (GError) error = NULL;

  if (listener == NULL)
    return;

  error = g_error_new (TCP_TUNNEL_ERROR, error_of_listener (frame->number), _("%s does not listen: %s"),
                       base->options.peer, *reason != '\0' ? reason : _("no reason given"));
  g_ptr_array_remove (self->listeners, listener);
  base->callbacks.unlistened (frame->id, frame->number, error, base->user_data);
}

static gboolean
handle_listeners (TcpResumable             *self,
                  const TcpResumableFrame  *frame,
                  GError                  **error)
{
  /* Ignored, as by an end that does not know these types. */
  if (!self->listeners_agreed)
    return TRUE;

  switch (frame->type)
    {
    case TCP_RESUMABLE_LISTEN:
      return handle_listen (self, frame, error);
    case TCP_RESUMABLE_LISTENING:
      return handle_listening (self, frame, error);
    default:
      handle_unlisten (self, frame);
      return TRUE;
    }
}

static gboolean
handle_data (TcpResumable            *self,
             TcpResumableStream      *stream,
             const TcpResumableFrame *frame,
             gint64                   now,
             GError                 **error)
{
  TcpProtocol *base = &self->base;

  if (stream->flow.fin_received)
    return tcp_resumable_refuse_frame (error, "DATA after a FIN");
  if (!tcp_flow_receive (&stream->flow, frame->length, now))
    {
      g_autoptr (GError) overrun = NULL;

      overrun = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL, "%s sent more than it had credit for",
                             base->options.peer);
      resumable_queue (self, tcp_resumable_encode_text (TCP_RESUMABLE_RESET, frame->id, TCP_RESET_FLOW_CONTROL,
                                                        overrun->message));
      tcp_protocol_reset (base, &stream->base, overrun, FALSE);
      return TRUE;
    }

  base->figures.receive_window -= frame->length;
  stream->base.queued = base->callbacks.data (&stream->base, frame->payload, frame->length, base->user_data);
  stream_check_owed (self, stream);
  return TRUE;
}

static gboolean
handle_fin (TcpResumable        *self,
            TcpResumableStream  *stream,
            GError             **error)
{
  TcpProtocol *base = &self->base;
  guint32 id = stream->base.id;

  if (stream->flow.fin_received)
    return tcp_resumable_refuse_frame (error, "a second FIN");

  stream->flow.fin_received = TRUE;
  /* If this is the second FIN, TCP is closed when ours was confirmed, and the peer waits for the same confirmation of
   * its own. */
  if (stream->flow.fin_sent)
    self->receipts.due = TRUE;
  else
    base->callbacks.half_closed (&stream->base, base->user_data);
  /* The callback may have reset the stream. */
  stream = (TcpResumableStream *) tcp_protocol_lookup (base, id);
  if (stream != NULL)
    stream_await_end (self, stream);
  return TRUE;
}

/* The error for a code about the TCP connection at the other end. */
static TcpTunnelError
error_of_reset (TcpResumable      *self,
                TcpProtocolStream *stream,
                guint64            code)
{
  switch (code)
    {
    case TCP_RESET_REFUSED:
    case TCP_RESET_UNREACHABLE:
    case TCP_RESET_TIMED_OUT: return TCP_TUNNEL_ERROR_TARGET;
    case TCP_RESET_FORBIDDEN: return TCP_TUNNEL_ERROR_FORBIDDEN;
    case TCP_RESET_LIMIT: return TCP_TUNNEL_ERROR_LIMIT;
    case TCP_RESET_FLOW_CONTROL: return TCP_TUNNEL_ERROR_PROTOCOL;
    case TCP_RESET_CLOSED:
    case TCP_RESET_DRAINING: return TCP_TUNNEL_ERROR_CLOSED;
    default: break;
    }
  /* The end that opened a stream has the TCP client. */
  return self->base.options.client == (stream->id % 2 == 1) ? TCP_TUNNEL_ERROR_TARGET : TCP_TUNNEL_ERROR_RESET;
}

static void
handle_reset (TcpResumable            *self,
              TcpResumableStream      *stream,
              const TcpResumableFrame *frame)
{
  g_autofree char *reason = tcp_text_from_peer ((const char *) frame->payload, frame->length);
  g_autoptr (GError) error = NULL;

  error = g_error_new (TCP_TUNNEL_ERROR, error_of_reset (self, &stream->base, frame->number), _("%s reset the connection: %s"),
                       self->base.options.peer, *reason != '\0' ? reason : _("no reason given"));
  stream->base.peer_code = frame->number;
  tcp_protocol_reset (&self->base, &stream->base, error, frame->number == TCP_RESET_BROKEN);
}

static gboolean
handle_window (TcpResumable             *self,
               TcpResumableStream       *stream,
               const TcpResumableFrame  *frame,
               GError                  **error)
{
  if (stream->flow.credit + frame->number > TCP_RESUMABLE_MAX_CREDIT)
    return tcp_resumable_refuse_frame (error, "more credit than there may be");

  stream->flow.credit += frame->number;
  self->base.figures.send_window += frame->number;
  stream_unblock (self, stream);
  return TRUE;
}

static gboolean
handle_sequenced (TcpResumable             *self,
                  const TcpResumableFrame  *frame,
                  gint64                    now,
                  GError                  **error)
{
  TcpResumableStream *stream;

  self->base.progress = TRUE;
  tcp_receipts_count (&self->receipts, frame->length, now);
  if (frame->type >= TCP_RESUMABLE_LATER_SEQUENCED)
    return TRUE;
  if (frame->type >= TCP_RESUMABLE_LISTEN)
    return handle_listeners (self, frame, error);
  if (frame->type == TCP_RESUMABLE_OPEN)
    return handle_open (self, frame, error);
  stream = (TcpResumableStream *) tcp_protocol_lookup (&self->base, frame->id);
  /* The frame crossed with our RESET. */
  if (stream == NULL)
    return TRUE;

  switch (frame->type)
    {
    case TCP_RESUMABLE_DATA:
      return handle_data (self, stream, frame, now, error);
    case TCP_RESUMABLE_FIN:
      return handle_fin (self, stream, error);
    case TCP_RESUMABLE_RESET:
      handle_reset (self, stream, frame);
      return TRUE;
    case TCP_RESUMABLE_WINDOW:
      return handle_window (self, stream, frame, error);
    default: /* OPENED */
      self->base.callbacks.connected (&stream->base, self->base.user_data);
      return TRUE;
    }
}

static gboolean
handle_ack (TcpResumable             *self,
            const TcpResumableFrame  *frame,
            GError                  **error)
{
  guint64 before = self->sent.first;

  /* A repeated goodbye contains an ACK, and is sent without reading our HELLO. A client that has opened nothing in this
   * session has received no frames that it could acknowledge. */
  if (self->misled && self->receipts.received == 0)
    return TRUE;
  if (frame->number > self->sent.sent || !tcp_unacknowledged_acknowledge (&self->sent, frame->number))
    return tcp_resumable_refuse_frame (error, "an ACK of %" G_GUINT64_FORMAT " frames, of %" G_GUINT64_FORMAT
                                       " to %" G_GUINT64_FORMAT, frame->number, self->sent.first, self->sent.sent);

  self->base.progress |= self->sent.first > before;
  resumable_update_figures (self);
  resumable_confirm (self, frame->number);
  return TRUE;
}

/* The session continues, but not on this transport, on which the peer sends nothing more. Frames that were on their way
 * are sent again on the next one. */
static void
resumable_leave_transport (TcpResumable *self,
                           gboolean      renew,
                           const char   *reason)
{
  TcpProtocol *base = &self->base;
  g_autoptr (GError) error = NULL;

  if (renew)
    error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNAUTHORIZED, _("%s requires another token: %s"),
                         base->options.peer, reason);
  else
    error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNREACHABLE, _("%s is being restarted: %s"),
                         base->options.peer, reason);
  base->callbacks.sent_away (error, base->user_data);
  base->callbacks.abort (error, base->user_data);
}

static void
handle_goaway (TcpResumable            *self,
               const TcpResumableFrame *frame)
{
  TcpProtocol *base = &self->base;
  g_autofree char *reason = tcp_text_from_peer ((const char *) frame->payload, frame->length);
  TcpTunnelError code = TCP_TUNNEL_ERROR_CLOSED;
  g_autoptr (GError) error = NULL;

  /* GOAWAY may be repeated, for example on each transport; it takes effect once. */
  if (frame->number == TCP_GOAWAY_DRAINING && self->last)
    return;
  if (frame->number == TCP_GOAWAY_DRAINING)
    {
      tcp_log (base->options.log, base->options.client ? TCP_TUNNEL_LOG_LEVEL_INFO : TCP_TUNNEL_LOG_LEVEL_DEBUG,
               "%s takes no new connections: %s", base->options.peer, reason);
      self->last = TRUE;
      base->callbacks.draining (base->user_data);
      return;
    }

  /* Only a gateway sends these. */
  if (base->options.client && (frame->number == TCP_GOAWAY_RENEW || frame->number == TCP_GOAWAY_RESTARTING))
    {
      resumable_leave_transport (self, frame->number == TCP_GOAWAY_RENEW, reason);
      return;
    }

  if (frame->number == TCP_GOAWAY_UNAUTHORIZED)
    code = TCP_TUNNEL_ERROR_UNAUTHORIZED;
  if (frame->number == TCP_GOAWAY_PROTOCOL_ERROR)
    code = TCP_TUNNEL_ERROR_PROTOCOL;
  error = g_error_new (TCP_TUNNEL_ERROR, code, "%s ended the session: %s", base->options.peer, reason);
  base->over = TRUE;
  resumable_end (self, TCP_CLOSE_NORMAL, error);
}

static gboolean
resumable_handle (TcpResumable  *self,
                  const guint8  *data,
                  gsize          length,
                  gint64         now,
                  GError       **error)
{
  TcpResumableFrame frame;

  if (!tcp_resumable_decode (data, length, &frame, error))
    return FALSE;
  if ((frame.type == TCP_RESUMABLE_HELLO) == self->ready)
    return tcp_resumable_refuse_frame (error, self->ready ? "a second HELLO" : "something before the HELLO");

  switch (frame.type)
    {
    case TCP_RESUMABLE_HELLO:
      return handle_hello (self, &frame, error);
    case TCP_RESUMABLE_ACK:
      return handle_ack (self, &frame, error);
    case TCP_RESUMABLE_GOAWAY:
      handle_goaway (self, &frame);
      return TRUE;
    default:
      return frame.type >= TCP_RESUMABLE_LATER_UNSEQUENCED || handle_sequenced (self, &frame, now, error);
    }
}

/* FALSE if the session has ended. */
static gboolean
resumable_add_piece (TcpResumable *self,
                     const guint8 *data,
                     gsize         length)
{
  TcpProtocol *base = &self->base;
  const char *limit = NULL;

  if (self->pieces->len + length > TCP_RESUMABLE_HEADER_SIZE + TCP_RESUMABLE_MAX_PAYLOAD)
    {
      resumable_fail (self, "a frame that is too large");
      return FALSE;
    }

  g_byte_array_append (self->pieces, data, length);
  base->figures.remembered = self->pieces->len;
  if (self->pieces->len > TCP_RESUMABLE_LEAST_SPARE_ROOM)
    limit = base->callbacks.overdrawn (base->user_data);
  if (limit != NULL)
    resumable_fail_for_memory (self, "it sends a message in pieces", limit);
  return limit == NULL;
}

static void
resumable_receive (TcpProtocol  *base,
                   const guint8 *data,
                   gsize         length,
                   gboolean      first,
                   gboolean      last,
                   gint64        now)
{
  TcpResumable *self = (TcpResumable *) base;
  g_autoptr (GByteArray) pieces = NULL;
  g_autoptr (GError) error = NULL;

  if (base->over)
    return;

  /* An intermediary may have fragmented the message. */
  if (first)
    resumable_drop_pieces (self);
  if (!first || !last)
    {
      if (!resumable_add_piece (self, data, length) || !last)
        return;
      /* A callback may end the transport. */
      pieces = g_byte_array_ref (self->pieces);
      resumable_drop_pieces (self);
      data = pieces->data;
      length = pieces->len;
    }

  if (resumable_handle (self, data, length, now, &error))
    resumable_finish_if_idle (self);
  else
    resumable_fail (self, error->message);
}

const TcpProtocolClass tcp_protocol_resumable = {
  .name = TCP_RESUMABLE_NAME,
  .multiplexed = TRUE,
  .outlives_transport = TRUE,
  .resumable = TRUE,
  .names_targets = TRUE,
  .size = sizeof (TcpResumable),
  .stream_size = sizeof (TcpResumableStream),
  .init = resumable_init,
  .clear = resumable_clear,
  .attached = resumable_attached,
  .detached = resumable_detached,
  .receive = resumable_receive,
  .next_frame = resumable_next_frame,
  .next_timeout = resumable_next_timeout,
  .wake = resumable_wake,
  .may_open = resumable_may_open,
  .open = resumable_open,
  .open_from = resumable_open_from,
  .connected = resumable_connected,
  .takes_data = resumable_takes_data,
  .get_room = resumable_get_room,
  .get_n_frames = resumable_get_n_frames,
  .make_frame = resumable_make_frame,
  .end = resumable_stream_end,
  .flushed = resumable_flushed,
  .reset = resumable_reset,
  .forgotten = resumable_forgotten,
  .released = resumable_released,
  .listen = resumable_listen,
  .listening = resumable_listening,
  .unlisten = resumable_unlisten,
  .drain = resumable_drain,
  .lose = resumable_lose,
  .send_away = resumable_send_away,
  .leave = resumable_leave,
};
