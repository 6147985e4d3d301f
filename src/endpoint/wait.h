/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <stdatomic.h>

#include "endpoint/event-queue.h"

G_BEGIN_DECLS

/* A start or a drain that a caller waits for: with a task, in one blocking call, or in several short ones, which are
 * identified by their cancellable. */
typedef struct
{
  gatomicrefcount refs; /* the last reference may be dropped by a garbage collector in another thread */
  guint64 id;           /* 0 for the start, from 1 for drains */
  GTask *task;          /* NULL if a thread blocks */
  TcpEventQueue *events; /* those whose waiters are woken at the end; NULL until it has begun */

  /* under the lock of the runner */
  GCancellable *cancellable;
  gulong cancelled_id;

  atomic_bool over;
  GError *error; /* for a call that blocks, once it is over */
} TcpWait;

TcpWait *tcp_wait_new (GTask *task);
TcpWait *tcp_wait_ref (TcpWait *self);
void tcp_wait_unref (TcpWait *self);
TcpWait *tcp_wait_find (GCancellable *cancellable);
void tcp_wait_attach (TcpWait      *self,
                      GCancellable *cancellable);
void tcp_wait_detach (GCancellable *cancellable);
void tcp_wait_end (TcpWait *self,
                   GError  *error);
gboolean tcp_wait_is_over (TcpWait *self);
gboolean tcp_wait_report (TcpWait  *self,
                          GError  **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpWait, tcp_wait_unref)

G_END_DECLS
