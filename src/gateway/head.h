/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The head of an HTTP request, as bytes: whether it is complete, and whether it may go to
 * libsoup. libsoup's parser ignores much that is malformed, keeps a request body in memory
 * and, before 3.6, leaks a request whose transfer coding it does not know. */

/* The blank line included. */
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
