/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "protocol/flow.h"

G_BEGIN_DECLS

/* Sessions rarely have more streams than this at a time. */
#define TCP_WINDOWS_USUAL_STREAMS 1000

/* The credit that the streams of a session share. Without I/O. */
typedef struct
{
  gsize max;          /* the maximum in total; initial windows count for at most half of it */
  guint32 first;      /* the initial window */
  guint streams;      /* the number of streams that have a window */
  gsize given;        /* the windows of all streams in total */
  gsize grown;        /* the part of it beyond the initial windows */
  guint32 path_window; /* the largest window that the path of this transport has needed so far */
} TcpWindows;

void tcp_windows_init (TcpWindows *self,
                       gsize       max,
                       gsize       max_first,
                       guint       max_streams);
void tcp_windows_add (TcpWindows *self,
                      TcpFlow    *flow);
void tcp_windows_restore (TcpWindows *self,
                          TcpFlow    *flow,
                          guint32     window);
guint32 tcp_windows_give (TcpWindows *self,
                          TcpFlow    *flow,
                          gsize       queued,
                          gsize       growth,
                          gint64      round_trip,
                          gint64      response_time,
                          gint64      now);
void tcp_windows_remove (TcpWindows *self,
                         TcpFlow    *flow);

G_END_DECLS
