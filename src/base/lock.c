/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/lock.h"

#include "base/fork.h"
#include "base/tsan.h"

static GMutex renewal; /* held by the thread of a child that initializes a lock again */

/* The lock that this thread waits for, is about to wait for, or has just acquired, in case a signal handler forks. */
static _Thread_local TcpLock *volatile wanted;

static void
in_child (void)
{
  g_mutex_init (&renewal);
  if (wanted != NULL)
    g_mutex_init (&wanted->mutex);
}

static void
lock_renew (TcpLock *self)
{
  g_mutex_lock (&renewal);
  if (atomic_load (&self->fork_count) != tcp_fork_count ())
    {
      g_mutex_init (&self->mutex);
      atomic_store (&self->fork_count, tcp_fork_count ());
    }
  g_mutex_unlock (&renewal);
}

void
tcp_lock_init (TcpLock *self)
{
  tcp_fork_watch (in_child);
  g_mutex_init (&self->mutex);
  atomic_init (&self->fork_count, tcp_fork_count ());
}

void
tcp_lock_clear (TcpLock *self)
{
  /* The last reference may be one of GLib's, which ThreadSanitizer does not see. */
  tcp_tsan_acquire (&self->mutex);
  /* GLib aborts a program that clears a locked mutex. */
  if (atomic_load (&self->fork_count) == tcp_fork_count ())
    g_mutex_clear (&self->mutex);
}

void
tcp_lock (TcpLock *self)
{
  if (G_UNLIKELY (atomic_load (&self->fork_count) != tcp_fork_count ()))
    lock_renew (self);
  wanted = self;
  g_mutex_lock (&self->mutex);
  wanted = NULL;
}

/* A lock that was acquired before a fork may be in any state, and is initialized again when it is next acquired. */
void
tcp_unlock (TcpLock *self)
{
  if (G_LIKELY (atomic_load (&self->fork_count) == tcp_fork_count ()))
    g_mutex_unlock (&self->mutex);
}

/* As g_cond_wait_until (), but also returns when a signal handler has run, and in the child if that has forked. */
gboolean
tcp_lock_wait_until (TcpLock *self,
                     GCond   *cond,
                     gint64   deadline)
{
  gboolean in_time;

  wanted = self;
  in_time = g_cond_wait_until (cond, &self->mutex, deadline);
  wanted = NULL;
  return in_time;
}
