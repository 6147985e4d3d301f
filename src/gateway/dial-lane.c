/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/dial-lane.h"

#include "io/reactor.h"
#include "websocket/channel.h"

/* How many connections begin in a turn, and the pause after it if other WebSockets use the thread, in microseconds. */
#define TURN 2
#define REST 1000

struct _TcpDialLane
{
  GQueue callers; /* of TcpDialLaneCaller; the next first */
  TcpTimer *timer;
  gint64 next;    /* the earliest time of the next turn */
};

/* Also called when it is the turn of @place, whose caller then moves to the end. */
void
tcp_dial_lane_leave (TcpDialLane  *self,
                     TcpDialPlace *place)
{
  TcpDialLaneCaller *caller = g_steal_pointer (&place->caller);

  if (caller == NULL)
    return;

  g_queue_unlink (&caller->places, &place->link);
  if (g_queue_is_empty (&caller->places))
    g_queue_unlink (&self->callers, &caller->link);
}

static void
lane_begin (TcpDialLane *self)
{
  GList *link = g_queue_pop_head_link (&self->callers);
  TcpDialPlace *place = ((TcpDialLaneCaller *) link->data)->places.head->data;

  g_queue_push_tail_link (&self->callers, link);
  tcp_dial_lane_leave (self, place);
  place->func (place->user_data);
}

static void
on_turn (gpointer user_data)
{
  TcpDialLane *self = user_data;

  for (guint i = 0; i < TURN && !g_queue_is_empty (&self->callers); i++)
    lane_begin (self);
  self->next = tcp_channel_thread_is_shared () ? tcp_now () + REST : 0;
  if (!g_queue_is_empty (&self->callers))
    tcp_timer_set (self->timer, self->next);
}

/* The lane belongs to the current thread. */
TcpDialLane *
tcp_dial_lane_new (void)
{
  TcpDialLane *self = g_new0 (TcpDialLane, 1);

  self->timer = tcp_timer_new (on_turn, self);
  return self;
}

/* All connections must have left. */
void
tcp_dial_lane_free (TcpDialLane *self)
{
  g_assert (g_queue_is_empty (&self->callers));

  tcp_timer_clear (&self->timer);
  g_free (self);
}

/* Calls @func when it is the turn of @place, which has left by then, but not before this function returns. @caller,
 * which must be zero before its first place enters, must stay valid until all its places have left. */
void
tcp_dial_lane_enter (TcpDialLane       *self,
                     TcpDialLaneCaller *caller,
                     TcpDialPlace      *place,
                     TcpDialLaneFunc    func,
                     gpointer           user_data)
{
  *place = (TcpDialPlace) { .caller = caller, .func = func, .user_data = user_data };
  place->link.data = place;
  if (g_queue_is_empty (&caller->places))
    {
      caller->link.data = caller;
      g_queue_push_tail_link (&self->callers, &caller->link);
    }
  g_queue_push_tail_link (&caller->places, &place->link);
  if (tcp_timer_get (self->timer) < 0)
    tcp_timer_set (self->timer, self->next);
}
