/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session/flow.h"

/* FALSE if there was no credit for as much. */
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

/* What reached TCP of the window, and was not given back. */
static guint32
flow_used (TcpFlow *self,
           gsize    queued)
{
  return self->window - self->granted - queued;
}

/* Whether half of the window can be given back. @queued bytes wait for TCP. */
gboolean
tcp_flow_is_due (TcpFlow *self,
                 gsize    queued)
{
  return !self->fin_received && flow_used (self, queued) >= MAX (1, self->window / 2);
}

/* How much credit the peer gets: what it has used, and, if at that pace two round trips
 * would take more than the window, what is missing, but no more than the window was, nor
 * than @growth. As much fills the path, while only half of it can pile up on the way. */
guint32
tcp_flow_give (TcpFlow *self,
               gsize    queued,
               guint32  growth,
               gint64   round_trip,
               gint64   now)
{
  guint32 used = flow_used (self, queued);
  gint64 elapsed = CLAMP (now - self->epoch, 1, G_TIME_SPAN_HOUR);
  gint64 wanted = MIN (2 * round_trip, G_TIME_SPAN_HOUR) * used / elapsed;
  gint64 more = MIN (wanted, TCP_FLOW_MAX_WINDOW) - self->window;

  more = CLAMP (more, 0, MIN (self->window, growth));
  self->epoch = now;
  self->window += more;
  self->granted += used + more;
  return used + more;
}
