/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Connects two protocol objects by a transport that misbehaves: it cuts messages into fragments, delays them, loses
 * them together with the transport, at one end before the other, and makes one end lose its state. Under each random
 * schedule, every byte arrives once and in order, and an end that looks orderly is one. "protocol PROTOCOL SEED" repeats
 * one seed. */

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <tcptunnel/tcptunnel.h>
#include "base/close-code.h"
#include "protocol/plain.h"
#include "protocol/resumable-state.h"
#include "test-util.h"

#define MAX_STREAMS 6
#define MAX_PAIRS 20
#define STEPS 1500
#define IN_TRANSPORT 8 /* the number of frames that fill the transport */

typedef struct _World World;

typedef struct
{
  GBytes *bytes;
  gboolean text;
} Message;

/* One end of a TCP connection through the tunnel. */
typedef struct
{
  TcpProtocolStream *known; /* NULL when the protocol has released it */
  guint64 to_send;
  guint64 sent;
  guint64 received;  /* from the protocol */
  guint64 queued;    /* the part of it that waits for TCP */
  gboolean ended;    /* this end has ended its direction */
  gboolean end_seen; /* this end has received the end of the other direction */
  gboolean over;
  gboolean clean;    /* in order */
  gboolean finishing;
} Half;

typedef struct
{
  guint32 id;
  Half halves[2];
  guint opener;     /* side */
  guint32 listener; /* the listener that it came to, if the gateway opened it */
  gboolean opened;  /* the other end has opened it as well */
  gboolean has_target;
  gboolean excused; /* it was disturbed on purpose */
} Pair;

typedef struct
{
  World *world;
  guint side;
  TcpProtocol *protocol;
  gboolean attached;
  gboolean closed; /* the protocol has closed its transport */
  guint code;      /* the close code, sent behind the content of the wire */
  GQueue wire;     /* of Message: under way to the other end */
  GHashTable *listeners; /* set of ids: the gateway's listeners, or those that the client knows of */
  GQueue unsent;   /* of TcpBuffer: those that have not been sent yet */
  gboolean wakeup;
  gboolean sent_away; /* this transport is to be replaced */
} End;

struct _World
{
  const TcpProtocolClass *class;
  GRand *rand;
  TcpLog *log;
  gint64 now;
  End ends[2];
  GPtrArray *pairs;
  gboolean single;          /* resumable: one stream, */
  gboolean lifts_single[2]; /* unless both ends accept many */
  gboolean listens;         /* resumable: the gateway opens streams as well */
  guint32 last_listener;
  gboolean healing;
};

enum { CLIENT, GATEWAY };

static char crash_message[100];

static gboolean
chance (World *self,
        guint  n)
{
  return g_rand_int_range (self->rand, 0, n) == 0;
}

static guint8
pattern (Pair    *pair,
         guint    side,
         guint64  at)
{
  return pair->id * 53 + side * 101 + at * 7 + (at >> 8);
}

static void
message_free (gpointer data)
{
  g_bytes_unref (((Message *) data)->bytes);
  g_free (data);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Message, message_free)

/* Whether the protocol has ids, and is not resumable. */
static gboolean
world_is_tagged (World *self)
{
  return self->class->multiplexed && !self->class->resumable;
}

/* Callbacks of the protocol */

static Half *
get_half (TcpProtocolStream *stream,
          End               *end)
{
  return &((Pair *) stream->user_data)->halves[end->side];
}

static void
half_is_over (Half     *half,
              gboolean  clean)
{
  g_assert_false (half->over);
  half->over = TRUE;
  half->clean = clean;
  half->queued = 0;
}

static void
release (End  *end,
         Half *half)
{
  tcp_protocol_release (end->protocol, g_steal_pointer (&half->known));
}

static void
on_opened (TcpProtocolStream *stream,
           const char        *target,
           gpointer           user_data)
{
  End *self = user_data;
  char wanted[32];

  for (guint i = 0; i < self->world->pairs->len; i++)
    {
      Pair *pair = self->world->pairs->pdata[i];

      if (pair->opened || pair->opener != CLIENT || pair->id != stream->id)
        continue;
      pair->opened = TRUE;
      g_snprintf (wanted, sizeof wanted, "host-%u:%u", i + 1, 2 + i);
      g_assert_cmpstr (target, ==, pair->has_target && self->world->class->resumable ? wanted : NULL);
      stream->user_data = pair;
      pair->halves[GATEWAY].known = stream;
      self->protocol->class->connected (self->protocol, stream);
      return;
    }
  g_assert_not_reached ();
}

static void
on_connected (TcpProtocolStream *stream,
              gpointer           user_data)
{
}

static void
on_arrived (TcpProtocolStream *stream,
            guint32            listener,
            const char        *client,
            gpointer           user_data)
{
  End *self = user_data;
  char wanted[32];

  /* The latest pair: a gateway that has lost its state uses ids again. */
  for (guint i = self->world->pairs->len; i-- > 0;)
    {
      Pair *pair = self->world->pairs->pdata[i];

      if (pair->opened || pair->opener != GATEWAY || pair->id != stream->id)
        continue;
      pair->opened = TRUE;
      g_snprintf (wanted, sizeof wanted, "host-%u:%u", i + 1, 2 + i);
      g_assert_cmpstr (client, ==, pair->has_target && self->world->class->resumable ? wanted : NULL);
      g_assert_cmpuint (listener, ==, pair->listener);
      stream->user_data = pair;
      pair->halves[CLIENT].known = stream;
      self->protocol->class->connected (self->protocol, stream);
      return;
    }
  g_assert_not_reached ();
}

static void
on_listen (guint32     listener,
           guint16     port,
           const char *name,
           gpointer    user_data)
{
  End *self = user_data;
  g_autofree char *wanted = g_strdup_printf ("listener %u", listener);

  g_assert_cmpuint (port, ==, 1000 + listener);
  g_assert_cmpstr (name, ==, wanted);
  if (chance (self->world, 4))
    {
      self->protocol->class->unlisten (self->protocol, listener, TCP_RESET_IN_USE, "taken");
      return;
    }
  g_assert_true (g_hash_table_add (self->listeners, GUINT_TO_POINTER (listener)));
  self->protocol->class->listening (self->protocol, listener, "localhost", port);
}

static void
on_listening (guint32     listener,
              const char *host,
              guint16     port,
              gpointer    user_data)
{
  End *self = user_data;

  g_assert_cmpstr (host, ==, "localhost");
  g_assert_cmpuint (port, ==, 1000 + listener);
  g_hash_table_add (self->listeners, GUINT_TO_POINTER (listener));
}

static void
on_unlistened (guint32       listener,
               TcpResetCode  code,
               const GError *error,
               gpointer      user_data)
{
  End *self = user_data;

  g_assert_nonnull (error);
  g_hash_table_remove (self->listeners, GUINT_TO_POINTER (listener));
}

static gsize
on_data (TcpProtocolStream *stream,
         const guint8      *data,
         gsize              length,
         gpointer           user_data)
{
  End *self = user_data;
  Half *half = get_half (stream, self);

  g_assert_false (half->end_seen || half->over || half->finishing);
  for (gsize i = 0; i < length; i++)
    g_assert_cmpuint (data[i], ==, pattern (stream->user_data, !self->side, half->received + i));
  half->received += length;
  half->queued += length;
  return half->queued;
}

static void
check_complete (Pair  *pair,
                guint  side)
{
  g_assert_true (pair->halves[!side].ended);
  g_assert_cmpuint (pair->halves[side].received, ==, pair->halves[!side].sent);
}

static void
on_half_closed (TcpProtocolStream *stream,
                gpointer           user_data)
{
  End *self = user_data;

  check_complete (stream->user_data, self->side);
  get_half (stream, self)->end_seen = TRUE;
}

static void
on_finished (TcpProtocolStream *stream,
             gboolean           complete,
             gpointer           user_data)
{
  End *self = user_data;
  Half *half = get_half (stream, self);

  g_assert_false (stream->active);
  /* A stream that was refused because streams that only empty their queues count as well. */
  ((Pair *) stream->user_data)->excused |= !((Pair *) stream->user_data)->opened;
  /* Tagged has a single message for ends of all kinds. */
  if (complete && !(world_is_tagged (self->world) && ((Pair *) stream->user_data)->excused))
    check_complete (stream->user_data, self->side);
  /* An orderly end is reliable. */
  if (complete && self->world->class->resumable)
    check_complete (stream->user_data, !self->side);
  half->finishing = TRUE;
  half->clean = complete;
}

static void
on_was_reset (TcpProtocolStream *stream,
              const GError      *error,
              gboolean           left,
              gpointer           user_data)
{
  End *self = user_data;
  Pair *pair = stream->user_data;
  Half *half = get_half (stream, self);

  g_assert_nonnull (error);
  g_assert_false (stream->active);
  pair->excused |= !pair->opened;
  /* A reset has a cause. */
  if (self->world->class->resumable)
    g_assert_true (pair->excused);
  half_is_over (half, FALSE);
  release (self, half);
}

static void
on_close (guint       code,
          const char *reason,
          gpointer    user_data)
{
  End *self = user_data;
  TcpBuffer *frame;

  while ((frame = self->protocol->class->next_frame (self->protocol, FALSE, self->world->now)) != NULL)
    g_queue_push_tail (&self->unsent, frame);
  self->closed = TRUE;
  self->code = code;
}

static void end_detach (End   *self,
                        guint  code);

static void
on_sent_away (const GError *error,
              gpointer      user_data)
{
  End *self = user_data;

  g_assert_true (self->side == CLIENT && self->attached && !self->protocol->over);
  self->sent_away = TRUE;
}

static void
on_abort (const GError *error,
          gpointer      user_data)
{
  End *self = user_data;

  g_assert_true (self->sent_away);
  self->sent_away = FALSE;
  end_detach (self, 0);
  end_detach (&self->world->ends[GATEWAY], 0);
}

static void
on_take_back (GQueue   *frames,
              gpointer  user_data)
{
  End *self = user_data;
  TcpBuffer *frame;

  while ((frame = g_queue_pop_head (&self->unsent)) != NULL)
    g_queue_push_tail (frames, frame);
}

static void
on_look_out (gint64              now,
             TcpProtocolOutlook *outlook,
             gpointer            user_data)
{
  outlook->round_trip = outlook->response_time = 1000;
  outlook->growth = G_MAXSIZE;
}

static const char *
on_overdrawn (gpointer user_data)
{
  return NULL;
}

static void
on_warn (const char *message,
         gpointer    user_data)
{
}

static void
on_wakeup (gpointer user_data)
{
  ((End *) user_data)->wakeup = TRUE;
}

static void
on_writable (TcpProtocolStream *stream,
             gpointer           user_data)
{
  g_assert_true (stream->active);
}

static void
on_nothing (gpointer user_data)
{
}

static void
end_make (End *self)
{
  static const TcpProtocolCallbacks callbacks = {
    .opened = on_opened,
    .connected = on_connected,
    .arrived = on_arrived,
    .listen = on_listen,
    .listening = on_listening,
    .unlistened = on_unlistened,
    .data = on_data,
    .half_closed = on_half_closed,
    .finished = on_finished,
    .was_reset = on_was_reset,
    .writable = on_writable,
    .hello = on_nothing,
    .draining = on_nothing,
    .sent_away = on_sent_away,
    .close = on_close,
    .abort = on_abort,
    .take_back = on_take_back,
    .look_out = on_look_out,
    .overdrawn = on_overdrawn,
    .warn = on_warn,
    .wakeup = on_wakeup,
  };
  TcpProtocolOptions options = {
    .client = self->side == CLIENT,
    .single = self->world->class == &tcp_protocol_raw || self->world->single,
    .lifts_single = self->world->lifts_single[self->side],
    .accepts = self->side == GATEWAY,
    .listens = self->world->listens,
    .reset_on_loss = TRUE,
    .max_streams = MAX_STREAMS,
    .max_unacknowledged = 300000,
    .max_window = 1 << 20,
    .max_first_window = G_MAXSIZE,
    .peer = "the other end",
    .log = self->world->log,
  };

  self->protocol = tcp_protocol_new (self->world->class, &options, &callbacks, self);
  self->listeners = g_hash_table_new (NULL, NULL);
}

/* Transports */

static void
end_detach (End   *self,
            guint  code)
{
  g_autoptr (GError) error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, "it broke");
  TcpProtocolLoss loss = {
    .code = code,
    .error = error,
    .pending = self->unsent.length,
    .unconfirmed = code == 0 ? self->wire.length : 0,
    .now = self->world->now,
  };

  if (!self->attached)
    return;

  self->attached = self->closed = FALSE;
  if (!self->world->class->resumable && (loss.unconfirmed > 0 || self->world->class->multiplexed))
    for (guint i = 0; i < self->world->pairs->len; i++)
      ((Pair *) self->world->pairs->pdata[i])->excused = TRUE;
  self->protocol->class->detached (self->protocol, &loss);
  g_queue_clear_full (&self->unsent, (GDestroyNotify) tcp_buffer_unref);
  g_queue_clear_full (&self->wire, message_free);
}

static void
world_break (World *self)
{
  /* One end may learn of it long before the other, which continues to send; but what it sends then is not
   * delivered. */
  guint first = g_rand_int_range (self->rand, 0, 2);

  end_detach (&self->ends[first], 0);
  end_detach (&self->ends[!first], 0);
}

/* The client sends its last frames again if they may have been lost with the transport. */
static void
world_say_goodbye (World *self)
{
  End *gateway = &self->ends[GATEWAY];
  GQueue *frames = &self->ends[CLIENT].protocol->goodbye;
  TcpBuffer *frame;

  if (gateway->attached || gateway->protocol->over || g_queue_is_empty (frames))
    return;

  gateway->attached = TRUE;
  gateway->protocol->class->attached (gateway->protocol, TCP_CLOSE_RESET, self->now);
  while ((frame = g_queue_pop_head (frames)) != NULL)
    {
      gateway->protocol->class->receive (gateway->protocol, frame->payload, frame->length, TRUE, TRUE, self->now);
      tcp_buffer_unref (frame);
    }
  g_assert_true (gateway->protocol->over);
  end_detach (gateway, TCP_CLOSE_NORMAL);
}

static void
world_attach (World *self)
{
  if (self->ends[CLIENT].protocol->over && !self->ends[CLIENT].attached)
    world_say_goodbye (self);
  if (self->ends[CLIENT].attached || self->ends[CLIENT].protocol->over || self->ends[GATEWAY].protocol->over)
    return;

  for (guint side = CLIENT; side <= GATEWAY; side++)
    {
      self->ends[side].attached = TRUE;
      self->ends[side].protocol->class->attached (self->ends[side].protocol, TCP_CLOSE_RESET, self->now);
    }
  if (self->class != &tcp_protocol_reverse)
    return;

  self->class->listen (self->ends[CLIENT].protocol, 1, 1001, "");
  self->class->listening (self->ends[GATEWAY].protocol, 1, "localhost", 1001);
}

static void
end_give (End       *self,
          TcpBuffer *frame)
{
  g_assert_cmpuint (frame->length, >, 0);
  g_queue_push_tail (&self->unsent, frame);
}

/* Moves a frame from the queue into the wire: from then on it counts as sent. */
static void
end_push (End *self)
{
  TcpBuffer *frame = g_queue_pop_head (&self->unsent);
  Message *message;

  if (frame == NULL)
    return;
  message = g_new (Message, 1);
  message->bytes = g_bytes_new (frame->payload, frame->length);
  message->text = frame->text;
  g_queue_push_tail (&self->wire, message);
  tcp_buffer_unref (frame);
}

static void
end_deliver (End *self)
{
  End *other = &self->world->ends[!self->side];
  g_autoptr (Message) message = g_queue_pop_head (&self->wire);
  const guint8 *data;
  gsize length;
  gsize cut;

  if (message == NULL)
    {
      /* The closing handshake comes behind all frames. */
      if (self->closed && g_queue_is_empty (&self->unsent))
        {
          guint code = self->code;

          end_detach (other, code);
          end_detach (self, code);
        }
      return;
    }
  if (!other->attached)
    return;

  data = g_bytes_get_data (message->bytes, &length);
  other->protocol->text = message->text;
  cut = chance (self->world, 3) ? g_rand_int (self->world->rand) % length : length;
  if (cut < length)
    other->protocol->class->receive (other->protocol, data, cut, TRUE, FALSE, self->world->now);
  if (other->attached)
    other->protocol->class->receive (other->protocol, data + (cut < length ? cut : 0),
                                     cut < length ? length - cut : length, cut == length, TRUE, self->world->now);
}

/* Sends a frame of a later version, which has to be sent again like any other after a loss. */
static void
end_say_more (End *self)
{
  TcpResumable *resumable = (TcpResumable *) self->protocol;
  TcpResumableType type = g_rand_int_range (self->world->rand, TCP_RESUMABLE_LATER_SEQUENCED, TCP_RESUMABLE_LATER_END);
  TcpBuffer *frame = tcp_resumable_encode (type, g_rand_int (self->world->rand), "more", 4);

  frame->payload[1] = g_rand_int (self->world->rand);
  if (type >= TCP_RESUMABLE_LATER_UNSEQUENCED)
    {
      if (resumable->ready && !self->protocol->over)
        g_queue_push_tail (&resumable->urgent, frame);
      else
        tcp_buffer_unref (frame);
      return;
    }
  /* A gateway sends nothing before its client does. */
  if (self->side == GATEWAY && resumable->receipts.received == 0)
    {
      tcp_buffer_unref (frame);
      return;
    }
  frame->dataless = TRUE;
  tcp_unacknowledged_add (&resumable->sent, frame);
  self->protocol->figures.unacknowledged = resumable->sent.bytes;
}

/* The gateway is to be replaced, or wants another token: the client comes back, and nothing is lost. */
static void
world_send_away (World *self)
{
  TcpResumable *gateway = (TcpResumable *) self->ends[GATEWAY].protocol;

  if (gateway->ready && !gateway->base.over)
    g_queue_push_tail (&gateway->urgent,
                       tcp_resumable_encode_text (TCP_RESUMABLE_GOAWAY, 0,
                                                  chance (self, 2) ? TCP_GOAWAY_RENEW : TCP_GOAWAY_RESTARTING, "later"));
}

/* Streams */

static void
half_send_frame (End  *end,
                 Pair *pair,
                 gsize length)
{
  Half *half = &pair->halves[end->side];
  TcpBuffer *frame = tcp_buffer_new (length);

  for (gsize i = 0; i < length; i++)
    frame->payload[i] = pattern (pair, end->side, half->sent + i);
  frame->length = length;
  half->sent += length;
  end_give (end, end->protocol->class->make_frame (end->protocol, half->known, frame));
}

static void
half_send (End  *end,
           Pair *pair)
{
  TcpProtocol *protocol = end->protocol;
  Half *half = &pair->halves[end->side];
  gsize room;
  guint n;

  if (half->known == NULL || !half->known->active || half->ended || !protocol->class->takes_data (protocol))
    return;
  room = protocol->class->get_room (protocol, half->known);
  if (room == 0)
    return;
  if (half->sent == half->to_send)
    {
      half->ended = TRUE;
      protocol->class->end (protocol, half->known, end->world->now);
      return;
    }

  n = protocol->class->get_n_frames (protocol, half->known, 1 + g_rand_int (end->world->rand) % 4);
  g_assert_cmpuint (n, >=, 1);
  for (guint i = 0; i < n && half->sent < half->to_send; i++)
    {
      /* Frames that are taken in a row are full, except for the last one. */
      gsize size = i + 1 < n ? room : 1 + g_rand_int (end->world->rand) % room;

      g_assert_true (protocol->class->takes_data (protocol));
      g_assert_cmpuint (protocol->class->get_room (protocol, half->known), >=, size);
      half_send_frame (end, pair, MIN (size, half->to_send - half->sent));
    }
}

static Pair *
draw_pair (World *self)
{
  return self->pairs->len > 0 ? self->pairs->pdata[g_rand_int_range (self->rand, 0, self->pairs->len)] : NULL;
}

static void
end_pump (End *self)
{
  TcpProtocol *protocol = self->protocol;

  for (guint i = 0; self->attached && !self->closed && i < 4; i++)
    {
      gboolean room = self->unsent.length < IN_TRANSPORT;
      TcpBuffer *frame = protocol->class->next_frame (protocol, room, self->world->now);

      if (frame != NULL)
        end_give (self, frame);
      else if (room && draw_pair (self->world) != NULL)
        half_send (self, draw_pair (self->world));
    }
}

/* TCP takes some of the data that waits for it. */
static void
half_consume (End  *end,
              Half *half)
{
  if (half->known == NULL)
    return;

  half->queued -= chance (end->world, 2) ? half->queued : half->queued / 2;
  end->protocol->class->flushed (end->protocol, half->known, half->queued);
  if (half->finishing && half->queued == 0)
    {
      half_is_over (half, half->clean);
      release (end, half);
    }
}

static void
half_break (End  *end,
            Pair *pair)
{
  Half *half = &pair->halves[end->side];
  g_autoptr (GError) error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_RESET, "broken on purpose");

  if (half->known == NULL || half->finishing)
    return;

  pair->excused = TRUE;
  end->protocol->class->reset (end->protocol, half->known, error, end->world->now);
  half_is_over (half, FALSE);
  release (end, half);
}

static Pair *
world_add_pair (World *self,
                guint  opener)
{
  Pair *pair = g_new0 (Pair, 1);

  g_ptr_array_add (self->pairs, pair);
  for (guint side = CLIENT; side <= GATEWAY; side++)
    /* Tagged opens a stream with its first data, and has no half-close. */
    pair->halves[side].to_send = 1 + g_rand_int_range (self->rand, 0, 400000);
  pair->opener = opener;
  pair->has_target = chance (self, 2);
  return pair;
}

/* Returns one of the listeners that the end knows; 0 if there is none. */
static guint32
draw_listener (End *end)
{
  g_autofree gpointer *ids = g_hash_table_get_keys_as_array (end->listeners, NULL);
  guint n = g_hash_table_size (end->listeners);

  return n > 0 ? GPOINTER_TO_UINT (ids[g_rand_int_range (end->world->rand, 0, n)]) : 0;
}

/* A TCP client connects to a listener of the gateway. */
static void
world_open_from (World *self)
{
  End *gateway = &self->ends[GATEWAY];
  TcpProtocol *protocol = gateway->protocol;
  guint32 listener = draw_listener (gateway);
  char client[32];
  Pair *pair;

  if (self->class == &tcp_protocol_reverse)
    listener = gateway->attached ? 1 : 0;
  if (listener == 0 || self->pairs->len >= MAX_PAIRS || !protocol->class->may_open (protocol))
    return;

  pair = world_add_pair (self, GATEWAY);
  pair->listener = listener;
  g_snprintf (client, sizeof client, "host-%u:%u", self->pairs->len, 1 + self->pairs->len);
  pair->halves[GATEWAY].known = protocol->class->open_from (protocol, listener, pair->has_target ? client : NULL, pair);
  pair->id = pair->halves[GATEWAY].known->id;
}

/* The client asks for another listener, or one end revokes one. */
static void
world_change_listeners (World *self)
{
  End *end = &self->ends[g_rand_int_range (self->rand, 0, 2)];
  guint32 listener = draw_listener (end);
  g_autofree char *name = NULL;

  if (chance (self, 2) && self->last_listener < 40)
    {
      name = g_strdup_printf ("listener %u", ++self->last_listener);
      self->class->listen (self->ends[CLIENT].protocol, self->last_listener, 1000 + self->last_listener, name);
    }
  else if (listener != 0 && !end->protocol->over)
    {
      self->class->unlisten (end->protocol, listener, TCP_RESET_CLOSED, "enough");
      g_hash_table_remove (end->listeners, GUINT_TO_POINTER (listener));
    }
}

static void
world_open (World *self)
{
  TcpProtocol *protocol = self->ends[CLIENT].protocol;
  gboolean raw = self->class == &tcp_protocol_raw;
  gboolean one = self->single && !(self->lifts_single[CLIENT] && self->lifts_single[GATEWAY]);
  char target[32];
  Pair *pair;

  if (self->pairs->len >= (raw || one ? 1 : MAX_PAIRS) || !protocol->class->may_open (protocol))
    return;

  pair = world_add_pair (self, CLIENT);
  g_snprintf (target, sizeof target, "host-%u:%u", self->pairs->len, 1 + self->pairs->len);
  pair->halves[CLIENT].known = protocol->class->open (protocol, pair->has_target ? target : NULL, pair);
  pair->id = pair->halves[CLIENT].known->id;
  if (raw)
    {
      protocol = self->ends[GATEWAY].protocol;
      pair->opened = TRUE;
      pair->halves[GATEWAY].known = protocol->class->open (protocol, NULL, pair);
    }
}

/* The gateway is replaced by one that has no state. */
static void
world_restart (World *self)
{
  End *gateway = &self->ends[GATEWAY];

  world_break (self);
  for (guint i = 0; i < self->pairs->len; i++)
    {
      Pair *pair = self->pairs->pdata[i];

      if (pair->opened)
        pair->excused = TRUE;
      half_break (gateway, pair);
      if (pair->halves[GATEWAY].known != NULL)
        {
          half_is_over (&pair->halves[GATEWAY], FALSE);
          release (gateway, &pair->halves[GATEWAY]);
        }
      /* Its OPEN may be under way, or lost. */
      if (pair->halves[CLIENT].known != NULL && pair->opener == CLIENT &&
          ((TcpResumableStream *) pair->halves[CLIENT].known)->open_number <
            ((TcpResumable *) self->ends[CLIENT].protocol)->sent.carried)
        pair->excused = TRUE;
    }
  g_hash_table_unref (gateway->listeners);
  tcp_protocol_free (gateway->protocol);
  end_make (gateway);
}

/* The program of the gateway is replaced by another, which continues with the saved state. */
static void
world_replace (World *self)
{
  End *gateway = &self->ends[GATEWAY];
  TcpProtocol *former = gateway->protocol;
  GHashTable *listeners = gateway->listeners;
  g_autoptr (GVariant) state = NULL;
  g_autoptr (GVariant) again = NULL;

  if (former->over)
    return;

  state = tcp_resumable_save (former);
  world_break (self);
  end_make (gateway);
  g_hash_table_unref (gateway->listeners);
  gateway->listeners = listeners;
  g_assert_null (tcp_resumable_load (gateway->protocol, state));
  again = tcp_resumable_save (gateway->protocol);
  g_assert_true (g_variant_equal (state, again));

  for (guint i = 0; i < self->pairs->len; i++)
    {
      Pair *pair = self->pairs->pdata[i];
      Half *half = &pair->halves[GATEWAY];
      TcpProtocolStream *known = half->known;

      if (known == NULL)
        continue;
      half->known = known->active ? tcp_protocol_lookup (gateway->protocol, known->id) : NULL;
      if (half->known != NULL)
        half->known->user_data = pair;
      else
        half_is_over (half, half->clean);
      tcp_protocol_release (former, known);
    }
  tcp_protocol_free (former);
}

/* Checks */

static void
check_resumable (World *self)
{
  for (guint side = CLIENT; side <= GATEWAY; side++)
    {
      TcpResumable *one = (TcpResumable *) self->ends[side].protocol;
      TcpResumable *other = (TcpResumable *) self->ends[!side].protocol;

      g_assert_cmpuint (one->sent.bytes, <=, 300000 + 66000 + TCP_RESUMABLE_SPARE_ROOM);
      g_assert_cmpuint (one->base.figures.unacknowledged, ==, one->sent.bytes);
      if (one->instance != other->instance || one->base.over || other->base.over)
        continue;
      g_assert_cmpuint (one->sent.first, <=, other->receipts.received);
      g_assert_cmpuint (other->receipts.received, <=, one->sent.carried);
    }
}

static void
world_step (World *self)
{
  End *end = &self->ends[g_rand_int_range (self->rand, 0, 2)];
  Pair *pair = draw_pair (self);

  switch (g_rand_int_range (self->rand, 0, 12))
    {
    case 0:
      if (self->class == &tcp_protocol_reverse || (self->listens && chance (self, 2)))
        world_open_from (self);
      else
        world_open (self);
      if (self->listens && !self->healing && chance (self, 4))
        world_change_listeners (self);
      break;
    case 1:
    case 2:
    case 3:
      end_pump (end);
      break;
    case 4:
    case 5:
      end_push (end);
      break;
    case 6:
    case 7:
      end_deliver (end);
      break;
    case 8:
      if (pair != NULL)
        half_consume (end, &pair->halves[end->side]);
      break;
    case 9:
      self->now += g_rand_int_range (self->rand, 1, 60000);
      end->protocol->class->wake (end->protocol, self->now);
      break;
    case 10:
      world_attach (self);
      break;
    default:
      if (self->healing)
        break;
      if (chance (self, 8))
        world_break (self);
      else if (pair != NULL && chance (self, 40))
        half_break (end, pair);
      else if (self->class->resumable && chance (self, 60))
        world_restart (self);
      else if (self->class->resumable && chance (self, 10))
        world_send_away (self);
      else if (self->class->resumable && chance (self, 10))
        world_replace (self);
      else if (self->class->resumable && chance (self, 2) && !end->protocol->over)
        end_say_more (end);
    }
  if (self->class->resumable)
    check_resumable (self);
}

static gboolean
pair_is_over (Pair *self)
{
  return self->halves[self->opener].over && (self->halves[!self->opener].over || !self->opened);
}

/* Whether both ends have the same listeners. */
static gboolean
world_agrees_on_listeners (World *self)
{
  GHashTableIter iter;
  gpointer listener;

  if (!self->listens || self->ends[CLIENT].protocol->over)
    return TRUE;
  if (g_hash_table_size (self->ends[CLIENT].listeners) != g_hash_table_size (self->ends[GATEWAY].listeners))
    return FALSE;

  g_hash_table_iter_init (&iter, self->ends[CLIENT].listeners);
  while (g_hash_table_iter_next (&iter, &listener, NULL))
    if (!g_hash_table_contains (self->ends[GATEWAY].listeners, listener))
      return FALSE;
  return TRUE;
}

static gboolean
world_is_quiet (World *self)
{
  for (guint i = 0; i < self->pairs->len; i++)
    if (!pair_is_over (self->pairs->pdata[i]))
      return FALSE;
  return world_agrees_on_listeners (self);
}

static void
end_free (End *self)
{
  for (guint i = 0; i < self->world->pairs->len; i++)
    {
      Half *half = &((Pair *) self->world->pairs->pdata[i])->halves[self->side];

      if (half->known != NULL)
        release (self, half);
    }
  g_queue_clear_full (&self->unsent, (GDestroyNotify) tcp_buffer_unref);
  g_queue_clear_full (&self->wire, message_free);
  g_hash_table_unref (self->listeners);
  tcp_protocol_free (self->protocol);
}

static void
run (const TcpProtocolClass *class,
     guint32                 seed)
{
  World self = { .class = class, .rand = g_rand_new_with_seed (seed), .now = G_TIME_SPAN_DAY };

  g_snprintf (crash_message, sizeof (crash_message), "# repeat it with: protocol %s %u\n", class->name, seed);
  if (class->resumable && chance (&self, 3))
    {
      self.single = TRUE;
      self.lifts_single[CLIENT] = !chance (&self, 3);
      self.lifts_single[GATEWAY] = !chance (&self, 3);
    }
  self.listens = class->resumable && !self.single && chance (&self, 2);
  self.log = tcp_log_new ("protocol", TCP_TUNNEL_LOG_LEVEL_NONE);
  self.pairs = g_ptr_array_new_with_free_func (g_free);
  for (guint side = CLIENT; side <= GATEWAY; side++)
    {
      self.ends[side].world = &self;
      self.ends[side].side = side;
      end_make (&self.ends[side]);
    }
  for (guint i = 0; i < STEPS; i++)
    world_step (&self);

  self.healing = TRUE;
  for (guint i = 0; i < 300000 && !world_is_quiet (&self); i++)
    world_step (&self);
  g_assert_true (world_agrees_on_listeners (&self));
  for (guint i = 0; i < self.pairs->len; i++)
    {
      Pair *pair = self.pairs->pdata[i];

      g_assert_true (pair_is_over (pair));
      if (class->resumable && !pair->excused)
        {
          g_assert_true (pair->halves[CLIENT].clean && pair->halves[GATEWAY].clean);
          g_assert_cmpuint (pair->halves[CLIENT].received, ==, pair->halves[GATEWAY].to_send);
          g_assert_cmpuint (pair->halves[GATEWAY].received, ==, pair->halves[CLIENT].to_send);
        }
    }

  end_free (&self.ends[CLIENT]);
  end_free (&self.ends[GATEWAY]);
  g_ptr_array_unref (self.pairs);
  tcp_log_unref (self.log);
  g_rand_free (self.rand);
}

static void
on_crash (int number)
{
  G_GNUC_UNUSED gssize n = write (STDERR_FILENO, crash_message, strlen (crash_message));

  signal (number, SIG_DFL);
  raise (number);
}

/* protocol [PROTOCOL [SEED [COUNT]]] */
int
main (int    argc,
      char **argv)
{
  static const TcpProtocolClass *const classes[] = {
    &tcp_protocol_raw, &tcp_protocol_tagged, &tcp_protocol_reverse, &tcp_protocol_resumable,
  };
  guint first = argc > 2 ? strtoul (argv[2], NULL, 10) : 0;
  guint n = test_count (150, 20);

  if (argc > 2)
    n = argc > 3 ? strtoul (argv[3], NULL, 10) : 1;
  signal (SIGABRT, on_crash);
  signal (SIGSEGV, on_crash);
  g_print ("1..%u\n", (guint) G_N_ELEMENTS (classes));
  for (guint i = 0; i < G_N_ELEMENTS (classes); i++)
    {
      if (argc > 1 && strcmp (argv[1], classes[i]->name) != 0)
        continue;
      for (guint k = 0; k < n; k++)
        run (classes[i], first + k);
      g_print ("ok %u %s: %u runs\n", i + 1, classes[i]->name, n);
    }
  return EXIT_SUCCESS;
}
