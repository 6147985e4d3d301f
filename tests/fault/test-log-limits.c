/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The warnings that a client with a token can cause at a gateway as often as it likes, and those that a gateway can
 * cause at a tunnel, are limited. */

#include "fixture.h"
#include "monitor.h"
#include "resumable-peer.h"
#include "socket-util.h"

#include <string.h>

/* As in io/log-limit.h. */
#define MAX_LINES 20

#define N (MAX_LINES + 10)

static Monitor monitor;
static GPtrArray *logged; /* protected by the monitor */

static GLogWriterOutput
write_log (GLogLevelFlags level,
           const GLogField *fields,
           gsize n_fields,
           gpointer user_data)
{
  for (gsize i = 0; i < n_fields; i++)
    if (strcmp (fields[i].key, "MESSAGE") == 0)
      {
        monitor_enter (&monitor);
        g_ptr_array_add (logged, g_strdup (fields[i].value));
        monitor_leave (&monitor);
      }
  return G_LOG_WRITER_HANDLED;
}

static guint
count_logged (const char *begin,
              const char *end)
{
  guint n = 0;

  monitor_enter (&monitor);
  for (guint i = 0; i < logged->len; i++)
    n += g_str_has_prefix (logged->pdata[i], begin) && g_str_has_suffix (logged->pdata[i], end);
  monitor_leave (&monitor);
  return n;
}

static TcpGateway *
start_gateway (Target *target,
               guint session_timeout,
               guint16 *port)
{
  g_autofree char *address = target_get_address (target);
  TcpGateway *gateway = tcp_gateway_new (address);
  g_autoptr (GError) error = NULL;

  g_object_set (gateway, "token", TEST_TOKEN, "session-timeout", session_timeout, "log-level", TCP_TUNNEL_LOG_LEVEL_WARN,
                NULL);
  tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error);
  g_assert_no_error (error);
  *port = test_port_of (gateway);
  return gateway;
}

static int
connect_session (guint16 port,
                 guint number)
{
  g_autofree char *path = g_strdup_printf ("/?sessionId=session-%u", number);

  return ws_connect (port, path, TEST_TOKEN);
}

/* Requires @n warnings of @who, of which the last ends with @end. */
static void
expect_limit_of (const char *who,
                 guint n,
                 const char *end)
{
  g_autofree char *summary = NULL;

  summary = g_strdup_printf ("%s: messages of this kind that were not logged: %u; the last of them: ", who, n - MAX_LINES);
  /* The summary is written last, by the thread of the log. */
  WAIT_UNTIL (count_logged (summary, end) == 1);
  g_assert_cmpuint (count_logged ("", end), <=, 1 + MAX_LINES);
}

static void
expect_limit (guint n,
              const char *end)
{
  expect_limit_of ("gateway", n, end);
}

/* Abandoned sessions: one warning for the WebSocket, and one for the session. */
static void
test_expiries (void)
{
  g_autoptr (Target) target = target_new_echo ();
  guint16 port;
  g_autoptr (TcpGateway) gateway = start_gateway (target, 1, &port);

  for (guint i = 0; i < N; i++)
    {
      int fd = connect_session (port, i);

      ws_send (fd, WS_BINARY, "hello", 5);
      ws_expect (fd, "hello");
      client_reset (fd);
      WAIT_UNTIL (test_figure (gateway, open_connections) == 0);
    }
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  expect_limit (2 * N, "did not come back within 1 ms");
}

/* A client that does not return is also logged if its target has received everything, or has ended. */
static void
test_unconfirmed (void)
{
  g_autoptr (Target) target = target_new_echo ();
  guint16 port;
  g_autoptr (TcpGateway) gateway = start_gateway (target, 50, &port);
  g_autoptr (ResumablePeer) peer = resumable_client_start (port, TEST_TOKEN, TRUE);

  resumable_open (peer, 1);
  resumable_send_code (peer, RESUMABLE_RESET, 1, RESUMABLE_RESET_BROKEN, "enough");
  resumable_expect_confirmed (peer);
  WAIT_UNTIL (test_figure (gateway, open_connections) == 0);
  resumable_reset (peer);
  WAIT_UNTIL (count_logged ("", "did not come back within 50 ms") == 1);
}

/* Data for connections that have ended. */
static void
test_losses (void)
{
  g_autoptr (Target) target = target_new_echo ();
  guint16 port;
  g_autoptr (TcpGateway) gateway = start_gateway (target, 600000, &port);

  for (guint i = 0; i < N; i++)
    {
      int fd = connect_session (port, i);

      ws_send_close (fd, 1000);
      ws_expect_close (fd, 1000);
      client_close (fd);
      WAIT_UNTIL (test_figure (gateway, open_connections) == 0);
      fd = connect_session (port, i);
      ws_send (fd, WS_BINARY, "hello", 5);
      ws_send_close (fd, 1000);
      ws_expect_close (fd, 1000);
      client_close (fd);
    }
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  expect_limit (N, "sent after the end of its connection were discarded");
}

/* Connections that the application of the client has closed, according to the client. They are logged below the level
 * of warnings. */
static void
test_closed_by_client (void)
{
  g_autoptr (Target) target = target_new_echo ();
  guint16 port;
  g_autoptr (TcpGateway) gateway = start_gateway (target, 600000, &port);
  ResumablePeer *peer;

  g_object_set (gateway, "log-level", TCP_TUNNEL_LOG_LEVEL_INFO, NULL);
  peer = resumable_client_start (port, TEST_TOKEN, TRUE);
  for (guint i = 0; i < N; i++)
    {
      resumable_send (peer, RESUMABLE_OPEN, 2 * i + 1, NULL, 0);
      resumable_send_code (peer, RESUMABLE_RESET, 2 * i + 1, i % 2 == 0 ? RESUMABLE_RESET_CLOSED : RESUMABLE_RESET_DRAINING,
                           "for no reason");
      WAIT_UNTIL (test_figure (gateway, total_connections) == i + 1 && test_figure (gateway, open_connections) == 0);
    }
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  expect_limit (N, "for no reason");
  resumable_peer_free (peer);
}

/* Connections that a tunnel has lost because its gateway ended them. */
static void
test_broken_connections (void)
{
  g_autoptr (Target) target = target_new_echo ();
  guint16 port;
  g_autoptr (TcpGateway) gateway = start_gateway (target, 600000, &port);
  g_autofree char *uri = tcp_gateway_dup_uri (gateway);
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autoptr (GError) error = NULL;

  g_object_set (gateway, "log-level", TCP_TUNNEL_LOG_LEVEL_NONE, NULL);
  /* The gateway refuses this target. */
  g_object_set (tunnel, "target", "not.allowed:1", "log-level", TCP_TUNNEL_LOG_LEVEL_WARN,
                NULL);
  tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < N; i++)
    {
      int fd = client_connect (test_port_of (tunnel));

      client_expect_reset (fd);
      client_close (fd);
      WAIT_UNTIL (test_figure (tunnel, total_connections) == i + 1 && test_figure (tunnel, open_connections) == 0);
    }
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
  expect_limit_of ("tunnel", N, "does not allow the target not.allowed:1");
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

int
main (int argc,
      char **argv)
{
  /* Each I/O thread has its own limits. */
  g_setenv ("TCP_TUNNEL_IO_THREADS", "1", TRUE);
  g_test_init (&argc, &argv, NULL);
  monitor_init (&monitor);
  logged = g_ptr_array_new_with_free_func (g_free);
  g_log_set_writer_func (write_log, NULL, NULL);

  g_test_add_func ("/log-limits/expiries", test_expiries);
  g_test_add_func ("/log-limits/unconfirmed", test_unconfirmed);
  g_test_add_func ("/log-limits/losses", test_losses);
  g_test_add_func ("/log-limits/closed-by-client", test_closed_by_client);

  g_test_add_func ("/log-limits/broken-connections", test_broken_connections);

  return g_test_run ();
}
