/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "protocol/resumable-state.h"

#define FRAMES_TYPE "aay"
#define STREAM_TYPE "(uuuuutu)"
#define LISTENER_TYPE "(uqs)"

/* A gateway cannot have written more streams than a process has descriptors. */
#define MAX_STREAMS (1024 * 1024)

/* of the session */
typedef enum
{
  BEGUN = 1 << 0,
  LIFTS_SINGLE = 1 << 1,
  LISTENS = 1 << 2,
  MANY = 1 << 3,
  LISTENERS_AGREED = 1 << 4,
  LAST = 1 << 5,
  ALL_FLAGS = (1 << 6) - 1,
} Flags;

/* of a stream */
typedef enum
{
  FIN_SENT = 1 << 0,
  FIN_RECEIVED = 1 << 1,
  AWAITS_FIN = 1 << 2,
  ALL_STREAM_FLAGS = (1 << 3) - 1,
} StreamFlags;

/* The whole state except the frames. */
typedef struct
{
  guint64 instance;
  guint64 first;
  guint64 carried;
  guint64 received;
  guint32 flags;
  guint32 window;
  guint32 max_streams;
  guint32 peak_streams;
  guint32 peer_window;
  guint32 peer_payload;
  guint32 peer_streams;
  guint32 next_id;
  guint32 last_listener;
  GVariant *frames;
  GVariant *streams;
  GVariant *listeners;
} State;

typedef struct
{
  guint32 id;
  guint32 credit;
  guint32 window;
  guint32 granted;
  guint32 queued;
  guint64 fin_number;
  guint32 flags;
} StreamState;

static void
state_clear (State *self)
{
  g_clear_pointer (&self->frames, g_variant_unref);
  g_clear_pointer (&self->streams, g_variant_unref);
  g_clear_pointer (&self->listeners, g_variant_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (State, state_clear)

/* Saving */

static GVariant *
save_frames (TcpUnacknowledged *sent)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE (FRAMES_TYPE));
  for (GList *l = sent->frames.head; l != NULL; l = l->next)
    g_variant_builder_add_value (&builder, tcp_buffer_save (l->data));
  return g_variant_builder_end (&builder);
}

static int
compare_ids (gconstpointer a,
             gconstpointer b)
{
  guint32 first = (*(TcpProtocolStream *const *) a)->id;
  guint32 second = (*(TcpProtocolStream *const *) b)->id;

  return (first > second) - (first < second);
}

static GVariant *
save_streams (GHashTable *streams)
{
  g_autoptr (GPtrArray) sorted = g_ptr_array_new ();
  GVariantBuilder builder;
  GHashTableIter iter;
  gpointer stream;

  g_hash_table_iter_init (&iter, streams);
  while (g_hash_table_iter_next (&iter, NULL, &stream))
    g_ptr_array_add (sorted, stream);
  g_ptr_array_sort (sorted, compare_ids);
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a" STREAM_TYPE));
  for (guint i = 0; i < sorted->len; i++)
    {
      TcpResumableStream *one = sorted->pdata[i];
      TcpFlow *flow = &one->flow;
      guint32 flags = (flow->fin_sent ? FIN_SENT : 0) | (flow->fin_received ? FIN_RECEIVED : 0) |
                      (one->awaits_fin ? AWAITS_FIN : 0);

      g_variant_builder_add (&builder, STREAM_TYPE, one->base.id, flow->credit, flow->window, flow->granted,
                             (guint32) one->base.queued, one->fin_number, flags);
    }
  return g_variant_builder_end (&builder);
}

static GVariant *
save_listeners (GPtrArray *listeners)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a" LISTENER_TYPE));
  for (guint i = 0; i < listeners->len; i++)
    {
      TcpResumableListener *listener = listeners->pdata[i];

      g_variant_builder_add (&builder, LISTENER_TYPE, listener->id, listener->port, listener->name);
    }
  return g_variant_builder_end (&builder);
}

GVariant *
tcp_resumable_save (TcpProtocol *base)
{
  TcpResumable *self = (TcpResumable *) base;
  guint32 flags = (self->begun ? BEGUN : 0) | (base->options.lifts_single ? LIFTS_SINGLE : 0) |
                  (base->options.listens ? LISTENS : 0) | (base->many ? MANY : 0) |
                  (self->listeners_agreed ? LISTENERS_AGREED : 0) | (self->last ? LAST : 0);

  g_assert (!base->options.client && !base->over);

  return g_variant_ref_sink (g_variant_new ("(ttttuuuuuuuuu@" FRAMES_TYPE "@a" STREAM_TYPE "@a" LISTENER_TYPE ")",
                                            self->instance, self->sent.first, self->sent.carried,
                                            self->receipts.received, flags, self->windows.first,
                                            (guint32) base->options.max_streams, (guint32) self->peak_streams,
                                            self->peer_window, self->peer_payload, self->peer_streams, base->next_id,
                                            self->last_listener, save_frames (&self->sent),
                                            save_streams (base->streams), save_listeners (self->listeners)));
}

/* Loading. The state may contain anything: all of it is checked before any of it is used. */

static const char *
check_frames (const State *state)
{
  GVariantIter iter;
  GVariant *value;

  g_variant_iter_init (&iter, state->frames);
  while ((value = g_variant_iter_next_value (&iter)) != NULL)
    {
      g_autoptr (GVariant) frame = value;
      gsize length;
      const guint8 *data = g_variant_get_fixed_array (frame, &length, 1);
      TcpResumableFrame decoded;

      if (!tcp_resumable_decode (data, length, &decoded, NULL))
        return "a frame is malformed";
      if (decoded.type >= TCP_RESUMABLE_HELLO && decoded.type < TCP_RESUMABLE_LISTEN)
        return "a frame that waits to be acknowledged is not a sequenced one";
    }
  return NULL;
}

static void
read_stream (GVariant    *value,
             StreamState *stream)
{
  g_variant_get (value, STREAM_TYPE, &stream->id, &stream->credit, &stream->window, &stream->granted, &stream->queued,
                 &stream->fin_number, &stream->flags);
}

static const char *
check_stream (const State       *state,
              const StreamState *stream,
              guint32            last_id)
{
  gboolean through = (stream->flags & FIN_SENT) != 0 && (stream->flags & FIN_RECEIVED) != 0;
  guint64 next = state->first + g_variant_n_children (state->frames);

  if (stream->id <= last_id || (stream->id % 2 == 0 && (state->flags & LISTENERS_AGREED) == 0))
    return "the id of a stream makes no sense";
  if ((stream->flags & ~ALL_STREAM_FLAGS) != 0 || stream->credit > TCP_RESUMABLE_MAX_CREDIT ||
      stream->window > TCP_RESUMABLE_MAX_CREDIT || (guint64) stream->granted + stream->queued > stream->window)
    return "the window of a stream makes no sense";
  if ((stream->flags & AWAITS_FIN) != 0 ? (stream->flags & FIN_SENT) == 0 || stream->fin_number >= next : through)
    return "the end of a stream makes no sense";
  return NULL;
}

static int
compare_numbers (gconstpointer a,
                 gconstpointer b)
{
  guint64 first = *(const guint64 *) a;
  guint64 second = *(const guint64 *) b;

  return (first > second) - (first < second);
}

static const char *
check_streams (const State *state)
{
  g_autoptr (GArray) fins = g_array_new (FALSE, FALSE, sizeof (guint64));
  gsize n = g_variant_n_children (state->streams);
  const char *problem;
  guint32 last_id = 0;

  if (n > MAX_STREAMS || (n > 0 && (state->flags & BEGUN) == 0))
    return "there are more streams than there can be";
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) value = g_variant_get_child_value (state->streams, i);
      StreamState stream;

      read_stream (value, &stream);
      problem = check_stream (state, &stream, last_id);
      if (problem != NULL)
        return problem;
      last_id = stream.id;
      if ((stream.flags & AWAITS_FIN) != 0)
        g_array_append_val (fins, stream.fin_number);
    }

  g_array_sort (fins, compare_numbers);
  for (guint i = 1; i < fins->len; i++)
    if (g_array_index (fins, guint64, i) == g_array_index (fins, guint64, i - 1))
      return "two streams have the same end";
  return NULL;
}

static const char *
check_listeners (const State *state)
{
  gsize n = g_variant_n_children (state->listeners);
  guint32 last_id = 0;

  if (n > TCP_RESUMABLE_MAX_LISTENERS || (n > 0 && (state->flags & LISTENERS_AGREED) == 0))
    return "there are more listeners than there can be";
  for (gsize i = 0; i < n; i++)
    {
      guint32 id;
      guint16 port;
      const char *name;

      g_variant_get_child (state->listeners, i, "(uq&s)", &id, &port, &name);
      if (id <= last_id || id > state->last_listener)
        return "the id of a listener makes no sense";
      last_id = id;
    }
  return NULL;
}

/* Returns what is invalid, or NULL. */
static const char *
check_state (const State *state)
{
  guint64 n_frames = g_variant_n_children (state->frames);
  gboolean begun = (state->flags & BEGUN) != 0;
  const char *problem;

  if (state->instance == 0 || (state->flags & ~ALL_FLAGS) != 0)
    return "the session has no instance, or flags that are unknown";
  if ((state->flags & LISTENERS_AGREED) != 0 && (state->flags & LISTENS) == 0)
    return "the listeners of the session make no sense";
  if (state->first > G_MAXUINT64 - n_frames || state->carried < state->first || state->carried - state->first > n_frames)
    return "the numbers of the frames make no sense";
  /* A gateway sends no sequenced frames before its client has. */
  if (state->received == 0 && state->first + n_frames > 0)
    return "there are frames for a client that has sent none";
  if (!begun && state->received > 0)
    return "there are frames of a client that has sent no HELLO";
  if (begun && (state->peer_payload < TCP_RESUMABLE_MIN_PAYLOAD || state->peer_window > TCP_RESUMABLE_MAX_CREDIT))
    return "the HELLO of the client makes no sense";
  if (state->window == 0 || state->window > TCP_RESUMABLE_MAX_CREDIT || state->next_id % 2 != 0)
    return "the HELLO of the gateway makes no sense";

  problem = check_frames (state);
  if (problem == NULL)
    problem = check_streams (state);
  return problem != NULL ? problem : check_listeners (state);
}

static void
load_frames (TcpResumable *self,
             const State  *state)
{
  GVariantIter iter;
  GVariant *value;

  self->sent.first = self->sent.next = self->sent.sent = state->first;
  g_variant_iter_init (&iter, state->frames);
  while ((value = g_variant_iter_next_value (&iter)) != NULL)
    {
      g_autoptr (GVariant) frame = value;
      TcpBuffer *buffer = tcp_buffer_load (frame);

      buffer->dataless = buffer->payload[0] != TCP_RESUMABLE_DATA;
      tcp_unacknowledged_add (&self->sent, buffer);
    }
  self->sent.carried = state->carried;
}

static int
compare_fins (gconstpointer a,
              gconstpointer b,
              gpointer      user_data)
{
  return compare_numbers (&((const TcpResumableStream *) a)->fin_number, &((const TcpResumableStream *) b)->fin_number);
}

static void
load_stream (TcpResumable      *self,
             const StreamState *state)
{
  TcpProtocol *base = &self->base;
  TcpResumableStream *stream = (TcpResumableStream *) tcp_protocol_add (base, state->id, NULL);
  TcpFlow *flow = &stream->flow;

  stream->owing_link.data = stream->fin_link.data = stream;
  stream->base.queued = state->queued;
  tcp_windows_restore (&self->windows, flow, state->window);
  flow->begun = TRUE;
  flow->credit = state->credit;
  flow->granted = state->granted;
  flow->fin_sent = (state->flags & FIN_SENT) != 0;
  flow->fin_received = (state->flags & FIN_RECEIVED) != 0;
  base->figures.receive_window += flow->granted;
  base->figures.send_window += flow->credit;

  stream->fin_number = state->fin_number;
  stream->awaits_fin = (state->flags & AWAITS_FIN) != 0;
  if (stream->awaits_fin)
    g_queue_push_tail_link (&self->fins, &stream->fin_link);
  stream->through = flow->fin_sent && flow->fin_received && stream->base.queued == 0;
  self->n_through += stream->through;
  flow->owes = tcp_flow_is_due (flow, stream->base.queued);
  if (flow->owes)
    g_queue_push_tail_link (&self->owing, &stream->owing_link);
}

static void
load_streams (TcpResumable *self,
              const State  *state)
{
  for (gsize i = 0; i < g_variant_n_children (state->streams); i++)
    {
      g_autoptr (GVariant) value = g_variant_get_child_value (state->streams, i);
      StreamState stream;

      read_stream (value, &stream);
      load_stream (self, &stream);
    }
  g_queue_sort (&self->fins, compare_fins, NULL);
}

static void
load_listeners (TcpResumable *self,
                const State  *state)
{
  for (gsize i = 0; i < g_variant_n_children (state->listeners); i++)
    {
      TcpResumableListener *listener = g_new0 (TcpResumableListener, 1);

      listener->asked = TRUE;
      g_variant_get_child (state->listeners, i, LISTENER_TYPE, &listener->id, &listener->port, &listener->name);
      g_ptr_array_add (self->listeners, listener);
    }
  self->last_listener = state->last_listener;
}

const char *
tcp_resumable_load (TcpProtocol *base,
                    GVariant    *value)
{
  TcpResumable *self = (TcpResumable *) base;
  g_auto (State) state = { 0 };
  const char *problem = "it is malformed";

  g_assert (!base->options.client && base->n_streams == 0);

  if (g_variant_is_of_type (value, G_VARIANT_TYPE (TCP_RESUMABLE_STATE_TYPE)) && g_variant_is_normal_form (value))
    {
      g_variant_get (value, "(ttttuuuuuuuuu@" FRAMES_TYPE "@a" STREAM_TYPE "@a" LISTENER_TYPE ")", &state.instance,
                     &state.first, &state.carried, &state.received, &state.flags, &state.window, &state.max_streams,
                     &state.peak_streams, &state.peer_window, &state.peer_payload, &state.peer_streams, &state.next_id,
                     &state.last_listener, &state.frames, &state.streams, &state.listeners);
      problem = check_state (&state);
    }
  if (problem != NULL)
    return problem;

  self->instance = state.instance;
  self->receipts.received = state.received;
  self->begun = (state.flags & BEGUN) != 0;
  self->listeners_agreed = (state.flags & LISTENERS_AGREED) != 0;
  self->last = (state.flags & LAST) != 0;
  self->peak_streams = state.peak_streams;
  self->peer_window = state.peer_window;
  self->peer_payload = state.peer_payload;
  self->peer_streams = state.peer_streams;
  /* The values of the first HELLO are repeated in each. */
  self->windows.first = base->figures.first_window = state.window;
  base->options.max_streams = state.max_streams;
  base->options.lifts_single = (state.flags & LIFTS_SINGLE) != 0;
  base->options.listens = (state.flags & LISTENS) != 0;
  base->many = (state.flags & MANY) != 0;
  base->next_id = state.next_id;
  load_frames (self, &state);
  load_streams (self, &state);
  load_listeners (self, &state);
  base->figures.unacknowledged = self->sent.bytes;
  base->figures.grown = self->windows.grown;
  return NULL;
}
