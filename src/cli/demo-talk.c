/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/demo-talk.h"

#include <glib/gi18n.h>
#include <string.h>

#include "cli/demo-data.h"
#include "cli/demo-server.h"
#include "cli/format.h"
#include "cli/view.h"

#define PAUSE (20 * G_TIME_SPAN_MILLISECOND)

struct _DemoTalk
{
  guint16 port;
  GThread *thread;
  GArray *times; /* of gint64, from each line to its echo */
  char *who;     /* the name of the connection in the service */
  GError *error;

  GMutex mutex;
  GCond cond;
  gboolean stop;
};

/* The service numbers connections and lines, which shows whether a line is missing, and whether another connection was
 * used. */
static gboolean
check_echo (DemoTalk   *self,
            const char *echo,
            guint       number)
{
  g_autofree char *tail = g_strdup_printf (", line %u: still here", number);

  if (echo == NULL)
    {
      if (self->error == NULL)
        g_set_error (&self->error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED,
                     ngettext ("the connection ended after %u line", "the connection ended after %u lines", number - 1), number - 1);
      return FALSE;
    }
  if (self->who == NULL)
    self->who = g_strndup (echo, strcspn (echo, ","));
  if (g_str_has_prefix (echo, self->who) && g_str_has_suffix (echo, tail))
    return TRUE;
  g_set_error (&self->error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
               _("what came back is not line %u of %s"), number, self->who);
  return FALSE;
}

static gboolean
exchange (DemoTalk             *self,
          GOutputStream        *out,
          GBufferedInputStream *in)
{
  gint64 time = g_get_monotonic_time ();
  g_autofree char *echo = NULL;

  if (!demo_data_write_line (out, &self->error, "still here"))
    return FALSE;
  echo = demo_data_read_line (in, &self->error);
  time = g_get_monotonic_time () - time;
  g_array_append_val (self->times, time);
  return check_echo (self, echo, self->times->len);
}

/* Returns whether to continue. */
static gboolean
pause_a_little (DemoTalk *self)
{
  gint64 end = g_get_monotonic_time () + PAUSE;
  gboolean stop;

  g_mutex_lock (&self->mutex);
  while (!self->stop && g_cond_wait_until (&self->cond, &self->mutex, end))
    ;
  stop = self->stop;
  g_mutex_unlock (&self->mutex);
  return !stop;
}

static gpointer
talk (gpointer data)
{
  DemoTalk *self = data;
  g_autoptr (GSocketConnection) connection = demo_connect (self->port, &self->error);
  g_autoptr (GBufferedInputStream) in = NULL;
  GOutputStream *out;

  if (connection == NULL)
    return NULL;
  in = demo_data_reader (connection);
  out = g_io_stream_get_output_stream (G_IO_STREAM (connection));
  while (exchange (self, out, in) && pause_a_little (self))
    ;
  return NULL;
}

/**
 * demo_talk_start:
 * @port: the port of the tunnel
 */
DemoTalk *
demo_talk_start (guint16 port)
{
  DemoTalk *self = g_new0 (DemoTalk, 1);

  self->port = port;
  self->times = g_array_new (FALSE, FALSE, sizeof (gint64));
  g_mutex_init (&self->mutex);
  g_cond_init (&self->cond);
  self->thread = g_thread_new ("demo-talk", talk, self);
  return self;
}

static void
talk_free (DemoTalk *self)
{
  g_array_unref (self->times);
  g_free (self->who);
  g_mutex_clear (&self->mutex);
  g_cond_clear (&self->cond);
  g_free (self);
}

static int
compare_times (gconstpointer a,
               gconstpointer b)
{
  const gint64 *left = a;
  const gint64 *right = b;

  return (*left > *right) - (*left < *right);
}

/**
 * demo_talk_end:
 * @median: (out): in µs
 * @worst: (out): in µs
 *
 * Closes the connection, and prints a line about it.
 *
 * Returns: whether every line was echoed, over the same connection
 */
gboolean
demo_talk_end (DemoTalk  *self,
               gint64    *median,
               gint64    *worst,
               GError   **error)
{
  g_autofree char *median_text = NULL;
  g_autofree char *worst_text = NULL;
  gboolean held;
  guint n;

  g_mutex_lock (&self->mutex);
  self->stop = TRUE;
  g_cond_signal (&self->cond);
  g_mutex_unlock (&self->mutex);
  g_thread_join (self->thread);

  n = self->times->len;
  held = self->error == NULL;
  if (held)
    {
      g_array_sort (self->times, compare_times);
      *median = g_array_index (self->times, gint64, n / 2);
      *worst = g_array_index (self->times, gint64, n - 1);
      median_text = format_time (*median);
      worst_text = format_time (*worst);
      view_print (stdout, ngettext ("  typing  %u line, which came back: half within %s, all within %s\n",
                                    "  typing  %u lines, each came back: half within %s, all within %s\n", n),
                  n, median_text, worst_text);
    }
  else
    {
      g_propagate_error (error, g_steal_pointer (&self->error));
    }
  talk_free (self);
  return held;
}
