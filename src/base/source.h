/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Sources of the thread's main context. All may recurse: nothing here ever does, and
 * GLib would otherwise take their file descriptors out of the poll, and put them back
 * with a wake-up, around every dispatch. */

/* One that fires when its time has come, see tcp_timer_set(). */
GSource *tcp_timer_new (const char  *name,
                        GSourceFunc  func,
                        gpointer     user_data);
void tcp_timer_set (GSource *timer,
                    gint64   when);
gint64 tcp_now (void);
/* One that fires when the condition holds for the file descriptor. */
GSource *tcp_fd_source_new (const char   *name,
                            int           fd,
                            GIOCondition  condition,
                            GSourceFunc   func,
                            gpointer      user_data);
void tcp_source_clear (GSource **source);

G_END_DECLS
