/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/lock.h"
#include "base/status.h"
#include "endpoint/event-queue.h"
#include "endpoint/wait.h"

G_BEGIN_DECLS

/* What tunnel and gateway have in common: to start an engine, blocking or not, to pass on
 * its events, to drain it, and to close it. */
typedef struct
{
  const char *noun; /* "the tunnel" */

  /* NULL, or what has to be asked of the application first. */
  gboolean (*collect) (gpointer   owner,
                       GError   **error);
  /* Checks the settings and makes an engine. Called with the lock held. */
  gpointer (*make) (gpointer        owner,
                    TcpEventQueue  *events,
                    GError        **error);
  /* NULL, or what has to be done before the start and may block. */
  gboolean (*prepare) (gpointer   engine,
                       GError   **error);
  gpointer (*ref) (gpointer engine);
  void (*unref) (gpointer engine);

  /* These are called from any thread, also after the close. */

  /* Answered by TCP_EVENT_STARTED. It comes first, unless there is something to prepare. */
  void (*start) (gpointer engine);
  /* Answered by TCP_EVENT_DRAINED; NULL if it cannot be drained. */
  void (*drain) (gpointer engine,
                 guint64  wait,
                 guint    timeout);
  /* Makes a start fail that is under way, or ends the wait for a drain. */
  void (*cancel) (gpointer engine,
                  guint64  wait);
  /* Returns when the port is free. Called once. */
  void (*close) (gpointer engine);

  /* Emits what the event is about. Only in the context that was the default of the thread
   * that started. @engine is NULL for one that is gone. */
  void (*emit) (gpointer  owner,
                gpointer  engine,
                TcpEvent *event);
} TcpRunnerClass;

typedef struct
{
  const TcpRunnerClass *klass;
  GObject *owner; /* not counted: the runner is a part of it */
  TcpStatus *status;

  /* Under it are the fields below, and those of the owner that more than one thread uses.
   * Neither the application nor anything that blocks is called with it. */
  TcpLock lock;
  GCond cond;

  gpointer engine;
  guint run;             /* how many engines there were, with this one */
  guint fork_count;      /* of the process that the last engine was started in */
  TcpEventQueue *events; /* of the engine, or of a former one if there is something to emit */
  gboolean active;       /* from a successful start to the end */
  GSocketAddress *address; /* NULL where it listens nowhere itself */
  char *uri;
  GSocketAddress *last_address; /* of the last engine, if there is none: its borrowers may use it until the next start */
  gboolean starting;
  gboolean closing; /* a thread waits for the engine's end, */
  guint close_fork_count; /* one of this process */
  gboolean draining; /* new connections are not taken any more */
  GQueue waits;     /* of TcpWait */
  guint64 last_wait;
} TcpRunner;

void tcp_runner_init (TcpRunner            *self,
                      const TcpRunnerClass *klass,
                      GObject              *owner,
                      TcpStatus            *status);
void tcp_runner_dispose (TcpRunner *self);
void tcp_runner_clear (TcpRunner *self);
void tcp_runner_lock (TcpRunner *self);
void tcp_runner_unlock (TcpRunner *self);
gboolean tcp_runner_is_active (TcpRunner *self);
gboolean tcp_runner_has_engine (TcpRunner *self);
gboolean tcp_runner_can_close_at_once (TcpRunner *self);
void tcp_runner_start_async (TcpRunner           *self,
                             GCancellable        *cancellable,
                             GAsyncReadyCallback  callback,
                             gpointer             user_data,
                             gpointer             source_tag);
gboolean tcp_runner_start (TcpRunner     *self,
                           GCancellable  *cancellable,
                           GError       **error);
gboolean tcp_runner_start_step (TcpRunner     *self,
                                guint          wait,
                                GCancellable  *cancellable,
                                GError       **error);
void tcp_runner_drain_async (TcpRunner           *self,
                             guint                timeout,
                             GCancellable        *cancellable,
                             GAsyncReadyCallback  callback,
                             gpointer             user_data,
                             gpointer             source_tag);
gboolean tcp_runner_drain (TcpRunner     *self,
                           guint          timeout,
                           GCancellable  *cancellable,
                           GError       **error);
gboolean tcp_runner_drain_step (TcpRunner     *self,
                                guint          timeout,
                                guint          wait,
                                GCancellable  *cancellable,
                                GError       **error);
gpointer tcp_runner_ref_engine (TcpRunner  *self,
                                GError    **error);
void tcp_runner_close (TcpRunner *self);
void tcp_runner_close_run (TcpRunner *self,
                           guint      run);

G_END_DECLS
