/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/fork.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "io/listen.h"
#include "io/port.h"

static guint first, second;

static void
on_first (void)
{
  first++;
}

static void
on_second (void)
{
  second++;
}

static gpointer
watch (gpointer data)
{
  for (guint i = 0; i < 100; i++)
    {
      tcp_fork_watch (on_first);
      tcp_fork_watch (on_second);
    }
  return NULL;
}

/* Callbacks that are registered more often than there are places, and from several threads, are each called once. */
static void
test_once (void)
{
  GThread *threads[4];
  guint before = tcp_fork_count ();
  int status;
  pid_t child;

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("watch", watch, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);

  child = fork ();
  g_assert_cmpint (child, >=, 0);
  if (child == 0)
    _exit (first == 1 && second == 1 && tcp_fork_count () == before + 1 ? 0 : 1);
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);

  g_assert_cmpuint (first + second, ==, 0);
  g_assert_cmpuint (tcp_fork_count (), ==, before);
}

/* A child does not keep a port in use that its parent has only opened so far. */
static void
test_port (void)
{
  TcpPortSpec spec = { .hostname = (char *) "127.0.0.1" };
  g_autoptr (TcpLog) log = tcp_log_new ("test", TCP_TUNNEL_LOG_LEVEL_NONE);
  g_autoptr (TcpPort) port = tcp_port_new (&spec, log);
  g_autoptr (GPtrArray) addresses = NULL;
  g_autoptr (GError) error = NULL;
  int fd, status;
  pid_t child;

  addresses = tcp_resolve_sync (spec.hostname, 0, &error);
  g_assert_true (tcp_port_listen (port, addresses, &error));
  fd = g_socket_get_fd (tcp_port_get_socket (port, 0));
  /* Valgrind would report it as lost by the child. */
  g_clear_pointer (&addresses, g_ptr_array_unref);
  child = fork ();
  g_assert_cmpint (child, >=, 0);
  if (child == 0)
    _exit (fcntl (fd, F_GETFD) < 0 ? 0 : 1);
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_cmpint (status, ==, 0);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/fork/once", test_once);
  g_test_add_func ("/fork/port", test_port);
  return g_test_run ();
}
