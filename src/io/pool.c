/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/pool.h"

#include <stdatomic.h>
#include <string.h>

#include <tcptunnel/tcptunnel.h>

#include "base/fork.h"
#include "base/i18n.h"
#include "base/lock.h"
#include "base/ref-count.h"
#include "base/tsan.h"
#include "io/descriptors.h"
#include "io/reactor.h"

#define MAX_THREADS 64
#define MAX_DEFAULT_THREADS 8
#define START_DESCRIPTORS 2 /* of the main context and the reactor */

struct _TcpIoThread
{
  GMainContext *context; /* NULL until it is first needed */
  TcpReactor *reactor;   /* of the context */
  atomic_uint calls; /* calls that were requested and have not returned */
  guint users;
  guint fork_count; /* of the process that it runs in */
};

static GMutex lock; /* of the two below */
static TcpIoThread *threads[MAX_THREADS];
static guint n_threads; /* 0 until it is known */

/* the current I/O thread, or NULL */
static GPrivate here;

typedef struct
{
  TcpIoThread *thread;
  TcpIoFunc func;
  gpointer data;
  GDestroyNotify destroy;

  /* only for a synchronous call */
  TcpLock lock;
  GCond cond;
  gboolean done;
} Call;

static guint
count_threads (void)
{
  const char *text = g_getenv ("TCP_TUNNEL_IO_THREADS");
  g_autoptr (GError) error = NULL;
  guint64 n = MIN (g_get_num_processors (), MAX_DEFAULT_THREADS);

  if (text != NULL && !g_ascii_string_to_unsigned (text, 10, 1, MAX_THREADS, &n, &error))
    g_warning ("TCP_TUNNEL_IO_THREADS is ignored: %s", error->message);
  return n;
}

static gpointer
run (gpointer data)
{
  TcpIoThread *self = data;
  g_autoptr (GMainLoop) loop = NULL;

  tcp_tsan_acquire (self);
  g_private_set (&here, self);
  g_main_context_push_thread_default (self->context);
  tcp_reactor_enter (self->reactor);
  loop = g_main_loop_new (self->context, FALSE);
  g_main_loop_run (loop);
  return NULL;
}

/* GLib aborts the program if a context cannot have a descriptor, so this is tried before. */
static gboolean
start (TcpIoThread  *self,
       GError      **error)
{
  g_autoptr (GMainContext) context = NULL;
  TcpReactor *reactor;
  GThread *thread;

  if (!tcp_descriptors_try (START_DESCRIPTORS, error))
    return FALSE;
  context = g_main_context_new ();
  reactor = tcp_reactor_new (context, error);
  if (reactor == NULL)
    return FALSE;

  g_main_context_set_poll_func (context, tcp_reactor_poll);
  self->context = context;
  self->reactor = reactor;
  tcp_tsan_release (self);
  thread = g_thread_try_new ("tcptunnel-io", run, self, error);
  if (thread == NULL)
    {
      self->context = NULL;
      self->reactor = NULL;
      tcp_reactor_free (reactor);
      return FALSE;
    }
  g_thread_unref (thread);
  g_steal_pointer (&context);
  return TRUE;
}

/* A forked child has none of these threads, and makes its own. */
static void
in_child (void)
{
  static TcpIoThread *former[MAX_THREADS]; /* so that leak checkers find them */

  g_mutex_init (&lock);
  memcpy (former, threads, sizeof threads);
  memset (threads, 0, sizeof threads);
  n_threads = 0;
}

/* Called with the lock held. */
static guint
get_n_threads (void)
{
  if (n_threads > 0)
    return n_threads;

  tcp_fork_watch (in_child);
  n_threads = count_threads ();
  for (guint i = 0; i < n_threads; i++)
    {
      threads[i] = g_new0 (TcpIoThread, 1);
      threads[i]->fork_count = tcp_fork_count ();
    }
  return n_threads;
}

/* A request to a thread of the parent has no effect. */
static gboolean
is_here (TcpIoThread *self)
{
  return self->fork_count == tcp_fork_count ();
}

/* Returns the thread with the fewest users; with @running, among those that have started, or NULL. */
static TcpIoThread *
find_thread (gboolean running)
{
  TcpIoThread *self = NULL;

  for (guint i = 0; i < get_n_threads (); i++)
    if ((!running || threads[i]->context != NULL) && (self == NULL || threads[i]->users < self->users))
      self = threads[i];
  return self;
}

/* If this thread cannot be started, another one is used. */
static TcpIoThread *
use (TcpIoThread  *self,
     GError      **error)
{
  g_autoptr (GError) why = NULL;

  if (self->context == NULL && !start (self, &why))
    self = find_thread (TRUE);
  if (self == NULL)
    {
      g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT,
                   _("no I/O thread can be started: %s"), why->message);
      return NULL;
    }
  self->users++;
  return self;
}

/* The number of threads, whether they have started or not. */
guint
tcp_io_thread_count (void)
{
  guint n;

  g_mutex_lock (&lock);
  n = get_n_threads ();
  g_mutex_unlock (&lock);

  return n;
}

/* Returns the thread with the fewest users. Does not fail once there is one, and so not on an I/O thread. */
TcpIoThread *
tcp_io_thread_acquire (GError **error)
{
  TcpIoThread *self;

  g_mutex_lock (&lock);
  self = use (find_thread (FALSE), error);
  g_mutex_unlock (&lock);

  return self;
}

/* Returns the thread with this index, from 0, or another if it cannot be started. Does not fail once there is one. */
TcpIoThread *
tcp_io_thread_acquire_at (guint    index,
                          GError **error)
{
  TcpIoThread *self;

  g_mutex_lock (&lock);
  index %= get_n_threads ();
  self = use (threads[index], error);
  g_mutex_unlock (&lock);

  return self;
}

/* Pending calls are still made. */
void
tcp_io_thread_release (TcpIoThread *self)
{
  if (!is_here (self))
    return;

  g_mutex_lock (&lock);
  self->users--;
  g_mutex_unlock (&lock);
}

static void
call_free (gpointer data)
{
  Call *call = data;

  if (call->destroy != NULL)
    call->destroy (call->data);
  g_free (call);
}

static gboolean
call_run (gpointer data)
{
  Call *call = data;

  tcp_tsan_acquire (call);
  call->func (call->data);
  atomic_fetch_sub (&call->thread->calls, 1);
  return G_SOURCE_REMOVE;
}

static gboolean
call_run_sync (gpointer data)
{
  Call *call = data;

  call_run (call);
  tcp_lock (&call->lock);
  tcp_tsan_release (call);
  call->done = TRUE;
  g_cond_signal (&call->cond);
  tcp_unlock (&call->lock);

  return G_SOURCE_REMOVE;
}

/* g_main_context_invoke () may run the function in the calling thread. */
static void
attach (TcpIoThread    *self,
        GSourceFunc     func,
        Call           *call,
        GDestroyNotify  destroy)
{
  g_autoptr (GSource) source = g_idle_source_new ();

  /* Requests come before events of sockets that happened later. */
  g_source_set_priority (source, G_PRIORITY_HIGH);
  g_source_set_static_name (source, "[tcptunnel] call");
  call->thread = self;
  atomic_fetch_add (&self->calls, 1);
  tcp_tsan_release (call);
  g_source_set_callback (source, func, call, destroy);
  g_source_attach (source, self->context);
}

/* Calls @func on the thread, in the order of the calls of this function. */
void
tcp_io_thread_invoke (TcpIoThread    *self,
                      TcpIoFunc       func,
                      gpointer        data,
                      GDestroyNotify  destroy)
{
  Call *call = g_new0 (Call, 1);

  call->func = func;
  call->data = data;
  call->destroy = destroy;
  if (!is_here (self))
    {
      call_free (call);
      return;
    }
  attach (self, call_run, call, call_free);
}

/* As above, but at once if this is the thread and no earlier request waits: waking a thread costs more than most calls.
 * @func must expect that its caller continues after it. */
void
tcp_io_thread_call (TcpIoThread    *self,
                    TcpIoFunc       func,
                    gpointer        data,
                    GDestroyNotify  destroy)
{
  if (g_private_get (&here) != self || atomic_load (&self->calls) > 0)
    {
      tcp_io_thread_invoke (self, func, data, destroy);
      return;
    }

  func (data);
  if (destroy != NULL)
    destroy (data);
}

/* As tcp_io_thread_invoke (), but waits until @func has returned. Must not be called on an I/O thread: no I/O thread
 * waits for another, so that this cannot deadlock. */
void
tcp_io_thread_invoke_sync (TcpIoThread *self,
                           TcpIoFunc    func,
                           gpointer     data)
{
  Call call = { .func = func, .data = data };

  if (!is_here (self))
    return;

  tcp_lock_init (&call.lock);
  g_cond_init (&call.cond);
  attach (self, call_run_sync, &call, NULL);

  tcp_lock (&call.lock);
  /* With a deadline the wait ends when a signal handler has run, which may have forked. */
  while (!call.done && is_here (self))
    tcp_lock_wait_until (&call.lock, &call.cond, G_MAXINT64);
  tcp_unlock (&call.lock);

  tcp_tsan_acquire (&call);
  tcp_lock_clear (&call.lock);
  g_cond_clear (&call.cond);
}

/* References are held by the threads that have not responded yet, and by the caller. */
typedef struct
{
  gatomicrefcount refs;
  GTask *task;
} Probe;

static void
probe_unref (gpointer data)
{
  Probe *self = data;

  if (!tcp_ref_count_dec (&self->refs))
    return;
  tcp_tsan_release (self->task);
  g_task_return_boolean (self->task, TRUE);
  g_object_unref (self->task);
  g_free (self);
}

static void
come_round (gpointer data)
{
}

/* Returns TRUE from @task, which it takes, once each running thread has made a call. */
void
tcp_io_threads_probe (GTask *task)
{
  Probe *self = g_new0 (Probe, 1);

  g_atomic_ref_count_init (&self->refs);
  self->task = task;
  g_mutex_lock (&lock);
  for (guint i = 0; i < get_n_threads (); i++)
    if (threads[i]->context != NULL)
      {
        g_atomic_ref_count_inc (&self->refs);
        tcp_io_thread_invoke (threads[i], come_round, self, probe_unref);
      }
  g_mutex_unlock (&lock);
  probe_unref (self);
}
