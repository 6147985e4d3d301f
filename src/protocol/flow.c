/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "protocol/flow.h"

/* The maximum of credit that is not returned yet although it could be, in bytes. */
#define MAX_HELD (256 * 1024)

/* FALSE if there was not enough credit. */
gboolean
tcp_flow_receive (TcpFlow *self,
                  gsize    length,
                  gint64   now)
{
  if (length > self->granted)
    return FALSE;

  self->granted -= length;
  if (self->epoch == 0)
    self->epoch = now;
  return TRUE;
}

/* The part of the window that was passed to TCP, and not returned yet. */
static guint32
flow_used (TcpFlow *self,
           gsize    queued)
{
  return self->window - self->granted - queued;
}

/* Whether there is enough to return: a part of the window small enough that the rest of it keeps the path busy. @queued
 * bytes wait for TCP. */
gboolean
tcp_flow_is_due (TcpFlow *self,
                 gsize    queued)
{
  return !self->fin_received && flow_used (self, queued) >= CLAMP (self->window / 4, 1, MAX_HELD);
}

/* Reduces the window to @window, as far as used credit can be withheld. */
static void
flow_shrink (TcpFlow *self,
             gsize    queued,
             guint32  window)
{
  if (self->window > window)
    self->window -= MIN (self->window - window, flow_used (self, queued));
}

/* Returns how much credit the peer gets: what it has used, and the growth of the window. The window grows to the head
 * start if the initial window was used up as soon as an answer could arrive; and once per round trip to twice the
 * amount that arrives at this pace until more credit has its effect, so that the path is full, but no more than as much
 * can accumulate on the way. It also shrinks to that value if bytes wait for TCP, but not below the least; and to the
 * most in any case. */
guint32
tcp_flow_give (TcpFlow             *self,
               gsize                queued,
               const TcpFlowBounds *bounds,
               gint64               round_trip,
               gint64               response_time,
               gint64               now)
{
  gint64 elapsed = CLAMP (now - self->epoch, 1, G_TIME_SPAN_HOUR);
  gint64 wanted = queued == 0 && elapsed <= response_time ? bounds->head_start : 0;
  guint32 credit;
  gint64 more;

  self->taken += flow_used (self, queued);
  if (elapsed >= round_trip)
    {
      gint64 needed = 2 * self->taken * MIN (response_time, G_TIME_SPAN_MINUTE) / elapsed;

      wanted = MAX (wanted, MIN (needed, 4 * (gint64) self->window));
      if (queued > 0)
        flow_shrink (self, queued, CLAMP (needed, bounds->least, G_MAXUINT32));
      self->epoch = now;
      self->taken = 0;
    }
  flow_shrink (self, queued, bounds->most);

  more = CLAMP (MIN (wanted, bounds->most) - self->window, 0, bounds->growth);
  self->window += more;
  credit = flow_used (self, queued);
  self->granted += credit;
  return credit;
}
