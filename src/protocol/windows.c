/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "protocol/windows.h"

#define WINDOW_MIN (16 * 1024)
#define WINDOW_FIRST (256 * 1024)

/* A stream begins with so much that all streams that there may be take up half of the window
 * of the session; the other half is for those that can use more. */
void
tcp_windows_init (TcpWindows *self,
                  gsize       max,
                  gsize       max_first,
                  guint       max_streams)
{
  self->max = max;
  self->max_streams = CLAMP (max_streams, 1, MAX (max / 2 / WINDOW_MIN, 1));
  self->first = CLAMP (MIN (max / 2 / self->max_streams, max_first), WINDOW_MIN, WINDOW_FIRST);
}

/* How much further windows may grow. */
static guint32
windows_get_room (TcpWindows *self,
                  gsize       growth)
{
  gsize given = (gsize) self->max_streams * self->first + self->grown;
  gsize left = self->max - MIN (given, self->max);

  return MIN (MIN (left, growth), G_MAXUINT32);
}

/* What a stream may begin with where others have come to need more than the first window, for
 * as long as half of what windows may grow is left to those that show such a need. */
static guint32
windows_get_head_start (TcpWindows *self,
                        guint32     room)
{
  gsize kept = self->max / 4;

  return room > kept ? MIN (self->path_window, (room - kept) / 4) : 0;
}

/* How much credit the peer gets for this stream now. Windows grow by no more than @growth. */
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
  guint32 room = windows_get_room (self, growth);
  guint32 credit;

  credit = tcp_flow_give (flow, queued, room, windows_get_head_start (self, room), round_trip, response_time, now);
  if (flow->window > before)
    {
      self->grown += flow->window - before;
      self->path_window = MAX (self->path_window, flow->window);
    }
  return credit;
}

/* Nothing of the stream waits for TCP any more. */
void
tcp_windows_remove (TcpWindows *self,
                    TcpFlow    *flow)
{
  if (flow->window > 0)
    self->grown -= flow->window - self->first;
}
