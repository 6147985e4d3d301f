/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/lock.h"
#include "base/status.h"
#include "endpoint/event-queue.h"
#include "endpoint/wait.h"

G_BEGIN_DECLS

/* The common part of tunnel and gateway: starts an engine, blocking or not, passes on its events, drains it, and closes
 * it. */
typedef struct
{
  const char *noun; /* "the tunnel" */

  /* Collects data from the application; nullable. */
  gboolean (*collect) (gpointer   owner,
                       GError   **error);
  /* Checks the settings and makes an engine. Called with the lock held. */
  gpointer (*make) (gpointer        owner,
                    TcpEventQueue  *events,
                    GError        **error);
  /* Does the part of the start that may block; nullable. */
  gboolean (*prepare) (gpointer   engine,
                       GError   **error);
  gpointer (*ref) (gpointer engine);
  void (*unref) (gpointer engine);

  /* The following are called from any thread, even after the close. */

  /* Answered by TCP_EVENT_STARTED. The first call, except prepare (). */
  void (*start) (gpointer engine);
  /* Answered by TCP_EVENT_DRAINED; NULL for an engine that cannot be drained. */
  void (*drain) (gpointer engine,
                 guint64  wait,
                 guint    timeout);
  /* Makes a start in progress fail, or ends the wait for a drain. */
  void (*cancel) (gpointer engine,
                  guint64  wait);
  /* Returns when the port is free. Called once. */
  void (*close) (gpointer engine);

  /* Emits the signals of an event. Only called in the context that was the default of the thread of the start. @engine
   * is NULL if the engine is gone. */
  void (*emit) (gpointer  owner,
                gpointer  engine,
                TcpEvent *event);
} TcpRunnerClass;

typedef struct
{
  const TcpRunnerClass *klass;
  GObject *owner; /* not counted: the runner is a part of it */
  TcpStatus *status;

  /* Protects the fields below, and those of the owner that several threads use. No code calls the application, or
   * blocks, while it holds the lock. */
  TcpLock lock;
  GCond cond;

  gpointer engine;
  guint run;             /* the number of engines so far, including this one */
  guint fork_count;      /* of the process in which the last engine was started */
  TcpEventQueue *events; /* of the engine, or of a former one with pending events */
  gboolean active;       /* from a successful start to the end */
  GSocketAddress *address; /* NULL if it does not listen itself */
  char *uri;
  GSocketAddress *last_address; /* of the last engine, if there is none now: callers that have borrowed it may use it
                                 * until the next start */
  gboolean starting;
  gboolean closing; /* a thread waits for the end of the engine */
  guint close_fork_count; /* that of this thread's process */
  gboolean draining; /* no new connections are accepted */
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
