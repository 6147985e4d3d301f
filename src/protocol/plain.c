/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "protocol/plain.h"

#include <string.h>
#include <tcptunnel/tcptunnel.h>
#include "base/close-code.h"
#include "base/i18n.h"
#include "base/text.h"
#include "protocol/closed-ids.h"
#include "protocol/plain-frame.h"
#include "protocol/reverse-message.h"

typedef struct
{
  TcpProtocol base;
  gboolean attached;
  guint reset_code;
  gint64 now;              /* the time of the last call that passed it */
  GQueue queue;            /* of TcpBuffer, sent before any data */

  /* tagged */
  TcpTagDecoder decoder;
  TcpClosedIds *closed_ids;

  /* reverse */
  guint32 listener;        /* 0 until requested */
  gboolean listening;      /* the gateway has reported that it listens */
  gint64 listen_deadline;  /* when it must have done so; 0 for never */
  GString *control;        /* the part of a text message received so far */

  /* raw */
  gboolean ending;         /* the connection is ending: the close code of the transport is its result */
  guint end_code;          /* the code for the next transport, if this one broke before */
} TcpPlain;

static void
plain_init (TcpProtocol *base)
{
  TcpPlain *self = (TcpPlain *) base;

  self->closed_ids = tcp_closed_ids_new ();
  self->control = g_string_new (NULL);
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
  g_string_free (self->control, TRUE);
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

/* Keeps the raw connection, after its transport broke, for the next one. Data that was on its way is lost; for the
 * other direction this end cannot even find out how much. */
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

  /* The end must not look like an orderly one. */
  if (base->options.reset_on_loss || self->ending)
    {
      g_autoptr (GError) error = NULL;

      error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST,
                           "the WebSocket to %s broke with up to %" G_GUINT64_FORMAT " bytes on their way (%s), "
                           "so the TCP connection was reset",
                           base->options.peer, loss->unconfirmed, loss->error->message);
      /* No data may follow the missing part. */
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

/* Whether this code means that the stream of the peer is complete. Browsers, ws and websocat send no code when they
 * have finished. A peer that cannot come back has no other use for a closing handshake, whatever its code. */
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
      /* A code from the gateway may also mean that the target was never reached. */
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
  /* Only the end of this side was left to send, and it was sent. */
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
  /* A client that closes in order does not need its connections any more. */
  tcp_protocol_reset_all (base, loss->error, !base->options.client && loss->code != 0);
}

static void
plain_forget_closed (TcpPlain *self)
{
  tcp_closed_ids_free (self->closed_ids);
  self->closed_ids = tcp_closed_ids_new ();
  self->base.figures.remembered = tcp_closed_ids_get_size (self->closed_ids);
}

static void
reverse_attached (TcpProtocol *base,
                  guint        reset_code,
                  gint64       now)
{
  TcpPlain *self = (TcpPlain *) base;

  plain_attached (base, reset_code, now);
  if (base->options.client && base->options.hello_timeout > 0)
    self->listen_deadline = now + base->options.hello_timeout * G_TIME_SPAN_MILLISECOND;
}

static void
reverse_detached (TcpProtocol           *base,
                  const TcpProtocolLoss *loss)
{
  TcpPlain *self = (TcpPlain *) base;
  gboolean unanswered = base->options.client && !self->listening && self->listener != 0;
  guint32 listener = self->listener;
  g_autoptr (GError) error = NULL;

  self->listening = FALSE;
  self->listen_deadline = 0;
  self->listener = 0;
  g_string_truncate (self->control, 0);
  tagged_detached (base, loss);
  /* The gateway chooses the ids of the next transport anew. */
  plain_forget_closed (self);
  if (!unanswered)
    return;

  error = g_error_new (loss->error->domain, loss->error->code,
                       _("%s did not report where it listens before the WebSocket ended: %s"), base->options.peer,
                       loss->error->message);
  base->callbacks.unlistened (listener, TCP_RESET_BROKEN, error, base->user_data);
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
  plain_forget_closed (self);
  self->ending = FALSE;
  self->end_code = 0;
  base->over = FALSE;
}

static void
plain_leave (TcpProtocol *base,
             const char  *reason,
             gboolean     unauthorized)
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
  TcpPlain *self = (TcpPlain *) base;
  gint64 prune = tcp_closed_ids_next_timeout (self->closed_ids);

  return self->listen_deadline > 0 && (prune < 0 || self->listen_deadline < prune) ? self->listen_deadline : prune;
}

static void
plain_check_listener (TcpPlain *self)
{
  TcpProtocol *base = &self->base;
  g_autoptr (GError) error = NULL;

  if (self->listen_deadline == 0 || self->now < self->listen_deadline)
    return;

  self->listen_deadline = 0;
  error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TIMED_OUT, _("%s did not report within %u ms where it listens"),
                       base->options.peer, base->options.hello_timeout);
  base->callbacks.abort (error, base->user_data);
}

static void
plain_wake (TcpProtocol *base,
            gint64       now)
{
  TcpPlain *self = (TcpPlain *) base;

  self->now = now;
  tcp_closed_ids_prune (self->closed_ids, now);
  plain_update_figures (self);
  plain_check_listener (self);
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

static guint
plain_get_n_frames (TcpProtocol       *base,
                    TcpProtocolStream *stream,
                    guint              max)
{
  return max;
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

/* The TCP peer sends no more. Neither protocol has a half-close: the connection ends, and as the other end may have had
 * more to send, TCP is reset. */

static void
raw_end (TcpProtocol       *base,
         TcpProtocolStream *stream,
         gint64             now)
{
  TcpPlain *self = (TcpPlain *) base;

  /* Data that arrives before the answer is still passed on. */
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

/* The only listener of reverse. Opening the transport is the request for it. */

static void
reverse_listen (TcpProtocol *base,
                guint32      listener,
                guint16      port,
                const char  *name)
{
  ((TcpPlain *) base)->listener = listener;
}

static TcpProtocolStream *
reverse_open_from (TcpProtocol *base,
                   guint32      listener,
                   const char  *client,
                   gpointer     user_data)
{
  return tagged_open (base, NULL, user_data);
}

/* Takes ownership of @text. */
static void
reverse_send_control (TcpPlain *self,
                      char     *text)
{
  gsize length = strlen (text);
  TcpBuffer *buffer = tcp_buffer_new (length);

  memcpy (buffer->payload, text, length);
  buffer->length = length;
  buffer->text = TRUE;
  g_queue_push_tail (&self->queue, buffer);
  g_free (text);
  self->base.callbacks.wakeup (self->base.user_data);
}

static void
reverse_listening (TcpProtocol *base,
                   guint32      listener,
                   const char  *host,
                   guint16      port)
{
  reverse_send_control ((TcpPlain *) base, tcp_reverse_message_format_ready (host, port));
  ((TcpPlain *) base)->listening = TRUE;
}

/* limrun's protocol has no message for it once the gateway listens. */
static void
reverse_unlisten (TcpProtocol  *base,
                  guint32       listener,
                  TcpResetCode  code,
                  const char   *reason)
{
  TcpPlain *self = (TcpPlain *) base;

  base->over = TRUE;
  if (!base->options.client && !self->listening)
    reverse_send_control (self, tcp_reverse_message_format_error (reason));
  base->callbacks.close (TCP_CLOSE_NORMAL, reason, base->user_data);
}

/* The gateway has not begun to listen, or has violated the protocol. */
static void
reverse_fail (TcpPlain     *self,
              TcpResetCode  code,
              const GError *error)
{
  TcpProtocol *base = &self->base;
  guint32 listener = self->listener;

  self->listener = 0;
  self->listen_deadline = 0;
  if (listener != 0)
    base->callbacks.unlistened (listener, code, error, base->user_data);
  base->callbacks.close (TCP_CLOSE_NORMAL, error->message, base->user_data);
}

static void
reverse_break (TcpPlain   *self,
               const char *what)
{
  g_autoptr (GError) error = NULL;

  error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL, "%s broke the protocol of reverse tunnels: it sent %s",
                       self->base.options.peer, what);
  reverse_fail (self, TCP_RESET_BROKEN, error);
}

/* A limrun gateway refuses with this text if the port is taken, even by the connection that has just broken. */
static gboolean
is_in_use (const char *refusal)
{
  g_autofree char *lower = g_ascii_strdown (refusal, -1);

  return strstr (lower, "in use") != NULL;
}

static void
reverse_handle_control (TcpPlain *self)
{
  TcpProtocol *base = &self->base;
  g_auto (TcpReverseMessage) message = { 0 };
  g_autoptr (GError) malformed = NULL;
  g_autoptr (GError) error = NULL;

  if (!tcp_reverse_message_parse (self->control->str, self->control->len, &message, &malformed))
    {
      reverse_break (self, malformed->message);
      return;
    }
  if (message.refusal != NULL)
    {
      error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LISTEN, "%s does not listen: %s", base->options.peer,
                           *message.refusal != '\0' ? message.refusal : "no reason given");
      reverse_fail (self, is_in_use (message.refusal) ? TCP_RESET_IN_USE : TCP_RESET_BROKEN, error);
      return;
    }

  self->listening = TRUE;
  self->listen_deadline = 0;
  base->callbacks.hello (base->user_data);
  if (self->listener != 0)
    base->callbacks.listening (self->listener, message.host, message.port, base->user_data);
}

static void
reverse_take_text (TcpPlain     *self,
                   const guint8 *data,
                   gsize         length,
                   gboolean      first,
                   gboolean      last)
{
  TcpProtocol *base = &self->base;
  g_autofree char *shown = NULL;
  g_autofree char *warning = NULL;

  if (first)
    g_string_truncate (self->control, 0);
  if (self->control->len + length > TCP_REVERSE_MAX_MESSAGE)
    length = TCP_REVERSE_MAX_MESSAGE - self->control->len;
  g_string_append_len (self->control, (const char *) data, length);
  if (!last)
    return;

  if (base->options.client && !self->listening)
    {
      reverse_handle_control (self);
      return;
    }
  shown = tcp_text_from_peer (self->control->str, self->control->len);
  g_string_truncate (self->control, 0);
  warning = g_strdup_printf ("%s sent a text message, which was ignored: %s", base->options.peer, shown);
  base->callbacks.warn (warning, base->user_data);
}

/* Receiving */

/* Whether the peer may open a stream with this id. In reverse only the gateway opens streams, with ids of its
 * choice. */
static gboolean
plain_peer_may_open (TcpPlain *self,
                     guint32   id)
{
  TcpProtocol *base = &self->base;

  if (base->class == &tcp_protocol_reverse)
    return base->options.client;
  return base->class->multiplexed && base->options.accepts && id != 0;
}

static TcpProtocolStream *
plain_peer_opens (TcpPlain *self,
                  guint32   id)
{
  TcpProtocol *base = &self->base;
  TcpProtocolStream *stream;

  if (!plain_peer_may_open (self, id) || tcp_closed_ids_contains (self->closed_ids, id, self->now))
    {
      tcp_log_debug (base->options.log, "data for connection %u, which is unknown, was dropped", id);
      return NULL;
    }
  if (plain_is_crowded (base))
    {
      tcp_log_debug (base->options.log, "%s opened more than %u connections (max-connections): one was refused", base->options.peer,
                     base->options.max_streams);
      plain_remember_closed (self, id);
      tagged_send_end (self, id);
      return NULL;
    }

  stream = tcp_protocol_add (base, id, NULL);
  if (base->class == &tcp_protocol_reverse)
    base->callbacks.arrived (stream, self->listener, NULL, base->user_data);
  else
    base->callbacks.opened (stream, NULL, base->user_data);
  /* The callback may have refused it. */
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

static void
reverse_receive (TcpProtocol  *base,
                 const guint8 *data,
                 gsize         length,
                 gboolean      first,
                 gboolean      last,
                 gint64        now)
{
  TcpPlain *self = (TcpPlain *) base;

  self->now = now;
  if (base->text)
    reverse_take_text (self, data, length, first, last);
  else if (!base->options.client || self->listening)
    tagged_receive (base, data, length, first, last, now);
  else if (self->listener != 0)
    reverse_break (self, "data before it said where it listens");
}

/* Saving, for another process */

/* Frames that were not completely sent come first. */
static GVariant *
raw_save_frames (TcpPlain *self,
                 GQueue   *unsent)
{
  GQueue *queues[] = { unsent, &self->queue };
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aay"));
  for (guint i = 0; i < G_N_ELEMENTS (queues); i++)
    for (GList *l = queues[i]->head; l != NULL; l = l->next)
      g_variant_builder_add_value (&builder, tcp_buffer_save (l->data));
  return g_variant_builder_end (&builder);
}

/* Saves a gateway's end as it is without its transport. @unsent, of TcpBuffer, are frames of that transport, and
 * @unconfirmed is the number of bytes that may not have arrived. */
GVariant *
tcp_raw_save (TcpProtocol *base,
              GQueue      *unsent,
              guint64      unconfirmed)
{
  TcpPlain *self = (TcpPlain *) base;

  return g_variant_ref_sink (g_variant_new ("(but@aay)", self->ending, (guint32) self->end_code, unconfirmed,
                                            raw_save_frames (self, unsent)));
}

/* @base is new, and has a stream if one continues. The caller must let it lose its transport next, with @unconfirmed
 * bytes. Returns what is invalid in @state, or NULL; if it is not NULL, nothing has changed. */
const char *
tcp_raw_load (TcpProtocol *base,
              GVariant    *state,
              guint64     *unconfirmed)
{
  TcpPlain *self = (TcpPlain *) base;
  g_autoptr (GVariant) frames = NULL;
  gboolean valid = g_variant_is_of_type (state, G_VARIANT_TYPE (TCP_RAW_STATE_TYPE)) && g_variant_is_normal_form (state);
  gboolean ending = FALSE;
  guint32 end_code = 0;

  if (valid)
    g_variant_get (state, "(but@aay)", &ending, &end_code, unconfirmed, &frames);
  valid &= end_code == 0 ? !ending : end_code >= TCP_CLOSE_NORMAL && end_code <= G_MAXUINT16;
  for (gsize i = 0; valid && i < g_variant_n_children (frames); i++)
    {
      g_autoptr (GVariant) frame = g_variant_get_child_value (frames, i);

      valid = g_variant_get_size (frame) > 0;
    }
  if (!valid)
    return "its messages are malformed";

  self->ending = ending;
  self->end_code = end_code;
  for (gsize i = 0; i < g_variant_n_children (frames); i++)
    {
      g_autoptr (GVariant) frame = g_variant_get_child_value (frames, i);

      g_queue_push_tail (&self->queue, tcp_buffer_load (frame));
    }
  return NULL;
}

#define PLAIN_CLASS                                                             \
  .size = sizeof (TcpPlain),                                                    \
  .stream_size = sizeof (TcpProtocolStream),                                    \
  .init = plain_init,                                                           \
  .clear = plain_clear,                                                         \
  .next_frame = plain_next_frame,                                               \
  .next_timeout = plain_next_timeout,                                           \
  .wake = plain_wake,                                                           \
  .may_open = plain_may_open,                                                   \
  .connected = plain_connected,                                                 \
  .takes_data = plain_takes_data,                                               \
  .get_room = plain_get_room,                                                   \
  .get_n_frames = plain_get_n_frames,                                           \
  .flushed = plain_flushed,                                                     \
  .released = plain_released,                                                   \
  .drain = plain_drain,                                                         \
  .lose = plain_lose,                                                           \
  .leave = plain_leave

const TcpProtocolClass tcp_protocol_raw = {
  PLAIN_CLASS,
  .name = "raw",
  .outlives_transport = TRUE,
  .attached = plain_attached,
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
  .attached = plain_attached,
  .detached = tagged_detached,
  .receive = tagged_receive,
  .open = tagged_open,
  .make_frame = tagged_make_frame,
  .end = tagged_end,
  .reset = tagged_reset,
  .forgotten = tagged_forgotten,
};

const TcpProtocolClass tcp_protocol_reverse = {
  PLAIN_CLASS,
  .name = "reverse",
  .multiplexed = TRUE,
  .attached = reverse_attached,
  .detached = reverse_detached,
  .receive = reverse_receive,
  .open = tagged_open,
  .open_from = reverse_open_from,
  .make_frame = tagged_make_frame,
  .end = tagged_end,
  .reset = tagged_reset,
  .forgotten = tagged_forgotten,
  .listen = reverse_listen,
  .listening = reverse_listening,
  .unlisten = reverse_unlisten,
};
