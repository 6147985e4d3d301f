/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/worker.h"
#include "test-util.h"

#include <stdatomic.h>

#define N_CALLS 5000

typedef struct
{
  TcpWorker *worker;
  GThread *thread;     /* the I/O thread, as the calls saw it */
  guint expected;      /* of the I/O thread */
  gboolean in_order;
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
finish (gpointer data)
{
  Fixture *fixture = data;

  tcp_worker_quit (fixture->worker);
  tcp_worker_release (fixture->worker);
}

static void
invoke_count (Fixture *fixture,
              guint    number)
{
  Call *call = g_new0 (Call, 1);

  call->fixture = fixture;
  call->number = number;
  tcp_worker_invoke (fixture->worker, count, call, call_free);
}

/* A call after this one would never run; the worker drops it when it goes. */
static void
end (Fixture *fixture)
{
  guint before;

  tcp_worker_invoke_sync (fixture->worker, finish, fixture);
  before = atomic_load (&fixture->destroyed);
  invoke_count (fixture, G_MAXUINT);
  tcp_worker_unref (fixture->worker);
  WAIT_UNTIL (atomic_load (&fixture->destroyed) == before + 1);
}

static void
test_order (void)
{
  Fixture fixture = { .worker = tcp_worker_new ("test"), .in_order = TRUE };

  for (guint i = 0; i < N_CALLS; i++)
    invoke_count (&fixture, i);

  /* A synchronous call waits for those before it as well. */
  tcp_worker_invoke_sync (fixture.worker, nothing, NULL);
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

  /* Not within this call. */
  invoke_count (fixture, 0);
  g_assert_cmpuint (fixture->expected, ==, 0);
}

static void
test_from_the_io_thread (void)
{
  Fixture fixture = { .worker = tcp_worker_new ("test"), .in_order = TRUE };

  tcp_worker_invoke_sync (fixture.worker, nested, &fixture);
  tcp_worker_invoke_sync (fixture.worker, nothing, NULL);
  g_assert_cmpuint (fixture.expected, ==, 1);
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
  Fixture fixture = { .worker = tcp_worker_new ("test") };
  GMainContext *context = NULL;

  tcp_worker_invoke_sync (fixture.worker, take_context, &context);
  g_assert_nonnull (context);
  g_assert_true (context != g_main_context_default ());
  end (&fixture);
}

static void
quit (gpointer data)
{
  tcp_worker_quit (((Fixture *) data)->worker);
}

static void
release (gpointer data)
{
  tcp_worker_release (((Fixture *) data)->worker);
}

/* The thread goes on until both have been said, in whatever order. */
static void
check_both_needed (TcpWorkerFunc first,
                   TcpWorkerFunc second)
{
  Fixture fixture = { .worker = tcp_worker_new ("test"), .in_order = TRUE };

  tcp_worker_invoke_sync (fixture.worker, first, &fixture);
  invoke_count (&fixture, 0);
  tcp_worker_invoke_sync (fixture.worker, nothing, NULL);
  g_assert_cmpuint (fixture.expected, ==, 1);
  WAIT_UNTIL (atomic_load (&fixture.destroyed) == 1);
  tcp_worker_invoke_sync (fixture.worker, second, &fixture);
  invoke_count (&fixture, 1);
  tcp_worker_unref (fixture.worker);
  WAIT_UNTIL (atomic_load (&fixture.destroyed) == 2);
}

static void
test_end (void)
{
  for (guint i = 0; i < 50; i++)
    {
      check_both_needed (quit, release);
      check_both_needed (release, quit);
    }
}

typedef struct
{
  TcpWorker *worker;
  guint *counter; /* only touched on the I/O thread */
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
    tcp_worker_invoke_sync (caller->worker, increment, caller->counter);
  return NULL;
}

static void
test_many_threads (void)
{
  Fixture fixture = { .worker = tcp_worker_new ("test") };
  guint counter = 0;
  Caller caller = { fixture.worker, &counter };
  GThread *threads[4];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("caller", call_many, &caller);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  g_assert_cmpuint (counter, ==, 500 * G_N_ELEMENTS (threads));
  end (&fixture);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/worker/order", test_order);
  g_test_add_func ("/worker/from-the-io-thread", test_from_the_io_thread);
  g_test_add_func ("/worker/context", test_context);
  g_test_add_func ("/worker/end", test_end);
  g_test_add_func ("/worker/many-threads", test_many_threads);
  return g_test_run ();
}
