/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tcp_tunnel_open_async (): streams through a tunnel without a local port. */

#include "endpoint.h"
#include "resume-rig.h"
#include "resumable-peer.h"
#include "tunnel-rig.h"

#include <string.h>

/* The result of an opening. It belongs to the thread that called it. */
typedef struct
{
  GMainContext *context;
  gboolean done;
  GIOStream *stream;
  GError *error;
} Opening;

static void
on_opened (GObject *object,
           GAsyncResult *result,
           gpointer user_data)
{
  Opening *self = user_data;

  g_assert_true (g_main_context_is_owner (self->context));
  self->stream = tcp_tunnel_open_finish (TCP_TUNNEL (object), result, &self->error);
  g_assert_true ((self->stream == NULL) == (self->error != NULL));
  self->done = TRUE;
}

static Opening *
opening_new (TcpTunnel *tunnel,
             const char *target,
             GCancellable *cancellable)
{
  Opening *self = g_new0 (Opening, 1);

  self->context = g_main_context_ref_thread_default ();
  tcp_tunnel_open_async (tunnel, target, cancellable, on_opened, self);
  return self;
}

static void
opening_wait (Opening *self)
{
  gint64 deadline = test_deadline ();

  while (!self->done)
    {
      g_assert_cmpint (g_get_monotonic_time (), <, deadline);
      g_main_context_iteration (self->context, TRUE);
    }
}

static void
opening_free (Opening *self)
{
  opening_wait (self);
  g_clear_object (&self->stream);
  g_clear_error (&self->error);
  g_main_context_unref (self->context);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Opening, opening_free)

static GIOStream *
open_stream (TcpTunnel *tunnel,
             const char *target)
{
  g_autoptr (Opening) opening = opening_new (tunnel, target, NULL);

  opening_wait (opening);
  g_assert_no_error (opening->error);
  return g_steal_pointer (&opening->stream);
}

static void
expect_refused (TcpTunnel *tunnel,
                const char *target,
                TcpTunnelError code)
{
  g_autoptr (Opening) opening = opening_new (tunnel, target, NULL);

  opening_wait (opening);
  g_test_message ("%s", opening->error != NULL ? opening->error->message : "no error");
  g_assert_error (opening->error, TCP_TUNNEL_ERROR, (int) code);
}

static void
stream_write (GIOStream *stream,
              const void *data,
              gsize length)
{
  g_autoptr (GError) error = NULL;

  g_output_stream_write_all (g_io_stream_get_output_stream (stream), data, length, NULL, NULL, &error);
  g_assert_no_error (error);
}

static void
stream_read (GIOStream *stream,
             const void *data,
             gsize length)
{
  g_autofree char *buffer = g_malloc (length);
  g_autoptr (GError) error = NULL;
  gsize n;

  g_input_stream_read_all (g_io_stream_get_input_stream (stream), buffer, length, &n, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (buffer, n, data, length);
}

static void
stream_round_trip (GIOStream *stream,
                   const char *text)
{
  stream_write (stream, text, strlen (text));
  stream_read (stream, text, strlen (text));
}

static void
check_open (TcpTunnel *tunnel)
{
  g_autoptr (GIOStream) stream = open_stream (tunnel, NULL);

  stream_round_trip (stream, "here");
}

static void
stream_expect_end (GIOStream *stream)
{
  g_autoptr (GError) error = NULL;
  char buffer[1];

  g_assert_cmpint (g_input_stream_read (g_io_stream_get_input_stream (stream), buffer, 1, NULL, &error), ==, 0);
  g_assert_no_error (error);
}

/* Both directions fail with this error, however often they are tried. */
static void
stream_expect_broken (GIOStream *stream,
                      TcpTunnelError code)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GError) read_error = NULL;
      g_autoptr (GError) write_error = NULL;
      char buffer[1];

      g_assert_cmpint (g_input_stream_read (g_io_stream_get_input_stream (stream), buffer, 1, NULL, &read_error), ==, -1);
      g_assert_error (read_error, TCP_TUNNEL_ERROR, (int) code);
      g_assert_cmpint (g_output_stream_write (g_io_stream_get_output_stream (stream), "x", 1, NULL, &write_error), ==, -1);
      g_assert_error (write_error, TCP_TUNNEL_ERROR, (int) code);
    }
}

/* The same signals and statistics as for a client of a port. */
static void
test_open (TcpTunnelMode mode,
           FixtureFlags flags)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, mode, flags);
  g_autoptr (GIOStream) stream = NULL;

  fixture_start (fixture);
  stream = open_stream (fixture->tunnel, NULL);
  stream_round_trip (stream, "there and back");
  WAIT_UNTIL (fixture->recorder->opened == 1);
  g_assert_cmpuint (test_figure (fixture->tunnel, open_connections), ==, 1);
  g_clear_object (&stream);
  WAIT_UNTIL (fixture->recorder->closed == 1);
  g_assert_no_error (fixture->recorder->closed_error);
  g_assert_cmpuint (test_figure (fixture->tunnel, open_connections), ==, 0);
  g_assert_true (target_wait_open (target, 0));
}

static void
test_open_raw (void)
{
  test_open (TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PLAIN);
}

static void
test_open_tagged (void)
{
  test_open (TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
}

static void
test_open_resumable (TcpTunnelMode mode)
{
  test_open (mode, FIXTURE_RESUMABLE);
}

/* The stream is returned when the gateway has connected to the target, and not before. */
static void
test_opened (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  g_autoptr (Opening) opening = NULL;
  guint32 id = 3;
  int fd = tunnel_rig_start (&rig);

  if (mode != TCP_TUNNEL_MODE_MULTIPLEXED)
    {
      expect_refused (rig.tunnel, NULL, TCP_TUNNEL_ERROR_LIMIT);
      client_close (fd);
      return;
    }
  opening = opening_new (rig.tunnel, "db.lab:5432", NULL);
  resumable_expect (rig.server, RESUMABLE_OPEN, id);
  tunnel_rig_round_trip (&rig, fd, 1, "meanwhile");
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_false (opening->done);
  resumable_send (rig.server, RESUMABLE_OPENED, id, NULL, 0);
  opening_wait (opening);
  g_assert_no_error (opening->error);
  client_close (fd);
}

static void
test_refused (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_refusing ();
  g_autoptr (Fixture) fixture = resume_start (target, mode);

  expect_refused (fixture->tunnel, NULL, TCP_TUNNEL_ERROR_TARGET);
  expect_refused (fixture->tunnel, "db.lab:5432", TCP_TUNNEL_ERROR_FORBIDDEN);
  expect_refused (fixture->tunnel, "db.lab", TCP_TUNNEL_ERROR_FORBIDDEN);
  expect_refused (fixture->tunnel, "db.lab:", TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  expect_refused (fixture->tunnel, "127.1:80", TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
  expect_refused (fixture->tunnel, NULL, TCP_TUNNEL_ERROR_WRONG_STATE);
}

/* The protocol cannot name a target: the call fails, and does not connect to the gateway's own target. */
static void
test_unnameable (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, mode, FIXTURE_PLAIN);

  fixture_start (fixture);
  expect_refused (fixture->tunnel, "db.lab:5432", TCP_TUNNEL_ERROR_PROTOCOL);
  check_open (fixture->tunnel);
  g_assert_cmpuint (target_get_counters (target).bytes_in, ==, 4);
}

static void
test_too_many (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (target, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autoptr (GIOStream) first = NULL;
  g_autoptr (GIOStream) second = NULL;

  g_object_set (fixture->tunnel, "max-connections", 2, NULL);
  fixture_start (fixture);
  first = open_stream (fixture->tunnel, NULL);
  second = open_stream (fixture->tunnel, NULL);
  expect_refused (fixture->tunnel, NULL, TCP_TUNNEL_ERROR_LIMIT);
  g_clear_object (&second);
  WAIT_UNTIL (fixture->recorder->closed == 1);
  check_open (fixture->tunnel);
}

/* Each direction ends on its own. */
static void
test_half_close (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_answer (MIB, 7);
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  g_autoptr (GIOStream) stream = open_stream (fixture->tunnel, NULL);
  g_autofree guint8 *data = g_malloc (MIB);
  g_autofree char *digest = NULL;
  g_autofree char *arrived = NULL;
  g_autoptr (GError) error = NULL;

  test_fill (data, MIB, 3, 0);
  stream_write (stream, data, MIB);
  g_output_stream_close (g_io_stream_get_output_stream (stream), NULL, &error);
  g_assert_no_error (error);
  test_fill (data, MIB, 7, 0);
  stream_read (stream, data, MIB);
  stream_expect_end (stream);
  digest = test_digest (MIB, 3);
  arrived = target_get_digest (target);
  g_assert_cmpstr (arrived, ==, digest);
  WAIT_UNTIL (fixture->recorder->closed == 1);
  g_assert_no_error (fixture->recorder->closed_error);
  stream_expect_end (stream);
}

/* Data that arrived before the break can still be read; then the error is returned. */
static void
test_broken (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  g_autoptr (GIOStream) stream = open_stream (fixture->tunnel, NULL);
  g_autoptr (GIOStream) next = NULL;
  g_autoptr (GError) error = NULL;
  int fd = target_accept (target);

  client_write (fd, "last words", 10);
  stream_read (stream, "last words", 10);
  client_reset (fd);
  WAIT_UNTIL (fixture->recorder->closed == 1);
  stream_expect_broken (stream, TCP_TUNNEL_ERROR_TARGET);
  g_object_get (stream, "error", &error, NULL);
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TARGET);

  next = open_stream (fixture->tunnel, NULL);
  fd = target_accept (target);
  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
  stream_expect_broken (next, TCP_TUNNEL_ERROR_CLOSED);
  client_close (fd);
}

/* An orderly end of one direction remains, even if the other breaks. */
static void
test_broken_behind_end (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  g_autoptr (GIOStream) stream = open_stream (fixture->tunnel, NULL);
  g_autoptr (GError) error = NULL;
  int fd = target_accept (target);

  client_write (fd, "all", 3);
  client_finish (fd);
  stream_read (stream, "all", 3);
  stream_expect_end (stream);
  stream_write (stream, "more", 4);
  client_read (fd, (char[4]) { 0 }, 4);
  client_reset (fd);
  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
  stream_expect_end (stream);
  g_assert_cmpint (g_output_stream_write (g_io_stream_get_output_stream (stream), "x", 1, NULL, &error), ==, -1);
  g_assert_cmpuint (error->domain, ==, TCP_TUNNEL_ERROR);
}

static gpointer
run_echo (gpointer data)
{
  GIOStream *stream = data;
  g_autofree guint8 *bytes = g_malloc (MIB);

  test_fill (bytes, MIB, 5, 0);
  stream_write (stream, bytes, MIB);
  return NULL;
}

/* Breaks of the WebSocket do not affect the stream. */
static void
test_cuts (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  g_autoptr (GIOStream) stream = open_stream (fixture->tunnel, NULL);
  g_autofree guint8 *data = g_malloc (MIB);
  GThread *writer;

  test_fill (data, MIB, 5, 0);
  fault_proxy_cut_after (fixture->proxy, FAULT_UP, 200000);
  writer = g_thread_new ("writer", run_echo, stream);
  for (guint i = 0; i < 16; i++)
    {
      if (i % 4 == 1)
        fault_proxy_cut_after (fixture->proxy, FAULT_DOWN, 30000);
      stream_read (stream, data + i * (MIB / 16), MIB / 16);
    }
  g_thread_join (writer);
  g_assert_cmpuint (test_figure (fixture->tunnel, resumes), >=, 1);
}

/* A call is cancelled before the gateway was asked, and while it connects to the target. */
static void
test_cancelled (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_silent ();
  g_autoptr (Fixture) fixture = resume_start (target, mode);

  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_autoptr (Opening) opening = NULL;

      if (i == 0)
        g_cancellable_cancel (cancellable);
      opening = opening_new (fixture->tunnel, NULL, cancellable);
      if (i == 1)
        WAIT_UNTIL (fixture->recorder->opened == 1);
      g_cancellable_cancel (cancellable);
      opening_wait (opening);
      g_assert_error (opening->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    }
  WAIT_UNTIL (fixture->recorder->closed == 1);
  g_assert_cmpuint (test_figure (fixture->tunnel, open_connections), ==, 0);
}

static void
test_closed (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_silent ();
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  g_autoptr (Opening) waiting = opening_new (fixture->tunnel, NULL, NULL);
  g_autoptr (Opening) late = NULL;

  WAIT_UNTIL (fixture->recorder->opened == 1);
  late = opening_new (fixture->tunnel, NULL, NULL);
  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
  opening_wait (waiting);
  g_assert_error (waiting->error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED);
  opening_wait (late);
  g_assert_cmpuint (late->error->domain, ==, TCP_TUNNEL_ERROR);
}

/* A stream outlives the tunnel, and needs no thread of its own. */
static void
test_outlives_reference (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_start (target, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autoptr (GIOStream) stream = open_stream (fixture->tunnel, NULL);
  g_autoptr (Opening) opening = opening_new (fixture->tunnel, NULL, NULL);

  opening_wait (opening);
  g_clear_pointer (&fixture->recorder, recorder_free);
  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
  test_assert_finalized (fixture->tunnel);
  fixture->tunnel = tcp_tunnel_new (NULL, NULL);
  fixture->recorder = recorder_new (fixture->tunnel);
  stream_expect_broken (stream, TCP_TUNNEL_ERROR_CLOSED);
  stream_expect_broken (opening->stream, TCP_TUNNEL_ERROR_CLOSED);
}

/* Several threads open streams at the same time, with contexts of their own. */

#define N_THREADS 8

static void
open_and_talk (TcpTunnel *tunnel,
               guint i)
{
  g_autoptr (GCancellable) cancellable = i % 3 == 0 ? g_cancellable_new () : NULL;
  g_autoptr (Opening) opening = opening_new (tunnel, NULL, cancellable);

  if (i % 6 == 3)
    g_cancellable_cancel (cancellable);
  opening_wait (opening);
  if (opening->error != NULL)
    g_assert_error (opening->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  else
    stream_round_trip (opening->stream, "from another thread");
}

static gpointer
run_openings (gpointer data)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  guint count = test_count (50, 15);

  g_main_context_push_thread_default (context);
  for (guint i = 0; i < count; i++)
    open_and_talk (data, i);
  g_main_context_pop_thread_default (context);
  return NULL;
}

static void
test_threads (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_start (target, TCP_TUNNEL_MODE_MULTIPLEXED);
  GThread *threads[N_THREADS];

  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("opens", run_openings, fixture->tunnel);
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  WAIT_UNTIL (test_figure (fixture->tunnel, open_connections) == 0);
}

/* Asynchronous reading and writing. */

static void
on_result (GObject *object,
           GAsyncResult *result,
           gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

static void
test_async (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_start (target, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autoptr (GIOStream) stream = open_stream (fixture->tunnel, NULL);
  GInputStream *input = g_io_stream_get_input_stream (stream);
  g_autoptr (GAsyncResult) got = NULL;
  g_autoptr (GAsyncResult) put = NULL;
  g_autoptr (GAsyncResult) closed = NULL;
  g_autoptr (GError) error = NULL;
  char buffer[8];

  g_input_stream_read_async (input, buffer, sizeof buffer, G_PRIORITY_DEFAULT, NULL, on_result, &got);
  g_output_stream_write_async (g_io_stream_get_output_stream (stream), "12345678", 8, G_PRIORITY_DEFAULT, NULL, on_result,
                               &put);
  WAIT_UNTIL (got != NULL && put != NULL);
  g_assert_cmpint (g_input_stream_read_finish (input, got, &error), ==, 8);
  g_assert_no_error (error);
  g_assert_cmpmem (buffer, 8, "12345678", 8);
  g_io_stream_close_async (stream, G_PRIORITY_DEFAULT, NULL, on_result, &closed);
  WAIT_UNTIL (closed != NULL && fixture->recorder->closed == 1);
  g_assert_true (g_io_stream_close_finish (stream, closed, &error));
  g_assert_no_error (error);
  g_assert_no_error (fixture->recorder->closed_error);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/open/raw", test_open_raw);
  g_test_add_func ("/open/tagged", test_open_tagged);
  add_mode_test ("/open/resumable", test_open_resumable);
  add_long_mode_test ("/open/opened", test_opened);
  add_mode_test ("/open/refused", test_refused);
  add_mode_test ("/open/unnameable", test_unnameable);
  g_test_add_func ("/open/too-many", test_too_many);
  add_mode_test ("/open/half-close", test_half_close);
  add_mode_test ("/open/broken", test_broken);
  add_mode_test ("/open/broken-behind-end", test_broken_behind_end);
  add_mode_test ("/open/cuts", test_cuts);
  add_mode_test ("/open/cancelled", test_cancelled);
  add_mode_test ("/open/closed", test_closed);
  g_test_add_func ("/open/outlives-reference", test_outlives_reference);
  g_test_add_func ("/open/threads", test_threads);
  g_test_add_func ("/open/async", test_async);

  return g_test_run ();
}
