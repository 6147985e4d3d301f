/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "websocket/channel-private.h"
#include "session-end.h"
#include "test-util.h"

#include <string.h>
#include <sys/socket.h>

static const SessionEndOptions tagged_client = {
  .protocol = &tcp_protocol_tagged, .client = TRUE, .max_buffered_bytes = 1 << 20, .max_streams = 100,
};

static const SessionEndOptions tagged_server = {
  .protocol = &tcp_protocol_tagged, .accepts = TRUE, .max_buffered_bytes = 1 << 20, .max_streams = 100,
};

static const SessionEndOptions raw_client = {
  .protocol = &tcp_protocol_raw, .client = TRUE, .max_buffered_bytes = 1 << 20, .max_streams = 1, .buffer = 20000,
};

static void
run_idle (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static guint32
get_id (GBytes *message)
{
  const guint8 *data = g_bytes_get_data (message, NULL);

  g_assert_cmpuint (g_bytes_get_size (message), >=, 4);
  return (guint32) data[0] << 24 | data[1] << 16 | data[2] << 8 | data[3];
}

/* Sends a tagged message from the raw end. */
static void
send_tagged (RawEnd     *raw,
             gboolean    masked,
             guint32     id,
             const char *text)
{
  g_autoptr (GByteArray) message = g_byte_array_new ();
  guint32 tag = GUINT32_TO_BE (id);

  g_byte_array_append (message, (guint8 *) &tag, 4);
  g_byte_array_append (message, (const guint8 *) text, strlen (text));
  raw_end_send (raw, 0x82, masked, message->data, message->len);
}

/* Returns the id of the next message, and whether that is an end. */
static guint32
receive_tagged (RawEnd   *raw,
                gboolean *is_end)
{
  guint opcode;
  g_autoptr (GBytes) frame = raw_end_wait_frame (raw, &opcode, FALSE);

  g_assert_nonnull (frame);
  g_assert_cmpuint (opcode, ==, TCP_FRAME_BINARY);
  *is_end = g_bytes_get_size (frame) == 4;
  return get_id (frame);
}

/* Ids */

static void
test_ids_wrap (void)
{
  g_autoptr (SessionEnd) end = session_end_new (&tagged_client);
  guint32 ids[6];

  for (guint i = 0; i < G_N_ELEMENTS (ids); i++)
    {
      if (i == 2)
        end->session->protocol->next_id = G_MAXUINT32;
      ids[i] = tcp_stream_get_protocol (tcp_session_open (end->session, NULL, NULL))->id;
    }
  g_assert_cmpuint (ids[0], ==, 1);
  g_assert_cmpuint (ids[1], ==, 2);
  g_assert_cmpuint (ids[2], ==, G_MAXUINT32);
  /* Neither 0, which is not an id, nor those that are in use. */
  g_assert_cmpuint (ids[3], ==, 3);
  g_assert_cmpuint (ids[4], ==, 4);
  end->session->protocol->next_id = 1;
  g_assert_cmpuint (tcp_stream_get_protocol (tcp_session_open (end->session, NULL, NULL))->id, ==, 6);
}

static void
test_too_many (void)
{
  SessionEndOptions options = tagged_client;
  g_autoptr (SessionEnd) end = NULL;
  TcpStream *first;

  options.max_streams = 2;
  end = session_end_new (&options);
  first = tcp_session_open (end->session, NULL, NULL);
  g_assert_nonnull (first);
  g_assert_nonnull (tcp_session_open (end->session, NULL, NULL));
  g_assert_null (tcp_session_open (end->session, NULL, NULL));
  g_assert_cmpuint (tcp_status_get (end->status, open_connections), ==, 2);

  tcp_stream_reset (first, NULL);
  g_assert_nonnull (tcp_session_open (end->session, NULL, NULL));
  g_assert_cmpuint (tcp_status_get (end->status, total_connections), ==, 3);
}

static void
test_peer_opens_too_many (void)
{
  SessionEndOptions options = tagged_server;
  g_autoptr (SessionEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  gboolean is_end;

  options.max_streams = 2;
  end = session_end_new (&options);
  raw = session_end_connect (end);
  for (guint32 id = 1; id <= 3; id++)
    send_tagged (raw, TRUE, id, "hello");
  g_assert_cmpuint (receive_tagged (raw, &is_end), ==, 3);
  g_assert_true (is_end);
  g_assert_cmpuint (end->opened->len, ==, 2);
  g_assert_cmpuint (tcp_session_get_n_streams (end->session), ==, 2);
}

/* Tagged */

static void
test_unknown (void)
{
  g_autoptr (SessionEnd) client = session_end_new (&tagged_client);
  g_autoptr (SessionEnd) server = session_end_new (&tagged_server);
  g_autoptr (RawEnd) to_client = session_end_connect (client);
  g_autoptr (RawEnd) to_server = session_end_connect (server);
  g_autoptr (GBytes) pong = NULL;
  guint opcode;

  /* A client does not accept connections. */
  send_tagged (to_client, FALSE, 5, "hello");
  send_tagged (to_client, FALSE, 5, "");
  raw_end_send (to_client, 0x89, FALSE, "", 0);
  /* The id 0 is invalid, an end opens nothing, and a message that is shorter than an id is ignored. */
  send_tagged (to_server, TRUE, 0, "hello");
  send_tagged (to_server, TRUE, 7, "");
  raw_end_send (to_server, 0x82, TRUE, "\0\0\1", 3);
  send_tagged (to_server, TRUE, 8, "hello");
  WAIT_UNTIL (server->opened->len == 1);
  g_assert_cmpuint (tcp_stream_get_protocol (server->opened->pdata[0])->id, ==, 8);
  /* The pong comes behind all that the client would send about the rest. */
  pong = raw_end_wait_frame (to_client, &opcode, TRUE);
  g_assert_cmpuint (opcode, ==, TCP_FRAME_PONG);
  g_assert_cmpuint (tcp_session_get_n_streams (client->session), ==, 0);
  g_assert_cmpuint (client->channels_closed + server->channels_closed, ==, 0);
}

/* Data that was under way when a connection ended does not open it again. */
static void
test_closed_ids (void)
{
  g_autoptr (SessionEnd) end = session_end_new (&tagged_server);
  g_autoptr (RawEnd) raw = session_end_connect (end);

  send_tagged (raw, TRUE, 1, "hello");
  send_tagged (raw, TRUE, 1, "");
  send_tagged (raw, TRUE, 1, "late");
  send_tagged (raw, TRUE, 1, "");
  send_tagged (raw, TRUE, 2, "hello");
  WAIT_UNTIL (end->opened->len == 2);
  g_assert_cmpuint (tcp_stream_get_protocol (end->opened->pdata[1])->id, ==, 2);
  {
    RawEnd *peer = end->peers->pdata[0];

    WAIT_UNTIL ((raw_end_read (peer, G_MAXUINT), peer->eof));
    g_assert_false (peer->reset);
    g_assert_cmpmem (peer->in->data, peer->in->len, "hello", 5);
  }
}

/* Ids of closed connections are dropped when they cannot be of use any more, and count towards the memory of the
 * session. */
static void
test_closed_ids_are_forgotten (void)
{
  g_autoptr (SessionEnd) end = session_end_new (&tagged_server);
  g_autoptr (RawEnd) raw = session_end_connect (end);
  TcpSession *session = end->session;

  test_need_descriptors (2500);
  for (guint32 id = 1; id <= 1000; id++)
    {
      send_tagged (raw, TRUE, id, "hello");
      send_tagged (raw, TRUE, id, "");
    }
  WAIT_UNTIL (end->streams_closed == 1000 && session->queued == 0);
  g_assert_cmpuint (session->share.held, >=, 1000 * sizeof (guint32));
  g_assert_cmpuint (session->share.held, ==, session->protocol->figures.remembered);
  g_assert_cmpint (session->timeout_at, >, tcp_now ());

  session->protocol->class->wake (session->protocol, session->timeout_at);
  g_assert_cmpuint (session->protocol->figures.remembered, ==, 0);
  g_assert_cmpint (session->protocol->class->next_timeout (session->protocol), ==, -1);
}

/* A slow reader gets all data before the end, and then the end. */
static void
test_end_waits_for_the_reader (void)
{
  SessionEndOptions options = tagged_server;
  g_autofree char *text = g_strnfill (300000, 'x');
  g_autoptr (SessionEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  RawEnd *peer;

  options.buffer = 20000;
  end = session_end_new (&options);
  raw = session_end_connect (end);
  send_tagged (raw, TRUE, 1, text);
  send_tagged (raw, TRUE, 1, "");
  WAIT_UNTIL (end->opened->len == 1 && tcp_session_get_n_streams (end->session) == 0);
  g_assert_false (tcp_session_is_idle (end->session));
  g_assert_cmpuint (end->session->queued, >, 0);
  g_assert_cmpuint (end->streams_closed, ==, 0);

  peer = end->peers->pdata[0];
  WAIT_UNTIL ((raw_end_read (peer, G_MAXUINT), peer->eof));
  g_assert_false (peer->reset);
  g_assert_cmpmem (peer->in->data, peer->in->len, text, strlen (text));
  WAIT_UNTIL (end->streams_closed == 1);
  g_assert_no_error (end->stream_error);
  g_assert_true (tcp_session_is_idle (end->session));
}

/* A stream that only has to empty its queue still counts when the session continues with another protocol, which does
 * not know of it. */
static void
test_leftovers (void)
{
  SessionEndOptions options = tagged_client;
  g_autofree char *text = g_strnfill (300000, 'x');
  g_autoptr (GError) error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, "forgotten");
  g_autoptr (SessionEnd) end = NULL;
  g_autoptr (RawEnd) peer = NULL;
  RawEnd *raw;

  options.max_streams = 1;
  options.buffer = 20000;
  end = session_end_new (&options);
  raw = session_end_connect (end);
  peer = session_end_open (end, NULL);
  send_tagged (raw, FALSE, 1, text);
  send_tagged (raw, FALSE, 1, "");
  WAIT_UNTIL (tcp_session_get_n_streams (end->session) == 0);
  raw_end_free (raw);
  WAIT_UNTIL (end->channels_closed == 1);

  tcp_session_restart (end->session, error);
  tcp_session_set_protocol (end->session, &tcp_protocol_resumable);
  g_assert_null (tcp_session_open (end->session, NULL, NULL));
  WAIT_UNTIL ((raw_end_read (peer, G_MAXUINT), end->streams_closed == 1));
  g_assert_cmpuint (peer->in->len, ==, strlen (text));
  g_assert_nonnull (tcp_session_open (end->session, NULL, NULL));
}

static const SessionEndOptions resumable_client = {
  .protocol = &tcp_protocol_resumable, .client = TRUE, .max_buffered_bytes = 1 << 20, .max_streams = 100,
};

static void
send_resumable (RawEnd    *raw,
                TcpBuffer *frame)
{
  raw_end_send (raw, 0x82, TRUE, frame->payload, frame->length);
  tcp_buffer_unref (frame);
}

/* A peer does not read, and then breaks the protocol: what waits for it takes no memory until it has gone. The memory
 * that a session keeps counts only as far as it exceeds what is reserved for it. */
static void
test_failed_and_unread (void)
{
  static const TcpResumableHello hello = { .window = 1 << 20, .max_payload = 65536, .max_streams = 10 };
  g_autoptr (TcpBudgetPool) pool = tcp_budget_pool_new (1 << 20, 1);
  g_autoptr (TcpBudget) budget = tcp_budget_new (pool, NULL);
  SessionEndOptions options = {
    .protocol = &tcp_protocol_resumable, .accepts = TRUE, .max_buffered_bytes = 1 << 20, .max_streams = 10,
    .buffer = 20000, .budget = budget,
  };
  g_autofree char *data = g_malloc0 (100000);
  g_autoptr (SessionEnd) end = session_end_new (&options);
  g_autoptr (RawEnd) raw = session_end_connect (end);
  TcpChannel *channel = tcp_session_get_channel (end->session);
  RawEnd *peer;

  send_resumable (raw, tcp_resumable_encode_hello (&hello));
  send_resumable (raw, tcp_resumable_encode (TCP_RESUMABLE_OPEN, 1, NULL, 0));
  WAIT_UNTIL (end->peers->len == 1);
  peer = end->peers->pdata[0];
  WAIT_UNTIL ((send (peer->fd, data, 100000, MSG_NOSIGNAL | MSG_DONTWAIT),
               tcp_channel_get_pending (channel) > TCP_CHANNEL_MAX_PENDING / 2));
  g_assert_cmpuint (tcp_budget_get_used (budget), ==,
                    end->session->protocol->figures.unacknowledged - TCP_RESUMABLE_LEAST_SPARE_ROOM);

  send_resumable (raw, tcp_resumable_encode_hello (&hello));
  WAIT_UNTIL (end->session->protocol->over);
  g_assert_cmpuint (tcp_channel_get_pending (channel), <=, TCP_BUFFER_SIZE + 4096);
  g_assert_cmpuint (tcp_budget_get_used (budget), ==, 0);
}

/* If a session is lost, a connection that no gateway ever knew of is not reported to the next one: it is no reason to
 * reconnect. */
static void
test_lost_before_open (void)
{
  g_autoptr (GError) error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, "forgotten");
  g_autoptr (SessionEnd) end = session_end_new (&resumable_client);
  TcpStream *stream = tcp_session_open (end->session, NULL, NULL);

  tcp_session_restart (end->session, error);
  g_assert_cmpuint (tcp_session_get_n_streams (end->session), ==, 1);
  g_assert_true (tcp_session_wants_channel (end->session));
  tcp_stream_reset (stream, NULL);
  g_assert_cmpuint (end->streams_closed, ==, 1);
  g_assert_false (tcp_session_wants_channel (end->session));
}

static void
test_local_end (void)
{
  g_autoptr (SessionEnd) end = session_end_new (&tagged_client);
  g_autoptr (RawEnd) raw = session_end_connect (end);
  g_autoptr (RawEnd) peer = session_end_open (end, NULL);
  gboolean is_end;

  raw_end_write (peer, "hello", 5);
  shutdown (peer->fd, SHUT_WR);
  g_assert_cmpuint (receive_tagged (raw, &is_end), ==, 1);
  g_assert_false (is_end);
  g_assert_cmpuint (receive_tagged (raw, &is_end), ==, 1);
  g_assert_true (is_end);
  WAIT_UNTIL (end->streams_closed == 1);
}

static void
test_local_reset (void)
{
  static const struct linger at_once = { .l_onoff = 1 };
  g_autoptr (SessionEnd) end = session_end_new (&tagged_client);
  g_autoptr (RawEnd) raw = session_end_connect (end);
  RawEnd *peer = session_end_open (end, NULL);
  gboolean is_end;

  setsockopt (peer->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof (at_once));
  raw_end_free (peer);
  g_assert_cmpuint (receive_tagged (raw, &is_end), ==, 1);
  g_assert_true (is_end);
  g_assert_error (end->stream_error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_RESET);
  g_assert_nonnull (strstr (end->stream_error->message, "the TCP client"));
}

static void
test_channel_breaks (void)
{
  g_autoptr (SessionEnd) end = session_end_new (&tagged_client);
  RawEnd *raw = session_end_connect (end);
  g_autoptr (RawEnd) one = session_end_open (end, NULL);
  g_autoptr (RawEnd) two = session_end_open (end, NULL);

  raw_end_free (raw);
  WAIT_UNTIL (end->channels_closed == 1);
  g_assert_error (end->channel_error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST);
  g_assert_cmpuint (end->streams_closed, ==, 2);
  WAIT_UNTIL ((raw_end_read (one, G_MAXUINT), one->reset));
  WAIT_UNTIL ((raw_end_read (two, G_MAXUINT), two->reset));
}

#define MEBIBYTE (1 << 20)

/* Three connections at once through two sessions, in both directions. */
static void
test_two_sessions (void)
{
  int fds[2];
  g_autoptr (SessionEnd) client = session_end_new (&tagged_client);
  g_autoptr (SessionEnd) server = session_end_new (&tagged_server);
  RawEnd *near[3];

  loopback_pair (fds, 0);
  session_end_attach (client, fds[0]);
  session_end_attach (server, fds[1]);
  for (guint i = 0; i < 3; i++)
    {
      g_autofree guint8 *data = g_malloc (MEBIBYTE);

      near[i] = session_end_open (client, NULL);
      test_fill (data, MEBIBYTE, i, 0);
      raw_end_write (near[i], data, MEBIBYTE);
    }
  for (guint i = 0; i < 3; i++)
    {
      RawEnd *far;
      guint id;

      WAIT_UNTIL (server->peers->len == 3);
      far = server->peers->pdata[i];
      id = tcp_stream_get_protocol (server->opened->pdata[i])->id;
      WAIT_UNTIL ((raw_end_read (far, G_MAXUINT), far->in->len == MEBIBYTE));
      assert_stream (far->in->data, MEBIBYTE, id - 1);
      raw_end_write (far, far->in->data, MEBIBYTE);
      WAIT_UNTIL ((raw_end_read (near[id - 1], G_MAXUINT), near[id - 1]->in->len == MEBIBYTE));
      assert_stream (near[id - 1]->in->data, MEBIBYTE, id - 1);
    }
  g_assert_cmpuint (tcp_status_get (client->status, bytes_sent), ==, 3 * MEBIBYTE);
  g_assert_cmpuint (tcp_status_get (client->status, bytes_received), ==, 3 * MEBIBYTE);
  for (guint i = 0; i < 3; i++)
    raw_end_free (near[i]);
  WAIT_UNTIL (tcp_session_is_idle (client->session) && tcp_session_is_idle (server->session));
}

/* Raw */

/* A @code of 0 means a close frame without a code. */
static void
check_raw_end (guint16  code,
               gboolean reset)
{
  g_autoptr (SessionEnd) end = session_end_new (&raw_client);
  g_autoptr (RawEnd) raw = session_end_connect (end);
  g_autoptr (RawEnd) peer = session_end_open (end, NULL);
  guint16 payload = GUINT16_TO_BE (code);

  raw_end_send (raw, 0x82, FALSE, "hello", 5);
  WAIT_UNTIL ((raw_end_read (peer, G_MAXUINT), peer->in->len == 5));
  raw_end_send (raw, 0x88, FALSE, &payload, code != 0 ? 2 : 0);
  WAIT_UNTIL ((raw_end_read (peer, G_MAXUINT), peer->eof));
  g_assert_cmpint (peer->reset, ==, reset);
  WAIT_UNTIL (end->streams_closed == 1);
}

static void
test_raw_ends (void)
{
  check_raw_end (TCP_CLOSE_NORMAL, FALSE);
  check_raw_end (0, FALSE);
  check_raw_end (TCP_CLOSE_RESET, TRUE);
}

/* The close code that the peer gets when the TCP connection of this end breaks. */
static void
check_raw_reset (gboolean client,
                 gboolean foreign,
                 guint    wanted)
{
  SessionEndOptions options = raw_client;
  g_autoptr (SessionEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  g_autoptr (GBytes) frame = NULL;
  const guint8 *code;
  TcpStream *stream;
  guint opcode;

  options.client = client;
  end = session_end_new (&options);
  tcp_session_set_foreign (end->session, foreign);
  raw = session_end_connect (end);
  raw_end_free (session_end_open (end, &stream));
  tcp_stream_reset (stream, NULL);
  frame = raw_end_wait_frame (raw, &opcode, FALSE);
  while (opcode == TCP_FRAME_PING)
    {
      g_bytes_unref (frame);
      frame = raw_end_wait_frame (raw, &opcode, FALSE);
    }
  g_assert_cmpuint (opcode, ==, TCP_FRAME_CLOSE);
  g_assert_cmpuint (g_bytes_get_size (frame), >=, 2);
  code = g_bytes_get_data (frame, NULL);
  g_assert_cmpuint (code[0] << 8 | code[1], ==, wanted);
}

static void
test_raw_resets (void)
{
  check_raw_reset (TRUE, FALSE, 4002);
  check_raw_reset (FALSE, FALSE, 4002);
  check_raw_reset (TRUE, TRUE, 1000);
  check_raw_reset (FALSE, TRUE, 1011);
}

/* Takes the messages of a raw session. */
static void
take_raw (RawEnd     *raw,
          GByteArray *stream)
{
  guint opcode;
  GBytes *frame;

  raw_end_read (raw, G_MAXUINT);
  while ((frame = raw_end_take_frame (raw, &opcode)) != NULL)
    {
      if (opcode == TCP_FRAME_BINARY)
        g_byte_array_append (stream, g_bytes_get_data (frame, NULL), g_bytes_get_size (frame));
      g_bytes_unref (frame);
    }
}

/* A WebSocket is followed by another: all that can be known to be missing is sent again, and nothing is sent
 * twice. */
static void
check_next_channel (gboolean superseded)
{
  g_autoptr (SessionEnd) end = session_end_new (&raw_client);
  g_autoptr (RawEnd) old = session_end_connect (end);
  g_autoptr (RawEnd) next = NULL;
  g_autoptr (RawEnd) peer = session_end_open (end, NULL);
  g_autoptr (GByteArray) stream = g_byte_array_new ();
  g_autofree guint8 *data = g_malloc (200000);

  test_fill (data, 200000, 3, 0);
  raw_end_write (peer, data, 200000);
  run_idle ();
  g_assert_cmpuint (tcp_channel_get_pending (tcp_session_get_channel (end->session)), >, 0);

  if (superseded)
    {
      next = session_end_connect (end);
    }
  else
    {
      tcp_channel_abort (tcp_session_get_channel (end->session), NULL);
      g_assert_cmpuint (end->channels_closed, ==, 1);
      next = session_end_connect (end);
    }
  g_assert_cmpuint (end->streams_closed, ==, 0);
  WAIT_UNTIL ((take_raw (old, stream), old->eof || superseded));
  g_assert_cmpuint (stream->len, <, 200000);
  WAIT_UNTIL ((take_raw (next, stream), stream->len >= 200000));
  g_assert_cmpuint (stream->len, ==, 200000);
  assert_stream (stream->data, 200000, 3);
}

static void
test_raw_next_channel (void)
{
  check_next_channel (FALSE);
  check_next_channel (TRUE);
}

/* Of several channels that were superseded, only the last one waits for its peer to close. */
static void
test_raw_superseded_often (void)
{
  g_autoptr (SessionEnd) end = session_end_new (&raw_client);
  TcpChannel *channels[4];

  for (guint i = 0; i < G_N_ELEMENTS (channels); i++)
    {
      raw_end_free (session_end_connect (end));
      channels[i] = tcp_channel_ref (tcp_session_get_channel (end->session));
      for (guint k = 0; k < i; k++)
        g_assert_cmpint (channels[k]->phase, ==, k + 1 < i ? TCP_CHANNEL_CLOSED : TCP_CHANNEL_CLOSING);
    }
  for (guint i = 0; i < G_N_ELEMENTS (channels); i++)
    tcp_channel_unref (channels[i]);
}

static void
test_raw_reset_on_loss (void)
{
  SessionEndOptions options = raw_client;
  g_autoptr (SessionEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  g_autoptr (RawEnd) peer = NULL;

  options.reset_on_loss = TRUE;
  end = session_end_new (&options);
  raw = session_end_connect (end);
  peer = session_end_open (end, NULL);

  /* Nothing was sent, so nothing is lost. */
  tcp_channel_abort (tcp_session_get_channel (end->session), NULL);
  g_assert_cmpuint (end->streams_closed, ==, 0);
  raw_end_free (raw);
  raw = session_end_connect (end);

  raw_end_write (peer, "hello", 5);
  WAIT_UNTIL ((raw_end_read (raw, G_MAXUINT), raw->in->len > 0));
  tcp_channel_abort (tcp_session_get_channel (end->session), NULL);
  g_assert_cmpuint (end->streams_closed, ==, 1);
  g_assert_error (end->stream_error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST);
  WAIT_UNTIL ((raw_end_read (peer, G_MAXUINT), peer->reset));
}

/* The end was under way behind data that is now lost: the next WebSocket does not get it as an orderly end. */
static void
test_raw_superseded_while_ending (void)
{
  g_autoptr (SessionEnd) end = session_end_new (&raw_client);
  g_autoptr (RawEnd) old = session_end_connect (end);
  g_autoptr (RawEnd) next = NULL;
  g_autoptr (RawEnd) peer = session_end_open (end, NULL);
  g_autofree guint8 *data = g_malloc0 (100000);
  g_autoptr (GBytes) frame = NULL;
  const guint8 *code;
  guint opcode;

  /* Whether this has arrived is unknown, and the rest is not sent yet. */
  raw_end_write (peer, "hello", 5);
  WAIT_UNTIL ((raw_end_read (old, G_MAXUINT), old->in->len > 0));
  raw_end_write (peer, data, 100000);
  g_assert_no_errno (shutdown (peer->fd, SHUT_WR));
  WAIT_UNTIL (tcp_session_get_channel (end->session)->phase == TCP_CHANNEL_CLOSING);
  g_assert_cmpuint (tcp_channel_get_pending (tcp_session_get_channel (end->session)), >, 0);

  next = session_end_connect (end);
  g_assert_cmpuint (end->streams_closed, ==, 1);
  g_assert_error (end->stream_error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST);
  do
    {
      g_clear_pointer (&frame, g_bytes_unref);
      frame = raw_end_wait_frame (next, &opcode, FALSE);
      g_assert_nonnull (frame);
    }
  while (opcode != TCP_FRAME_CLOSE);
  g_assert_cmpuint (g_bytes_get_size (frame), >=, 2);
  code = g_bytes_get_data (frame, NULL);
  g_assert_cmpuint (code[0] << 8 | code[1], ==, TCP_CLOSE_RESET);
}

int
main (int    argc,
      char **argv)
{
  unit_test_init (&argc, &argv);
  g_test_add_func ("/session/ids-wrap", test_ids_wrap);
  g_test_add_func ("/session/too-many", test_too_many);
  g_test_add_func ("/session/peer-opens-too-many", test_peer_opens_too_many);
  g_test_add_func ("/session/unknown", test_unknown);
  g_test_add_func ("/session/closed-ids", test_closed_ids);
  g_test_add_func ("/session/closed-ids-are-forgotten", test_closed_ids_are_forgotten);
  g_test_add_func ("/session/end-waits-for-the-reader", test_end_waits_for_the_reader);
  g_test_add_func ("/session/leftovers", test_leftovers);
  g_test_add_func ("/session/lost-before-open", test_lost_before_open);
  g_test_add_func ("/session/failed-and-unread", test_failed_and_unread);
  g_test_add_func ("/session/local-end", test_local_end);
  g_test_add_func ("/session/local-reset", test_local_reset);
  g_test_add_func ("/session/channel-breaks", test_channel_breaks);
  g_test_add_func ("/session/two-sessions", test_two_sessions);
  g_test_add_func ("/session/raw/ends", test_raw_ends);
  g_test_add_func ("/session/raw/resets", test_raw_resets);
  g_test_add_func ("/session/raw/next-channel", test_raw_next_channel);
  g_test_add_func ("/session/raw/reset-on-loss", test_raw_reset_on_loss);
  g_test_add_func ("/session/raw/superseded-often", test_raw_superseded_often);
  g_test_add_func ("/session/raw/superseded-while-ending", test_raw_superseded_while_ending);
  return g_test_run ();
}
