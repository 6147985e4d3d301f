/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/backoff.h"

/* The part of a delay that is random, so that many clients that lost the same gateway do not reconnect all at once.
 * Resumable sessions reconnect sooner, and so have to spread more. */
#define JITTER 0.2
#define RESUME_JITTER 0.5

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
  self->step = 0;
}

/* Whether no attempt is left. */
gboolean
tcp_backoff_is_exhausted (const TcpBackoff *self)
{
  return self->max_attempts >= 0 && self->attempt >= (guint) self->max_attempts;
}

static void
backoff_count (TcpBackoff *self)
{
  if (self->attempt < G_MAXUINT)
    self->attempt++;
  if (self->step < G_MAXUINT)
    self->step++;
}

static guint
backoff_delay (TcpBackoff *self,
               guint       doublings,
               guint       max_delay,
               double      jitter,
               double      random)
{
  guint64 full = self->delay;
  guint delay;

  /* A shift by 32 or more could overflow, and the cap is reached long before. */
  full <<= MIN (doublings, 31);
  full = MIN (full, max_delay);
  delay = (guint) (full - full * jitter * random);
  return self->step >= TCP_BACKOFF_FLOOR_AFTER ? MAX (delay, TCP_BACKOFF_FLOOR) : delay;
}

/* Returns the delay in ms before the next attempt. @random is from [0, 1). */
guint
tcp_backoff_next (TcpBackoff *self,
                  double      random)
{
  guint delay = backoff_delay (self, self->step, self->max_delay, JITTER, random);

  backoff_count (self);
  return delay;
}

/* The same for a resumable session: the cause of the break has most likely passed. */
guint
tcp_backoff_next_resume (TcpBackoff *self,
                         double      random)
{
  guint max_delay = MIN (self->max_delay, TCP_BACKOFF_RESUME_MAX);
  guint delay = self->step == 0 ? (guint) (TCP_BACKOFF_RESUME_FIRST * random)
                                : backoff_delay (self, self->step - 1, max_delay, RESUME_JITTER, random);

  backoff_count (self);
  return delay;
}

void
tcp_backoff_restart_count (TcpBackoff *self)
{
  self->attempt = 0;
}

void
tcp_backoff_restart_delay (TcpBackoff *self)
{
  self->step = 0;
}
