/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/demo-transfer.h"

#include <glib/gi18n.h>
#include <string.h>

#include "cli/demo-data.h"
#include "cli/demo-server.h"
#include "cli/format.h"
#include "cli/view.h"

enum
{
  BAR_WIDTH = 40,
  BAR_INTERVAL = 125, /* ms */
};

/* One connection. */
typedef struct
{
  gboolean up;
  guint64 bytes;
  guint64 seed;
  guint16 port;
  DemoCount *arrived;     /* for all connections; the service counts what it receives */
  _Atomic guint *running; /* the number of those that have not finished */

  GThread *thread;
  char *answer; /* of the service, after the data */
  GError *error;
} Transfer;

typedef struct
{
  const char *name;
  guint64 bytes;
  DemoCount *arrived;
  Meter meter;
  ViewRow *row;
} Bar;

static void
transfer (Transfer *self)
{
  g_autoptr (GSocketConnection) connection = demo_connect (self->port, &self->error);
  g_autoptr (GBufferedInputStream) in = NULL;
  GOutputStream *out;

  if (connection == NULL)
    return;

  in = demo_data_reader (connection);
  out = g_io_stream_get_output_stream (G_IO_STREAM (connection));
  if (!demo_data_write_line (out, &self->error, "%s %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT,
                             self->up ? "take" : "give", self->bytes, self->seed))
    return;
  if (self->up ? demo_data_send (out, self->bytes, self->seed, &self->error)
               : demo_data_receive (G_INPUT_STREAM (in), self->bytes, self->seed, self->arrived, &self->error))
    self->answer = demo_data_read_line (in, &self->error);
}

static gpointer
transfer_thread (gpointer data)
{
  Transfer *self = data;
  _Atomic guint *running = self->running;

  transfer (self);
  *running -= 1;
  g_main_context_wakeup (NULL);
  return NULL;
}

static gboolean
check_answer (Transfer  *transfer,
              GError   **error)
{
  if (transfer->error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&transfer->error));
      return FALSE;
    }
  if (transfer->answer == NULL)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT,
                   _("the connection ended before the service confirmed the data"));
      return FALSE;
    }
  if (strcmp (transfer->answer, DEMO_DATA_WHOLE) != 0)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, _("the service reports: %s"), transfer->answer);
      return FALSE;
    }
  return TRUE;
}

static gboolean
draw_bar (gpointer data)
{
  Bar *bar = data;
  const char *full = view_is_unicode () ? "█" : "#";
  const char *empty = view_is_unicode () ? "░" : "-";
  guint64 done = bar->arrived->bytes;
  g_autofree char *rate = format_size (meter_update (&bar->meter, done));
  g_autofree char *lead = g_strdup_printf ("  %-6s  ", _(bar->name));
  g_autoptr (GString) rest = g_string_new (NULL);

  for (guint i = 1; i <= BAR_WIDTH; i++)
    g_string_append (rest, done * BAR_WIDTH >= i * bar->bytes ? full : empty);
  g_string_append_printf (rest, " %3u %%  %s/s", (guint) (done * 100 / bar->bytes), rate);
  view_row_set (bar->row, "", VIEW_PLAIN, lead, rest->str);
  return G_SOURCE_CONTINUE;
}

/* Iterates the main context meanwhile, so that signals of the tunnel and of the system are handled. */
static void
wait_for (_Atomic guint *running,
          Bar           *bar)
{
  guint timeout = 0;

  if (bar->name != NULL)
    {
      timeout = g_timeout_add (BAR_INTERVAL, draw_bar, bar);
      bar->row = view_row_new ();
      draw_bar (bar);
    }
  while (*running > 0)
    g_main_context_iteration (NULL, TRUE);
  if (bar->name != NULL)
    {
      g_source_remove (timeout);
      view_row_free (bar->row);
    }
}

static void
print_result (DemoTransfer *self)
{
  guint n = self->n_up + self->n_down;
  g_autofree char *size = format_size (n * self->bytes);
  g_autofree char *rate = format_size (self->rate);

  view_print (stdout, _("  %-6s %8s in %5.2f s  %9s/s   every byte arrived, in order\n"), _(self->name), size,
              self->elapsed / 1e6, rate);
}

/**
 * demo_transfer_run:
 * @port: the port of the tunnel
 * @arrived: the total of received bytes, initially 0
 *
 * Sends, shows a bar meanwhile, and prints a line with the result. The receiving end compares every byte.
 */
gboolean
demo_transfer_run (DemoTransfer  *self,
                   guint16        port,
                   DemoCount     *arrived,
                   GError       **error)
{
  guint n = self->n_up + self->n_down;
  g_autofree Transfer *transfers = g_new0 (Transfer, n);
  _Atomic guint running = n;
  Bar bar = { .name = self->name, .bytes = n * self->bytes, .arrived = arrived };
  gint64 start = g_get_monotonic_time ();
  gboolean held = TRUE;

  for (guint i = 0; i < n; i++)
    {
      transfers[i] = (Transfer) {
        .up = i < self->n_up,
        .bytes = self->bytes,
        .seed = (i + 1) * (i < self->n_up ? 1 : 1000),
        .port = port,
        .arrived = arrived,
        .running = &running,
      };
      transfers[i].thread = g_thread_new ("demo-transfer", transfer_thread, &transfers[i]);
    }
  wait_for (&running, &bar);
  for (guint i = 0; i < n; i++)
    g_thread_join (transfers[i].thread);

  self->elapsed = MAX (g_get_monotonic_time () - start, 1);
  self->rate = n * self->bytes * 1e6 / self->elapsed;

  for (guint i = 0; i < n; i++)
    held = held && check_answer (&transfers[i], error);
  if (held && self->name != NULL)
    print_result (self);

  for (guint i = 0; i < n; i++)
    {
      g_free (transfers[i].answer);
      g_clear_error (&transfers[i].error);
    }
  return held;
}
