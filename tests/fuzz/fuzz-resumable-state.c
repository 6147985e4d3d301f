/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"
#include "protocol/resumable-state.h"

/* A state that is accepted is loaded completely, and a client can continue with it. */

static gsize
on_data (TcpProtocolStream *stream,
         const guint8      *data,
         gsize              length,
         gpointer           user_data)
{
  return stream->queued + length;
}

static void
on_listen (guint32     listener,
           guint16     port,
           const char *name,
           gpointer    user_data)
{
}

static void
on_unlistened (guint32       listener,
               TcpResetCode  code,
               const GError *error,
               gpointer      user_data)
{
}

static void
on_stream (TcpProtocolStream *stream,
           gpointer           user_data)
{
}

static void
on_opened (TcpProtocolStream *stream,
           const char        *target,
           gpointer           user_data)
{
}

static void
on_finished (TcpProtocolStream *stream,
             gboolean           complete,
             gpointer           user_data)
{
  tcp_protocol_release (*(TcpProtocol **) user_data, stream);
}

static void
on_was_reset (TcpProtocolStream *stream,
              const GError      *error,
              gboolean           left,
              gpointer           user_data)
{
  tcp_protocol_release (*(TcpProtocol **) user_data, stream);
}

static void
on_nothing (gpointer user_data)
{
}

static void
on_warn (const char *message,
         gpointer    user_data)
{
}

static void
on_close (guint       code,
          const char *reason,
          gpointer    user_data)
{
}

static void
on_abort (const GError *error,
          gpointer      user_data)
{
}

static void
on_take_back (GQueue   *frames,
              gpointer  user_data)
{
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

/* Attaches a transport over which the client returns. */
static void
go_on (TcpProtocol *protocol)
{
  TcpResumable *self = (TcpResumable *) protocol;
  TcpResumableHello hello = {
    .flags = TCP_RESUMABLE_MANY | TCP_RESUMABLE_LISTENERS,
    .instance = self->instance,
    .received = self->sent.carried,
    .window = 1000,
    .max_payload = 1024,
    .max_streams = 10,
  };
  TcpProtocolLoss loss = { .now = 3 };
  g_autoptr (TcpBuffer) said = tcp_resumable_encode_hello (&hello);
  TcpBuffer *frame;

  protocol->class->attached (protocol, 0, 1);
  protocol->class->receive (protocol, said->payload, said->length, TRUE, TRUE, 1);
  while ((frame = protocol->class->next_frame (protocol, TRUE, 2)) != NULL)
    tcp_buffer_unref (frame);
  protocol->class->wake (protocol, 2);
  protocol->class->detached (protocol, &loss);
}

static void
release_all (TcpProtocol *protocol)
{
  GHashTableIter iter;
  gpointer stream;

  while (g_hash_table_iter_init (&iter, protocol->streams), g_hash_table_iter_next (&iter, NULL, &stream))
    tcp_protocol_release (protocol, stream);
}

static void
try_state (GVariant *state)
{
  static const TcpProtocolCallbacks callbacks = {
    .opened = on_opened,
    .connected = on_stream,
    .listen = on_listen,
    .unlistened = on_unlistened,
    .data = on_data,
    .half_closed = on_stream,
    .finished = on_finished,
    .was_reset = on_was_reset,
    .writable = on_stream,
    .hello = on_nothing,
    .draining = on_nothing,
    .close = on_close,
    .abort = on_abort,
    .take_back = on_take_back,
    .look_out = on_look_out,
    .overdrawn = on_overdrawn,
    .warn = on_warn,
    .wakeup = on_nothing,
  };
  g_autoptr (TcpLog) log = tcp_log_new ("fuzz", TCP_TUNNEL_LOG_LEVEL_NONE);
  TcpProtocol *protocol;
  TcpProtocolOptions options = {
    .accepts = TRUE,
    .listens = TRUE,
    .max_streams = 10,
    .max_unacknowledged = 300000,
    .max_window = 1 << 20,
    .max_first_window = G_MAXSIZE,
    .peer = "the client",
    .log = log,
  };

  protocol = tcp_protocol_new (&tcp_protocol_resumable, &options, &callbacks, &protocol);
  if (tcp_resumable_load (protocol, state) == NULL)
    {
      g_autoptr (GVariant) again = tcp_resumable_save (protocol);

      g_assert_true (g_variant_equal (state, again));
      g_clear_pointer (&again, g_variant_unref);
      go_on (protocol);
    }
  else
    g_assert_cmpuint (protocol->n_streams, ==, 0);
  release_all (protocol);
  tcp_protocol_free (protocol);
}

int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize         size)
{
  g_autoptr (GBytes) bytes = g_bytes_new (data, size);
  g_autoptr (GVariant) state = NULL;
  g_autoptr (GVariant) normal = NULL;

  state = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (TCP_RESUMABLE_STATE_TYPE), bytes, FALSE));
  try_state (state);
  /* Most inputs of a fuzzer are not in the normal form, and are refused at once. */
  normal = g_variant_get_normal_form (state);
  try_state (normal);

  return 0;
}
