/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A log writer that blocks until the end of the test. */

#include "fixture.h"

#include "monitor.h"

#include <string.h>

static Monitor monitor;
static gboolean stuck;   /* protected by the monitor: the writer is waiting */
static gboolean release; /* protected as well: the writer may continue */
static GString *written; /* protected as well */

static GLogWriterOutput
write_log (GLogLevelFlags   level,
           const GLogField *fields,
           gsize            n_fields,
           gpointer         user_data)
{
  const char *domain = NULL;
  const char *message = NULL;

  for (gsize i = 0; i < n_fields; i++)
    if (strcmp (fields[i].key, "GLIB_DOMAIN") == 0)
      domain = fields[i].value;
    else if (strcmp (fields[i].key, "MESSAGE") == 0)
      message = fields[i].value;
  if (g_strcmp0 (domain, "TcpTunnel") != 0)
    return G_LOG_WRITER_HANDLED;

  monitor_enter (&monitor);
  stuck = TRUE;
  while (!release)
    monitor_wait (&monitor, test_deadline ());
  g_string_append_printf (written, "%s\n", message);
  monitor_changed (&monitor);
  monitor_leave (&monitor);

  return G_LOG_WRITER_HANDLED;
}

/* Data and pings are still transferred, and a close returns. The dropped lines are counted. */
static void
test_stuck (void)
{
  g_autoptr (Target) target = target_new_echo ();
  Fixture *fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  guint n = test_count (1000, 400);

  g_object_set (fixture->tunnel, "keepalive-interval", 100, NULL);
  fixture_start (fixture);
  /* Each connection causes four lines, which together are more than are kept. */
  for (guint i = 0; i < n; i++)
    {
      int fd = client_connect (fixture_get_port (fixture));

      client_round_trip (fd, "hello");
      client_close (fd);
    }
  WAIT_UNTIL (test_figure (fixture->tunnel, open_connections) == 0);
  WAIT_UNTIL (test_ping_time (fixture->tunnel) >= 0);
  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
  tcp_endpoint_close (TCP_ENDPOINT (fixture->gateway));
  fixture_free (fixture);

  monitor_enter (&monitor);
  g_assert_true (stuck);
  g_assert_cmpuint (written->len, ==, 0);
  release = TRUE;
  monitor_changed (&monitor);
  while (strstr (written->str, " log lines were dropped, since the reader of the log is slow\n") == NULL)
    g_assert_true (monitor_wait (&monitor, test_deadline ()));
  monitor_leave (&monitor);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  monitor_init (&monitor);
  written = g_string_new (NULL);
  g_log_set_writer_func (write_log, NULL, NULL);

  g_test_add_func ("/log/stuck", test_stuck);

  return g_test_run ();
}
