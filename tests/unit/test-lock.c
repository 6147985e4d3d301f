/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/lock.h"

#include <sys/wait.h>
#include <unistd.h>

#define CHILD_SECONDS 60

typedef struct
{
  TcpLock lock;
  guint n; /* under it */
} Counter;

static gpointer
count (gpointer data)
{
  Counter *counter = data;

  for (guint i = 0; i < 10000; i++)
    {
      tcp_lock (&counter->lock);
      counter->n++;
      tcp_unlock (&counter->lock);
    }
  return NULL;
}

static void
run_threads (Counter *counter)
{
  GThread *threads[4];

  counter->n = 0;
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("count", count, counter);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  tcp_lock (&counter->lock);
  g_assert_cmpuint (counter->n, ==, 10000 * G_N_ELEMENTS (threads));
  tcp_unlock (&counter->lock);
}

static void
test_threads (void)
{
  Counter counter;

  tcp_lock_init (&counter.lock);
  run_threads (&counter);
  tcp_lock_clear (&counter.lock);
}

/* It was held at the fork, by who is not there. */
static void
check_child (gpointer data)
{
  Counter *counters = data;

  alarm (CHILD_SECONDS);
  /* Several threads may be the first to find it so. */
  run_threads (&counters[0]);
  tcp_lock_clear (&counters[0].lock);
  tcp_lock_clear (&counters[1].lock);
}

static void
in_child (void     (*check) (gpointer data),
          gpointer   data)
{
  int status;
  pid_t child = fork ();

  g_assert_cmpint (child, >=, 0);
  if (child == 0)
    {
      check (data);
      _exit (0);
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);
}

static void
test_held (void)
{
  Counter counters[2];

  for (guint i = 0; i < G_N_ELEMENTS (counters); i++)
    {
      tcp_lock_init (&counters[i].lock);
      tcp_lock (&counters[i].lock);
    }
  in_child (check_child, counters);
  for (guint i = 0; i < G_N_ELEMENTS (counters); i++)
    {
      tcp_unlock (&counters[i].lock);
      tcp_lock_clear (&counters[i].lock);
    }
}

/* Whoever forks may hold it as well, as the child then does. */
static void
release (gpointer data)
{
  tcp_unlock (data);
  alarm (CHILD_SECONDS);
  tcp_lock (data);
  tcp_unlock (data);
  in_child ((void (*) (gpointer)) tcp_lock_clear, data);
  tcp_lock_clear (data);
}

static void
test_released (void)
{
  TcpLock lock;

  tcp_lock_init (&lock);
  tcp_lock (&lock);
  in_child (release, &lock);
  tcp_unlock (&lock);
  tcp_lock_clear (&lock);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/lock/threads", test_threads);
  g_test_add_func ("/lock/held", test_held);
  g_test_add_func ("/lock/released", test_released);

  return g_test_run ();
}
