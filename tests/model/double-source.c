/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/source.h"
#include "doubles.h"

/* Nobody looks into what tcp_timer_new() returns. */
typedef struct
{
  GSourceFunc func;
  gpointer user_data;
  gint64 when;
  GList link;
} Timer;

static GQueue timers; /* of Timer, by their links */
static gint64 now;

void
clock_reset (void)
{
  g_assert_true (g_queue_is_empty (&timers));
  /* Not 0, which a timer takes for "at once". */
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
      Timer *timer = l->data;

      if (timer->when >= 0 && (next < 0 || MAX (timer->when - now, 0) < next))
        next = MAX (timer->when - now, 0);
    }
  return next;
}

gboolean
clock_fire (void)
{
  Timer *due = NULL;

  for (GList *l = timers.head; l != NULL; l = l->next)
    {
      Timer *timer = l->data;

      if (timer->when >= 0 && timer->when <= now && (due == NULL || timer->when < due->when))
        due = timer;
    }
  if (due == NULL)
    return FALSE;

  /* Behind the others. */
  g_queue_unlink (&timers, &due->link);
  g_queue_push_tail_link (&timers, &due->link);
  due->when = -1;
  g_assert_true (due->func (due->user_data));
  return TRUE;
}

guint
clock_get_timers (void)
{
  return timers.length;
}

GSource *
tcp_timer_new (const char  *name,
               GSourceFunc  func,
               gpointer     user_data)
{
  Timer *self = g_new0 (Timer, 1);

  self->func = func;
  self->user_data = user_data;
  self->when = -1;
  self->link.data = self;
  g_queue_push_tail_link (&timers, &self->link);
  return (GSource *) self;
}

void
tcp_timer_set (GSource *timer,
               gint64   when)
{
  ((Timer *) timer)->when = when;
}

gint64
tcp_now (void)
{
  return now;
}

void
tcp_source_clear (GSource **source)
{
  Timer *self = (Timer *) *source;

  if (self == NULL)
    return;

  *source = NULL;
  g_queue_unlink (&timers, &self->link);
  g_free (self);
}
