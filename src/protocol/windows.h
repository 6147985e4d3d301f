/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "protocol/flow.h"

G_BEGIN_DECLS

/* Sessions rarely have more streams than this at a time. */
#define TCP_WINDOWS_USUAL_STREAMS 1000

/* What the streams of a session share: the credit that there is to give. Pure. */
typedef struct
{
  gsize max;          /* that they grow to, all together, where those that have not grown count as half of it at most */
  guint32 first;      /* with which one begins */
  guint streams;      /* that have a window, */
  gsize given;        /* and these all together; */
  gsize grown;        /* of that, what is beyond the first of each */
  guint32 path_window; /* the largest that this transport's path was seen to need */
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
