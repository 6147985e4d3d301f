/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "protocol/plain.h"

#include <tcptunnel/tcptunnel.h>
#include "base/close-code.h"
#include "protocol/closed-ids.h"
#include "protocol/plain-frame.h"

typedef struct
{
  TcpProtocol base;
  gboolean attached;
  guint reset_code;
  gint64 now;              /* when it was last told */
  GQueue queue;            /* of TcpBuffer, to be sent before any data */

  /* tagged */
  TcpTagDecoder decoder;
  TcpClosedIds *closed_ids;

  /* raw */
  gboolean ending;         /* the closing of the transport says what happened, */
  guint end_code;          /* and if it broke before, that of the next */
} TcpPlain;

static void
plain_init (TcpProtocol *base)
{
  TcpPlain *self = (TcpPlain *) base;

  self->closed_ids = tcp_closed_ids_new ();
}

static void
plain_clear_queue (TcpPlain *self)
{
  g_queue_clear_full (&self->queue, (GDestroyNotify) tcp_buffer_unref);
}

static void
plain_clear (TcpProtocol *base)
{
  TcpPlain *self = (TcpPlain *) base;

  plain_clear_queue (self);
  tcp_closed_ids_free (self->closed_ids);
}

static void
plain_close (TcpPlain   *self,
             const char *reason)
{
  self->base.callbacks.close (self->end_code, reason, self->base.user_data);
}

/* Transports */

static void
plain_attached (TcpProtocol *base,
                guint        reset_code,
                gint64       now)
{
  TcpPlain *self = (TcpPlain *) base;

  self->attached = TRUE;
  self->reset_code = reset_code;
  self->now = now;
  self->decoder = (TcpTagDecoder) { 0 };
  if (self->end_code != 0)
    plain_close (self, "the connection has ended");
}

/* The raw connection when its transport broke: it waits for the next. What was on its way
 * then is gone, in the other direction without a trace. */
static void
raw_keep (TcpPlain              *self,
          TcpProtocolStream     *stream,
          const TcpProtocolLoss *loss)
{
  TcpProtocol *base = &self->base;
  GQueue frames = G_QUEUE_INIT;
  g_autofree char *warning = NULL;
  TcpBuffer *frame;

  base->callbacks.take_back (&frames, base->user_data);
  while ((frame = g_queue_pop_tail (&frames)) != NULL)
    g_queue_push_head (&self->queue, frame);
  if (loss->unconfirmed == 0)
    return;

  /* The end must not seem an orderly one. */
  if (base->options.reset_on_loss || self->ending)
    {
      g_autoptr (GError) error = NULL;

      error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST,
                           "the WebSocket to %s broke with up to %" G_GUINT64_FORMAT " bytes on their way (%s), "
                           "so the TCP connection was reset",
                           base->options.peer, loss->unconfirmed, loss->error->message);
      /* Nothing comes behind what is missing. */
      plain_clear_queue (self);
      self->end_code = self->reset_code;
      tcp_protocol_reset (base, stream, error, FALSE);
      return;
    }

  warning = g_strdup_printf ("the WebSocket to %s broke: up to %" G_GUINT64_FORMAT
                             " bytes sent since the last answer may be lost",
                             base->options.peer, loss->unconfirmed);
  base->callbacks.warn (warning, base->user_data);
}

/* Whether the peer said with this code that its stream is complete. Browsers, ws and websocat
 * give none when they are done. A peer that cannot come back has no other use for a closing
 * handshake, whatever its code. */
static gboolean
raw_is_end (TcpPlain *self,
            guint     code)
{
  return code == TCP_CLOSE_NORMAL || code == TCP_CLOSE_NO_CODE || (self->base.options.nameless && code != 0);
}

static void
raw_detached (TcpProtocol           *base,
              const TcpProtocolLoss *loss)
{
  TcpPlain *self = (TcpPlain *) base;
  TcpProtocolStream *stream = tcp_protocol_lookup (base, TCP_RAW_ID);

  self->attached = FALSE;
  if (stream == NULL)
    return;

  if (loss->code == TCP_CLOSE_RESET)
    {
      /* From the gateway it may also be that the target was never reached. */
      tcp_protocol_reset (base, stream, loss->error, !base->options.client || self->ending);
      return;
    }
  if (raw_is_end (self, loss->code))
    {
      tcp_protocol_finish (base, stream, !self->ending);
      return;
    }
  if (base->options.nameless && (!self->ending || loss->pending > 0 || loss->unconfirmed > 0))
    {
      g_autoptr (GError) lost = NULL;

      lost = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST,
                          "%s; it gave no sessionId with which it could come back", loss->error->message);
      tcp_protocol_reset (base, stream, lost, FALSE);
      return;
    }

  raw_keep (self, stream, loss);
  /* The end of this side was all that was left to say, and it was said. */
  stream = tcp_protocol_lookup (base, TCP_RAW_ID);
  if (loss->code != TCP_CLOSE_SUPERSEDED && self->ending && g_queue_is_empty (&self->queue) && stream != NULL)
    tcp_protocol_finish (base, stream, FALSE);
}

static void
tagged_detached (TcpProtocol           *base,
                 const TcpProtocolLoss *loss)
{
  TcpPlain *self = (TcpPlain *) base;

  self->attached = FALSE;
  self->now = loss->now;
  plain_clear_queue (self);
  /* A client that says goodbye has no more use for its connections. */
  tcp_protocol_reset_all (base, loss->error, !base->options.client && loss->code != 0);
}

static void
plain_update_figures (TcpPlain *self)
{
  self->base.figures.remembered = tcp_closed_ids_get_size (self->closed_ids);
}

static void
plain_lose (TcpProtocol  *base,
            const GError *error)
{
  TcpPlain *self = (TcpPlain *) base;

  tcp_protocol_reset_all (base, error, FALSE);
  plain_clear_queue (self);
  tcp_closed_ids_free (self->closed_ids);
  self->closed_ids = tcp_closed_ids_new ();
  plain_update_figures (self);
  self->ending = FALSE;
  self->end_code = 0;
  base->over = FALSE;
}

static void
plain_leave (TcpProtocol *base,
             const char  *reason)
{
  base->over = TRUE;
}

static void
plain_drain (TcpProtocol *base)
{
}

/* Sending */

static TcpBuffer *
plain_next_frame (TcpProtocol *base,
                  gboolean     room,
                  gint64       now)
{
  TcpPlain *self = (TcpPlain *) base;

  self->now = now;
  return g_queue_pop_head (&self->queue);
}

static gint64
plain_next_timeout (TcpProtocol *base)
{
  return tcp_closed_ids_next_timeout (((TcpPlain *) base)->closed_ids);
}

static void
plain_wake (TcpProtocol *base,
            gint64       now)
{
  TcpPlain *self = (TcpPlain *) base;

  self->now = now;
  tcp_closed_ids_prune (self->closed_ids, now);
  plain_update_figures (self);
}

static void
plain_remember_closed (TcpPlain *self,
                       guint32   id)
{
  tcp_closed_ids_add (self->closed_ids, id, self->now);
  plain_update_figures (self);
}

static void
tagged_send_end (TcpPlain *self,
                 guint32   id)
{
  g_queue_push_tail (&self->queue, tcp_tagged_encode_end (id));
  self->base.callbacks.wakeup (self->base.user_data);
}

/* Streams */

static gboolean
plain_is_crowded (TcpProtocol *base)
{
  return base->n_streams >= base->options.max_streams;
}

static gboolean
plain_may_open (TcpProtocol *base)
{
  return !base->over && !plain_is_crowded (base);
}

static TcpProtocolStream *
raw_open (TcpProtocol *base,
          const char  *target,
          gpointer     user_data)
{
  return tcp_protocol_add (base, TCP_RAW_ID, user_data);
}

static TcpProtocolStream *
tagged_open (TcpProtocol *base,
             const char  *target,
             gpointer     user_data)
{
  return tcp_protocol_add (base, tcp_protocol_next_id (base, 1), user_data);
}

static void
plain_connected (TcpProtocol       *base,
                 TcpProtocolStream *stream)
{
}

static gboolean
plain_takes_data (TcpProtocol *base)
{
  return TRUE;
}

static gsize
plain_get_room (TcpProtocol       *base,
                TcpProtocolStream *stream)
{
  return ((TcpPlain *) base)->ending ? 0 : TCP_BUFFER_SIZE;
}

static TcpBuffer *
raw_make_frame (TcpProtocol       *base,
                TcpProtocolStream *stream,
                TcpBuffer         *data)
{
  return data;
}

static TcpBuffer *
tagged_make_frame (TcpProtocol       *base,
                   TcpProtocolStream *stream,
                   TcpBuffer         *data)
{
  tcp_tagged_push_tag (data, stream->id);
  return data;
}

/* The TCP peer has no more to say. Neither protocol has a half-close: that ends the
 * connection, and as the far end may have had more to say, TCP sees a reset. */

static void
raw_end (TcpProtocol       *base,
         TcpProtocolStream *stream,
         gint64             now)
{
  TcpPlain *self = (TcpPlain *) base;

  /* What still comes before the answer is passed on. */
  self->ending = TRUE;
  self->end_code = TCP_CLOSE_NORMAL;
  plain_close (self, "end of stream");
}

static void
tagged_end (TcpProtocol       *base,
            TcpProtocolStream *stream,
            gint64             now)
{
  TcpPlain *self = (TcpPlain *) base;

  self->now = now;
  tagged_send_end (self, stream->id);
  tcp_protocol_finish (base, stream, FALSE);
}

static void
plain_flushed (TcpProtocol       *base,
               TcpProtocolStream *stream,
               gsize              queued)
{
  stream->queued = queued;
}

static void
raw_reset (TcpProtocol       *base,
           TcpProtocolStream *stream,
           const GError      *error,
           gint64             now)
{
  TcpPlain *self = (TcpPlain *) base;

  tcp_protocol_forget (base, stream);
  if (!self->attached || base->over || self->ending)
    return;

  self->ending = TRUE;
  self->end_code = self->reset_code;
  plain_close (self, error != NULL ? error->message : "the TCP connection broke");
}

static void
tagged_reset (TcpProtocol       *base,
              TcpProtocolStream *stream,
              const GError      *error,
              gint64             now)
{
  TcpPlain *self = (TcpPlain *) base;

  self->now = now;
  tcp_protocol_forget (base, stream);
  if (self->attached && !base->over)
    tagged_send_end (self, stream->id);
}

static void
raw_forgotten (TcpProtocol       *base,
               TcpProtocolStream *stream)
{
}

static void
tagged_forgotten (TcpProtocol       *base,
                  TcpProtocolStream *stream)
{
  TcpPlain *self = (TcpPlain *) base;

  plain_remember_closed (self, stream->id);
}

static void
plain_released (TcpProtocol       *base,
                TcpProtocolStream *stream)
{
}

/* Receiving */

static TcpProtocolStream *
plain_peer_opens (TcpPlain *self,
                  guint32   id)
{
  TcpProtocol *base = &self->base;

  if (!base->class->multiplexed || !base->options.accepts || id == 0 ||
      tcp_closed_ids_contains (self->closed_ids, id, self->now))
    {
      tcp_log_debug (base->options.log, "data for connection %u, which is unknown, was dropped", id);
      return NULL;
    }
  if (plain_is_crowded (base))
    {
      tcp_log_debug (base->options.log, "%s opened more than %u connections: one was refused", base->options.peer,
                     base->options.max_streams);
      plain_remember_closed (self, id);
      tagged_send_end (self, id);
      return NULL;
    }

  base->callbacks.opened (tcp_protocol_add (base, id, NULL), NULL, base->user_data);
  /* It may have been refused on the spot. */
  return tcp_protocol_lookup (base, id);
}

static void
plain_handle (TcpPlain            *self,
              const TcpPlainFrame *frame)
{
  TcpProtocol *base = &self->base;
  TcpProtocolStream *stream = tcp_protocol_lookup (base, frame->id);

  switch (frame->kind)
    {
    case TCP_PLAIN_NOTHING:
      tcp_log_debug (base->options.log, "%s sent %s, which was dropped", base->options.peer, frame->reason);
      break;

    case TCP_PLAIN_DATA:
      base->progress = TRUE;
      if (stream == NULL)
        stream = plain_peer_opens (self, frame->id);
      if (stream != NULL)
        stream->queued = base->callbacks.data (stream, frame->data, frame->length, base->user_data);
      break;

    case TCP_PLAIN_END:
      if (stream != NULL)
        tcp_protocol_finish (base, stream, TRUE);
      else
        tcp_log_debug (base->options.log, "%s ended connection %u, which is unknown", base->options.peer, frame->id);
      break;
    }
}

static void
raw_receive (TcpProtocol  *base,
             const guint8 *data,
             gsize         length,
             gboolean      first,
             gboolean      last,
             gint64        now)
{
  TcpPlainFrame frame;

  tcp_raw_decode (data, length, &frame);
  plain_handle ((TcpPlain *) base, &frame);
}

static void
tagged_receive (TcpProtocol  *base,
                const guint8 *data,
                gsize         length,
                gboolean      first,
                gboolean      last,
                gint64        now)
{
  TcpPlain *self = (TcpPlain *) base;
  TcpPlainFrame frame;

  self->now = now;
  tcp_tagged_decode (&self->decoder, data, length, first, last, &frame);
  plain_handle (self, &frame);
}

#define PLAIN_CLASS                                                             \
  .size = sizeof (TcpPlain),                                                    \
  .stream_size = sizeof (TcpProtocolStream),                                    \
  .init = plain_init,                                                           \
  .clear = plain_clear,                                                         \
  .attached = plain_attached,                                                   \
  .next_frame = plain_next_frame,                                               \
  .next_timeout = plain_next_timeout,                                           \
  .wake = plain_wake,                                                           \
  .may_open = plain_may_open,                                                   \
  .connected = plain_connected,                                                 \
  .takes_data = plain_takes_data,                                               \
  .get_room = plain_get_room,                                                   \
  .flushed = plain_flushed,                                                     \
  .released = plain_released,                                                   \
  .drain = plain_drain,                                                         \
  .lose = plain_lose,                                                           \
  .leave = plain_leave

const TcpProtocolClass tcp_protocol_raw = {
  PLAIN_CLASS,
  .name = "raw",
  .outlives_transport = TRUE,
  .detached = raw_detached,
  .receive = raw_receive,
  .open = raw_open,
  .make_frame = raw_make_frame,
  .end = raw_end,
  .reset = raw_reset,
  .forgotten = raw_forgotten,
};

const TcpProtocolClass tcp_protocol_tagged = {
  PLAIN_CLASS,
  .name = "tagged",
  .multiplexed = TRUE,
  .detached = tagged_detached,
  .receive = tagged_receive,
  .open = tagged_open,
  .make_frame = tagged_make_frame,
  .end = tagged_end,
  .reset = tagged_reset,
  .forgotten = tagged_forgotten,
};
