/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/log-thread.h"
#include "base/log.h"
#include "base/status.h"

#include "channel-end.h"
#include "client.h"
#include "endpoint.h"
#include "monitor.h"
#include "socket-util.h"
#include "test-util.h"

#include <string.h>
#include <unistd.h>

#define SECRET "s3cret"

/* Everything that any thread logs. */
static Monitor monitor;
static GString *logged;
static gboolean is_stuck;  /* under the monitor: the writer does not return */
static gboolean in_writer; /* under the monitor: the writer was called */

static GLogWriterOutput
write_log (GLogLevelFlags   level,
           const GLogField *fields,
           gsize            n_fields,
           gpointer         user_data)
{
  monitor_enter (&monitor);
  in_writer = TRUE;
  monitor_changed (&monitor);
  while (is_stuck)
    monitor_wait (&monitor, test_deadline ());
  in_writer = FALSE;
  g_string_append_printf (logged, "%x", level);
  for (gsize i = 0; i < n_fields; i++)
    if (fields[i].length < 0)
      g_string_append_printf (logged, " %s=%s", fields[i].key, (const char *) fields[i].value);
  g_string_append_c (logged, '\n');
  monitor_leave (&monitor);

  return G_LOG_WRITER_HANDLED;
}

/* Receives the messages of the older interface. */
static void
handle_log (const char     *domain,
            GLogLevelFlags  level,
            const char     *message,
            gpointer        user_data)
{
  monitor_enter (&monitor);
  g_string_append_printf (logged, "%x MESSAGE=%s\n", level, message);
  monitor_leave (&monitor);
}

static char *
take_log (void)
{
  char *text;

  tcp_log_thread_flush (TEST_DEADLINE_MS);
  monitor_enter (&monitor);
  text = g_strdup (logged->str);
  g_string_truncate (logged, 0);
  monitor_leave (&monitor);

  return text;
}

static void
test_levels (void)
{
  for (int level = TCP_TUNNEL_LOG_LEVEL_NONE; level <= TCP_TUNNEL_LOG_LEVEL_DEBUG; level++)
    {
      g_autoptr (TcpLog) log = tcp_log_new ("test", level);
      g_autofree char *text = NULL;

      g_free (take_log ());
      tcp_log_error (log, "said %d", TCP_TUNNEL_LOG_LEVEL_ERROR);
      tcp_log_warn (log, "said %d", TCP_TUNNEL_LOG_LEVEL_WARN);
      tcp_log_info (log, "said %d", TCP_TUNNEL_LOG_LEVEL_INFO);
      tcp_log_debug (log, "said %d", TCP_TUNNEL_LOG_LEVEL_DEBUG);
      text = take_log ();
      for (int other = TCP_TUNNEL_LOG_LEVEL_ERROR; other <= TCP_TUNNEL_LOG_LEVEL_DEBUG; other++)
        {
          g_autofree char *wanted = g_strdup_printf ("MESSAGE=test: said %d ", other);

          g_assert_cmpint (strstr (text, wanted) != NULL, ==, other <= level);
        }
    }
}

static void
test_change_of_level (void)
{
  g_autoptr (TcpLog) log = tcp_log_new ("test", TCP_TUNNEL_LOG_LEVEL_NONE);
  g_autofree char *quiet = NULL;
  g_autofree char *loud = NULL;
  guint evaluated = 0;

  g_free (take_log ());
  tcp_log_error (log, "%u", ++evaluated);
  quiet = take_log ();
  g_assert_cmpstr (quiet, ==, "");
  g_assert_cmpuint (evaluated, ==, 0);

  tcp_log_set_level (log, TCP_TUNNEL_LOG_LEVEL_DEBUG);
  g_assert_cmpint (tcp_log_get_level (log), ==, TCP_TUNNEL_LOG_LEVEL_DEBUG);
  tcp_log_debug (log, "%u", ++evaluated);
  loud = take_log ();
  g_assert_nonnull (strstr (loud, "TCP_TUNNEL_LEVEL=debug"));
  g_assert_cmpuint (evaluated, ==, 1);
}

/* The messages of a check are returned, and not logged. */
static void
test_collector (void)
{
  g_autoptr (TcpLog) log = tcp_log_new_collector ();
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  g_auto (GStrv) more = NULL;

  g_free (take_log ());
  tcp_log_warn (log, "first");
  tcp_log_info (log, "not wanted");
  tcp_log_error (log, "second");
  lines = tcp_log_end_collection (log);
  more = tcp_log_end_collection (log);
  text = take_log ();
  g_assert_cmpstr (text, ==, "");
  g_assert_cmpstrv (lines, ((const char *[]) { "first", "second", NULL }));
  g_assert_cmpstrv (more, ((const char *[]) { NULL }));
}

static void
test_name (void)
{
  g_autoptr (TcpLog) log = tcp_log_new ("test", TCP_TUNNEL_LOG_LEVEL_INFO);
  g_autofree char *unnamed = NULL;
  g_autofree char *named = NULL;
  g_autofree char *unnamed_again = NULL;

  g_free (take_log ());
  tcp_log_info (log, "first");
  unnamed = take_log ();
  g_assert_nonnull (strstr (unnamed, "MESSAGE=test: first "));
  g_assert_null (strstr (unnamed, "TCP_TUNNEL_NAME"));

  /* The name may come from elsewhere, and must not forge a line. */
  tcp_log_set_name (log, "a name\nfrom afar\033");
  tcp_log_info (log, "second");
  named = take_log ();
  g_assert_nonnull (strstr (named, "MESSAGE=a name\\x0afrom afar\\x1b: second "));
  g_assert_nonnull (strstr (named, "TCP_TUNNEL_NAME=a name\\x0afrom afar\\x1b\n"));

  tcp_log_set_name (log, NULL);
  tcp_log_info (log, "third");
  unnamed_again = take_log ();
  g_assert_nonnull (strstr (unnamed_again, "MESSAGE=test: third "));
}

/* The library never logs a warning or an error of GLib, which would end a program that makes them fatal. */
static void
test_never_fatal (void)
{
  g_autoptr (TcpLog) log = tcp_log_new ("test", TCP_TUNNEL_LOG_LEVEL_DEBUG);
  g_autofree char *wanted = g_strdup_printf ("%x ", G_LOG_LEVEL_MESSAGE);
  g_autofree char *text = NULL;

  g_free (take_log ());
  tcp_log_error (log, "bad");
  text = take_log ();
  g_assert_true (g_str_has_prefix (text, wanted));
  g_assert_nonnull (strstr (text, "PRIORITY=3"));
  g_assert_nonnull (strstr (text, "GLIB_DOMAIN=TcpTunnel"));
}

static void
test_status (void)
{
  g_autoptr (TcpStatus) status = tcp_status_new ();
  g_autoptr (GError) error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, "lost");
  g_autoptr (GError) copy = NULL;

  g_assert_cmpint (tcp_status_get (status, round_trip), ==, -1);
  g_assert_cmpuint (tcp_status_get (status, state), ==, TCP_TUNNEL_STATE_DISCONNECTED);
  g_assert_cmpuint (tcp_status_add (status, bytes_sent, G_GUINT64_CONSTANT (1) << 40), ==, 0);
  g_assert_cmpuint (tcp_status_get (status, bytes_sent), ==, G_GUINT64_CONSTANT (1) << 40);
  tcp_status_add (status, open_connections, 2);
  tcp_status_sub (status, open_connections, 1);
  g_assert_cmpuint (tcp_status_get (status, open_connections), ==, 1);

  g_assert_null (tcp_status_dup_error (status));
  tcp_status_set_error (status, error);
  copy = tcp_status_dup_error (status);
  g_assert_true (copy != error);
  g_assert_error (copy, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST);
  tcp_status_set_error (status, NULL);
  g_assert_null (tcp_status_dup_error (status));
}

#define N_ROUNDS 5000

static gpointer
change_status (gpointer data)
{
  g_autoptr (TcpStatus) status = data;
  g_autoptr (GError) error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, "lost");

  for (guint i = 0; i < N_ROUNDS; i++)
    {
      tcp_status_set_error (status, i % 2 ? error : NULL);
      tcp_status_add (status, reconnects, 1);
    }
  return NULL;
}

static void
test_status_from_threads (void)
{
  g_autoptr (TcpStatus) status = tcp_status_new ();
  GThread *threads[3];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("status", change_status, tcp_status_ref (status));
  for (guint i = 0; i < N_ROUNDS; i++)
    {
      g_autoptr (GError) error = tcp_status_dup_error (status);

      if (error != NULL)
        g_assert_cmpstr (error->message, ==, "lost");
    }
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  g_assert_cmpuint (tcp_status_get (status, reconnects), ==, N_ROUNDS * G_N_ELEMENTS (threads));
}

/* No readable property contains the secret, except for those in which the application set it itself. */
static void
check_properties (GObject *object)
{
  guint n_properties;
  g_autofree GParamSpec **properties = g_object_class_list_properties (G_OBJECT_GET_CLASS (object), &n_properties);

  for (guint i = 0; i < n_properties; i++)
    {
      g_auto (GValue) value = G_VALUE_INIT;
      g_autofree char *text = NULL;

      if (!(properties[i]->flags & G_PARAM_READABLE))
        continue;
      g_object_get_property (object, properties[i]->name, &value);
      text = g_strdup_value_contents (&value);
      if (strcmp (properties[i]->name, "remote-uri") != 0 && strcmp (properties[i]->name, "request-headers") != 0)
        g_assert_null (strstr (text, SECRET));
    }
  g_assert_false (g_object_class_find_property (G_OBJECT_GET_CLASS (object), "token")->flags & G_PARAM_READABLE);
}

static void
on_failed (TcpTunnel *tunnel,
           GError    *error,
           gpointer   user_data)
{
  GError **failure = user_data;

  *failure = g_error_copy (error);
}

static void
test_secrets (void)
{
  static const char *const headers[] = { "Cookie: " SECRET, NULL };
  guint16 port;
  int fd = socket_bind (0, &port);
  g_autofree char *uri = g_strdup_printf ("ws://127.0.0.1:%u/path?key=" SECRET, port);
  g_autoptr (TcpTunnel) tunnel = tcp_tunnel_new (uri, SECRET "-token");
  g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:1");
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) last = NULL;
  g_autoptr (GError) failure = NULL;
  int client;
  g_autofree char *text = NULL;

  g_free (take_log ());
  g_object_set (tunnel, "mode", TCP_TUNNEL_MODE_MULTIPLEXED, "log-level", TCP_TUNNEL_LOG_LEVEL_DEBUG,
                "request-headers", headers, NULL);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNREACHABLE);
  g_assert_null (strstr (error->message, SECRET));
  last = tcp_tunnel_dup_last_error (tunnel);
  g_assert_null (strstr (last->message, SECRET));
  check_properties (G_OBJECT (tunnel));

  /* The same holds for an endpoint that has started. */
  g_clear_error (&error);
  g_object_set (tunnel, "mode", TCP_TUNNEL_MODE_SINGLETON, "max-reconnect-attempts", 0, NULL);
  g_signal_connect (tunnel, "failed", G_CALLBACK (on_failed), &failure);
  g_assert_true (tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, &error));
  g_assert_no_error (error);
  client = client_connect (test_port_of (tunnel));
  WAIT_UNTIL (failure != NULL);
  g_assert_null (strstr (failure->message, SECRET));
  client_close (client);

  g_object_set (gateway, "token", SECRET, "log-level", TCP_TUNNEL_LOG_LEVEL_DEBUG, NULL);
  g_clear_error (&error);
  g_assert_true (tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error));
  check_properties (G_OBJECT (gateway));
  tcp_endpoint_close (TCP_ENDPOINT (gateway));

  text = take_log ();
  g_assert_nonnull (strstr (text, "the tunnel ended"));
  g_assert_null (strstr (text, SECRET));
  close (fd);
}

/* While the writer is stuck, up to a limit lines are kept and no thread waits for it. The lines that were dropped are
 * counted. */
static void
test_stuck (void)
{
  g_autoptr (TcpLog) log = tcp_log_new ("test", TCP_TUNNEL_LOG_LEVEL_INFO);
  g_autofree char *text = NULL;

  g_free (take_log ());
  monitor_enter (&monitor);
  is_stuck = TRUE;
  monitor_leave (&monitor);
  tcp_log_info (log, "line 0");
  g_assert_true (MONITOR_WAIT_FOR (&monitor, test_deadline (), in_writer));
  for (guint i = 1; i <= TCP_LOG_CAP + 50; i++)
    tcp_log_info (log, "line %u", i);
  tcp_log_thread_flush (1);
  tcp_log_thread_settle ();
  monitor_enter (&monitor);
  is_stuck = FALSE;
  monitor_changed (&monitor);
  monitor_leave (&monitor);

  text = take_log ();
  g_assert_nonnull (strstr (text, "line 0 "));
  g_assert_nonnull (strstr (text, "line " G_STRINGIFY (TCP_LOG_CAP) " "));
  g_assert_null (strstr (text, "line 1025 "));
  g_assert_nonnull (strstr (text, "MESSAGE=50 log lines were dropped, since the reader of the log is slow"));
  tcp_log_info (log, "goes on");
  g_free (text);
  text = take_log ();
  g_assert_nonnull (strstr (text, "goes on"));
}

int
main (int    argc,
      char **argv)
{
  unit_test_init (&argc, &argv);
  monitor_init (&monitor);
  logged = g_string_new (NULL);
  g_log_set_writer_func (write_log, NULL, NULL);
  g_log_set_default_handler (handle_log, NULL);
  g_test_add_func ("/log/levels", test_levels);
  g_test_add_func ("/log/change-of-level", test_change_of_level);
  g_test_add_func ("/log/collector", test_collector);
  g_test_add_func ("/log/name", test_name);
  g_test_add_func ("/log/never-fatal", test_never_fatal);
  g_test_add_func ("/log/status", test_status);
  g_test_add_func ("/log/status-from-threads", test_status_from_threads);
  g_test_add_func ("/log/secrets", test_secrets);
  g_test_add_func ("/log/stuck", test_stuck);
  return g_test_run ();
}
