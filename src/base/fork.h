/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Detects that this process was forked by one that used the library. The threads of the library exist in the parent
 * only; locks that they held, and data that they were changing, stay in that state. */

guint tcp_fork_count (void);
void tcp_fork_watch (void (*in_child) (void));

G_END_DECLS
