/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Connections to targets that had to wait, and may now begin on one thread. There may be many at once, each of which
 * costs far more than the frame that requested it: a few begin, then others use the thread. Callers take turns, so that
 * a caller with many connections does not delay another. */
typedef struct _TcpDialLane TcpDialLane;

/* One of the callers that take turns. */
typedef struct
{
  GQueue places;
  GList link; /* among the callers that wait, if it has any places */
} TcpDialLaneCaller;

typedef void (*TcpDialLaneFunc) (gpointer user_data);

/* The place of one connection. It must stay valid until it has left, or @func is called. */
typedef struct
{
  TcpDialLaneCaller *caller; /* NULL if it does not wait */
  TcpDialLaneFunc func;
  gpointer user_data;
  GList link;
} TcpDialPlace;

TcpDialLane *tcp_dial_lane_new (void);
void tcp_dial_lane_free (TcpDialLane *self);
void tcp_dial_lane_enter (TcpDialLane       *self,
                          TcpDialLaneCaller *caller,
                          TcpDialPlace      *place,
                          TcpDialLaneFunc    func,
                          gpointer           user_data);
void tcp_dial_lane_leave (TcpDialLane  *self,
                          TcpDialPlace *place);

G_END_DECLS
