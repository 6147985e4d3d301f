/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/worker.h"

#include "base/tsan.h"

struct _TcpWorker
{
  gatomicrefcount refs;
  GMainContext *context;
  GMainLoop *loop;

  /* Of the I/O thread */
  gboolean done;     /* the engine has nothing left to do */
  gboolean released; /* and nobody will call */
};

typedef struct
{
  TcpWorkerFunc func;
  gpointer data;
  GDestroyNotify destroy;

  /* Only of a synchronous call. */
  GMutex mutex;
  GCond cond;
  gboolean done;
} Call;

static gpointer
worker_thread (gpointer data)
{
  TcpWorker *self = data;

  tcp_tsan_acquire (self);
  g_main_context_push_thread_default (self->context);
  g_main_loop_run (self->loop);
  /* What was cancelled says so by sources that hold the context. */
  while (g_main_context_iteration (self->context, FALSE))
    ;
  g_main_context_pop_thread_default (self->context);
  tcp_worker_unref (self);

  return NULL;
}

TcpWorker *
tcp_worker_new (const char *name)
{
  TcpWorker *self = g_new0 (TcpWorker, 1);

  g_atomic_ref_count_init (&self->refs);
  self->context = g_main_context_new ();
  self->loop = g_main_loop_new (self->context, FALSE);

  /* The thread is never joined: it ends by itself once its engine has said
   * goodbye to its peers, which may be after the face is gone. */
  tcp_tsan_release (self);
  g_thread_unref (g_thread_new (name, worker_thread, tcp_worker_ref (self)));

  return self;
}

TcpWorker *
tcp_worker_ref (TcpWorker *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_worker_unref (TcpWorker *self)
{
  tcp_tsan_release (self);
  if (!g_atomic_ref_count_dec (&self->refs))
    return;

  tcp_tsan_acquire (self);
  g_main_loop_unref (self->loop);
  g_main_context_unref (self->context);
  g_free (self);
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
  return G_SOURCE_REMOVE;
}

static gboolean
call_run_sync (gpointer data)
{
  Call *call = data;

  call_run (call);
  g_mutex_lock (&call->mutex);
  tcp_tsan_release (call);
  call->done = TRUE;
  g_cond_signal (&call->cond);
  g_mutex_unlock (&call->mutex);

  return G_SOURCE_REMOVE;
}

/* Not g_main_context_invoke(): that may run the function in the calling thread. */
static void
worker_attach (TcpWorker      *self,
               GSourceFunc     func,
               Call           *call,
               GDestroyNotify  destroy)
{
  g_autoptr (GSource) source = g_idle_source_new ();

  /* What was asked for before something happened on a socket comes before it. */
  g_source_set_priority (source, G_PRIORITY_HIGH);
  g_source_set_static_name (source, "[tcptunnel] call");
  tcp_tsan_release (call);
  g_source_set_callback (source, func, call, destroy);
  g_source_attach (source, self->context);
}

/* Runs @func on the I/O thread, in the order of the calls. */
void
tcp_worker_invoke (TcpWorker      *self,
                   TcpWorkerFunc   func,
                   gpointer        data,
                   GDestroyNotify  destroy)
{
  Call *call = g_new0 (Call, 1);

  call->func = func;
  call->data = data;
  call->destroy = destroy;
  worker_attach (self, call_run, call, call_free);
}

/* As above, and waits until it ran. The I/O thread never waits for another, so
 * that this cannot lock up. */
void
tcp_worker_invoke_sync (TcpWorker     *self,
                        TcpWorkerFunc  func,
                        gpointer       data)
{
  Call call = { .func = func, .data = data };

  g_mutex_init (&call.mutex);
  g_cond_init (&call.cond);
  worker_attach (self, call_run_sync, &call, NULL);

  g_mutex_lock (&call.mutex);
  while (!call.done)
    g_cond_wait (&call.cond, &call.mutex);
  g_mutex_unlock (&call.mutex);

  tcp_tsan_acquire (&call);
  g_mutex_clear (&call.mutex);
  g_cond_clear (&call.cond);
}

static void
worker_quit_if_idle (TcpWorker *self)
{
  if (self->done && self->released)
    g_main_loop_quit (self->loop);
}

/* To be called on the I/O thread, when the engine has finished. */
void
tcp_worker_quit (TcpWorker *self)
{
  self->done = TRUE;
  worker_quit_if_idle (self);
}

/* To be called on the I/O thread, when no other call follows: one that came after
 * the thread has ended would wait for ever. */
void
tcp_worker_release (TcpWorker *self)
{
  self->released = TRUE;
  worker_quit_if_idle (self);
}
