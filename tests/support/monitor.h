/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>
#include <pthread.h>

G_BEGIN_DECLS

/* A lock with a condition. It does not use those of GLib, since ThreadSanitizer does not detect them. */
typedef struct
{
  pthread_mutex_t mutex;
  pthread_cond_t changed;
} Monitor;

void monitor_init (Monitor *monitor);
void monitor_clear (Monitor *monitor);
void monitor_enter (Monitor *monitor);
void monitor_leave (Monitor *monitor);
/* To be called while the lock is held. The wait returns FALSE when the deadline (monotonic, in µs) has passed. */
void monitor_changed (Monitor *monitor);
gboolean monitor_wait (Monitor *monitor,
                       gint64 deadline);

/* Takes the lock, waits until @expression holds, and releases the lock. Returns whether it held in time. */
#define MONITOR_WAIT_FOR(monitor, deadline, expression) \
  ({ \
    gint64 monitor_deadline_ = (deadline); \
    gboolean monitor_held_; \
    monitor_enter (monitor); \
    while (!(monitor_held_ = (expression)) && monitor_wait (monitor, monitor_deadline_)) \
      ; \
    monitor_leave (monitor); \
    monitor_held_; \
  })

G_END_DECLS
