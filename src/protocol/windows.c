/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "protocol/windows.h"

#define WINDOW_MIN (16 * 1024)
#define WINDOW_FIRST (256 * 1024)

/* The maximum of a window that has grown. */
#define WINDOW_MOST (64 * 1024 * 1024)

/* The minimum of a window that shrinks because there are very many. */
#define WINDOW_LEAST (4 * 1024)

/* The initial window is such that the usual number of streams take half of the window of the session; the other half is
 * for those that can use more. If there are more streams, the initial windows of idle ones exceed that half, but do not
 * count as more. */
void
tcp_windows_init (TcpWindows *self,
                  gsize       max,
                  gsize       max_first,
                  guint       max_streams)
{
  self->max = max;
  self->first = CLAMP (MIN (max / 2 / MIN (max_streams, TCP_WINDOWS_USUAL_STREAMS), max_first), WINDOW_MIN, WINDOW_FIRST);
}

/* The part of a window beyond the initial one. */
static guint32
windows_get_growth (TcpWindows *self,
                    guint32     window)
{
  return window - MIN (window, self->first);
}

/* The window of a stream has changed. */
static void
windows_change (TcpWindows *self,
                guint32     before,
                guint32     after)
{
  self->given = self->given - before + after;
  self->grown = self->grown - windows_get_growth (self, before) + windows_get_growth (self, after);
}

/* What is left for growth, if @flow had its initial window. */
static gsize
windows_get_rest (TcpWindows *self,
                  TcpFlow    *flow)
{
  gsize first = MIN (self->given - self->grown, self->max / 2);
  gsize others = first + self->grown - windows_get_growth (self, flow->window);

  return self->max - MIN (others, self->max);
}

/* The maximum window of @flow: half of the rest is left to others, in case this stream becomes idle later. */
static guint32
windows_get_most (TcpWindows *self,
                  TcpFlow    *flow)
{
  return MIN (self->first + windows_get_rest (self, flow) / 2, WINDOW_MOST);
}

/* The window that a stream keeps if its TCP connection is slow: all of it, unless there are too many streams. */
static guint32
windows_get_least (TcpWindows *self)
{
  if (self->given - self->grown <= self->max / 2)
    return G_MAXUINT32;
  return MAX (self->max / 2 / self->streams, WINDOW_LEAST);
}

/* The window to which a new stream may grow at once if others have needed more than the initial window, as long as half
 * of the room for growth is left to streams with a measured need. */
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

/* Adds a restored stream with its window. */
void
tcp_windows_restore (TcpWindows *self,
                     TcpFlow    *flow,
                     guint32     window)
{
  flow->window = window;
  self->streams++;
  windows_change (self, 0, window);
}

/* Returns how much credit the peer gets for this stream now, if any. Windows grow by no more than @growth. */
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
