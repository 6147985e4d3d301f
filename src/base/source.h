/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A source of the thread's main context that fires when its ready time has come:
 * set it with g_source_set_ready_time(), 0 being at once and -1 never. */
GSource *tcp_timer_new (const char  *name,
                        GSourceFunc  func,
                        gpointer     user_data);
void tcp_source_clear (GSource **source);

G_END_DECLS
