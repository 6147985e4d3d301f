/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/fork.h"

#include <sys/wait.h>
#include <unistd.h>

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

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/fork/once", test_once);
  return g_test_run ();
}
