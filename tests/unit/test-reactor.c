/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/reactor.h"
#include "test-util.h"

#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Runs the reactor until nothing is due any more. */
static void
run (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

/* Timers */

typedef struct
{
  TcpTimer *timer;
  gint64 when;
  guint calls;
  GArray *times; /* of gint64, in the order of the calls; nullable */
} Timed;

static void
on_timed (gpointer user_data)
{
  Timed *self = user_data;

  g_assert_cmpint (tcp_now (), >=, self->when);
  g_assert_cmpint (tcp_timer_get (self->timer), ==, -1);
  self->calls++;
  if (self->times != NULL)
    g_array_append_val (self->times, self->when);
}

static void
test_timer (void)
{
  Timed timed = { 0 };

  timed.timer = tcp_timer_new (on_timed, &timed);
  g_assert_cmpint (tcp_timer_get (timed.timer), ==, -1);
  run ();
  g_assert_cmpuint (timed.calls, ==, 0);

  tcp_timer_set (timed.timer, 0);
  g_assert_cmpint (tcp_timer_get (timed.timer), ==, 0);
  run ();
  run ();
  g_assert_cmpuint (timed.calls, ==, 1);

  timed.when = tcp_now () + 20 * G_TIME_SPAN_MILLISECOND;
  tcp_timer_set (timed.timer, timed.when);
  g_assert_cmpint (tcp_timer_get (timed.timer), ==, timed.when);
  WAIT_UNTIL (timed.calls == 2);

  /* A timer is set again, cancelled, and both. */
  tcp_timer_set (timed.timer, tcp_now () + G_TIME_SPAN_HOUR);
  timed.when = 0;
  tcp_timer_set (timed.timer, 0);
  run ();
  g_assert_cmpuint (timed.calls, ==, 3);
  tcp_timer_set (timed.timer, 0);
  tcp_timer_set (timed.timer, -1);
  tcp_timer_set (timed.timer, 1);
  tcp_timer_set (timed.timer, -1);
  run ();
  g_assert_cmpuint (timed.calls, ==, 3);

  tcp_timer_clear (&timed.timer);
  g_assert_null (timed.timer);
}

/* However the timers are set, moved and cancelled, they expire in the order of their times. */
static void
test_timer_order (void)
{
  enum { N = 500 };
  g_autofree Timed *timed = g_new0 (Timed, N);
  gint64 start = tcp_now () - G_TIME_SPAN_MINUTE;

  for (guint round = 0; round < 20; round++)
    {
      g_autoptr (GArray) times = g_array_new (FALSE, FALSE, sizeof (gint64));
      guint due = 0;

      for (guint i = 0; i < N; i++)
        {
          timed[i] = (Timed) { .times = times, .when = -1 };
          timed[i].timer = tcp_timer_new (on_timed, &timed[i]);
        }
      for (guint k = 0; k < 4 * N; k++)
        {
          Timed *one = &timed[g_test_rand_int_range (0, N)];

          one->when = g_test_rand_int_range (0, 4) == 0 ? -1 : start + g_test_rand_int_range (1, 1000);
          tcp_timer_set (one->timer, one->when);
        }
      for (guint i = 0; i < N; i++)
        due += timed[i].when > 0;

      run ();
      g_assert_cmpuint (times->len, ==, due);
      for (guint i = 1; i < times->len; i++)
        g_assert_cmpint (g_array_index (times, gint64, i), >=, g_array_index (times, gint64, i - 1));
      for (guint i = 0; i < N; i++)
        {
          g_assert_cmpuint (timed[i].calls, ==, timed[i].when > 0);
          tcp_timer_clear (&timed[i].timer);
        }
    }
}

typedef struct
{
  TcpTimer *timer;
  TcpTimer *other;
  TcpWatch *watch;
  int fds[2];
  guint calls;
  guint watched;
} Chain;

static void
on_again (gpointer user_data)
{
  Chain *self = user_data;

  /* The descriptor had its turn each time. */
  g_assert_cmpuint (self->watched, ==, self->calls + 1);
  self->calls++;
  if (self->calls < 10)
    tcp_timer_set (self->timer, 0);
}

static void
on_watched (GIOCondition condition,
            gpointer     user_data)
{
  Chain *self = user_data;

  self->watched++;
}

/* A timer that sets itself to expire at once does not keep other callbacks from being called. */
static void
test_timer_again (void)
{
  Chain chain = { 0 };

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM, 0, chain.fds), ==, 0);
  g_assert_cmpint (write (chain.fds[1], "x", 1), ==, 1);
  chain.watch = tcp_watch_new (chain.fds[0], G_IO_IN, on_watched, &chain);
  chain.timer = tcp_timer_new (on_again, &chain);
  tcp_timer_set (chain.timer, 0);
  WAIT_UNTIL (chain.calls == 10);

  tcp_timer_clear (&chain.timer);
  tcp_watch_clear (&chain.watch);
  close (chain.fds[0]);
  close (chain.fds[1]);
}

static void
on_clear_all (gpointer user_data)
{
  Chain *self = user_data;

  self->calls++;
  tcp_timer_clear (&self->timer);
  tcp_timer_clear (&self->other);
}

/* A callback may free its own timer, and others that are due as well. */
static void
test_timer_clear (void)
{
  for (guint late = 0; late < 2; late++)
    {
      Chain chain = { 0 };

      chain.timer = tcp_timer_new (on_clear_all, &chain);
      chain.other = tcp_timer_new (on_clear_all, &chain);
      tcp_timer_set (chain.timer, late ? 1 : 0);
      tcp_timer_set (chain.other, late ? 2 : 0);
      run ();
      g_assert_cmpuint (chain.calls, ==, 1);
    }
}

/* Watches */

typedef struct _Pair Pair;

struct _Pair
{
  int fds[2];
  TcpWatch *watch;
  GIOCondition condition;
  guint calls;
  Pair *victim;
};

static void
on_ready (GIOCondition condition,
          gpointer     user_data)
{
  Pair *self = user_data;

  self->calls++;
  self->condition = condition;
  if (self->victim != NULL)
    {
      Pair *victim = g_steal_pointer (&self->victim);

      tcp_watch_clear (&victim->watch);
    }
}

static void
pair_open (Pair         *self,
           GIOCondition  condition)
{
  memset (self, 0, sizeof (*self));
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, self->fds), ==, 0);
  self->watch = tcp_watch_new (self->fds[0], condition, on_ready, self);
}

static void
pair_close (Pair *self)
{
  tcp_watch_clear (&self->watch);
  close (self->fds[0]);
  close (self->fds[1]);
}

static void
test_watch (void)
{
  Pair pair;
  char byte;

  pair_open (&pair, G_IO_IN);
  run ();
  g_assert_cmpuint (pair.calls, ==, 0);

  g_assert_cmpint (write (pair.fds[1], "a", 1), ==, 1);
  g_main_context_iteration (NULL, FALSE);
  g_assert_cmpuint (pair.calls, ==, 1);
  g_assert_cmpuint (pair.condition, ==, G_IO_IN);
  /* It is called as long as the condition holds. */
  g_main_context_iteration (NULL, FALSE);
  g_assert_cmpuint (pair.calls, ==, 2);

  tcp_watch_set (pair.watch, 0);
  run ();
  g_assert_cmpuint (pair.calls, ==, 2);
  tcp_watch_set (pair.watch, G_IO_IN | G_IO_OUT);
  g_main_context_iteration (NULL, FALSE);
  g_assert_cmpuint (pair.calls, ==, 3);
  g_assert_cmpuint (pair.condition, ==, G_IO_IN | G_IO_OUT);

  tcp_watch_set (pair.watch, G_IO_IN);
  g_assert_cmpint (read (pair.fds[0], &byte, 1), ==, 1);
  run ();
  g_assert_cmpuint (pair.calls, ==, 3);
  pair_close (&pair);
}

/* A hang-up is reported whatever the condition of the watch, but not while the watch rests. */
static void
test_watch_rest (void)
{
  Pair pair;

  pair_open (&pair, 0);
  tcp_watch_rest (pair.watch);
  shutdown (pair.fds[1], SHUT_RDWR);
  run ();
  g_assert_cmpuint (pair.calls, ==, 0);

  tcp_watch_set (pair.watch, 0);
  g_main_context_iteration (NULL, FALSE);
  g_assert_cmpuint (pair.calls, ==, 1);
  g_assert_true (pair.condition & G_IO_HUP);

  tcp_watch_rest (pair.watch);
  run ();
  g_assert_cmpuint (pair.calls, ==, 1);
  pair_close (&pair);
}

/* A watch that is cleared by the callback of another is not called any more, although it was ready; nor is another
 * that gets the same descriptor number. */
static void
test_watch_clear (void)
{
  Pair pairs[2];

  for (guint i = 0; i < 100; i++)
    {
      pair_open (&pairs[0], G_IO_IN);
      pair_open (&pairs[1], G_IO_IN);
      g_assert_cmpint (write (pairs[0].fds[1], "a", 1), ==, 1);
      g_assert_cmpint (write (pairs[1].fds[1], "a", 1), ==, 1);
      pairs[0].victim = &pairs[1];
      pairs[1].victim = &pairs[0];
      g_main_context_iteration (NULL, FALSE);
      g_assert_cmpuint (pairs[0].calls + pairs[1].calls, ==, 1);
      pair_close (&pairs[0]);
      pair_close (&pairs[1]);
    }
}

/* Idle watches cost the main context nothing: it has a single descriptor for all of them. */
static void
test_idle (void)
{
  enum { N = 1000 };
  g_autofree Pair *pairs = g_new (Pair, N);
  GPollFD fds[16];
  gint timeout;
  gint before;

  test_need_descriptors (2 * N + 100);
  pair_open (&pairs[0], G_IO_IN);
  g_assert_true (g_main_context_acquire (NULL));
  g_main_context_prepare (g_main_context_default (), NULL);
  before = g_main_context_query (g_main_context_default (), G_MAXINT, &timeout, fds, G_N_ELEMENTS (fds));
  for (guint i = 1; i < N; i++)
    pair_open (&pairs[i], G_IO_IN);
  g_main_context_prepare (g_main_context_default (), NULL);
  g_assert_cmpint (g_main_context_query (g_main_context_default (), G_MAXINT, &timeout, fds, G_N_ELEMENTS (fds)), ==, before);
  g_main_context_release (NULL);

  /* Yet each watch is called. */
  for (guint i = 0; i < N; i++)
    g_assert_cmpint (write (pairs[i].fds[1], "a", 1), ==, 1);
  for (guint i = 0; i < N; i++)
    WAIT_UNTIL (pairs[i].calls > 0);
  for (guint i = 0; i < N; i++)
    pair_close (&pairs[i]);
}

/* Each context has a reactor of its own, also within one thread. */
static void
test_contexts (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  Timed outer = { 0 };
  Timed inner = { 0 };

  outer.timer = tcp_timer_new (on_timed, &outer);
  g_main_context_push_thread_default (context);
  inner.timer = tcp_timer_new (on_timed, &inner);
  g_main_context_pop_thread_default (context);
  tcp_timer_set (outer.timer, 0);
  tcp_timer_set (inner.timer, 0);

  run ();
  g_assert_cmpuint (outer.calls, ==, 1);
  g_assert_cmpuint (inner.calls, ==, 0);
  while (g_main_context_iteration (context, FALSE))
    ;
  g_assert_cmpuint (inner.calls, ==, 1);
  tcp_timer_clear (&outer.timer);
  tcp_timer_clear (&inner.timer);
}

/* With the poll function of an I/O thread */

static void
set_up_polled (void)
{
  g_main_context_set_poll_func (NULL, tcp_reactor_poll);
}

static void
tear_down_polled (void)
{
  g_main_context_set_poll_func (NULL, NULL);
}

static gboolean
clear_watch (gpointer user_data)
{
  Pair *self = user_data;

  tcp_watch_clear (&self->watch);
  return G_SOURCE_REMOVE;
}

/* A source that is dispatched before the reactor clears a watch whose event was found already. */
static void
test_polled_clear (void)
{
  Pair pair;
  Pair other;

  set_up_polled ();
  for (guint i = 0; i < 100; i++)
    {
      pair_open (&pair, G_IO_IN);
      pair_open (&other, G_IO_IN);
      g_assert_cmpint (write (pair.fds[1], "a", 1), ==, 1);
      g_assert_cmpint (write (other.fds[1], "a", 1), ==, 1);
      g_idle_add_full (G_PRIORITY_HIGH, clear_watch, &pair, NULL);
      WAIT_UNTIL (other.calls > 0);
      g_assert_null (pair.watch);
      g_assert_cmpuint (pair.calls, ==, 0);
      pair_close (&pair);
      pair_close (&other);
    }
  tear_down_polled ();
}

static gboolean
note_call (gpointer user_data)
{
  *(gboolean *) user_data = TRUE;
  return G_SOURCE_REMOVE;
}

static gpointer
call_from_thread (gpointer user_data)
{
  g_idle_add (note_call, user_data);
  return NULL;
}

/* A call from another thread ends the wait, again and again, although the context has no descriptor but the
 * reactor's. */
static void
test_polled_wakeup (void)
{
  Pair pair;

  set_up_polled ();
  pair_open (&pair, G_IO_IN);
  for (guint i = 0; i < 100; i++)
    {
      gboolean called = FALSE;
      GThread *thread = g_thread_new ("caller", call_from_thread, &called);

      while (!called)
        g_main_context_iteration (NULL, TRUE);
      g_thread_join (thread);
    }
  g_assert_cmpuint (pair.calls, ==, 0);
  /* None of the calls has left anything that would end the next wait at once. */
  g_assert_false (g_main_context_pending (NULL));

  g_assert_cmpint (write (pair.fds[1], "a", 1), ==, 1);
  g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (pair.calls, ==, 1);
  pair_close (&pair);
  tear_down_polled ();
}

static gboolean
on_other_readable (int          fd,
                   GIOCondition condition,
                   gpointer     user_data)
{
  *(gboolean *) user_data = TRUE;
  return G_SOURCE_REMOVE;
}

/* A GIO source with a descriptor of its own is dispatched as well, beside the reactor. */
static void
test_polled_beside (void)
{
  gboolean heard = FALSE;
  Pair pair;
  Pair other;

  set_up_polled ();
  pair_open (&pair, G_IO_IN);
  pair_open (&other, 0);
  run ();
  g_unix_fd_add (other.fds[0], G_IO_IN, on_other_readable, &heard);
  g_assert_cmpint (write (other.fds[1], "a", 1), ==, 1);
  WAIT_UNTIL (heard);
  g_assert_cmpint (write (pair.fds[1], "a", 1), ==, 1);
  WAIT_UNTIL (pair.calls > 0);
  pair_close (&pair);
  pair_close (&other);
  tear_down_polled ();
}

static void
run_polled (gconstpointer test)
{
  set_up_polled ();
  ((GTestFunc) test) ();
  tear_down_polled ();
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/reactor/timer", test_timer);
  g_test_add_func ("/reactor/timer-order", test_timer_order);
  g_test_add_func ("/reactor/timer-again", test_timer_again);
  g_test_add_func ("/reactor/timer-clear", test_timer_clear);
  g_test_add_func ("/reactor/watch", test_watch);
  g_test_add_func ("/reactor/watch-rest", test_watch_rest);
  g_test_add_func ("/reactor/watch-clear", test_watch_clear);
  g_test_add_func ("/reactor/idle", test_idle);
  g_test_add_func ("/reactor/contexts", test_contexts);
  g_test_add_data_func ("/reactor/polled/timer", test_timer, run_polled);
  g_test_add_data_func ("/reactor/polled/timer-order", test_timer_order, run_polled);
  g_test_add_data_func ("/reactor/polled/watch", test_watch, run_polled);
  g_test_add_data_func ("/reactor/polled/watch-rest", test_watch_rest, run_polled);
  g_test_add_data_func ("/reactor/polled/watch-clear", test_watch_clear, run_polled);
  g_test_add_data_func ("/reactor/polled/contexts", test_contexts, run_polled);
  g_test_add_func ("/reactor/polled/clear", test_polled_clear);
  g_test_add_func ("/reactor/polled/wakeup", test_polled_wakeup);
  g_test_add_func ("/reactor/polled/beside", test_polled_beside);
  return g_test_run ();
}
