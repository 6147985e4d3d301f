/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/backoff.h"

/* Many clients that lost the same gateway must not come back as one. */
#define JITTER 0.2

void
tcp_backoff_init (TcpBackoff *self,
                  guint       delay,
                  guint       max_delay,
                  int         max_attempts)
{
  self->delay = delay;
  self->max_delay = max_delay;
  self->max_attempts = max_attempts;
  self->attempt = 0;
}

/* Gives the delay in ms before the next attempt, or FALSE when there is none
 * left. @random is from [0, 1). */
gboolean
tcp_backoff_next (TcpBackoff *self,
                  double      random,
                  guint      *delay)
{
  guint64 full = self->delay;

  if (self->max_attempts >= 0 && self->attempt >= (guint) self->max_attempts)
    return FALSE;

  /* A shift by 32 or more would leave the range long after the cap did. */
  full <<= MIN (self->attempt, 31);
  full = MIN (full, self->max_delay);
  if (self->attempt < G_MAXUINT)
    self->attempt++;

  *delay = (guint) (full - full * JITTER * random);
  return TRUE;
}

void
tcp_backoff_reset (TcpBackoff *self)
{
  self->attempt = 0;
}
