/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/source.h"

static gboolean
timer_dispatch (GSource     *source,
                GSourceFunc  callback,
                gpointer     user_data)
{
  /* Rests until it is set again, maybe by the callback. */
  g_source_set_ready_time (source, -1);
  return callback (user_data);
}

static GSourceFuncs timer_funcs = { .dispatch = timer_dispatch };

static gboolean
fd_source_dispatch (GSource     *source,
                    GSourceFunc  callback,
                    gpointer     user_data)
{
  return callback (user_data);
}

static GSourceFuncs fd_source_funcs = { .dispatch = fd_source_dispatch };

static void
source_attach (GSource     *source,
               const char  *name,
               GSourceFunc  func,
               gpointer     user_data)
{
  g_source_set_static_name (source, name);
  g_source_set_can_recurse (source, TRUE);
  g_source_set_callback (source, func, user_data, NULL);
  g_source_attach (source, g_main_context_get_thread_default ());
}

GSource *
tcp_timer_new (const char  *name,
               GSourceFunc  func,
               gpointer     user_data)
{
  GSource *source = g_source_new (&timer_funcs, sizeof (GSource));

  source_attach (source, name, func, user_data);
  return source;
}

/* @when is a time of tcp_now(), 0 for at once, -1 for never. */
void
tcp_timer_set (GSource *timer,
               gint64   when)
{
  g_source_set_ready_time (timer, when);
}

/* Monotonic, in microseconds. */
gint64
tcp_now (void)
{
  return g_get_monotonic_time ();
}

GSource *
tcp_fd_source_new (const char   *name,
                   int           fd,
                   GIOCondition  condition,
                   GSourceFunc   func,
                   gpointer      user_data)
{
  GSource *source = g_source_new (&fd_source_funcs, sizeof (GSource));

  g_source_add_unix_fd (source, fd, condition);
  source_attach (source, name, func, user_data);
  return source;
}

void
tcp_source_clear (GSource **source)
{
  if (*source == NULL)
    return;

  g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}
