/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/fork.h"

#include <pthread.h>
#include <stdatomic.h>

#define MAX_WATCHES 8

static atomic_uint count;
static void (*_Atomic watches[MAX_WATCHES]) (void);
static atomic_uint n_watches;

static void
on_child (void)
{
  atomic_fetch_add (&count, 1);
  for (guint i = 0; i < atomic_load (&n_watches); i++)
    if (watches[i] != NULL)
      watches[i] ();
}

/* How often the ancestors forked: what remembers another number is the parent's. */
guint
tcp_fork_count (void)
{
  return atomic_load (&count);
}

/* Calls @in_child in each child, in its only thread. For what is there once in a process. */
void
tcp_fork_watch (void (*in_child) (void))
{
  static gsize is_set = 0;
  guint i = atomic_fetch_add (&n_watches, 1);

  g_assert (i < MAX_WATCHES);
  watches[i] = in_child;
  if (g_once_init_enter (&is_set))
    {
      pthread_atfork (NULL, NULL, on_child);
      g_once_init_leave (&is_set, TRUE);
    }
}
