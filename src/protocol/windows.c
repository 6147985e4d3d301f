/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "protocol/windows.h"

#define WINDOW_MIN (16 * 1024)
#define WINDOW_FIRST (256 * 1024)

/* To how little one shrinks where there are very many. */
#define WINDOW_LEAST (4 * 1024)

/* A stream begins with so much that as many streams as are usual take up half of the window of
 * the session; the other half is for those that can use more. Where there are more streams,
 * windows grow no more, and shrink as they are used. */
void
tcp_windows_init (TcpWindows *self,
                  gsize       max,
                  gsize       max_first,
                  guint       max_streams)
{
  self->max = max;
  self->first = CLAMP (MIN (max / 2 / MIN (max_streams, TCP_WINDOWS_USUAL_STREAMS), max_first), WINDOW_MIN, WINDOW_FIRST);
}

/* That of a stream. */
static void
windows_change (TcpWindows *self,
                guint32     before,
                guint32     after)
{
  self->given = self->given - before + after;
  self->grown = self->grown - (before - MIN (before, self->first)) + (after - MIN (after, self->first));
}

/* How much further windows may grow. */
static guint32
windows_get_room (TcpWindows *self,
                  gsize       growth)
{
  gsize left = self->max - MIN (self->given, self->max);

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

/* A stream begins. */
void
tcp_windows_add (TcpWindows *self,
                 TcpFlow    *flow)
{
  flow->window = flow->granted = self->first;
  self->streams++;
  windows_change (self, 0, self->first);
}

/* With more given than there is, this stream does not get back all that it has used. */
void
tcp_windows_shrink (TcpWindows *self,
                    TcpFlow    *flow,
                    gsize       queued)
{
  guint32 before = flow->window;

  if (self->given <= self->max)
    return;

  tcp_flow_shrink (flow, queued, MAX (self->max / self->streams, WINDOW_LEAST));
  windows_change (self, before, flow->window);
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
      windows_change (self, before, flow->window);
      self->path_window = MAX (self->path_window, flow->window);
    }
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
