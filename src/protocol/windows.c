/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "protocol/windows.h"

#define WINDOW_MIN (16 * 1024)
#define WINDOW_FIRST (256 * 1024)

/* To how much one grows. */
#define WINDOW_MOST (64 * 1024 * 1024)

/* To how little one shrinks where there are very many. */
#define WINDOW_LEAST (4 * 1024)

/* A stream begins with so much that as many streams as are usual take up half of the window of
 * the session; the other half is for those that can use more. Where there are more streams, the
 * first windows of those that are idle are more than half, but do not count as more. */
void
tcp_windows_init (TcpWindows *self,
                  gsize       max,
                  gsize       max_first,
                  guint       max_streams)
{
  self->max = max;
  self->first = CLAMP (MIN (max / 2 / MIN (max_streams, TCP_WINDOWS_USUAL_STREAMS), max_first), WINDOW_MIN, WINDOW_FIRST);
}

/* What of a window is beyond the first. */
static guint32
windows_get_growth (TcpWindows *self,
                    guint32     window)
{
  return window - MIN (window, self->first);
}

/* That of a stream. */
static void
windows_change (TcpWindows *self,
                guint32     before,
                guint32     after)
{
  self->given = self->given - before + after;
  self->grown = self->grown - windows_get_growth (self, before) + windows_get_growth (self, after);
}

/* What is left for growth, and would be if @flow had its first window. */
static gsize
windows_get_rest (TcpWindows *self,
                  TcpFlow    *flow)
{
  gsize first = MIN (self->given - self->grown, self->max / 2);
  gsize others = first + self->grown - windows_get_growth (self, flow->window);

  return self->max - MIN (others, self->max);
}

/* How large the window of @flow may be: half of the rest is left to others, whether this one is idle
 * later or not. */
static guint32
windows_get_most (TcpWindows *self,
                  TcpFlow    *flow)
{
  return MIN (self->first + windows_get_rest (self, flow) / 2, WINDOW_MOST);
}

/* What one keeps whose TCP connection does not keep up: all of it, unless there are too many. */
static guint32
windows_get_least (TcpWindows *self)
{
  if (self->given - self->grown <= self->max / 2)
    return G_MAXUINT32;
  return MAX (self->max / 2 / self->streams, WINDOW_LEAST);
}

/* What a stream may begin with where others have come to need more than the first window, for
 * as long as half of what windows may grow is left to those that show such a need. */
static guint32
windows_get_head_start (TcpWindows *self,
                        gsize       rest)
{
  gsize kept = self->max / 4;

  return rest > kept ? MIN (self->path_window, (rest - kept) / 4) : 0;
}

/* A stream begins. */
void
tcp_windows_add (TcpWindows *self,
                 TcpFlow    *flow)
{
  flow->window = flow->granted = self->first;
  self->streams++;
  windows_change (self, 0, self->first);
}

/* One goes on whose window has become this. */
void
tcp_windows_restore (TcpWindows *self,
                     TcpFlow    *flow,
                     guint32     window)
{
  flow->window = window;
  self->streams++;
  windows_change (self, 0, window);
}

/* How much credit the peer gets for this stream now, if any. Windows grow by no more than @growth. */
guint32
tcp_windows_give (TcpWindows *self,
                  TcpFlow    *flow,
                  gsize       queued,
                  gsize       growth,
                  gint64      round_trip,
                  gint64      response_time,
                  gint64      now)
{
  guint32 before = flow->window;
  TcpFlowBounds bounds = {
    .least = windows_get_least (self),
    .most = windows_get_most (self, flow),
    .growth = MIN (growth, G_MAXUINT32),
    .head_start = windows_get_head_start (self, MIN (windows_get_rest (self, flow), growth)),
  };
  guint32 credit = tcp_flow_give (flow, queued, &bounds, round_trip, response_time, now);

  windows_change (self, before, flow->window);
  if (flow->window > before)
    self->path_window = MAX (self->path_window, flow->window);
  return credit;
}

/* Nothing of the stream waits for TCP any more. */
void
tcp_windows_remove (TcpWindows *self,
                    TcpFlow    *flow)
{
  if (flow->window == 0)
    return;

  self->streams--;
  windows_change (self, flow->window, 0);
}
