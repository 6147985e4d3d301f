/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Whether this process was forked by one that used the library. The threads of the library are
 * in the parent only; what they may have held, or were changing, is as it was at that moment. */

guint tcp_fork_count (void);
void tcp_fork_watch (void (*in_child) (void));

G_END_DECLS
