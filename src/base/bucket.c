/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/bucket.h"

#define PARTS G_USEC_PER_SEC

/* The maximum of the level, in millionths. */
static gint64
bucket_get_depth (TcpBucket *self)
{
  return self->rate * PARTS;
}

/* Up to TCP_BUCKET_MAX_RATE; 0 for no limit. A bucket that gets a limit is full. */
void
tcp_bucket_set_rate (TcpBucket *self,
                     guint64    rate,
                     gint64     now)
{
  gboolean begins = self->rate == 0;

  tcp_bucket_fill (self, now);
  self->rate = MIN (rate, TCP_BUCKET_MAX_RATE);
  self->filled = now;
  self->level = begins ? bucket_get_depth (self) : MIN (self->level, bucket_get_depth (self));
}

/* Returns how much is available now. */
guint64
tcp_bucket_fill (TcpBucket *self,
                 gint64     now)
{
  gint64 elapsed = CLAMP (now - self->filled, 0, G_USEC_PER_SEC);

  if (self->rate == 0)
    return G_MAXUINT64;

  self->level = MIN (self->level + elapsed * (gint64) self->rate, bucket_get_depth (self));
  self->filled = MAX (self->filled, now);
  return self->level / PARTS;
}

/* @n must not exceed what is available. */
void
tcp_bucket_take (TcpBucket *self,
                 guint64    n)
{
  if (self->rate > 0)
    self->level -= n * PARTS;
}

/* Returns what was taken but not used, perhaps before the limit was changed. */
void
tcp_bucket_give_back (TcpBucket *self,
                      guint64    n)
{
  if (self->rate > 0)
    self->level = MIN (self->level + (gint64) MIN (n, self->rate) * PARTS, bucket_get_depth (self));
}

/* Returns when @n is available, or if that is more than it can hold, when it is full. */
gint64
tcp_bucket_get_due (TcpBucket *self,
                    guint64    n)
{
  gint64 missing = (gint64) MIN (n, self->rate) * PARTS - self->level;

  if (self->rate == 0 || missing <= 0)
    return self->filled;
  return self->filled + (missing + (gint64) self->rate - 1) / (gint64) self->rate;
}
