/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A protocol object of raw, tagged or reverse, of either end: the input consists of what its peer sends, in which
 * pieces, and other events. Whatever these are, the object has no more streams than allowed, each stream begins and ends
 * once, and none gets data after its end. */

#include "fuzz.h"

#include <string.h>
#include <tcptunnel/tcptunnel.h>
#include "base/close-code.h"
#include "protocol/plain.h"

#define MAX_STREAMS 3
#define MAX_PIECE 64

typedef struct
{
  const guint8 *data;
  gsize left;
  TcpProtocol *protocol;
  GPtrArray *streams; /* of TcpProtocolStream: all that were not released */
  GQueue frames;      /* of TcpBuffer: frames that a transport might give back */
  gboolean attached;
  gint64 now;
} Fuzz;

static guint8
take_u8 (Fuzz *self)
{
  if (self->left == 0)
    return 0;

  self->left--;
  return *self->data++;
}

static void
release (Fuzz              *self,
         TcpProtocolStream *stream)
{
  g_assert_true (g_ptr_array_remove_fast (self->streams, stream));
  tcp_protocol_release (self->protocol, stream);
}

/* Callbacks */

static void
on_opened (TcpProtocolStream *stream,
           const char        *target,
           gpointer           user_data)
{
  Fuzz *self = user_data;

  g_assert_null (target);
  g_ptr_array_add (self->streams, stream);
  /* A stream may be refused at once. */
  if (take_u8 (self) % 4 == 0)
    {
      self->protocol->class->reset (self->protocol, stream, NULL, self->now);
      release (self, stream);
    }
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
  Fuzz *self = user_data;

  g_assert_true (self->protocol->options.client);
  on_opened (stream, NULL, user_data);
}

static void
on_listening (guint32     listener,
              const char *host,
              guint16     port,
              gpointer    user_data)
{
  g_assert_cmpuint (listener, ==, 1);
  g_assert_cmpuint (port, !=, 0);
  /* The host is passed to programs of the user. */
  g_assert_cmpint (*host, !=, '-');
  g_assert_cmpint (*host, !=, '\0');
  for (; *host != '\0'; host++)
    g_assert_true (g_ascii_isalnum (*host) || strchr (".-:%", *host) != NULL);
}

static void
on_unlistened (guint32       listener,
               TcpResetCode  code,
               const GError *error,
               gpointer      user_data)
{
  g_assert_cmpuint (listener, ==, 1);
  g_assert_nonnull (error);
}

static void
on_hello (gpointer user_data)
{
}

static void
on_abort (const GError *error,
          gpointer      user_data)
{
  g_assert_nonnull (error);
}

static gsize
on_data (TcpProtocolStream *stream,
         const guint8      *data,
         gsize              length,
         gpointer           user_data)
{
  g_assert_true (stream->active);
  g_assert_cmpuint (length, >, 0);
  return stream->queued + length;
}

static void
on_finished (TcpProtocolStream *stream,
             gboolean           complete,
             gpointer           user_data)
{
  Fuzz *self = user_data;

  g_assert_false (stream->active);
  if (take_u8 (self) % 2 == 0)
    release (self, stream);
}

static void
on_was_reset (TcpProtocolStream *stream,
              const GError      *error,
              gboolean           left,
              gpointer           user_data)
{
  g_assert_false (stream->active);
  g_assert_nonnull (error);
  release (user_data, stream);
}

static void
pump (Fuzz *self)
{
  TcpBuffer *frame;

  while ((frame = self->protocol->class->next_frame (self->protocol, TRUE, self->now)) != NULL)
    g_queue_push_tail (&self->frames, frame);
}

static void
on_close (guint       code,
          const char *reason,
          gpointer    user_data)
{
  Fuzz *self = user_data;

  g_assert_true (self->attached);
  g_assert_cmpuint (code, !=, 0);
  pump (self);
}

static void
on_take_back (GQueue   *frames,
              gpointer  user_data)
{
  Fuzz *self = user_data;

  *frames = self->frames;
  self->frames = (GQueue) G_QUEUE_INIT;
}

static void
on_warn (const char *message,
         gpointer    user_data)
{
}

static void
on_wakeup (gpointer user_data)
{
}

/* Steps */

static void
step_receive (Fuzz *self)
{
  guint8 how = take_u8 (self);
  gsize wanted = take_u8 (self) % MAX_PIECE;
  gsize length = MIN (wanted, self->left);
  /* A sanitizer detects any access beyond the end of this copy. */
  g_autofree guint8 *piece = g_memdup2 (self->data, length);

  self->data += length;
  self->left -= length;
  self->protocol->text = how & 4;
  if (self->attached)
    self->protocol->class->receive (self->protocol, piece, length, how & 1, how & 2, self->now);
}

static void
step_break (Fuzz *self)
{
  static const guint codes[] = { 0, TCP_CLOSE_NORMAL, TCP_CLOSE_NO_CODE, TCP_CLOSE_RESET, TCP_CLOSE_SUPERSEDED, 1006 };
  g_autoptr (GError) error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, "it broke");
  TcpProtocolLoss loss = {
    .code = codes[take_u8 (self) % G_N_ELEMENTS (codes)],
    .error = error,
    .pending = self->frames.length,
    .unconfirmed = take_u8 (self) % 3,
    .now = self->now,
  };

  if (!self->attached)
    {
      self->attached = TRUE;
      self->protocol->class->attached (self->protocol, TCP_CLOSE_RESET, self->now);
      if (self->protocol->class == &tcp_protocol_reverse && self->protocol->options.client)
        self->protocol->class->listen (self->protocol, 1, 1, "");
      return;
    }

  self->attached = FALSE;
  self->protocol->class->detached (self->protocol, &loss);
  g_queue_clear_full (&self->frames, (GDestroyNotify) tcp_buffer_unref);
}

static void
step_open (Fuzz *self)
{
  TcpProtocol *protocol = self->protocol;

  /* Raw has a single stream, which is opened once. */
  if (!protocol->class->may_open (protocol) || (!protocol->class->multiplexed && self->streams->len > 0))
    return;
  if (protocol->class == &tcp_protocol_reverse)
    g_ptr_array_add (self->streams, protocol->class->open_from (protocol, 1, NULL, NULL));
  else
    g_ptr_array_add (self->streams, protocol->class->open (protocol, NULL, NULL));
}

static void
step_stream (Fuzz *self)
{
  const TcpProtocolClass *class = self->protocol->class;
  guint8 how = take_u8 (self);
  TcpProtocolStream *stream;
  gsize room;

  if (self->streams->len == 0)
    return;

  stream = self->streams->pdata[how / 8 % self->streams->len];
  if (!stream->active)
    {
      release (self, stream);
      return;
    }

  room = self->attached ? class->get_room (self->protocol, stream) : 0;
  switch (how % 8)
    {
    case 0:
      class->reset (self->protocol, stream, NULL, self->now);
      release (self, stream);
      break;
    case 1:
      if (room > 0)
        class->end (self->protocol, stream, self->now);
      break;
    case 2:
      class->flushed (self->protocol, stream, 0);
      break;
    default:
      pump (self);
      if (room > 0)
        {
          TcpBuffer *buffer = tcp_buffer_new (1);

          buffer->payload[0] = how;
          buffer->length = 1;
          g_queue_push_tail (&self->frames, class->make_frame (self->protocol, stream, buffer));
        }
      break;
    }
}

static void
step (Fuzz *self)
{
  g_autoptr (GError) error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, "forgotten");

  switch (take_u8 (self) % 16)
    {
    case 0:
    case 1:
      step_break (self);
      break;
    case 2:
      step_open (self);
      break;
    case 3:
      self->now += take_u8 (self) * G_TIME_SPAN_SECOND;
      self->protocol->class->wake (self->protocol, self->now);
      break;
    case 4:
      if (!self->attached)
        self->protocol->class->lose (self->protocol, error);
      break;
    case 5:
    case 6:
    case 7:
      step_stream (self);
      break;
    default:
      step_receive (self);
      break;
    }
}

static void
check (Fuzz *self)
{
  guint active = 0;

  g_assert_cmpuint (self->protocol->n_streams, ==, self->streams->len);
  g_assert_cmpuint (self->protocol->n_streams, <=, MAX_STREAMS);
  for (guint i = 0; i < self->streams->len; i++)
    {
      TcpProtocolStream *stream = self->streams->pdata[i];

      active += stream->active;
      if (stream->active)
        g_assert_true (tcp_protocol_lookup (self->protocol, stream->id) == stream);
    }
  g_assert_cmpuint (g_hash_table_size (self->protocol->streams), ==, active);
}

int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize         size)
{
  static const TcpProtocolCallbacks callbacks = {
    .opened = on_opened,
    .connected = on_connected,
    .arrived = on_arrived,
    .listening = on_listening,
    .unlistened = on_unlistened,
    .hello = on_hello,
    .abort = on_abort,
    .data = on_data,
    .finished = on_finished,
    .was_reset = on_was_reset,
    .close = on_close,
    .take_back = on_take_back,
    .warn = on_warn,
    .wakeup = on_wakeup,
  };
  Fuzz self = { .data = data, .left = size, .now = G_TIME_SPAN_DAY };
  guint8 how = take_u8 (&self);
  TcpProtocolOptions options = {
    .client = how & 2,
    .accepts = !(how & 2),
    .nameless = how & 4,
    .reset_on_loss = how & 8,
    .hello_timeout = 10000,
    .max_streams = MAX_STREAMS,
    .peer = "the peer",
    .log = tcp_log_new ("fuzz", TCP_TUNNEL_LOG_LEVEL_NONE),
  };

  self.streams = g_ptr_array_new ();
  self.protocol = tcp_protocol_new (how & 1 ? &tcp_protocol_raw : how & 16 ? &tcp_protocol_reverse : &tcp_protocol_tagged,
                                    &options, &callbacks, &self);
  while (self.left > 0)
    {
      step (&self);
      check (&self);
    }

  while (self.streams->len > 0)
    release (&self, self.streams->pdata[0]);
  g_queue_clear_full (&self.frames, (GDestroyNotify) tcp_buffer_unref);
  tcp_protocol_free (self.protocol);
  g_ptr_array_unref (self.streams);
  tcp_log_unref (options.log);
  return 0;
}
