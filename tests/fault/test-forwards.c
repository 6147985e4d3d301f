/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Additional ports of a tunnel, each with its own target. */

#include "resume-rig.h"
#include "socket-util.h"

#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>

static void
allow (Fixture *fixture,
       Target *target)
{
  g_autofree char *pattern = target_get_address (target);
  const char *patterns[] = { "unused.example:1", pattern, NULL };

  g_object_set (fixture->gateway, "allow", patterns, NULL);
}

static TcpForward *
add_forward (TcpTunnel *tunnel,
             const char *target)
{
  g_autoptr (TcpForward) forward = tcp_forward_new (0, target);
  g_autoptr (GError) error = NULL;

  tcp_tunnel_add_forward (tunnel, forward, &error);
  g_assert_no_error (error);
  return g_steal_pointer (&forward);
}

static TcpForward *
add_forward_to (TcpTunnel *tunnel,
                Target *target)
{
  g_autofree char *address = target_get_address (target);

  return add_forward (tunnel, address);
}

static guint16
get_port (TcpForward *forward)
{
  g_autoptr (GSocketAddress) address = tcp_forward_dup_local_address (forward);

  return g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address));
}

static void
check_refused (guint16 port)
{
  int fd;

  g_assert_cmpint (client_try_connect (port, &fd), !=, 0);
}

static void
count (guint *counter)
{
  ++*counter;
}

/* Forwards work if they are added before or after the start. */
static void
test_many (gconstpointer late)
{
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Target) other = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (own, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autoptr (TcpForward) first = NULL;
  g_autoptr (TcpForward) second = NULL;
  g_autoptr (GPtrArray) forwards = NULL;
  guint16 port;
  int fds[3];

  allow (fixture, other);
  if (late != NULL)
    fixture_start (fixture);
  first = add_forward_to (fixture->tunnel, other);
  second = add_forward (fixture->tunnel, NULL);
  if (late == NULL)
    {
      g_assert_null (tcp_forward_dup_local_address (first));
      fixture_start (fixture);
    }
  forwards = tcp_tunnel_get_forwards (fixture->tunnel);
  g_assert_cmpuint (forwards->len, ==, 2);
  g_assert_true (forwards->pdata[0] == first && forwards->pdata[1] == second);

  fds[0] = client_connect (fixture_get_port (fixture));
  fds[1] = client_connect (get_port (first));
  fds[2] = client_connect (get_port (second));
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    client_round_trip (fds[i], "there");
  g_assert_cmpuint (target_get_counters (own).accepted, ==, 2);
  g_assert_cmpuint (target_get_counters (other).accepted, ==, 1);
  g_assert_cmpuint (fault_proxy_get_counters (fixture->proxy).links_accepted, ==, 1);

  /* Removing a forward does not end its connections. */
  port = get_port (first);
  tcp_tunnel_remove_forward (fixture->tunnel, first);
  check_refused (port);
  g_assert_null (tcp_forward_dup_local_address (first));
  client_round_trip (fds[1], "still there");
  tcp_tunnel_remove_forward (fixture->tunnel, first);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    client_close (fds[i]);

  /* Closing the tunnel closes all ports. */
  port = get_port (second);
  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
  check_refused (port);
  g_assert_null (tcp_forward_dup_local_address (second));
  test_tunnel_start (fixture->tunnel);
  fds[0] = client_connect (get_port (second));
  client_round_trip (fds[0], "again");
  client_close (fds[0]);
}

static void
test_notifies (void)
{
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (own, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autoptr (TcpForward) first = add_forward (fixture->tunnel, NULL);
  g_autoptr (TcpForward) second = tcp_forward_new (0, NULL);
  g_autoptr (GError) error = NULL;
  guint of_first = 0, of_second = 0;

  g_signal_connect_swapped (first, "notify::local-address", G_CALLBACK (count), &of_first);
  g_signal_connect_swapped (second, "notify::local-address", G_CALLBACK (count), &of_second);
  fixture_start (fixture);
  g_assert_cmpuint (of_first, ==, 1);
  g_assert_true (tcp_tunnel_add_forward (fixture->tunnel, second, &error));
  g_assert_cmpuint (of_second, ==, 1);
  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
  g_assert_cmpuint (of_first, ==, 2);
  g_assert_cmpuint (of_second, ==, 2);
}

static void
test_forbidden (TcpTunnelMode mode)
{
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Target) other = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (own, mode);
  g_autoptr (TcpForward) forward = add_forward_to (fixture->tunnel, other);
  int fd;

  fixture_start (fixture);
  for (guint i = 1; i <= 2; i++)
    {
      fd = client_connect (get_port (forward));
      client_expect_reset (fd);
      client_close (fd);
      expect_closed (fixture, i, TCP_TUNNEL_ERROR_FORBIDDEN);
    }
  fd = fixture_connect (fixture);
  client_round_trip (fd, "here");
  client_close (fd);
  g_assert_cmpuint (target_get_counters (other).accepted, ==, 0);
}

/* A protocol in which the tunnel cannot name the target: nothing of the client reaches the gateway's own target. */
static void
test_unnameable (TcpTunnelMode mode)
{
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (own, mode, FIXTURE_PLAIN);
  g_autoptr (TcpForward) forward = add_forward (fixture->tunnel, "db.lab:5432");
  int fd;

  fixture_start (fixture);
  fd = client_connect (get_port (forward));
  client_expect_end (fd);
  client_close (fd);
  fd = fixture_connect (fixture);
  client_round_trip (fd, "here");
  client_close (fd);
  g_assert_cmpuint (target_get_counters (own).bytes_in, ==, 4);
}

/* One client at a time, on whichever port. */
static void
test_singleton (void)
{
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (own, TCP_TUNNEL_MODE_SINGLETON);
  g_autoptr (TcpForward) forward = add_forward (fixture->tunnel, NULL);
  int first, second;

  fixture_start (fixture);
  first = client_connect (get_port (forward));
  client_round_trip (first, "alone");
  second = client_connect (fixture_get_port (fixture));
  client_expect_end (second);
  client_close (second);
  client_round_trip (first, "still alone");
  client_close (first);
  WAIT_UNTIL (fixture->recorder->closed == 1);
  second = fixture_connect (fixture);
  client_round_trip (second, "next");
  client_close (second);
}

static void
test_unix (void)
{
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (own, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autofree char *directory = g_dir_make_tmp ("forwards-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (directory, "socket", NULL);
  g_autoptr (TcpForward) forward = g_object_new (TCP_TYPE_FORWARD, "socket-path", path, NULL);
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GSocketConnection) connection = NULL;

  g_assert_true (tcp_tunnel_add_forward (fixture->tunnel, forward, &error));
  fixture_start (fixture);
  address = tcp_forward_dup_local_address (forward);
  g_assert_cmpstr (g_unix_socket_address_get_path (G_UNIX_SOCKET_ADDRESS (address)), ==, path);
  connection = g_socket_client_connect (client, G_SOCKET_CONNECTABLE (address), NULL, &error);
  g_assert_no_error (error);
  client_round_trip (g_socket_get_fd (g_socket_connection_get_socket (connection)), "by a file");
  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
  g_rmdir (directory);
}

static void
expect_failure (TcpTunnel *tunnel,
                TcpForward *forward,
                TcpTunnelError code)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (tcp_tunnel_add_forward (tunnel, forward, &error));
  g_test_message ("%s", error->message);
  g_assert_error (error, TCP_TUNNEL_ERROR, (int) code);
}

static void
test_failures (void)
{
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (own, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autoptr (TcpTunnel) another = tcp_tunnel_new (NULL, NULL);
  g_autoptr (TcpForward) forward = tcp_forward_new (0, "db.lab:");
  g_autoptr (GPtrArray) forwards = NULL;
  g_autoptr (GError) error = NULL;

  expect_failure (fixture->tunnel, forward, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_object_set (forward, "target", NULL, "hostname", "", NULL);
  expect_failure (fixture->tunnel, forward, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_object_set (forward, "hostname", "127.0.0.1", "port", (guint) target_get_port (own), NULL);
  fixture_start (fixture);
  expect_failure (fixture->tunnel, forward, TCP_TUNNEL_ERROR_LISTEN);
  g_object_set (forward, "hostname", "no-such-name.invalid", NULL);
  expect_failure (fixture->tunnel, forward, TCP_TUNNEL_ERROR_LISTEN);
  forwards = tcp_tunnel_get_forwards (fixture->tunnel);
  g_assert_cmpuint (forwards->len, ==, 0);

  /* The forward may be added again, but not twice. A start fails as adding it did. */
  g_object_set (forward, "hostname", "127.0.0.1", NULL);
  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
  g_assert_true (tcp_tunnel_add_forward (fixture->tunnel, forward, &error));
  expect_failure (another, forward, TCP_TUNNEL_ERROR_WRONG_STATE);
  expect_failure (fixture->tunnel, forward, TCP_TUNNEL_ERROR_WRONG_STATE);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (fixture->tunnel), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LISTEN);
  g_object_set (forward, "port", 0, NULL);
  test_tunnel_start (fixture->tunnel);
  tcp_tunnel_remove_forward (another, forward);
  client_close (client_connect (get_port (forward)));
}

/* Several threads add and remove forwards while the tunnel starts and closes. */

#define N_THREADS 4

static gpointer
run_changes (gpointer tunnel)
{
  guint rounds = test_count (200, 50);

  for (guint i = 0; i < rounds; i++)
    {
      g_autoptr (TcpForward) forward = tcp_forward_new (0, NULL);
      g_autoptr (GPtrArray) forwards = NULL;
      g_autoptr (GSocketAddress) address = NULL;
      g_autoptr (GError) error = NULL;

      tcp_tunnel_add_forward (tunnel, forward, &error);
      g_assert_no_error (error);
      address = tcp_forward_dup_local_address (forward);
      if (address != NULL)
        g_assert_cmpuint (g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address)), >, 0);
      forwards = tcp_tunnel_get_forwards (tunnel);
      g_assert_true (g_ptr_array_find (forwards, forward, NULL));
      tcp_tunnel_remove_forward (tunnel, forward);
    }
  return NULL;
}

static void
test_threads (void)
{
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (own, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autoptr (GPtrArray) forwards = NULL;
  GThread *threads[N_THREADS];

  fixture_start (fixture);
  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("changes", run_changes, fixture->tunnel);
  for (guint i = 0; i < 20; i++)
    {
      tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
      test_tunnel_start (fixture->tunnel);
    }
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  forwards = tcp_tunnel_get_forwards (fixture->tunnel);
  g_assert_cmpuint (forwards->len, ==, 0);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_data_func ("/forwards/many/before-start", NULL, test_many);
  g_test_add_data_func ("/forwards/many/behind-start", "late", test_many);
  g_test_add_func ("/forwards/notifies", test_notifies);
  add_mode_test ("/forwards/forbidden", test_forbidden);
  add_mode_test ("/forwards/unnameable", test_unnameable);
  g_test_add_func ("/forwards/singleton", test_singleton);
  g_test_add_func ("/forwards/unix", test_unix);
  g_test_add_func ("/forwards/failures", test_failures);
  g_test_add_func ("/forwards/threads", test_threads);

  return g_test_run ();
}
