/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <stdatomic.h>

#include <glib.h>

G_BEGIN_DECLS

/* The lock of an object that a child may use after a fork. Another thread of the parent may have held it at that
 * moment, and no thread of the child would ever release it. The child therefore initializes it again when it is first
 * used, or at once if a signal handler has forked while this thread waited for it. The data under the lock is then as
 * that thread left it. */
typedef struct
{
  GMutex mutex; /* a GMutex, for use with a GCond */
  atomic_uint fork_count;
} TcpLock;

void tcp_lock_init (TcpLock *self);
void tcp_lock_clear (TcpLock *self);
void tcp_lock (TcpLock *self);
void tcp_unlock (TcpLock *self);
gboolean tcp_lock_wait_until (TcpLock *self,
                              GCond   *cond,
                              gint64   deadline);

G_END_DECLS
