/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/log-thread.h"

#include <stdlib.h>

#include "base/fork.h"
#include "base/tsan.h"

/* How long the process may wait for the reader of the log, when it exits, and before the application receives an
 * event. */
#define EXIT_MS 200
#define SETTLE_MS 100

static GMutex lock; /* of everything below */
static GCond changed;
static GQueue lines = G_QUEUE_INIT;
static GThread *thread;  /* NULL until it is first needed */
static gboolean writing; /* a line is being written */
static gboolean stalled; /* a wait for the reader has timed out */
static guint dropped;

static void
line_free (TcpLogLine *line)
{
  g_free (line->name);
  g_free (line->message);
  g_free (line);
}

static void
line_write (const TcpLogLine *line)
{
  GLogField fields[] = {
    { "MESSAGE", line->message, -1 },
    { "PRIORITY", line->priority, -1 },
    { "GLIB_DOMAIN", G_LOG_DOMAIN, -1 },
    { "TCP_TUNNEL_LEVEL", line->nick, -1 },
    { "TCP_TUNNEL_NAME", line->name, -1 },
  };

  g_log_structured_array (line->flags, fields, G_N_ELEMENTS (fields) - (line->name == NULL));
}

static void
write_dropped (guint n)
{
  g_autofree char *message = g_strdup_printf ("%u log lines were dropped, since the reader of the log is slow", n);

  line_write (&(TcpLogLine) { G_LOG_LEVEL_MESSAGE, "warn", "4", NULL, message });
}

static gpointer
run (gpointer data)
{
  g_mutex_lock (&lock);
  while (TRUE)
    {
      TcpLogLine *line = g_queue_pop_head (&lines);
      guint n = 0;

      if (line == NULL && dropped == 0)
        {
          g_cond_wait (&changed, &lock);
          continue;
        }

      /* Lines were dropped after the queued ones. */
      if (line == NULL)
        n = dropped, dropped = 0;
      writing = TRUE;
      g_mutex_unlock (&lock);

      if (line != NULL)
        line_write (line);
      else
        write_dropped (n);
      g_clear_pointer (&line, line_free);

      g_mutex_lock (&lock);
      writing = stalled = FALSE;
      g_cond_broadcast (&changed);
    }
  return NULL;
}

/* Lines that were queued in the parent are written there. */
static void
in_child (void)
{
  g_mutex_init (&lock);
  g_cond_init (&changed);
  g_queue_init (&lines);
  thread = NULL;
  writing = stalled = FALSE;
  dropped = 0;
}

static void
flush_at_exit (void)
{
  tcp_log_thread_flush (EXIT_MS);
}

/* Takes ownership of the line. */
void
tcp_log_thread_write (TcpLogLine *line)
{
  static gboolean is_set_up = FALSE; /* under the lock */

  g_mutex_lock (&lock);
  if (!is_set_up)
    {
      is_set_up = TRUE;
      tcp_fork_watch (in_child);
      atexit (flush_at_exit);
    }
  if (thread == NULL)
    thread = g_thread_new ("tcptunnel-log", run, NULL);
  if (g_queue_get_length (&lines) < TCP_LOG_CAP && dropped == 0)
    g_queue_push_tail (&lines, g_steal_pointer (&line));
  else
    dropped++;
  g_cond_broadcast (&changed);
  g_mutex_unlock (&lock);

  g_clear_pointer (&line, line_free);
}

/* Waits until all lines are written, but not longer than this. */
void
tcp_log_thread_flush (guint milliseconds)
{
  gint64 deadline = g_get_monotonic_time () + milliseconds * G_TIME_SPAN_MILLISECOND;

  g_mutex_lock (&lock);
  /* A log writer may call the library. */
  while (thread != g_thread_self () && (writing || dropped > 0 || !g_queue_is_empty (&lines)))
    if (!g_cond_wait_until (&changed, &lock, deadline))
      {
        stalled = TRUE;
        break;
      }
  g_mutex_unlock (&lock);
}

/* Called before an event is delivered to the application, so that its log lines are written first, unless the log is
 * stuck. */
void
tcp_log_thread_settle (void)
{
  gboolean skip;

  g_mutex_lock (&lock);
  skip = stalled;
  g_mutex_unlock (&lock);
  if (!skip)
    tcp_log_thread_flush (SETTLE_MS);
}
