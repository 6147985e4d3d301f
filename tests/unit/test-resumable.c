/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "protocol/resumable.h"

#include <string.h>
#include <tcptunnel/tcptunnel.h>
#include "base/close-code.h"

/* One end of resumable/1 without a transport, whose peer's frames the test makes itself: the cost that a malicious
 * peer can cause is bounded. */

#define GATEWAY_INSTANCE 5

typedef struct
{
  TcpProtocol *protocol;
  GPtrArray *streams;    /* of TcpProtocolStream: the streams that the peer opened and that have not ended */
  GArray *finished;      /* of guint32: the ids of the finished streams, in order */
  guint draining;
  guint sent_away;       /* the number of calls */
  int sent_away_code;    /* the error code of the last one */
  guint aborted;
  guint warnings;
  guint close_code;
  gboolean overdrawn;    /* the answer of the overdrawn callback */
  guint peer_flags;      /* the flags of the peer's HELLO */
  GString *listeners;    /* the callbacks about listeners, as text */
} End;

static void
on_opened (TcpProtocolStream *stream,
           const char        *target,
           gpointer           user_data)
{
  End *self = user_data;

  g_ptr_array_add (self->streams, stream);
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

  g_string_append_printf (self->listeners, "arrived %u %s;", listener, client);
  g_ptr_array_add (self->streams, stream);
}

static void
on_listen (guint32     listener,
           guint16     port,
           const char *name,
           gpointer    user_data)
{
  g_string_append_printf (((End *) user_data)->listeners, "listen %u %u %s;", listener, port, name);
}

static void
on_listening (guint32     listener,
              const char *host,
              guint16     port,
              gpointer    user_data)
{
  g_string_append_printf (((End *) user_data)->listeners, "listening %u %s %u;", listener, host, port);
}

static void
on_unlistened (guint32       listener,
               TcpResetCode  code,
               const GError *error,
               gpointer      user_data)
{
  g_string_append_printf (((End *) user_data)->listeners, "unlistened %u %u %s;", listener, code, error->message);
}

static gsize
on_data (TcpProtocolStream *stream,
         const guint8      *data,
         gsize              length,
         gpointer           user_data)
{
  return stream->queued + length;
}

static void
end_forget (End               *self,
            TcpProtocolStream *stream)
{
  g_assert_true (g_ptr_array_remove_fast (self->streams, stream));
  tcp_protocol_release (self->protocol, stream);
}

static void
on_half_closed (TcpProtocolStream *stream,
                gpointer           user_data)
{
}

static void
on_finished (TcpProtocolStream *stream,
             gboolean           complete,
             gpointer           user_data)
{
  End *self = user_data;

  g_assert_true (complete);
  g_array_append_val (self->finished, stream->id);
  end_forget (self, stream);
}

static void
on_was_reset (TcpProtocolStream *stream,
              const GError      *error,
              gboolean           left,
              gpointer           user_data)
{
  end_forget (user_data, stream);
}

static void
on_stream (TcpProtocolStream *stream,
           gpointer           user_data)
{
}

static void
on_nothing (gpointer user_data)
{
}

static void
on_draining (gpointer user_data)
{
  ((End *) user_data)->draining++;
}

static void
on_close (guint       code,
          const char *reason,
          gpointer    user_data)
{
  End *self = user_data;

  g_test_message ("closed: %s", reason);
  self->close_code = code;
}

static void
on_abort (const GError *error,
          gpointer      user_data)
{
  ((End *) user_data)->aborted++;
}

static void
on_sent_away (const GError *error,
              gpointer      user_data)
{
  End *self = user_data;

  g_assert_cmpuint (self->aborted, ==, self->sent_away);
  self->sent_away++;
  self->sent_away_code = error->code;
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
  *outlook = (TcpProtocolOutlook) { .round_trip = 1, .response_time = 1 };
}

static void
on_warn (const char *message,
         gpointer    user_data)
{
  ((End *) user_data)->warnings++;
}

static const char *
on_overdrawn (gpointer user_data)
{
  return ((End *) user_data)->overdrawn ? "max-memory: 5" : NULL;
}

static void
end_receive (End       *self,
             TcpBuffer *frame)
{
  self->protocol->class->receive (self->protocol, frame->payload, frame->length, TRUE, TRUE, 1);
  tcp_buffer_unref (frame);
}

static void
end_receive_kind (End              *self,
                  TcpResumableType  type,
                  guint32           id)
{
  end_receive (self, tcp_resumable_encode (type, id, NULL, 0));
}

/* Takes all frames that may be sent, and returns their number. */
static guint
end_send_all (End *self)
{
  TcpBuffer *frame;
  guint n = 0;

  while ((frame = self->protocol->class->next_frame (self->protocol, TRUE, 1)) != NULL)
    {
      tcp_buffer_unref (frame);
      n++;
    }
  return n;
}

static TcpResumable *
end_get_resumable (End *self)
{
  return (TcpResumable *) self->protocol;
}

static void
end_acknowledge_all (End *self)
{
  end_send_all (self);
  end_receive (self, tcp_resumable_encode_ack (end_get_resumable (self)->sent.next));
}

static void
end_attach (End     *self,
            guint64  received)
{
  TcpResumableHello hello = {
    .flags = self->peer_flags,
    .instance = self->protocol->options.client ? GATEWAY_INSTANCE : end_get_resumable (self)->instance,
    .received = received, .window = 65536, .max_payload = 65536, .max_streams = 60000,
  };

  if (received == 0 && !self->protocol->options.client)
    hello.instance = 0;
  self->protocol->class->attached (self->protocol, TCP_CLOSE_RESET, 1);
  end_receive (self, tcp_resumable_encode_hello (&hello));
  end_send_all (self);
}

static End *
end_new_full (gboolean client,
              gboolean accepts,
              gboolean single,
              guint    max_streams,
              guint    peer_flags)
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
    .writable = on_stream,
    .hello = on_nothing,
    .draining = on_draining,
    .sent_away = on_sent_away,
    .close = on_close,
    .abort = on_abort,
    .take_back = on_take_back,
    .look_out = on_look_out,
    .overdrawn = on_overdrawn,
    .warn = on_warn,
    .wakeup = on_nothing,
  };
  g_autoptr (TcpLog) log = tcp_log_new ("test", TCP_TUNNEL_LOG_LEVEL_WARN);
  TcpProtocolOptions options = {
    .client = client,
    .accepts = accepts,
    .single = single,
    .lifts_single = single,
    .listens = (peer_flags & TCP_RESUMABLE_LISTENERS) != 0,
    .max_streams = max_streams,
    .max_unacknowledged = 1 << 20,
    .max_window = 1 << 20,
    .max_first_window = G_MAXSIZE,
    .peer = "the peer",
    .log = log,
  };
  End *self = g_new0 (End, 1);

  self->protocol = tcp_protocol_new (&tcp_protocol_resumable, &options, &callbacks, self);
  self->streams = g_ptr_array_new ();
  self->finished = g_array_new (FALSE, FALSE, sizeof (guint32));
  self->peer_flags = peer_flags;
  self->listeners = g_string_new (NULL);
  /* A session with a single stream ends at once if it has none. */
  if (client && single)
    g_ptr_array_add (self->streams, self->protocol->class->open (self->protocol, NULL, NULL));
  end_attach (self, 0);
  return self;
}

static End *
end_new (gboolean client,
         gboolean accepts,
         guint    max_streams)
{
  return end_new_full (client, accepts, FALSE, max_streams, 0);
}

static void
end_free (End *self)
{
  while (self->streams->len > 0)
    end_forget (self, self->streams->pdata[0]);
  tcp_protocol_free (self->protocol);
  g_ptr_array_unref (self->streams);
  g_array_unref (self->finished);
  g_string_free (self->listeners, TRUE);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (End, end_free)

/* Streams that end */

static void
assert_finished (End     *end,
                 guint    n,
                 guint32  last)
{
  g_assert_cmpuint (end->finished->len, ==, n);
  g_assert_cmpuint (g_array_index (end->finished, guint32, n - 1), ==, last);
}

static void
end_stream (End   *self,
            guint  index)
{
  self->protocol->class->end (self->protocol, self->streams->pdata[index], 1);
}

/* In whatever order the peer ends its streams, an ACK finishes those whose FIN it covers, and examines no others. */
static void
test_ends_in_order (void)
{
  g_autoptr (End) end = end_new (FALSE, TRUE, 10);
  TcpResumable *resumable = end_get_resumable (end);
  guint64 first_fin;

  for (guint32 id = 1; id <= 7; id += 2)
    end_receive_kind (end, TCP_RESUMABLE_OPEN, id);
  g_assert_cmpuint (end->streams->len, ==, 4);
  first_fin = resumable->sent.next;
  for (guint i = 0; i < 3; i++)
    end_stream (end, i);
  end_send_all (end);
  for (guint32 id = 5; id >= 3; id -= 2)
    end_receive_kind (end, TCP_RESUMABLE_FIN, id);
  g_assert_cmpuint (resumable->n_through, ==, 2);
  g_assert_cmpuint (resumable->fins.length, ==, 3);
  for (guint i = 0; i < 3; i++)
    g_assert_cmpuint (((TcpResumableStream *) g_queue_peek_nth (&resumable->fins, i))->base.id, ==, 1 + 2 * i);

  /* It acknowledges nothing new. */
  end_receive (end, tcp_resumable_encode_ack (first_fin));
  g_assert_cmpuint (resumable->fins.length, ==, 3);
  end_receive (end, tcp_resumable_encode_ack (first_fin + 2));
  assert_finished (end, 1, 3);
  g_assert_cmpuint (resumable->fins.length, ==, 1);
  end_receive (end, tcp_resumable_encode_ack (first_fin + 3));
  assert_finished (end, 2, 5);
  g_assert_cmpuint (resumable->n_through, ==, 0);

  /* The FIN of this stream was acknowledged before. */
  end_receive_kind (end, TCP_RESUMABLE_FIN, 1);
  assert_finished (end, 3, 1);
  g_assert_cmpuint (end->streams->len, ==, 1);
}

/* Streams that have ended in both directions do not count against the maximum, unless they still have data for
 * TCP. */
static void
test_ended_streams_do_not_count (void)
{
  g_autoptr (End) end = end_new (FALSE, TRUE, 2);
  TcpProtocolStream *slow;

  for (guint32 id = 1; id <= 3; id += 2)
    end_receive_kind (end, TCP_RESUMABLE_OPEN, id);
  slow = end->streams->pdata[1];
  end_receive (end, tcp_resumable_encode (TCP_RESUMABLE_DATA, slow->id, "x", 1));
  for (guint i = 0; i < 2; i++)
    {
      end_stream (end, i);
      end_receive_kind (end, TCP_RESUMABLE_FIN, 1 + 2 * i);
    }
  end_receive_kind (end, TCP_RESUMABLE_OPEN, 5);
  end_receive_kind (end, TCP_RESUMABLE_OPEN, 7);
  g_assert_cmpuint (end->streams->len, ==, 3);
  end->protocol->class->flushed (end->protocol, slow, 0);
  end_receive_kind (end, TCP_RESUMABLE_OPEN, 9);
  g_assert_cmpuint (end->streams->len, ==, 4);
  end_acknowledge_all (end);
  g_assert_cmpuint (end->finished->len, ==, 2);
  g_assert_cmpuint (end->streams->len, ==, 2);
  end_receive_kind (end, TCP_RESUMABLE_OPEN, 11);
  g_assert_cmpuint (end->streams->len, ==, 2);
}

/* Many streams in a session that would have a single one */

static void
end_detach (End   *self,
            guint  code)
{
  g_autoptr (GError) error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, "it broke");
  TcpProtocolLoss loss = { .code = code, .error = error, .now = 1 };

  self->protocol->class->detached (self->protocol, &loss);
}

static TcpProtocolStream *
open_stream (End *self)
{
  TcpProtocolStream *stream;

  if (!self->protocol->class->may_open (self->protocol))
    return NULL;
  stream = self->protocol->class->open (self->protocol, NULL, NULL);
  g_ptr_array_add (self->streams, stream);
  return stream;
}

static void
finish_first (End *self)
{
  guint32 id = ((TcpProtocolStream *) self->streams->pdata[0])->id;

  end_stream (self, 0);
  end_acknowledge_all (self);
  end_receive_kind (self, TCP_RESUMABLE_FIN, id);
}

static void
test_many_client (void)
{
  g_autoptr (End) agreed = end_new_full (TRUE, FALSE, TRUE, 3, TCP_RESUMABLE_MANY | 0xf000);
  g_autoptr (End) refused = end_new_full (TRUE, FALSE, TRUE, 3, 0xf000);

  /* Each stream has an id of its own, and the session continues when none is left. */
  for (guint32 id = 3; id <= 5; id += 2)
    g_assert_cmpuint (open_stream (agreed)->id, ==, id);
  g_assert_null (open_stream (agreed));
  for (guint i = 0; i < 3; i++)
    finish_first (agreed);
  g_assert_cmpuint (agreed->close_code, ==, 0);
  g_assert_cmpuint (open_stream (agreed)->id, ==, 7);
  g_assert_nonnull (open_stream (agreed));

  g_assert_null (open_stream (refused));
  finish_first (refused);
  g_assert_cmpuint (refused->close_code, ==, TCP_CLOSE_NORMAL);

  /* As many streams may be opened until the next peer announces otherwise. */
  end_detach (agreed, 0);
  agreed->protocol->class->lose (agreed->protocol, &(GError) { .message = (char *) "it was restarted" });
  g_assert_true (agreed->protocol->many);
  g_assert_nonnull (open_stream (agreed));
  g_assert_null (open_stream (agreed));
}

static void
check_many_gateway (guint flags,
                    guint n)
{
  g_autoptr (End) end = end_new_full (FALSE, TRUE, TRUE, 3, flags);

  for (guint32 id = 1; id < 12; id += 2)
    end_receive_kind (end, TCP_RESUMABLE_OPEN, id);
  g_assert_cmpuint (end->streams->len, ==, n);
  g_assert_cmpuint (end->close_code, ==, 0);
}

static void
test_many_gateway (void)
{
  check_many_gateway (0, 1);
  check_many_gateway (0xf000, 1);
  check_many_gateway (TCP_RESUMABLE_MANY, 3);
}

/* Frames that are repeated */

static void
check_draining (gboolean client)
{
  g_autoptr (End) end = end_new (client, !client, 2);

  for (guint i = 0; i < 1000; i++)
    end_receive (end, tcp_resumable_encode_text (TCP_RESUMABLE_GOAWAY, 0, TCP_GOAWAY_DRAINING, "again"));
  g_assert_cmpuint (end->draining, ==, 1);
  g_assert_cmpuint (end->close_code, ==, client ? TCP_CLOSE_NORMAL : 0);
}

static void
test_draining (void)
{
  check_draining (TRUE);
  check_draining (FALSE);
}

/* The last frame */

static guint
count_goodbye (gboolean client,
               gboolean attached,
               guint    close_code)
{
  g_autoptr (End) end = end_new (client, !client, 2);

  if (!attached)
    end_detach (end, 0);
  g_assert_cmpuint (end->protocol->goodbye.length, ==, 0);
  end->protocol->class->leave (end->protocol, "done", FALSE);
  if (attached)
    end_detach (end, close_code);
  return end->protocol->goodbye.length;
}

/* A client keeps its last frames until it knows that they have arrived. */
static void
test_goodbye (void)
{
  g_assert_cmpuint (count_goodbye (TRUE, FALSE, 0), ==, 3);
  g_assert_cmpuint (count_goodbye (TRUE, TRUE, 0), ==, 3);
  g_assert_cmpuint (count_goodbye (TRUE, TRUE, TCP_CLOSE_GOING_AWAY), ==, 3);
  g_assert_cmpuint (count_goodbye (TRUE, TRUE, TCP_CLOSE_SUPERSEDED), ==, 3);
  g_assert_cmpuint (count_goodbye (TRUE, TRUE, TCP_CLOSE_NORMAL), ==, 0);
  g_assert_cmpuint (count_goodbye (TRUE, TRUE, TCP_CLOSE_PROTOCOL_ERROR), ==, 0);
  g_assert_cmpuint (count_goodbye (FALSE, TRUE, 0), ==, 0);
}

static TcpBuffer *
next_frame (End *self)
{
  return self->protocol->class->next_frame (self->protocol, TRUE, 1);
}

/* A stream has ended in order at the client; the gateway, which does not know this yet, learns it when the goodbye is
 * sent again. */
static void
test_goodbye_in_order (void)
{
  g_autoptr (End) client = end_new (TRUE, FALSE, 2);
  g_autoptr (End) gateway = end_new (FALSE, TRUE, 2);
  TcpProtocolStream *stream = client->protocol->class->open (client->protocol, NULL, NULL);
  TcpBuffer *frame;

  end_get_resumable (client)->instance = end_get_resumable (gateway)->instance;
  g_ptr_array_add (client->streams, stream);
  client->protocol->class->end (client->protocol, stream, 1);
  while ((frame = next_frame (client)) != NULL)
    end_receive (gateway, frame);
  end_stream (gateway, 0);
  while ((frame = next_frame (gateway)) != NULL)
    end_receive (client, frame);
  assert_finished (client, 1, 1);
  g_assert_cmpuint (gateway->finished->len, ==, 0);

  client->protocol->class->leave (client->protocol, "done", FALSE);
  end_detach (client, 0);
  end_detach (gateway, 0);
  gateway->protocol->class->attached (gateway->protocol, TCP_CLOSE_RESET, 1);
  while ((frame = g_queue_pop_head (&client->protocol->goodbye)) != NULL)
    end_receive (gateway, frame);
  assert_finished (gateway, 1, 1);
  g_assert_true (gateway->protocol->over);
  g_assert_cmpuint (gateway->close_code, ==, TCP_CLOSE_NORMAL);
}

/* The gateway was restarted, and takes the goodbye that is sent again as that of a new session, in which there is
 * nothing to acknowledge. */
static void
test_goodbye_to_new_session (void)
{
  g_autoptr (End) client = end_new (TRUE, FALSE, 2);
  g_autoptr (End) gateway = end_new (FALSE, TRUE, 2);
  TcpBuffer *frame;

  g_ptr_array_add (client->streams, client->protocol->class->open (client->protocol, NULL, NULL));
  end_send_all (client);
  end_receive (client, tcp_resumable_encode_text (TCP_RESUMABLE_RESET, 1, TCP_RESET_REFUSED, "refused"));
  client->protocol->class->leave (client->protocol, "done", FALSE);
  end_detach (client, 0);

  end_detach (gateway, 0);
  gateway->protocol->class->attached (gateway->protocol, TCP_CLOSE_RESET, 1);
  while ((frame = g_queue_pop_head (&client->protocol->goodbye)) != NULL)
    end_receive (gateway, frame);
  g_assert_cmpuint (gateway->warnings, ==, 0);
  g_assert_true (gateway->protocol->over);
  g_assert_cmpuint (gateway->close_code, ==, TCP_CLOSE_NORMAL);
}

static void
attach_by_instance (End     *gateway,
                    guint64  instance,
                    guint64  received)
{
  TcpResumableHello hello = {
    .instance = instance, .received = received, .window = 65536, .max_payload = 65536, .max_streams = 60000,
  };

  end_detach (gateway, 0);
  gateway->protocol->class->attached (gateway->protocol, TCP_CLOSE_RESET, 1);
  end_receive (gateway, tcp_resumable_encode_hello (&hello));
}

/* If the peer continues with the new session, its acknowledgements are checked there. */
static void
test_new_session_stays (void)
{
  g_autoptr (End) gateway = end_new (FALSE, TRUE, 2);
  TcpResumable *resumable = end_get_resumable (gateway);

  attach_by_instance (gateway, resumable->instance + 1, 7);
  end_receive (gateway, tcp_resumable_encode_ack (7));
  g_assert_cmpuint (gateway->warnings, ==, 0);
  end_receive_kind (gateway, TCP_RESUMABLE_OPEN, 1);
  gateway->protocol->class->connected (gateway->protocol, gateway->streams->pdata[0]);
  end_acknowledge_all (gateway);
  g_assert_cmpuint (resumable->sent.bytes, ==, 0);
  g_assert_cmpuint (gateway->warnings, ==, 0);
  end_receive (gateway, tcp_resumable_encode_ack (7));
  g_assert_cmpuint (gateway->warnings, ==, 1);
}

/* That exception holds for one transport only. */
static void
test_new_session_only_once (void)
{
  g_autoptr (End) gateway = end_new (FALSE, TRUE, 2);
  TcpResumable *resumable = end_get_resumable (gateway);

  attach_by_instance (gateway, resumable->instance + 1, 7);
  attach_by_instance (gateway, resumable->instance, 0);
  end_receive (gateway, tcp_resumable_encode_ack (7));
  g_assert_cmpuint (gateway->warnings, ==, 1);
}

/* The session continues, with all its streams, over the next transport. */
static void
check_sent_away (TcpGoawayCode  code,
                 TcpTunnelError error)
{
  g_autoptr (End) end = end_new (TRUE, FALSE, 2);
  TcpResumable *resumable = end_get_resumable (end);

  g_ptr_array_add (end->streams, end->protocol->class->open (end->protocol, NULL, NULL));
  end_send_all (end);
  end_receive (end, tcp_resumable_encode_text (TCP_RESUMABLE_GOAWAY, 0, code, "come back"));
  g_assert_cmpuint (end->sent_away, ==, 1);
  g_assert_cmpint (end->sent_away_code, ==, (int) error);
  g_assert_cmpuint (end->aborted, ==, 1);
  g_assert_cmpuint (end->close_code, ==, 0);
  g_assert_false (end->protocol->over);
  end_detach (end, 0);
  g_assert_cmpuint (end->protocol->goodbye.length, ==, 0);
  end_attach (end, 0);
  g_assert_cmpuint (resumable->sent.sent, ==, 1);
  end_acknowledge_all (end);
  g_assert_cmpuint (end->streams->len, ==, 1);
}

static void
test_sent_away (void)
{
  g_autoptr (End) gateway = end_new (FALSE, TRUE, 2);

  check_sent_away (TCP_GOAWAY_RENEW, TCP_TUNNEL_ERROR_UNAUTHORIZED);
  check_sent_away (TCP_GOAWAY_RESTARTING, TCP_TUNNEL_ERROR_UNREACHABLE);

  /* A client must not send this. */
  end_receive (gateway, tcp_resumable_encode_text (TCP_RESUMABLE_GOAWAY, 0, TCP_GOAWAY_RENEW, "you do"));
  g_assert_cmpuint (gateway->sent_away, ==, 0);
  g_assert_true (gateway->protocol->over);
}

/* Answers that are not acknowledged */

/* Returns the number of OPENs that the end answers, each as it arrives, until it ends the session. Sets @kept to the
 * maximum that it kept until then. */
static guint
count_answers (End   *end,
               gsize *kept)
{
  TcpResumable *resumable = end_get_resumable (end);
  guint n;

  *kept = 0;
  for (n = 0; end->close_code == 0; n++)
    {
      *kept = MAX (*kept, resumable->sent.bytes);
      g_assert_cmpuint (n, <, 100000);
      end_receive_kind (end, TCP_RESUMABLE_OPEN, 1 + 2 * n);
      end_send_all (end);
    }
  g_assert_cmpuint (end->close_code, ==, TCP_CLOSE_PROTOCOL_ERROR);
  g_assert_cmpuint (end->warnings, ==, 1);
  g_assert_cmpuint (resumable->sent.bytes, ==, 0);
  return n;
}

/* The amount is bounded, however many streams are allowed. */
static void
test_unacknowledged (void)
{
  g_autoptr (End) end = end_new (FALSE, FALSE, 60000);
  gsize kept;

  g_assert_cmpuint (count_answers (end, &kept), >, 1000);
  g_assert_cmpuint (kept, <=, TCP_RESUMABLE_SPARE_ROOM);
}

/* Streams that wait for an acknowledgement only do not make room for more of them. */
static void
test_unacknowledged_ends (void)
{
  g_autoptr (End) end = end_new (FALSE, TRUE, 60000);
  TcpResumable *resumable = end_get_resumable (end);

  for (guint32 id = 1; end->close_code == 0; id += 2)
    {
      g_assert_cmpuint (resumable->sent.bytes, <=, TCP_RESUMABLE_SPARE_ROOM + 2 * TCP_RESUMABLE_SPARE_ROOM_PER_STREAM);
      end_receive_kind (end, TCP_RESUMABLE_OPEN, id);
      end_receive_kind (end, TCP_RESUMABLE_FIN, id);
      if (end->close_code == 0)
        end_stream (end, end->streams->len - 1);
      end_send_all (end);
    }
  g_assert_cmpuint (end->close_code, ==, TCP_CLOSE_PROTOCOL_ERROR);
  g_assert_cmpuint (end->streams->len, ==, 0);
}

/* With no memory left there is less room, but enough for what a well-behaved peer may not have acknowledged yet. */
static void
test_overdrawn (void)
{
  g_autoptr (End) end = end_new (FALSE, FALSE, 60000);
  gsize kept;

  end->overdrawn = TRUE;
  g_assert_cmpuint (count_answers (end, &kept), >, 100);
  g_assert_cmpuint (kept, <=, TCP_RESUMABLE_LEAST_SPARE_ROOM);
}

static void
end_receive_piece (End      *self,
                   gsize     length,
                   gboolean  first,
                   gboolean  last)
{
  TcpBuffer *frame = tcp_resumable_encode (TCP_RESUMABLE_LATER_UNSEQUENCED, 0, NULL, 0);
  g_autofree guint8 *data = g_malloc0 (length);

  /* A frame of a later version, whatever its content. */
  if (first)
    memcpy (data, frame->payload, frame->length);
  self->protocol->class->receive (self->protocol, data, length, first, last, 1);
  tcp_buffer_unref (frame);
}

/* The received part of a fragmented message is counted, and its memory is freed when it is complete, or can no longer
 * be completed. */
static void
test_pieces (void)
{
  g_autoptr (End) end = end_new (FALSE, FALSE, 60000);
  g_autoptr (GError) error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_RESET, "gone");
  TcpProtocolLoss loss = { .error = error, .now = 1 };
  TcpResumable *resumable = end_get_resumable (end);

  for (guint i = 0; i < 2; i++)
    {
      for (guint n = 0; n < 4; n++)
        {
          end_receive_piece (end, 15000, n == 0, FALSE);
          g_assert_cmpuint (end->protocol->figures.remembered, ==, (n + 1) * 15000);
        }
      g_assert_cmpuint (resumable->pieces->len, ==, 60000);
      if (i == 0)
        end_receive_piece (end, 1000, FALSE, TRUE);
      else
        end->protocol->class->detached (end->protocol, &loss);
      g_assert_cmpuint (end->protocol->figures.remembered, ==, 0);
      /* Not even an empty array has kept the memory of its former length. */
      g_assert_null (resumable->pieces->data);
    }
  g_assert_cmpuint (end->close_code, ==, 0);
}

static void
test_pieces_overdrawn (void)
{
  g_autoptr (End) end = end_new (FALSE, FALSE, 60000);

  end->overdrawn = TRUE;
  end_receive_piece (end, TCP_RESUMABLE_LEAST_SPARE_ROOM, TRUE, FALSE);
  g_assert_cmpuint (end->close_code, ==, 0);
  end_receive_piece (end, 1, FALSE, FALSE);
  g_assert_cmpuint (end->close_code, ==, TCP_CLOSE_PROTOCOL_ERROR);
  g_assert_cmpuint (end->protocol->figures.remembered, ==, 0);
}

#define MANY 5000

/* A target with thousands of connections fails while there is no transport. */
static void
test_many_resets (void)
{
  g_autoptr (End) end = end_new (FALSE, TRUE, 60000);
  g_autoptr (GError) error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_RESET, "%0400d", 0);
  TcpProtocolLoss loss = { .error = error, .now = 1 };
  TcpResumable *resumable = end_get_resumable (end);

  for (guint32 id = 1; id < 2 * MANY; id += 2)
    {
      end_receive_kind (end, TCP_RESUMABLE_OPEN, id);
      end->protocol->class->connected (end->protocol, end->streams->pdata[id / 2]);
    }
  end_send_all (end);
  end->protocol->class->detached (end->protocol, &loss);
  while (end->streams->len > 0)
    {
      TcpProtocolStream *stream = end->streams->pdata[0];

      end->protocol->class->reset (end->protocol, stream, error, 1);
      end_forget (end, stream);
      end->protocol->class->wake (end->protocol, 1);
    }
  g_assert_cmpuint (resumable->sent.frames.length, ==, 2 * MANY);
  g_assert_cmpuint (resumable->sent.dataless, >, 2 * TCP_RESUMABLE_SPARE_ROOM);

  end_attach (end, MANY);
  end_acknowledge_all (end);
  g_assert_cmpuint (resumable->sent.bytes, ==, 0);
  g_assert_cmpuint (end->close_code, ==, 0);
  end_receive_kind (end, TCP_RESUMABLE_OPEN, 2 * MANY + 1);
  g_assert_cmpuint (end->streams->len, ==, 1);
}

/* Listeners */

static void
assert_said (End        *end,
             const char *wanted)
{
  g_assert_cmpstr (end->listeners->str, ==, wanted);
  g_string_truncate (end->listeners, 0);
}

/* Returns the next frame that is not an ACK. */
static TcpResumableFrame
end_next (End        *end,
          TcpBuffer **buffer)
{
  TcpResumableFrame frame;

  do
    {
      g_clear_pointer (buffer, tcp_buffer_unref);
      *buffer = end->protocol->class->next_frame (end->protocol, TRUE, 1);
      g_assert_nonnull (*buffer);
      g_assert_true (tcp_resumable_decode ((*buffer)->payload, (*buffer)->length, &frame, NULL));
    }
  while (frame.type == TCP_RESUMABLE_ACK);
  return frame;
}

static void
end_expect (End              *end,
            TcpResumableType  type,
            guint32           id,
            guint64           number,
            const char       *text)
{
  g_autoptr (TcpBuffer) buffer = NULL;
  TcpResumableFrame frame = end_next (end, &buffer);

  g_assert_cmpuint (frame.type, ==, type);
  g_assert_cmpuint (frame.id, ==, id);
  g_assert_cmpuint (frame.number, ==, number);
  if (text != NULL)
    g_assert_cmpmem (frame.payload, frame.length, text, strlen (text));
}

/* A client asks for listeners before there is a session, and later; it asks again when the session is lost, in the
 * same order. */
static void
test_listen_client (void)
{
  g_autoptr (End) end = end_new_full (TRUE, FALSE, FALSE, 10, TCP_RESUMABLE_LISTENERS);
  const TcpProtocolClass *class = end->protocol->class;
  g_autoptr (GError) error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, "gone");
  TcpProtocolLoss loss = { .error = error, .now = 1 };
  TcpResumableHello hello = {
    .flags = TCP_RESUMABLE_LISTENERS, .instance = GATEWAY_INSTANCE + 1, .window = 65536, .max_payload = 65536, .max_streams = 10,
  };

  class->listen (end->protocol, 1, 57090, "web");
  class->listen (end->protocol, 4, 0, "");
  class->listen (end->protocol, 1, 57090, "web");
  end_expect (end, TCP_RESUMABLE_LISTEN, 1, 57090, "web");
  end_expect (end, TCP_RESUMABLE_LISTEN, 4, 0, "");
  g_assert_cmpuint (end_send_all (end), ==, 0);
  end_receive (end, tcp_resumable_encode_port (TCP_RESUMABLE_LISTENING, 4, 57091, "127.0.0.1"));
  end_receive (end, tcp_resumable_encode_text (TCP_RESUMABLE_UNLISTEN, 1, TCP_RESET_IN_USE, "taken"));
  assert_said (end, "listening 4 127.0.0.1 57091;unlistened 1 10 the peer does not listen: taken;");

  /* The other listener is unknown by now. */
  end_receive (end, tcp_resumable_encode_arrival (2, 4, "192.0.2.1:7"));
  end_receive (end, tcp_resumable_encode_arrival (4, 1, "192.0.2.1:7"));
  assert_said (end, "arrived 4 192.0.2.1:7;");
  end_expect (end, TCP_RESUMABLE_RESET, 4, TCP_RESET_CLOSED, NULL);
  g_assert_cmpuint (((TcpProtocolStream *) end->streams->pdata[0])->id, ==, 2);

  end_acknowledge_all (end);
  class->listen (end->protocol, 5, 1, "late");
  class->detached (end->protocol, &loss);
  class->attached (end->protocol, TCP_CLOSE_RESET, 1);
  end_receive (end, tcp_resumable_encode_hello (&hello));
  /* The stream belonged to the session that was lost. */
  g_assert_cmpuint (end->streams->len, ==, 0);
  end_expect (end, TCP_RESUMABLE_HELLO, 0, 0, NULL);
  end_expect (end, TCP_RESUMABLE_LISTEN, 4, 0, "");
  end_expect (end, TCP_RESUMABLE_LISTEN, 5, 1, "late");

  class->unlisten (end->protocol, 4, TCP_RESET_CLOSED, "enough");
  end_expect (end, TCP_RESUMABLE_UNLISTEN, 4, TCP_RESET_CLOSED, "enough");
  end_receive (end, tcp_resumable_encode_port (TCP_RESUMABLE_LISTENING, 4, 57091, "127.0.0.1"));
  end_receive (end, tcp_resumable_encode_text (TCP_RESUMABLE_UNLISTEN, 4, TCP_RESET_CLOSED, ""));
  assert_said (end, "");
  g_assert_cmpuint (end->close_code, ==, 0);
}

/* If the peer does not support listeners, the end reports this itself. */
static void
test_listen_alone (void)
{
  g_autoptr (End) end = end_new (TRUE, FALSE, 10);

  end->protocol->options.listens = TRUE;
  end->protocol->class->listen (end->protocol, 1, 57090, "web");
  g_assert_true (g_str_has_prefix (end->listeners->str, "unlistened 1 5 "));
  g_string_truncate (end->listeners, 0);
  end_receive (end, tcp_resumable_encode_port (TCP_RESUMABLE_LISTENING, 1, 57091, "127.0.0.1"));
  end_receive (end, tcp_resumable_encode_arrival (2, 1, ""));
  end_expect (end, TCP_RESUMABLE_RESET, 2, TCP_RESET_FORBIDDEN, NULL);
  assert_said (end, "");
  g_assert_cmpuint (end->close_code, ==, 0);
}

static void
test_listen_gateway (void)
{
  g_autoptr (End) end = end_new_full (FALSE, TRUE, FALSE, 10, TCP_RESUMABLE_LISTENERS);
  const TcpProtocolClass *class = end->protocol->class;

  end_receive (end, tcp_resumable_encode_port (TCP_RESUMABLE_LISTEN, 3, 57090, "we\nb"));
  assert_said (end, "listen 3 57090 we\\x0ab;");
  class->listening (end->protocol, 3, "::1", 57090);
  end_expect (end, TCP_RESUMABLE_LISTENING, 3, 57090, "::1");

  g_ptr_array_add (end->streams, class->open_from (end->protocol, 3, "192.0.2.1:7", NULL));
  g_ptr_array_add (end->streams, class->open_from (end->protocol, 3, NULL, NULL));
  end_expect (end, TCP_RESUMABLE_OPEN, 2, 0, NULL);
  end_expect (end, TCP_RESUMABLE_OPEN, 4, 0, NULL);

  end_receive (end, tcp_resumable_encode_text (TCP_RESUMABLE_UNLISTEN, 3, TCP_RESET_CLOSED, "enough"));
  end_receive (end, tcp_resumable_encode_text (TCP_RESUMABLE_UNLISTEN, 3, TCP_RESET_CLOSED, "enough"));
  assert_said (end, "unlistened 3 8 the peer does not listen: enough;");
  /* The answer about a listener that was revoked is not sent. */
  class->listening (end->protocol, 3, "::1", 57090);
  class->unlisten (end->protocol, 3, TCP_RESET_IN_USE, "taken");
  g_assert_cmpuint (end_send_all (end), ==, 0);
  g_assert_cmpuint (end->streams->len, ==, 2);

  class->drain (end->protocol);
  end_send_all (end);
  end_receive (end, tcp_resumable_encode_port (TCP_RESUMABLE_LISTEN, 4, 57090, ""));
  end_expect (end, TCP_RESUMABLE_UNLISTEN, 4, TCP_RESET_DRAINING, NULL);
  assert_said (end, "");
}

static void
test_listen_too_many (void)
{
  g_autoptr (End) end = end_new_full (FALSE, TRUE, FALSE, 10, TCP_RESUMABLE_LISTENERS);

  for (guint32 id = 1; id <= TCP_RESUMABLE_MAX_LISTENERS + 1; id++)
    end_receive (end, tcp_resumable_encode_port (TCP_RESUMABLE_LISTEN, id, 0, ""));
  end_expect (end, TCP_RESUMABLE_UNLISTEN, TCP_RESUMABLE_MAX_LISTENERS + 1, TCP_RESET_LIMIT, NULL);
  g_assert_cmpuint (end_get_resumable (end)->listeners->len, ==, TCP_RESUMABLE_MAX_LISTENERS);
}

static void
assert_broken (gboolean   client,
               TcpBuffer *frame)
{
  g_autoptr (End) end = end_new_full (client, !client, FALSE, 10, TCP_RESUMABLE_LISTENERS);

  if (!client)
    end_receive (end, tcp_resumable_encode_port (TCP_RESUMABLE_LISTEN, 5, 0, ""));
  end_receive (end, frame);
  g_assert_cmpuint (end->close_code, ==, TCP_CLOSE_PROTOCOL_ERROR);
}

static void
test_listen_broken (void)
{
  assert_broken (FALSE, tcp_resumable_encode_port (TCP_RESUMABLE_LISTEN, 5, 0, ""));
  assert_broken (FALSE, tcp_resumable_encode_port (TCP_RESUMABLE_LISTEN, 4, 0, ""));
  assert_broken (FALSE, tcp_resumable_encode_port (TCP_RESUMABLE_LISTEN, 6, 0, "\xff"));
  assert_broken (FALSE, tcp_resumable_encode_port (TCP_RESUMABLE_LISTENING, 5, 1, "x"));
  assert_broken (TRUE, tcp_resumable_encode_port (TCP_RESUMABLE_LISTEN, 5, 1, "x"));
  assert_broken (TRUE, tcp_resumable_encode_port (TCP_RESUMABLE_LISTENING, 5, 0, "x"));
  assert_broken (TRUE, tcp_resumable_encode_port (TCP_RESUMABLE_LISTENING, 5, 1, ""));
  assert_broken (TRUE, tcp_resumable_encode_port (TCP_RESUMABLE_LISTENING, 5, 1, "-oProxyCommand=x"));
  assert_broken (TRUE, tcp_resumable_encode_port (TCP_RESUMABLE_LISTENING, 5, 1, "a b"));
  assert_broken (TRUE, tcp_resumable_encode_port (TCP_RESUMABLE_LISTENING, 5, 1, "::1%a;b"));
  assert_broken (TRUE, tcp_resumable_encode_port (TCP_RESUMABLE_LISTENING, 5, 1, "\xc3\xbc"));
  assert_broken (TRUE, tcp_resumable_encode (TCP_RESUMABLE_OPEN, 2, "\0\0\1", 3));
  assert_broken (TRUE, tcp_resumable_encode_arrival (3, 1, ""));
}

/* A flag that was announced holds for the whole session. */
static void
test_taken_back (void)
{
  g_autoptr (End) end = end_new_full (TRUE, FALSE, FALSE, 10, TCP_RESUMABLE_LISTENERS);
  const TcpProtocolClass *class = end->protocol->class;
  g_autoptr (GError) error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, "gone");
  TcpProtocolLoss loss = { .error = error, .now = 1 };
  TcpResumableHello hello = {
    .flags = TCP_RESUMABLE_LISTENERS, .instance = GATEWAY_INSTANCE, .window = 65536, .max_payload = 65536, .max_streams = 10,
  };

  for (guint i = 0; i < 2; i++)
    {
      class->detached (end->protocol, &loss);
      class->attached (end->protocol, TCP_CLOSE_RESET, 1);
      end_receive (end, tcp_resumable_encode_hello (&hello));
      g_assert_cmpuint (end->close_code, ==, i == 0 ? 0 : TCP_CLOSE_PROTOCOL_ERROR);
      hello.flags = 0;
    }
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/resumable/ends-in-order", test_ends_in_order);
  g_test_add_func ("/resumable/ended-streams-do-not-count", test_ended_streams_do_not_count);
  g_test_add_func ("/resumable/many-client", test_many_client);
  g_test_add_func ("/resumable/many-gateway", test_many_gateway);
  g_test_add_func ("/resumable/draining", test_draining);
  g_test_add_func ("/resumable/goodbye", test_goodbye);
  g_test_add_func ("/resumable/goodbye-in-order", test_goodbye_in_order);
  g_test_add_func ("/resumable/goodbye-to-new-session", test_goodbye_to_new_session);
  g_test_add_func ("/resumable/new-session-stays", test_new_session_stays);
  g_test_add_func ("/resumable/new-session-only-once", test_new_session_only_once);
  g_test_add_func ("/resumable/sent-away", test_sent_away);
  g_test_add_func ("/resumable/unacknowledged", test_unacknowledged);
  g_test_add_func ("/resumable/unacknowledged-ends", test_unacknowledged_ends);
  g_test_add_func ("/resumable/overdrawn", test_overdrawn);
  g_test_add_func ("/resumable/pieces", test_pieces);
  g_test_add_func ("/resumable/pieces-overdrawn", test_pieces_overdrawn);
  g_test_add_func ("/resumable/many-resets", test_many_resets);
  g_test_add_func ("/resumable/listen-client", test_listen_client);
  g_test_add_func ("/resumable/listen-alone", test_listen_alone);
  g_test_add_func ("/resumable/listen-gateway", test_listen_gateway);
  g_test_add_func ("/resumable/listen-too-many", test_listen_too_many);
  g_test_add_func ("/resumable/listen-broken", test_listen_broken);
  g_test_add_func ("/resumable/taken-back", test_taken_back);
  return g_test_run ();
}
