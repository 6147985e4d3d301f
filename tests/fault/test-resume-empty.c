/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The gateway may give up a session in which no data is in transit: the tunnel begins another, without a warning. */

#include "monitor.h"
#include "resume-rig.h"

#include <string.h>

static Monitor monitor;
static gboolean gave_up;
static guint told; /* the number of messages above debug about a lost session */

static GLogWriterOutput
write_log (GLogLevelFlags level,
           const GLogField *fields,
           gsize n_fields,
           gpointer user_data)
{
  const char *message = "", *nick = "";

  for (gsize i = 0; i < n_fields; i++)
    {
      if (strcmp (fields[i].key, "MESSAGE") == 0)
        message = fields[i].value;
      if (strcmp (fields[i].key, "TCP_TUNNEL_LEVEL") == 0)
        nick = fields[i].value;
    }
  monitor_enter (&monitor);
  gave_up |= strstr (message, "did not come back to its empty session") != NULL;
  told += strcmp (nick, "debug") != 0 && (strstr (message, "lost") != NULL || strstr (message, "did not") != NULL);
  monitor_changed (&monitor);
  monitor_leave (&monitor);
  return G_LOG_WRITER_HANDLED;
}

static void
check_given_up (guint rounds)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (target, TCP_TUNNEL_MODE_MULTIPLEXED);

  g_object_set (fixture->gateway, "session-timeout", 20, NULL);
  fixture_start (fixture);
  monitor_enter (&monitor);
  told = 0;
  monitor_leave (&monitor);
  for (guint i = 0; i <= rounds; i++)
    {
      int fd = client_connect (fixture_get_port (fixture));

      client_round_trip (fd, "whether it was used or not");
      client_finish (fd);
      client_expect_eof (fd);
      client_close (fd);
      expect_closed (fixture, i + 1, -1);
      if (i == rounds)
        break;

      /* The gateway may see the end of the connection after the tunnel has. */
      WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == 0);
      WAIT_UNTIL (test_figure (fixture->gateway, unacknowledged_bytes) == 0);
      monitor_enter (&monitor);
      gave_up = FALSE;
      monitor_leave (&monitor);
      resume_go_away (fixture);
      g_assert_true (MONITOR_WAIT_FOR (&monitor, test_deadline (), gave_up));
      resume_come_back (fixture);
    }
  g_assert_cmpuint (test_figure (fixture->tunnel, resumes), ==, 0);
  g_assert_cmpuint (fixture->recorder->failures, ==, 0);
  g_clear_pointer (&fixture, fixture_free);
  monitor_enter (&monitor);
  g_assert_cmpuint (told, ==, 0);
  monitor_leave (&monitor);
}

static void
test_given_up (void)
{
  check_given_up (3);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  monitor_init (&monitor);
  g_log_set_writer_func (write_log, NULL, NULL);

  g_test_add_func ("/resume-empty/given-up", test_given_up);

  return g_test_run ();
}
