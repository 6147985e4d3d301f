/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* How long to wait before the next attempt. Pure: neither clock nor random
 * source is its own. */
typedef struct
{
  guint delay;        /* ms before the first attempt */
  guint max_delay;    /* ms */
  int max_attempts;   /* negative for no limit */
  guint attempt;      /* attempts handed out so far */
} TcpBackoff;

void tcp_backoff_init (TcpBackoff *self,
                       guint       delay,
                       guint       max_delay,
                       int         max_attempts);
gboolean tcp_backoff_next (TcpBackoff *self,
                           double      random,
                           guint      *delay);
void tcp_backoff_reset (TcpBackoff *self);

G_END_DECLS
