/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The delay before the next attempt, and the number of attempts. The count and the delay restart separately. Without a
 * clock and a random source of its own. */
typedef struct
{
  guint delay;        /* in ms, before the first attempt */
  guint max_delay;    /* in ms */
  int max_attempts;   /* negative for no limit */
  guint attempt;      /* attempts since the count began */
  guint step;         /* attempts since the delay began */
} TcpBackoff;

/* The longest delays, in ms, before a resumable session is tried again: the first time, and later. */
#define TCP_BACKOFF_RESUME_FIRST 50
#define TCP_BACKOFF_RESUME_MAX 5000

/* The shortest delay, in ms, after this number of consecutive attempts: they may be unlimited, and the requested delay
 * may be 0. */
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
