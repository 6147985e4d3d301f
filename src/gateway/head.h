/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The head of an HTTP request, as bytes: whether it is complete, and whether it may be passed to libsoup. libsoup's
 * parser ignores many malformed parts, keeps a request body in memory and, before 3.6, leaks a request with an unknown
 * transfer coding. */

/* with the blank line */
#define TCP_HEAD_MAX_SIZE (64 * 1024)

gboolean tcp_head_is_complete (const char *head,
                               gsize       length);
gsize tcp_head_get_part (const char *head,
                         gsize       length,
                         const char *data,
                         gsize       n);
guint tcp_head_check (const char  *head,
                      gsize        length,
                      const char **reason);

G_END_DECLS
