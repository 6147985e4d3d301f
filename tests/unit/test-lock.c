/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/lock.h"
#include "base/tsan.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_SECONDS 60

typedef struct
{
  TcpLock lock;
  guint n; /* under the lock */
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

/* At the fork the lock was held by a thread that the child does not have. */
static void
check_child (gpointer data)
{
  Counter *counters = data;

  alarm (CHILD_SECONDS);
  /* Several threads may be the first to find the lock in this state. */
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

/* The thread that forks may hold the lock as well, and then holds it in the child. */
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

#ifndef TCP_TSAN
/* A signal handler forks while its thread waits for a lock that another thread holds. ThreadSanitizer delays the
 * handler until the thread has the lock. */

typedef struct
{
  TcpLock lock;
  GCond cond;
  gboolean done; /* under the lock */
  pthread_t waiter;
  int status; /* of the child */
} Wait;

static atomic_int forked;
static gboolean is_child;

static void
on_signal (int number)
{
  pid_t child = fork ();

  forked = child;
  if (child == 0)
    {
      is_child = TRUE;
      alarm (CHILD_SECONDS);
    }
}

/* Returns whether the first thread of this process sleeps. */
static gboolean
is_asleep (void)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/task/%d/stat", getpid ());
  g_autofree char *stat = NULL;
  const char *end;

  g_assert_true (g_file_get_contents (path, &stat, NULL, NULL));
  end = strrchr (stat, ')');
  return end != NULL && end[2] == 'S';
}

/* Called with the lock held. */
static void
interrupt (Wait *self)
{
  while (!is_asleep ())
    g_thread_yield ();
  forked = 0;
  pthread_kill (self->waiter, SIGUSR1);
  while (forked == 0)
    g_thread_yield ();
  g_assert_cmpint (waitpid (forked, &self->status, 0), ==, forked);
}

static gpointer
interrupt_wait (gpointer data)
{
  Wait *self = data;

  tcp_lock (&self->lock);
  interrupt (self);
  self->done = TRUE;
  g_cond_broadcast (&self->cond);
  tcp_unlock (&self->lock);
  return NULL;
}

static gpointer
interrupt_lock (gpointer data)
{
  Wait *self = data;

  tcp_lock (&self->lock);
  g_atomic_int_set (&self->done, TRUE);
  interrupt (self);
  tcp_unlock (&self->lock);
  return NULL;
}

static void
wait_begin (Wait *self)
{
  struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

  *self = (Wait) { .waiter = pthread_self () };
  tcp_lock_init (&self->lock);
  g_cond_init (&self->cond);
  g_assert_no_errno (sigaction (SIGUSR1, &action, NULL));
}

static void
wait_end (Wait    *self,
          GThread *thread)
{
  /* In the child, the thread holds the lock as if it had taken it in the parent. */
  tcp_unlock (&self->lock);
  if (is_child)
    {
      tcp_lock (&self->lock);
      tcp_unlock (&self->lock);
      _exit (0);
    }
  g_thread_join (thread);
  g_assert_true (WIFEXITED (self->status));
  g_assert_cmpint (WEXITSTATUS (self->status), ==, 0);
  tcp_lock_clear (&self->lock);
  g_cond_clear (&self->cond);
}

static void
test_interrupted_wait (void)
{
  Wait wait;
  GThread *thread;

  wait_begin (&wait);
  tcp_lock (&wait.lock);
  thread = g_thread_new ("interrupt", interrupt_wait, &wait);
  while (!wait.done && !is_child)
    tcp_lock_wait_until (&wait.lock, &wait.cond, G_MAXINT64);
  wait_end (&wait, thread);
}

static void
test_interrupted_lock (void)
{
  Wait wait;
  GThread *thread;

  wait_begin (&wait);
  thread = g_thread_new ("interrupt", interrupt_lock, &wait);
  while (!g_atomic_int_get (&wait.done))
    g_thread_yield ();
  tcp_lock (&wait.lock);
  wait_end (&wait, thread);
}

#endif

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/lock/threads", test_threads);
  g_test_add_func ("/lock/held", test_held);
  g_test_add_func ("/lock/released", test_released);
#ifndef TCP_TSAN
  g_test_add_func ("/lock/interrupted-wait", test_interrupted_wait);
  g_test_add_func ("/lock/interrupted-lock", test_interrupted_lock);
#endif

  return g_test_run ();
}
