/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "monitor.h"

void
monitor_init (Monitor *monitor)
{
  pthread_condattr_t attributes;

  pthread_condattr_init (&attributes);
  pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
  pthread_mutex_init (&monitor->mutex, NULL);
  pthread_cond_init (&monitor->changed, &attributes);
  pthread_condattr_destroy (&attributes);
}

void
monitor_clear (Monitor *monitor)
{
  pthread_cond_destroy (&monitor->changed);
  pthread_mutex_destroy (&monitor->mutex);
}

void
monitor_enter (Monitor *monitor)
{
  pthread_mutex_lock (&monitor->mutex);
}

void
monitor_leave (Monitor *monitor)
{
  pthread_mutex_unlock (&monitor->mutex);
}

void
monitor_changed (Monitor *monitor)
{
  pthread_cond_broadcast (&monitor->changed);
}

gboolean
monitor_wait (Monitor *monitor,
              gint64 deadline)
{
  struct timespec time = {
    .tv_sec = deadline / G_USEC_PER_SEC,
    .tv_nsec = (deadline % G_USEC_PER_SEC) * 1000,
  };

  return pthread_cond_timedwait (&monitor->changed, &monitor->mutex, &time) == 0;
}
