/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A resumable session, of either end, on the test doubles of the model. The input consists of what its peer sends,
 * and of other events: WebSockets, TCP connections, time. Whatever these are, the invariants of the session hold. */

#include "fuzz.h"

#include <string.h>
#include "doubles.h"
#include "session-check.h"

#define MAX_STEPS 2000
#define MAX_RETAINED 100000
#define MAX_WINDOW (256 * 1024)
#define MAX_STREAMS 4
#define MAX_TEXT 600

typedef struct
{
  const guint8 *data;
  gsize left;

  Side side;
  gboolean single;
  GRand *rand;
  TcpLog *log;
  TcpStatus *status;
  TcpSession *session;
  GPtrArray *links; /* of Link; the last is the current one */
  GPtrArray *peers; /* of Peer */
  GPtrArray *dials; /* of TcpStream */
} Fuzz;

/* The input */

static guint8
take_u8 (Fuzz *self)
{
  if (self->left == 0)
    return 0;

  self->left--;
  return *self->data++;
}

static guint64
take_number (Fuzz  *self,
             guint  bytes)
{
  guint64 value = 0;

  while (bytes-- > 0)
    value = value << 8 | take_u8 (self);
  return value;
}

/* Takes a small or a large number. */
static gsize
take_size (Fuzz  *self,
           gsize  most)
{
  gsize n = take_u8 (self);

  if (n >= 128)
    n = (n - 128) * (most / 127 + 1);
  return MIN (n, most);
}

/* TCP connections */

static GSocketConnection *
make_peer (Fuzz *self)
{
  Peer *peer = g_new0 (Peer, 1);

  peer->to_send = G_MAXUINT32;
  peer->send_buffer = 200000;
  peer->receive_buffer = 1000;
  peer->careless = TRUE;
  g_ptr_array_add (self->peers, peer);
  return PEER_CONNECTION (peer);
}

static void
step_peer (Fuzz *self)
{
  guint8 what = take_u8 (self);
  Peer *peer;

  if (self->peers->len == 0)
    return;

  peer = self->peers->pdata[what / 8 % self->peers->len];
  switch (what % 8)
    {
    case 0:
      peer_send (peer, take_size (self, 200000));
      break;
    case 1:
      peer_consume (peer, take_size (self, 200000));
      break;
    case 2:
      peer->to_send = peer->sent;
      peer_end (peer);
      break;
    case 3:
      peer_break (peer, TRUE);
      break;
    default:
      peer_poll (peer);
      break;
    }
}

static void
step_dial (Fuzz *self)
{
  g_autoptr (TcpStream) stream = NULL;
  g_autoptr (GError) error = NULL;

  if (self->side == CLIENT)
    {
      /* A session with a single stream opens it once. */
      if (!self->single || self->peers->len == 0)
        stream = tcp_session_open (self->session, NULL, NULL);
      if (stream != NULL)
        tcp_stream_attach (tcp_stream_ref (stream), make_peer (self));
      return;
    }
  if (self->dials->len == 0)
    return;

  stream = g_ptr_array_steal_index_fast (self->dials, 0);
  error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TARGET, "refused");
  if (stream_is_closed (stream))
    return;
  if (take_u8 (self) % 4 == 0)
    tcp_session_refuse (self->session, stream, TCP_RESET_REFUSED, error);
  else
    tcp_session_connected (self->session, stream, make_peer (self));
}

/* The session */

static void
on_opened (TcpSession *session,
           TcpStream  *stream,
           const char *target,
           gpointer    user_data)
{
  Fuzz *self = user_data;

  g_ptr_array_add (self->dials, tcp_stream_ref (stream));
}

static void
on_arrived (TcpSession *session,
            TcpStream  *stream,
            guint32     listener,
            const char *client,
            gpointer    user_data)
{
  on_opened (session, stream, NULL, user_data);
}

static void
on_listen (TcpSession *session,
           guint32     listener,
           guint16     port,
           const char *name,
           gpointer    user_data)
{
  Fuzz *self = user_data;

  if (take_u8 (self) % 4 == 0)
    {
      tcp_session_unlisten (session, listener, TCP_RESET_IN_USE, "taken");
      return;
    }
  tcp_session_listening (session, listener, "localhost", port);
  if (take_u8 (self) % 2 == 0)
    tcp_session_open_from (session, listener, "somewhere:1", make_peer (self));
}

static void
on_listening (TcpSession *session,
              guint32     listener,
              const char *host,
              guint16     port,
              gpointer    user_data)
{
  g_assert_cmpuint (port, !=, 0);
}

static void
on_unlistened (TcpSession   *session,
               guint32       listener,
               TcpResetCode  code,
               const GError *error,
               gpointer      user_data)
{
  g_assert_nonnull (error);
}

static void
on_stream_closed (TcpSession   *session,
                  TcpStream    *stream,
                  const GError *error,
                  gpointer      user_data)
{
  g_assert_true (stream_is_closed (stream));
}

static void
on_channel_closed (TcpSession   *session,
                   const GError *error,
                   gpointer      user_data)
{
  Fuzz *self = user_data;

  g_assert_nonnull (error);
  if (session == self->session && self->side == CLIENT && tcp_session_is_over (session))
    tcp_session_restart (session, error);
}

static void
make_session (Fuzz *self)
{
  static const TcpSessionCallbacks callbacks = {
    .opened = on_opened,
    .arrived = on_arrived,
    .listen = on_listen,
    .listening = on_listening,
    .unlistened = on_unlistened,
    .stream_closed = on_stream_closed,
    .channel_closed = on_channel_closed,
  };
  TcpSessionOptions options = {
    .protocol = self->side == GATEWAY ? &tcp_protocol_resumable : NULL,
    .client = self->side == CLIENT,
    .single = self->single,
    .max_unacknowledged_bytes = MAX_RETAINED,
    .max_window_bytes = MAX_WINDOW,
    .max_streams = self->single ? 1 : MAX_STREAMS,
    .listens = TRUE,
    .hello_timeout = 1000,
    .peer = "the peer",
    .target = "of the fuzzer",
    .log = self->log,
    .status = self->status,
  };

  self->session = tcp_session_new (&options, &callbacks, self);
}

static void
drop_session (Fuzz *self)
{
  g_autoptr (GError) error = NULL;

  error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED, "closed");
  tcp_session_close (self->session, TCP_CLOSE_NORMAL, "closed", error);
  g_clear_pointer (&self->session, tcp_session_unref);
}

/* WebSockets */

static Link *
get_link (Fuzz *self)
{
  return self->links->len > 0 ? self->links->pdata[self->links->len - 1] : NULL;
}

static void
step_attach (Fuzz *self)
{
  LinkOptions options = { .capacity = 1 + take_size (self, 300000), .fragments = FALSE };
  Link *link = link_new (&options, self->rand);

  g_ptr_array_add (self->links, link);
  /* Like both ends do with a session that is over. */
  if (self->side == GATEWAY && tcp_session_is_over (self->session))
    {
      drop_session (self);
      make_session (self);
    }
  if (self->side == CLIENT && tcp_session_is_over (self->session) && tcp_session_get_channel (self->session) == NULL)
    {
      g_autoptr (GError) error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, "over");

      tcp_session_restart (self->session, error);
    }
  if (tcp_session_get_protocol (self->session) == NULL)
    tcp_session_set_protocol (self->session, &tcp_protocol_resumable);
  if (self->side == CLIENT)
    for (guint32 listener = 1; listener <= 3; listener++)
      tcp_session_listen (self->session, listener, listener, "name");
  tcp_session_attach (self->session, link_get_channel (link, self->side));
}

/* Frames of the peer */

static TcpResumable *
get_protocol (Fuzz *self)
{
  return (TcpResumable *) self->session->protocol;
}

static guint64
take_received (Fuzz *self)
{
  TcpUnacknowledged *sent = &get_protocol (self)->sent;

  switch (take_u8 (self) % 8)
    {
    case 0:
      return take_number (self, 8);
    case 1:
      return sent->carried + 1;
    case 2:
      return sent->first;
    case 3:
      return sent->first + 1;
    default:
      return sent->sent;
    }
}

static TcpBuffer *
make_hello (Fuzz *self)
{
  guint8 how = take_u8 (self);
  TcpResumableHello hello = {
    .instance = get_protocol (self)->instance,
    .received = how & 1 ? take_received (self) : get_protocol (self)->sent.first,
    .window = how & 2 ? take_number (self, 4) : 100000,
    .max_payload = how & 4 ? take_number (self, 3) : 65536,
    .max_streams = how & 8 ? take_u8 (self) : 100,
    .session_timeout = 30,
    .flags = how & 32 ? TCP_RESUMABLE_LISTENERS : 0,
  };

  if (how & 16)
    hello.instance = take_u8 (self);
  else if (hello.instance == 0)
    hello.instance = 4711;
  return tcp_resumable_encode_hello (&hello);
}

static TcpBuffer *
make_frame (Fuzz *self)
{
  static const guint8 types[] = {
    TCP_RESUMABLE_OPEN, TCP_RESUMABLE_OPENED, TCP_RESUMABLE_DATA, TCP_RESUMABLE_FIN, TCP_RESUMABLE_RESET,
    TCP_RESUMABLE_WINDOW, TCP_RESUMABLE_HELLO, TCP_RESUMABLE_ACK, TCP_RESUMABLE_GOAWAY, TCP_RESUMABLE_DATA,
    TCP_RESUMABLE_LATER_SEQUENCED, TCP_RESUMABLE_LATER_UNSEQUENCED, TCP_RESUMABLE_LISTEN, TCP_RESUMABLE_LISTENING,
    TCP_RESUMABLE_UNLISTEN,
  };
  static guint8 payload[TCP_RESUMABLE_MAX_PAYLOAD + 1];
  guint8 type = types[take_u8 (self) % G_N_ELEMENTS (types)];
  guint32 id;

  if (type == TCP_RESUMABLE_HELLO)
    return make_hello (self);
  if (type == TCP_RESUMABLE_ACK)
    return tcp_resumable_encode_ack (take_received (self));
  if (type == TCP_RESUMABLE_GOAWAY)
    return tcp_resumable_encode_text (type, 0, take_u8 (self) % 6, "reason");

  id = 1 + take_u8 (self) % 10;
  switch (type)
    {
    case TCP_RESUMABLE_LATER_SEQUENCED:
    case TCP_RESUMABLE_LATER_UNSEQUENCED:
      return tcp_resumable_encode (type + id, id, payload, take_size (self, TCP_RESUMABLE_MAX_PAYLOAD));
    case TCP_RESUMABLE_DATA:
      return tcp_resumable_encode (type, id, payload, 1 + take_size (self, TCP_RESUMABLE_MAX_PAYLOAD));
    case TCP_RESUMABLE_LISTEN:
    case TCP_RESUMABLE_LISTENING:
      return tcp_resumable_encode_port (type, id, take_u8 (self), "name");
    case TCP_RESUMABLE_RESET:
    case TCP_RESUMABLE_UNLISTEN:
      return tcp_resumable_encode_text (type, id, take_u8 (self) % 12, "reason");
    case TCP_RESUMABLE_WINDOW:
      return tcp_resumable_encode_window (id, take_number (self, 1 + take_u8 (self) % 4));
    case TCP_RESUMABLE_OPEN:
      if (self->side == CLIENT)
        return tcp_resumable_encode_arrival (id, 1 + id % 4, "");
      return tcp_resumable_encode (type, id, NULL, 0);
    default:
      return tcp_resumable_encode (type, id, NULL, 0);
    }
}

static void
feed (Fuzz         *self,
      const guint8 *data,
      gsize         length,
      gsize         cut)
{
  Link *link = get_link (self);
  /* A sanitizer detects any access beyond the end of this copy. */
  g_autofree guint8 *copy = g_memdup2 (data, length);

  if (link == NULL)
    return;
  if (cut > 0 && cut < length)
    {
      if (link_feed (link, self->side, copy, cut, TRUE, FALSE))
        link_feed (link, self->side, copy + cut, length - cut, FALSE, TRUE);
      return;
    }
  link_feed (link, self->side, copy, length, TRUE, TRUE);
}

static void
step_message (Fuzz   *self,
              guint8  how)
{
  g_autoptr (TcpBuffer) frame = make_frame (self);

  /* Changes one byte of the frame. */
  if (how & 32)
    frame->payload[take_u8 (self) % frame->length] = take_u8 (self);
  feed (self, frame->payload, frame->length, how & 64 ? take_u8 (self) : 0);
}

static void
step_noise (Fuzz *self)
{
  gsize wanted = take_u8 (self);
  gsize length = MIN (wanted, self->left);
  const guint8 *noise = self->data;

  self->data += length;
  self->left -= length;
  feed (self, noise, length, 0);
}

static void
step_time (Fuzz *self)
{
  clock_advance (take_u8 (self) * 4 * G_TIME_SPAN_MILLISECOND);
  for (guint i = 0; i < 100 && clock_fire ();)
    i++;
}

/* Reads some of what the session sends, or leaves it. */
static void
step_read (Fuzz *self)
{
  Link *link = get_link (self);

  if (link == NULL)
    return;
  link_push (link, self->side);
  link_pull (link, OTHER (self->side), take_size (self, 500000));
}

static void
step (Fuzz *self)
{
  guint8 how = take_u8 (self);

  switch (how % 16)
    {
    case 0:
      step_attach (self);
      break;
    case 1:
      if (get_link (self) != NULL)
        link_break (get_link (self), self->side);
      break;
    case 2:
    case 3:
      step_peer (self);
      break;
    case 4:
      step_dial (self);
      break;
    case 5:
      step_time (self);
      break;
    case 6:
      step_read (self);
      break;
    case 7:
      step_noise (self);
      break;
    case 8:
      if (how >= 240)
        tcp_session_drain (self->session);
      break;
    default:
      step_message (self, how);
      break;
    }
}

static void
check (Fuzz *self)
{
  Sums sums = { 0 };

  if (tcp_session_get_protocol (self->session) == NULL)
    return;

  check_session (self->session, &sums);
  g_assert_cmpuint (tcp_status_get (self->status, open_connections), ==, sums.connections);
  g_assert_cmpuint (tcp_status_get (self->status, unacknowledged_bytes), ==, sums.retained);
  g_assert_cmpuint (tcp_status_get (self->status, receive_window), ==, sums.receive_window);
  g_assert_cmpuint (tcp_status_get (self->status, send_window), ==, sums.send_window);
}

static void
finish (Fuzz *self)
{
  drop_session (self);
  for (guint i = 0; i < self->links->len; i++)
    {
      link_break (self->links->pdata[i], CLIENT);
      link_break (self->links->pdata[i], GATEWAY);
      link_free (self->links->pdata[i]);
    }
  g_ptr_array_unref (self->links);
  g_ptr_array_unref (self->dials);
  g_ptr_array_unref (self->peers);
  g_assert_cmpuint (channel_get_alive (), ==, 0);
  g_assert_cmpuint (stream_get_alive (), ==, 0);
  g_assert_cmpuint (tcp_status_get (self->status, open_connections), ==, 0);
  g_assert_cmpuint (tcp_status_get (self->status, unacknowledged_bytes), ==, 0);
  tcp_status_unref (self->status);
  tcp_log_unref (self->log);
  g_rand_free (self->rand);
}

int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize         size)
{
  Fuzz self = { .data = data, .left = size };
  guint8 how = take_u8 (&self);

  clock_reset ();
  g_random_set_seed (1);
  self.side = how & 1 ? CLIENT : GATEWAY;
  self.single = (how & 6) == 6;
  self.rand = g_rand_new_with_seed (1);
  self.log = tcp_log_new ("fuzz", TCP_TUNNEL_LOG_LEVEL_NONE);
  self.status = tcp_status_new ();
  self.links = g_ptr_array_new ();
  self.peers = g_ptr_array_new_with_free_func (g_free);
  self.dials = g_ptr_array_new_with_free_func ((GDestroyNotify) tcp_stream_unref);
  make_session (&self);
  step_attach (&self);
  for (guint i = 0; i < MAX_STEPS && self.left > 0; i++)
    {
      step (&self);
      check (&self);
    }
  finish (&self);
  return 0;
}
