/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/fork.h"

#include <pthread.h>
#include <stdatomic.h>

#define MAX_WATCHES 8

static atomic_uint count;
static void (*_Atomic watches[MAX_WATCHES]) (void); /* without gaps */

static void
on_child (void)
{
  atomic_fetch_add (&count, 1);
  for (guint i = 0; i < MAX_WATCHES && watches[i] != NULL; i++)
    watches[i] ();
}

/* The number of forks among the ancestors: data with another number belongs to the parent. */
guint
tcp_fork_count (void)
{
  return atomic_load (&count);
}

/* Calls @in_child in each forked child, in its only thread, and once, however often it was registered. For state that
 * exists once in a process. */
void
tcp_fork_watch (void (*in_child) (void))
{
  static gsize is_set = 0;
  void (*there) (void);
  guint i = 0;

  /* A slot that is taken stays taken. If another thread took it first, its value shows whether the function is
   * registered already. */
  do
    {
      g_assert (i < MAX_WATCHES);
      there = NULL;
    }
  while (!atomic_compare_exchange_strong (&watches[i++], &there, in_child) && there != in_child);

  if (g_once_init_enter (&is_set))
    {
      pthread_atfork (NULL, NULL, on_child);
      g_once_init_leave (&is_set, TRUE);
    }
}
