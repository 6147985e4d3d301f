/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "websocket/group.h"

#include "io/reactor.h"

/* Every channel has a deadline of its own; this one is for a channel whose stream does not close. */
#define PATIENCE (15 * G_TIME_SPAN_SECOND)

struct _TcpChannelGroup
{
  grefcount refs;
  guint members;
  TcpTimer *timer; /* set while an engine waits */
  TcpChannelGroupFunc func;
  gpointer user_data;
};

TcpChannelGroup *
tcp_channel_group_new (void)
{
  TcpChannelGroup *self = g_new0 (TcpChannelGroup, 1);

  g_ref_count_init (&self->refs);
  return self;
}

TcpChannelGroup *
tcp_channel_group_ref (TcpChannelGroup *self)
{
  g_ref_count_inc (&self->refs);
  return self;
}

void
tcp_channel_group_unref (TcpChannelGroup *self)
{
  if (!g_ref_count_dec (&self->refs))
    return;

  tcp_timer_clear (&self->timer);
  g_free (self);
}

/* Returns @self. */
TcpChannelGroup *
tcp_channel_group_enter (TcpChannelGroup *self)
{
  self->members++;
  return tcp_channel_group_ref (self);
}

void
tcp_channel_group_leave (TcpChannelGroup *self)
{
  self->members--;
  if (self->members == 0 && self->timer != NULL)
    tcp_timer_set (self->timer, 0);
  tcp_channel_group_unref (self);
}

static void
on_timer (gpointer user_data)
{
  TcpChannelGroup *self = tcp_channel_group_ref (user_data);

  tcp_timer_clear (&self->timer);
  self->func (self->user_data);
  tcp_channel_group_unref (self);
}

/* Calls @func once, as soon as no channel is left. */
void
tcp_channel_group_wait (TcpChannelGroup     *self,
                        TcpChannelGroupFunc  func,
                        gpointer             user_data)
{
  self->func = func;
  self->user_data = user_data;
  self->timer = tcp_timer_new (on_timer, self);
  tcp_timer_set (self->timer, self->members == 0 ? 0 : g_get_monotonic_time () + PATIENCE);
}
