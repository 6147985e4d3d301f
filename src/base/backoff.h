/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* How long to wait before the next attempt, and how many attempts there are. The count and the
 * delay restart separately. Pure: it has neither a clock nor a random source of its own. */
typedef struct
{
  guint delay;        /* ms before the first attempt */
  guint max_delay;    /* ms */
  int max_attempts;   /* negative for no limit */
  guint attempt;      /* attempts handed out since the count began */
  guint step;         /* and since the delay did */
} TcpBackoff;

/* The longest delays, in ms, before a session that can be resumed is tried: the first time, and
 * later. */
#define TCP_BACKOFF_RESUME_FIRST 50
#define TCP_BACKOFF_RESUME_MAX 5000

/* The shortest delay, in ms, after so many attempts in a row: they may be unlimited, and the delay
 * that was asked for may be 0. */
#define TCP_BACKOFF_FLOOR 20
#define TCP_BACKOFF_FLOOR_AFTER 10

void tcp_backoff_init (TcpBackoff *self,
                       guint       delay,
                       guint       max_delay,
                       int         max_attempts);
gboolean tcp_backoff_is_exhausted (const TcpBackoff *self);
guint tcp_backoff_next (TcpBackoff *self,
                        double      random);
guint tcp_backoff_next_resume (TcpBackoff *self,
                               double      random);
void tcp_backoff_restart_count (TcpBackoff *self);
void tcp_backoff_restart_delay (TcpBackoff *self);

G_END_DECLS
