/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/reactor.h"
#include "doubles.h"

struct _TcpTimer
{
  TcpTimerFunc func;
  gpointer user_data;
  gint64 when;
  GList link;
};

static GQueue timers; /* of TcpTimer, by their links */
static gint64 now;

/* There are no threads here. */

TcpReactor *
tcp_reactor_new (GMainContext *context,
                 GError **error)
{
  g_assert_not_reached ();
}

void
tcp_reactor_enter (TcpReactor *self)
{
  g_assert_not_reached ();
}

void
tcp_reactor_free (TcpReactor *self)
{
  g_assert_not_reached ();
}

void
clock_reset (void)
{
  g_assert_true (g_queue_is_empty (&timers));
  /* Not 0, which means "at once" for a timer. */
  now = G_TIME_SPAN_DAY;
}

void
clock_advance (gint64 by)
{
  now += by;
}

gint64
clock_next (void)
{
  gint64 next = -1;

  for (GList *l = timers.head; l != NULL; l = l->next)
    {
      TcpTimer *timer = l->data;

      if (timer->when >= 0 && (next < 0 || MAX (timer->when - now, 0) < next))
        next = MAX (timer->when - now, 0);
    }
  return next;
}

gboolean
clock_fire (void)
{
  TcpTimer *due = NULL;

  for (GList *l = timers.head; l != NULL; l = l->next)
    {
      TcpTimer *timer = l->data;

      if (timer->when >= 0 && timer->when <= now && (due == NULL || timer->when < due->when))
        due = timer;
    }
  if (due == NULL)
    return FALSE;

  /* Puts it behind the others. */
  g_queue_unlink (&timers, &due->link);
  g_queue_push_tail_link (&timers, &due->link);
  due->when = -1;
  due->func (due->user_data);
  return TRUE;
}

guint
clock_get_timers (void)
{
  return timers.length;
}

TcpTimer *
tcp_timer_new (TcpTimerFunc func,
               gpointer     user_data)
{
  TcpTimer *self = g_new0 (TcpTimer, 1);

  self->func = func;
  self->user_data = user_data;
  self->when = -1;
  self->link.data = self;
  g_queue_push_tail_link (&timers, &self->link);
  return self;
}

void
tcp_timer_set (TcpTimer *self,
               gint64    when)
{
  self->when = when;
}

gint64
tcp_timer_get (TcpTimer *self)
{
  return self->when;
}

gint64
tcp_now (void)
{
  return now;
}

int
tcp_reactor_poll (GPollFD *fds,
                  guint    n_fds,
                  int      timeout)
{
  return g_poll (fds, n_fds, timeout);
}

void
tcp_timer_clear (TcpTimer **timer)
{
  TcpTimer *self = g_steal_pointer (timer);

  if (self == NULL)
    return;

  g_queue_unlink (&timers, &self->link);
  g_free (self);
}
