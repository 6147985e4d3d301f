/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/lock.h"

#include "base/fork.h"
#include "base/tsan.h"

static GMutex renewal; /* one thread of a child begins a lock anew */

static void
in_child (void)
{
  g_mutex_init (&renewal);
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
  /* GLib ends a program that clears a mutex which is held. */
  if (atomic_load (&self->fork_count) == tcp_fork_count ())
    g_mutex_clear (&self->mutex);
}

void
tcp_lock (TcpLock *self)
{
  if (G_UNLIKELY (atomic_load (&self->fork_count) != tcp_fork_count ()))
    lock_renew (self);
  g_mutex_lock (&self->mutex);
}

void
tcp_unlock (TcpLock *self)
{
  g_mutex_unlock (&self->mutex);
}
