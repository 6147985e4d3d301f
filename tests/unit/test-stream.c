/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel-end.h"
#include "session/stream.h"
#include "test-util.h"

#include <string.h>
#include <sys/socket.h>

/* Half-close, on real sockets. What a session makes of it is elsewhere. */

typedef struct
{
  TcpStream *stream;
  RawEnd *peer;
  GSocketConnection *connection;
  gsize total;
  guint readable;
  guint flushed;
  guint closed;
  GError *error;
} Fixture;

static void
on_readable (TcpStream *stream,
             gpointer   user_data)
{
  ((Fixture *) user_data)->readable++;
}

static void
on_flushed (TcpStream *stream,
            gpointer   user_data)
{
  ((Fixture *) user_data)->flushed++;
}

static void
on_closed (TcpStream    *stream,
           const GError *error,
           gpointer      user_data)
{
  Fixture *self = user_data;

  self->closed++;
  if (error != NULL)
    self->error = g_error_copy (error);
}

static void
set_up (Fixture       *self,
        gconstpointer  data)
{
  static const TcpStreamCallbacks callbacks = {
    .readable = on_readable,
    .flushed = on_flushed,
    .closed = on_closed,
  };
  int fds[2];

  loopback_pair (fds, 4096);
  self->connection = loopback_connection (fds[0]);
  self->peer = raw_end_new (fds[1]);
  self->stream = tcp_stream_new (&self->total, &callbacks, self);
}

static void
tear_down (Fixture       *self,
           gconstpointer  data)
{
  tcp_stream_reset (self->stream, NULL);
  g_assert_cmpuint (self->closed, ==, 1);
  g_assert_cmpuint (self->total, ==, 0);
  tcp_stream_unref (self->stream);
  g_clear_object (&self->connection);
  raw_end_free (self->peer);
  g_clear_error (&self->error);
}

static void
attach (Fixture *self)
{
  tcp_stream_attach (self->stream, self->connection);
  g_clear_object (&self->connection);
}

static void
write_some (Fixture *self,
            gsize    length)
{
  g_autofree guint8 *data = g_malloc (length);

  test_fill (data, length, 7, 0);
  tcp_stream_write (self->stream, data, length);
}

static void
wait_for_end (Fixture *self)
{
  WAIT_UNTIL ((raw_end_read (self->peer, G_MAXSIZE), self->peer->eof));
}

static gssize
read_some (Fixture *self)
{
  g_autoptr (TcpBuffer) buffer = tcp_buffer_new (100);
  g_autoptr (GError) error = NULL;
  gssize n = tcp_stream_read (self->stream, &buffer, 1, &error);

  g_assert_no_error (error);
  return n;
}

/* One buffer is filled after the other, and the stream says whether there may be more. */
static void
test_read (Fixture       *self,
           gconstpointer  data)
{
  TcpBuffer *buffers[] = { tcp_buffer_new (100), tcp_buffer_new (100), tcp_buffer_new (100) };
  static const gsize lengths[] = { 1, 100, 101, 250, 300 };
  g_autoptr (GError) error = NULL;
  guint8 sent[300];

  attach (self);
  test_fill (sent, sizeof sent, 7, 0);
  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++)
    {
      guint readable = self->readable;
      gsize seen = 0;

      raw_end_write (self->peer, sent, lengths[i]);
      WAIT_UNTIL (self->readable > readable);
      g_assert_cmpint (tcp_stream_read (self->stream, buffers, G_N_ELEMENTS (buffers), &error), ==, lengths[i]);
      g_assert_no_error (error);
      for (guint j = 0; j < G_N_ELEMENTS (buffers); j++)
        {
          g_assert_cmpmem (buffers[j]->payload, buffers[j]->length, sent + seen, MIN (lengths[i] - seen, 100));
          seen += buffers[j]->length;
        }
      g_assert_cmpuint (seen, ==, lengths[i]);
      g_assert_cmpint (tcp_stream_has_plenty (self->stream), ==, lengths[i] == 300);
      tcp_stream_watch (self->stream);
    }
  g_assert_cmpint (tcp_stream_read (self->stream, buffers, 2, &error), ==, -1);
  g_assert_no_error (error);
  g_assert_false (tcp_stream_has_plenty (self->stream));

  for (guint i = 0; i < G_N_ELEMENTS (buffers); i++)
    tcp_buffer_unref (buffers[i]);
}

/* The end comes behind all that was written, and the other direction goes on. */
static void
test_end (Fixture       *self,
          gconstpointer  data)
{
  attach (self);
  write_some (self, 1000000);
  g_assert_cmpuint (self->total, >, 0);
  tcp_stream_end (self->stream);
  /* What comes later is too late. */
  write_some (self, 1);
  wait_for_end (self);
  g_assert_false (self->peer->reset);
  assert_stream (self->peer->in->data, self->peer->in->len, 7);
  g_assert_cmpuint (self->peer->in->len, ==, 1000000);
  g_assert_cmpuint (self->flushed, >, 0);
  g_assert_cmpuint (self->closed, ==, 0);

  raw_end_write (self->peer, "later", 5);
  WAIT_UNTIL (self->readable == 1);
  g_assert_cmpint (read_some (self), ==, 5);
}

/* The same for what was said before there was a connection. */
static void
test_end_before (Fixture       *self,
                 gconstpointer  data)
{
  write_some (self, 3000);
  tcp_stream_end (self->stream);
  g_assert_cmpuint (tcp_stream_get_queued (self->stream), ==, 3000);
  attach (self);
  wait_for_end (self);
  g_assert_false (self->peer->reset);
  g_assert_cmpuint (self->peer->in->len, ==, 3000);
  g_assert_cmpuint (self->closed, ==, 0);
}

/* Ended by its peer, it can be written to. */
static void
test_peer_ends (Fixture       *self,
                gconstpointer  data)
{
  attach (self);
  g_assert_cmpint (shutdown (self->peer->fd, SHUT_WR), ==, 0);
  WAIT_UNTIL (self->readable == 1);
  g_assert_cmpint (read_some (self), ==, 0);
  g_assert_true (tcp_stream_peer_has_left (self->stream));

  write_some (self, 200000);
  WAIT_UNTIL ((raw_end_read (self->peer, G_MAXSIZE), self->peer->in->len == 200000));
  assert_stream (self->peer->in->data, self->peer->in->len, 7);
  g_assert_cmpuint (self->closed, ==, 0);
  tcp_stream_finish (self->stream, TCP_FINISH_IN_ORDER);
  wait_for_end (self);
  g_assert_false (self->peer->reset);
  g_assert_cmpuint (self->closed, ==, 1);
  g_assert_no_error (self->error);
}

/* Both directions have ended, which is a state to stay in, and no reason to be busy. */
static void
test_both_end (Fixture       *self,
               gconstpointer  data)
{
  attach (self);
  tcp_stream_end (self->stream);
  wait_for_end (self);
  raw_end_write (self->peer, "last", 4);
  g_assert_cmpint (shutdown (self->peer->fd, SHUT_WR), ==, 0);
  WAIT_UNTIL (self->readable == 1);

  /* All events that there are: it rests. */
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (self->readable, ==, 1);
  g_assert_cmpuint (self->closed, ==, 0);

  g_assert_cmpint (read_some (self), ==, 4);
  tcp_stream_watch (self->stream);
  WAIT_UNTIL (self->readable == 2);
  g_assert_cmpint (read_some (self), ==, 0);
  tcp_stream_finish (self->stream, TCP_FINISH_IN_ORDER);
  g_assert_cmpuint (self->closed, ==, 1);
  g_assert_no_error (self->error);
}

/* A peer that breaks is noticed though nobody reads. */
static void
test_peer_breaks (Fixture       *self,
                  gconstpointer  data)
{
  struct linger at_once = { .l_onoff = 1 };

  attach (self);
  tcp_stream_end (self->stream);
  raw_end_write (self->peer, "x", 1);
  WAIT_UNTIL (self->readable == 1);
  g_assert_cmpint (setsockopt (self->peer->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof (at_once)), ==, 0);
  g_assert_cmpint (close (self->peer->fd), ==, 0);
  self->peer->fd = -1;
  WAIT_UNTIL (self->closed == 1);
  g_assert_nonnull (self->error);
}

/* An end that is not to look like one. */
static void
test_finish_broken (Fixture       *self,
                    gconstpointer  data)
{
  attach (self);
  write_some (self, 100);
  tcp_stream_finish (self->stream, TCP_FINISH_RESET);
  g_assert_cmpuint (self->closed, ==, 1);
  wait_for_end (self);
  g_assert_true (self->peer->reset);
}

int
main (int    argc,
      char **argv)
{
  unit_test_init (&argc, &argv);
#define ADD(name, func) g_test_add ("/stream/" name, Fixture, NULL, set_up, func, tear_down)
  ADD ("read", test_read);
  ADD ("end", test_end);
  ADD ("end-before", test_end_before);
  ADD ("peer-ends", test_peer_ends);
  ADD ("both-end", test_both_end);
  ADD ("peer-breaks", test_peer_breaks);
  ADD ("finish-broken", test_finish_broken);
#undef ADD
  return g_test_run ();
}
