/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/blocking-call.h"
#include "base/event-queue.h"
#include "base/status.h"

G_BEGIN_DECLS

/* What the faces of tunnel and gateway have in common: to start an engine, blocking
 * or not, to hear its events, and to close it. Part of its owner, and of the thread
 * of that. */
typedef struct
{
  const char *noun; /* "the tunnel" */

  /* Checks the settings and makes an engine that will push TCP_EVENT_STARTED. */
  gpointer (*make) (gpointer        owner,
                    TcpEventQueue  *events,
                    GError        **error);
  gpointer (*ref) (gpointer engine);
  void (*unref) (gpointer engine);
  /* Makes a start fail that is under way. Called from any thread. */
  void (*cancel) (gpointer engine);
  /* Returns when the port is free. The last call. */
  void (*close) (gpointer engine);

  /* All events but that of the start; and the address once it started. */
  void (*event) (gpointer  owner,
                 TcpEvent *event);
  void (*address) (gpointer        owner,
                   GSocketAddress *address);
} TcpRunnerClass;

typedef struct
{
  const TcpRunnerClass *klass;
  GObject *owner; /* not counted */
  TcpStatus *status;

  gpointer engine;
  TcpEventQueue *events;

  gboolean starting;
  GTask *task; /* NULL if the start blocks */
  TcpBlockingCall *blocking_start; /* NULL if it does not */
  GCancellable *cancellable;
  gulong cancelled_id;
} TcpRunner;

void tcp_runner_init (TcpRunner            *self,
                      const TcpRunnerClass *klass,
                      GObject              *owner,
                      TcpStatus            *status);
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
gboolean tcp_runner_wait (TcpRunner        *self,
                          TcpEventType      type,
                          TcpBlockingCall  *call,
                          GError          **error);
gboolean tcp_runner_wait_step (TcpRunner        *self,
                               TcpEventType      type,
                               TcpBlockingCall  *call,
                               guint             wait,
                               GCancellable     *cancellable,
                               GError          **error);
gboolean tcp_runner_close (TcpRunner *self);

G_END_DECLS
