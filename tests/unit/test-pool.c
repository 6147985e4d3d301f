/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/tsan.h"
#include "io/pool.h"
#include "io/reactor.h"
#include "test-util.h"

#include <stdatomic.h>
#include <tcptunnel/tcptunnel.h>

#define N_CALLS 5000
#define N_THREADS 3

typedef struct
{
  TcpIoThread *io;
  GThread *thread;     /* the I/O thread that the calls ran on */
  guint expected;      /* on the I/O thread: the number of the next call */
  gboolean in_order;
  TcpTimer *timer;
  atomic_uint destroyed;
} Fixture;

typedef struct
{
  Fixture *fixture;
  guint number;
} Call;

static void
count (gpointer data)
{
  Call *call = data;
  Fixture *fixture = call->fixture;

  fixture->in_order &= call->number == fixture->expected;
  fixture->in_order &= fixture->thread == NULL || fixture->thread == g_thread_self ();
  fixture->thread = g_thread_self ();
  fixture->expected++;
}

static void
call_free (gpointer data)
{
  Call *call = data;
  Fixture *fixture = call->fixture;

  g_free (call);
  atomic_fetch_add (&fixture->destroyed, 1);
}

static void
nothing (gpointer data)
{
}

static void
invoke_count (Fixture *fixture,
              guint    number)
{
  Call *call = g_new0 (Call, 1);

  call->fixture = fixture;
  call->number = number;
  tcp_io_thread_invoke (fixture->io, count, call, call_free);
}

static void
call_count (Fixture *fixture,
            guint    number)
{
  Call *call = g_new0 (Call, 1);

  call->fixture = fixture;
  call->number = number;
  tcp_io_thread_call (fixture->io, count, call, call_free);
}

/* Releases the thread; a call that was invoked before is still made. */
static void
end (Fixture *fixture)
{
  guint before;

  tcp_io_thread_invoke_sync (fixture->io, nothing, NULL);
  before = atomic_load (&fixture->destroyed);
  invoke_count (fixture, fixture->expected);
  tcp_io_thread_release (fixture->io);
  WAIT_UNTIL (atomic_load (&fixture->destroyed) == before + 1);
}

static void
test_order (void)
{
  Fixture fixture = { .io = tcp_io_thread_acquire (NULL), .in_order = TRUE };

  for (guint i = 0; i < N_CALLS; i++)
    invoke_count (&fixture, i);

  /* A synchronous call also waits for the earlier ones. */
  tcp_io_thread_invoke_sync (fixture.io, nothing, NULL);
  g_assert_cmpuint (fixture.expected, ==, N_CALLS);
  g_assert_true (fixture.in_order);
  g_assert_true (fixture.thread != g_thread_self ());
  WAIT_UNTIL (atomic_load (&fixture.destroyed) == N_CALLS);
  end (&fixture);
}

static void
nested (gpointer data)
{
  Fixture *fixture = data;

  /* Not made within this call. */
  invoke_count (fixture, 0);
  g_assert_cmpuint (fixture->expected, ==, 0);
}

static void
test_from_the_io_thread (void)
{
  Fixture fixture = { .io = tcp_io_thread_acquire (NULL), .in_order = TRUE };

  tcp_io_thread_invoke_sync (fixture.io, nested, &fixture);
  tcp_io_thread_invoke_sync (fixture.io, nothing, NULL);
  g_assert_cmpuint (fixture.expected, ==, 1);
  end (&fixture);
}

static void
call_at_once (gpointer data)
{
  Fixture *fixture = data;

  /* No earlier call waits, but this one is a call itself, and has to end first. */
  invoke_count (fixture, 0);
  call_count (fixture, 1);
  g_assert_cmpuint (fixture->expected, ==, 0);
}

static void
on_at_once (gpointer user_data)
{
  Fixture *fixture = user_data;

  /* A call from a callback of the reactor is made at once, as nothing waits. */
  call_count (fixture, 2);
  g_assert_cmpuint (fixture->expected, ==, 3);
  g_assert_cmpuint (atomic_load (&fixture->destroyed), ==, 3);
  /* But it does not overtake a call that was invoked before. */
  invoke_count (fixture, 3);
  call_count (fixture, 4);
  g_assert_cmpuint (fixture->expected, ==, 3);
  tcp_timer_clear (&fixture->timer);
}

static void
set_timer (gpointer data)
{
  Fixture *fixture = data;

  fixture->timer = tcp_timer_new (on_at_once, fixture);
  tcp_timer_set (fixture->timer, 0);
}

static void
test_call (void)
{
  Fixture fixture = { .io = tcp_io_thread_acquire (NULL), .in_order = TRUE };

  tcp_io_thread_invoke_sync (fixture.io, call_at_once, &fixture);
  tcp_io_thread_invoke_sync (fixture.io, nothing, NULL);
  g_assert_cmpuint (fixture.expected, ==, 2);
  tcp_io_thread_invoke_sync (fixture.io, set_timer, &fixture);
  WAIT_UNTIL (atomic_load (&fixture.destroyed) == 5);
  /* From another thread it is like any other call. */
  call_count (&fixture, 5);
  tcp_io_thread_invoke_sync (fixture.io, nothing, NULL);
  g_assert_cmpuint (fixture.expected, ==, 6);
  g_assert_true (fixture.in_order);
  end (&fixture);
}

static void
take_context (gpointer data)
{
  *(GMainContext **) data = g_main_context_get_thread_default ();
}

static void
test_context (void)
{
  Fixture fixture = { .io = tcp_io_thread_acquire (NULL) };
  GMainContext *context = NULL;

  tcp_io_thread_invoke_sync (fixture.io, take_context, &context);
  g_assert_nonnull (context);
  g_assert_true (context != g_main_context_default ());
  end (&fixture);
}

/* Acquisitions are spread over the configured number of threads, and a thread that was released is the first to be
 * acquired again. */
static void
test_spread (void)
{
  TcpIoThread *first[N_THREADS];
  TcpIoThread *second;

  for (guint i = 0; i < N_THREADS; i++)
    {
      first[i] = tcp_io_thread_acquire (NULL);
      for (guint k = 0; k < i; k++)
        g_assert_true (first[i] != first[k]);
    }
  second = tcp_io_thread_acquire (NULL);
  g_assert_true (second == first[0]);
  tcp_io_thread_release (second);

  tcp_io_thread_release (first[1]);
  g_assert_true (tcp_io_thread_acquire (NULL) == first[1]);
  for (guint i = 0; i < N_THREADS; i++)
    tcp_io_thread_release (first[i]);
}

/* An index always means the same thread, whoever else uses it. */
static void
test_by_index (void)
{
  TcpIoThread *threads[N_THREADS];
  TcpIoThread *any = tcp_io_thread_acquire (NULL);

  g_assert_cmpuint (tcp_io_thread_count (), ==, N_THREADS);
  for (guint i = 0; i < N_THREADS; i++)
    {
      threads[i] = tcp_io_thread_acquire_at (i, NULL);
      for (guint k = 0; k < i; k++)
        g_assert_true (threads[i] != threads[k]);
    }
  for (guint i = 0; i < N_THREADS; i++)
    {
      g_assert_true (tcp_io_thread_acquire_at (i, NULL) == threads[i]);
      tcp_io_thread_release (threads[i]);
      tcp_io_thread_release (threads[i]);
    }
  tcp_io_thread_release (any);
}

typedef struct
{
  TcpIoThread *io;
  guint *counter; /* only accessed on the I/O thread */
} Caller;

static void
increment (gpointer data)
{
  ++*(guint *) data;
}

static gpointer
call_many (gpointer data)
{
  Caller *caller = data;

  for (guint i = 0; i < 500; i++)
    tcp_io_thread_invoke_sync (caller->io, increment, caller->counter);
  return NULL;
}

static void
test_many_threads (void)
{
  Fixture fixture = { .io = tcp_io_thread_acquire (NULL) };
  guint counter = 0;
  Caller caller = { fixture.io, &counter };
  GThread *threads[4];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("caller", call_many, &caller);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  g_assert_cmpuint (counter, ==, 500 * G_N_ELEMENTS (threads));
  end (&fixture);
}

/* Without descriptors no thread starts, which is an error; once one runs, it is used in place of all others. */
static void
test_no_descriptors (void)
{
  g_autoptr (GError) error = NULL;
  guint64 before = test_set_descriptors (0);
  TcpIoThread *thread;

  g_assert_null (tcp_io_thread_acquire (&error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT);
  g_clear_error (&error);
  g_assert_null (tcp_io_thread_acquire_at (0, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT);
  g_clear_error (&error);

  test_set_descriptors (before);
  thread = tcp_io_thread_acquire (&error);
  g_assert_no_error (error);
  /* The thread has opened all its descriptors only when it runs. */
  tcp_io_thread_invoke_sync (thread, nothing, NULL);
  test_set_descriptors (0);
  for (guint i = 0; i < tcp_io_thread_count (); i++)
    {
      g_assert_true (tcp_io_thread_acquire_at (i, NULL) == thread);
      g_assert_true (tcp_io_thread_acquire (NULL) == thread);
    }
  test_set_descriptors (before);
  tcp_io_thread_invoke_sync (thread, nothing, NULL);
  for (guint i = 0; i < 2 * tcp_io_thread_count () + 1; i++)
    tcp_io_thread_release (thread);
}

/* A thread that hangs */

typedef struct
{
  GMutex mutex;
  GCond cond;
  gboolean hangs;
  gboolean released;
} Hang;

static void
hang (gpointer data)
{
  Hang *self = data;

  g_mutex_lock (&self->mutex);
  self->hangs = TRUE;
  g_cond_signal (&self->cond);
  while (!self->released)
    g_cond_wait (&self->cond, &self->mutex);
  g_mutex_unlock (&self->mutex);
}

typedef struct
{
  gboolean over;
  GError *error;
} Answer;

static void
on_probed (GObject      *object,
           GAsyncResult *result,
           gpointer      user_data)
{
  Answer *answer = user_data;

  g_assert_cmpint (tcp_endpoint_probe_finish (TCP_ENDPOINT (object), result, &answer->error), ==, answer->error == NULL);
  answer->over = TRUE;
}

static void
test_probe (void)
{
  g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:1");
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  TcpIoThread *one = tcp_io_thread_acquire_at (0, NULL);
  TcpIoThread *two = tcp_io_thread_acquire_at (1, NULL);
  Answer first = { 0 }, second = { 0 }, third = { 0 };
  Hang state = { 0 };

  tcp_endpoint_probe_async (TCP_ENDPOINT (gateway), cancellable, on_probed, &first);
  WAIT_UNTIL (first.over);
  g_assert_no_error (first.error);
  g_cancellable_cancel (cancellable);
  g_cancellable_reset (cancellable);

  tcp_io_thread_invoke (two, hang, &state, NULL);
  g_mutex_lock (&state.mutex);
  while (!state.hangs)
    g_cond_wait (&state.cond, &state.mutex);
  g_mutex_unlock (&state.mutex);
  tcp_endpoint_probe_async (TCP_ENDPOINT (gateway), cancellable, on_probed, &second);
  tcp_endpoint_probe_async (TCP_ENDPOINT (gateway), NULL, on_probed, &third);
  tcp_io_thread_invoke_sync (one, nothing, NULL);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_false (second.over || third.over);

  g_cancellable_cancel (cancellable);
  WAIT_UNTIL (second.over);
  g_assert_error (second.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_false (third.over);
  g_mutex_lock (&state.mutex);
  state.released = TRUE;
  g_cond_signal (&state.cond);
  g_mutex_unlock (&state.mutex);
  WAIT_UNTIL (third.over);
  g_assert_no_error (third.error);
  /* Lets the cancelled probe end completely. */
  tcp_io_thread_invoke_sync (two, nothing, NULL);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_clear_error (&second.error);
  tcp_io_thread_release (one);
  tcp_io_thread_release (two);
}

int
main (int    argc,
      char **argv)
{
  g_setenv ("TCP_TUNNEL_IO_THREADS", G_STRINGIFY (N_THREADS), TRUE);
  g_test_init (&argc, &argv, NULL);
  /* This has to be the first, as there must be no threads yet. */
  g_test_add_func ("/pool/no-descriptors", test_no_descriptors);
  g_test_add_func ("/pool/order", test_order);
  g_test_add_func ("/pool/from-the-io-thread", test_from_the_io_thread);
  g_test_add_func ("/pool/call", test_call);
  g_test_add_func ("/pool/context", test_context);
  g_test_add_func ("/pool/spread", test_spread);
  g_test_add_func ("/pool/by-index", test_by_index);
  g_test_add_func ("/pool/many-threads", test_many_threads);
  g_test_add_func ("/pool/probe", test_probe);
  return g_test_run ();
}
