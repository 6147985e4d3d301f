/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel-end.h"
#include "session/stream.h"
#include "test-util.h"

#include <string.h>
#include <sys/socket.h>

/* Half-close, on real sockets. The part of the session is tested elsewhere. */

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

/* One buffer is filled after the other, and the stream reports whether there may be more data. */
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

/* The end comes behind all that was written, and the other direction continues. */
static void
test_end (Fixture       *self,
          gconstpointer  data)
{
  attach (self);
  write_some (self, 1000000);
  g_assert_cmpuint (self->total, >, 0);
  tcp_stream_end (self->stream);
  /* This is written too late. */
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

/* The same for data that was written before there was a connection. */
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

/* A stream whose peer has ended its direction can still be written to. */
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

/* When both directions have ended, the stream stays in this state, and causes no busy loop. */
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

  /* Dispatches all events: there are no more. */
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

/* A broken peer is detected even if nothing is read. */
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

/* An end that must not look like an orderly one. */
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

/* With a rate. It is so low that no more becomes available while a test runs, unless the test causes it. */

typedef struct
{
  Fixture base;
  TcpRate *input;
  TcpRate *output;
  gsize read; /* by the callback, when the stream is readable */
  gboolean ended;
} Limited;

/* Makes all calls on the thread of the test. */
void __wrap_tcp_io_thread_invoke (TcpIoThread    *thread,
                                  TcpIoFunc       func,
                                  gpointer        data,
                                  GDestroyNotify  destroy);

typedef struct
{
  TcpIoFunc func;
  gpointer data;
  GDestroyNotify destroy;
} Call;

static gboolean
make_call (gpointer user_data)
{
  g_autofree Call *call = user_data;

  call->func (call->data);
  call->destroy (call->data);
  return G_SOURCE_REMOVE;
}

void
__wrap_tcp_io_thread_invoke (TcpIoThread    *thread,
                             TcpIoFunc       func,
                             gpointer        data,
                             GDestroyNotify  destroy)
{
  g_idle_add (make_call, g_memdup2 (&(Call) { func, data, destroy }, sizeof (Call)));
}

static void
on_limited_readable (TcpStream *stream,
                     gpointer   user_data)
{
  Limited *self = user_data;
  g_autoptr (TcpBuffer) buffer = tcp_buffer_new (1000);
  gssize n = tcp_stream_read (stream, &buffer, 1, NULL);

  self->base.readable++;
  self->ended |= n == 0;
  self->read += MAX (n, 0);
  if (!self->ended)
    tcp_stream_watch (stream);
}

/* Dispatches all events that are not timed. */
static guint
dispatch_all (void)
{
  guint n = 0;

  while (n < 1000 && g_main_context_iteration (NULL, FALSE))
    n++;
  return n;
}

static void
set_up_limited (Limited       *self,
                gconstpointer  data)
{
  static const TcpStreamCallbacks callbacks = {
    .readable = on_limited_readable,
    .flushed = on_flushed,
    .closed = on_closed,
  };
  gboolean is_unix = data != NULL;
  TcpRateLane *input, *output;
  int fds[2];

  if (is_unix)
    g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), ==, 0);
  else
    loopback_pair (fds, 0);
  self->base.connection = loopback_connection (fds[0]);
  self->base.peer = raw_end_new (fds[1]);
  self->base.stream = tcp_stream_new (&self->base.total, &callbacks, self);

  self->input = tcp_rate_new ();
  self->output = tcp_rate_new ();
  input = tcp_rate_lane_new (self->input, NULL);
  output = tcp_rate_lane_new (self->output, NULL);
  tcp_stream_set_rates (self->base.stream, input, output);
  tcp_rate_lane_unref (input);
  tcp_rate_lane_unref (output);
}

static void
tear_down_limited (Limited       *self,
                   gconstpointer  data)
{
  dispatch_all ();
  tear_down (&self->base, NULL);
  tcp_rate_unref (self->input);
  tcp_rate_unref (self->output);
}

/* The stream is read as fast as the rate allows, then it rests until there is more; and the end comes behind all
 * data. */
static void
test_rate_read (Limited       *self,
                gconstpointer  data)
{
  g_autofree guint8 *bytes = g_malloc0 (30000);

  tcp_rate_set (self->input, 20);
  attach (&self->base);
  raw_end_write (self->base.peer, bytes, 30000);
  g_assert_cmpint (shutdown (self->base.peer->fd, SHUT_WR), ==, 0);
  WAIT_UNTIL (self->read >= 20);
  g_assert_cmpuint (dispatch_all (), <, 1000);
  g_assert_cmpuint (self->read, <, 15000);
  g_assert_false (self->ended);

  tcp_rate_set (self->input, 0);
  WAIT_UNTIL (self->ended);
  g_assert_cmpuint (self->read, ==, 30000);
  g_assert_cmpuint (self->base.closed, ==, 0);
}

/* Data that may not be written yet waits, and is counted; all of it arrives before the end. */
static void
test_rate_write (Limited       *self,
                 gconstpointer  data)
{
  tcp_rate_set (self->output, 20);
  attach (&self->base);
  write_some (&self->base, 30000);
  g_assert_cmpuint (tcp_stream_get_queued (self->base.stream), >, 15000);
  g_assert_cmpuint (self->base.total, ==, tcp_stream_get_queued (self->base.stream));
  tcp_stream_finish (self->base.stream, TCP_FINISH_IN_ORDER);
  g_assert_cmpuint (dispatch_all (), <, 1000);
  g_assert_cmpuint (self->base.closed, ==, 0);

  tcp_rate_set (self->output, 0);
  wait_for_end (&self->base);
  g_assert_false (self->base.peer->reset);
  assert_stream (self->base.peer->in->data, self->base.peer->in->len, 7);
  g_assert_cmpuint (self->base.peer->in->len, ==, 30000);
  g_assert_cmpuint (self->base.closed, ==, 1);
  g_assert_no_error (self->base.error);
}

/* If several pieces are written at once, the limit may be within one of them. */
static void
test_rate_gather (Limited       *self,
                  gconstpointer  data)
{
  guint8 bytes[3][300];

  for (guint i = 0; i < 3; i++)
    test_fill (bytes[i], sizeof bytes[i], 7, i * sizeof bytes[i]);
  tcp_rate_set (self->output, 2000);
  attach (&self->base);
  for (guint i = 0; i < 3; i++)
    tcp_stream_gather (self->base.stream, bytes[i], sizeof bytes[i]);
  tcp_stream_write_gathered (self->base.stream);
  g_assert_cmpuint (tcp_stream_get_queued (self->base.stream), >, 300);
  g_assert_cmpuint (tcp_stream_get_queued (self->base.stream), <, 600);
  WAIT_UNTIL ((raw_end_read (self->base.peer, G_MAXSIZE), self->base.peer->in->len == 900));
  assert_stream (self->base.peer->in->data, self->base.peer->in->len, 7);
}

/* A peer that leaves is detected while all data waits, and causes no busy loop. */
static void
test_rate_peer_leaves (Limited       *self,
                       gconstpointer  data)
{
  tcp_rate_set (self->input, 20);
  tcp_rate_set (self->output, 20);
  attach (&self->base);
  write_some (&self->base, 30000);
  raw_end_write (self->base.peer, "something that is more than it may read", 39);
  WAIT_UNTIL (self->read >= 20);
  /* On TCP this is a reset, as the peer has not read everything. */
  g_assert_cmpint (close (self->base.peer->fd), ==, 0);
  self->base.peer->fd = -1;
  WAIT_UNTIL (self->base.closed == 1);
  g_assert_nonnull (self->base.error);
}

/* A stream that is reset gives its place in the queue to others. */
static void
test_rate_reset (Limited       *self,
                 gconstpointer  data)
{
  tcp_rate_set (self->output, 20);
  attach (&self->base);
  write_some (&self->base, 30000);
  tcp_stream_reset (self->base.stream, NULL);
  dispatch_all ();
  tcp_rate_set (self->output, 0);
  dispatch_all ();
  g_assert_cmpuint (self->base.closed, ==, 1);
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
#define ADD(name, is_unix, func) \
  g_test_add ("/stream/rate/" name, Limited, GINT_TO_POINTER (is_unix), set_up_limited, func, tear_down_limited)
  ADD ("read", FALSE, test_rate_read);
  ADD ("write", FALSE, test_rate_write);
  ADD ("gather", FALSE, test_rate_gather);
  ADD ("peer-leaves", FALSE, test_rate_peer_leaves);
  ADD ("peer-leaves-unix", TRUE, test_rate_peer_leaves);
  ADD ("reset", FALSE, test_rate_reset);
#undef ADD
  return g_test_run ();
}
