/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/backoff.h"

static guint
next (TcpBackoff *backoff,
      double      random)
{
  g_assert_false (tcp_backoff_is_exhausted (backoff));
  return tcp_backoff_next (backoff, random);
}

static void
test_sequence (void)
{
  TcpBackoff backoff;

  tcp_backoff_init (&backoff, 1000, 30000, 8);
  g_assert_cmpuint (next (&backoff, 0), ==, 1000);
  g_assert_cmpuint (next (&backoff, 0), ==, 2000);
  g_assert_cmpuint (next (&backoff, 0), ==, 4000);
  g_assert_cmpuint (next (&backoff, 0), ==, 8000);
  g_assert_cmpuint (next (&backoff, 0), ==, 16000);
  g_assert_cmpuint (next (&backoff, 0), ==, 30000);
  g_assert_cmpuint (next (&backoff, 0), ==, 30000);
  g_assert_cmpuint (next (&backoff, 0), ==, 30000);

  g_assert_true (tcp_backoff_is_exhausted (&backoff));
}

/* The count of attempts may begin again while the delay continues to grow. */
static void
test_restart (void)
{
  TcpBackoff backoff;

  tcp_backoff_init (&backoff, 1000, 30000, 2);
  next (&backoff, 0);
  next (&backoff, 0);
  g_assert_true (tcp_backoff_is_exhausted (&backoff));
  tcp_backoff_restart_count (&backoff);
  g_assert_cmpuint (next (&backoff, 0), ==, 4000);
  tcp_backoff_restart_delay (&backoff);
  g_assert_cmpuint (next (&backoff, 0), ==, 1000);
  g_assert_true (tcp_backoff_is_exhausted (&backoff));
}

/* The first attempt to resume a session is made at once; the delays of the others grow as usual, but have a smaller
 * maximum. */
static void
test_resume (void)
{
  TcpBackoff backoff;

  tcp_backoff_init (&backoff, 1000, 30000, 6);
  g_assert_cmpuint (tcp_backoff_next_resume (&backoff, 0.99), ==, 49);
  g_assert_cmpuint (tcp_backoff_next_resume (&backoff, 0), ==, 1000);
  g_assert_cmpuint (tcp_backoff_next_resume (&backoff, 0), ==, 2000);
  g_assert_cmpuint (tcp_backoff_next_resume (&backoff, 0), ==, 4000);
  g_assert_cmpuint (tcp_backoff_next_resume (&backoff, 0), ==, 5000);
  g_assert_cmpuint (tcp_backoff_next_resume (&backoff, 0.999), <, 2510);
  g_assert_true (tcp_backoff_is_exhausted (&backoff));
  /* More attempts than the configured number may be made to resume a session. */
  g_assert_cmpuint (tcp_backoff_next_resume (&backoff, 0), ==, 5000);

  /* The session is over, and the delays are those that they would have been without it. */
  tcp_backoff_restart_count (&backoff);
  g_assert_cmpuint (next (&backoff, 0), ==, 30000);

  tcp_backoff_restart_delay (&backoff);
  g_assert_cmpuint (tcp_backoff_next_resume (&backoff, 0), ==, 0);

  tcp_backoff_init (&backoff, 10, 100, 6);
  tcp_backoff_next_resume (&backoff, 0);
  g_assert_cmpuint (tcp_backoff_next_resume (&backoff, 0), ==, 10);
}

/* Two thousand sessions lose their gateway at the same moment. Of their n-th attempts, no more than a bounded number
 * falls into one tenth of a second. */
static void
test_many_sessions (void)
{
  enum { SESSIONS = 2000, ATTEMPTS = 20, SLICE = 100 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (8);
  g_autofree TcpBackoff *backoffs = g_new (TcpBackoff, SESSIONS);
  g_autofree guint *times = g_new0 (guint, SESSIONS);

  for (guint i = 0; i < SESSIONS; i++)
    tcp_backoff_init (&backoffs[i], 1000, 30000, -1);

  for (guint n = 0; n < ATTEMPTS; n++)
    {
      guint busiest = 0;
      guint slices[ATTEMPTS * TCP_BACKOFF_RESUME_MAX / SLICE] = { 0 };

      for (guint i = 0; i < SESSIONS; i++)
        {
          guint delay = tcp_backoff_next_resume (&backoffs[i], g_rand_double (rand));

          g_assert_cmpuint (delay, <=, n == 0 ? TCP_BACKOFF_RESUME_FIRST : TCP_BACKOFF_RESUME_MAX);
          times[i] += delay;
          slices[times[i] / SLICE]++;
          busiest = MAX (busiest, slices[times[i] / SLICE]);
        }
      g_assert_cmpuint (busiest, <, n == 0 ? SESSIONS + 1 : n == 1 ? SESSIONS / 4 : n < 4 ? SESSIONS / 8 : SESSIONS / 20);
    }
}

static void
test_jitter (void)
{
  static const double randoms[] = { 0, 0.25, 0.5, 0.75, 0.999999 };

  for (guint i = 0; i < G_N_ELEMENTS (randoms); i++)
    {
      TcpBackoff backoff;
      guint full = 1000;

      tcp_backoff_init (&backoff, full, 16000, 6);
      for (guint n = 0; n < 6; n++, full = MIN (full * 2, 16000))
        {
          guint delay = next (&backoff, randoms[i]);

          /* At most a fifth of the delay is taken off, and nothing is ever added. */
          g_assert_cmpuint (delay, <=, full);
          g_assert_cmpuint (delay, >=, full * 4 / 5);
          g_assert_cmpfloat_with_epsilon (delay, full * (1 - 0.2 * randoms[i]), 1);
        }
    }
}

static void
test_no_attempts (void)
{
  TcpBackoff backoff;

  tcp_backoff_init (&backoff, 1000, 30000, 0);
  g_assert_true (tcp_backoff_is_exhausted (&backoff));
}

static void
test_unlimited (void)
{
  TcpBackoff backoff;

  tcp_backoff_init (&backoff, 1000, 30000, -1);
  for (guint n = 0; n < 100000; n++)
    g_assert_cmpuint (next (&backoff, 0), ==, n < 5 ? 1000u << n : 30000);
  g_assert_cmpuint (backoff.attempt, ==, 100000);
  backoff.attempt = G_MAXUINT;
  g_assert_cmpuint (next (&backoff, 0), ==, 30000);
  g_assert_cmpuint (backoff.attempt, ==, G_MAXUINT);
}

/* A delay of 0 must not cause a busy loop of endless attempts. */
static void
test_floor (void)
{
  TcpBackoff backoff;

  tcp_backoff_init (&backoff, 0, 30000, -1);
  for (guint n = 0; n < 100; n++)
    g_assert_cmpuint (next (&backoff, 0.5), ==, n < TCP_BACKOFF_FLOOR_AFTER ? 0 : TCP_BACKOFF_FLOOR);
  tcp_backoff_restart_delay (&backoff);
  g_assert_cmpuint (next (&backoff, 0.5), ==, 0);

  tcp_backoff_init (&backoff, 1000, 0, -1);
  for (guint n = 0; n < 100; n++)
    {
      guint delay = tcp_backoff_next_resume (&backoff, 0.5);

      g_assert_cmpuint (delay, >=, n < TCP_BACKOFF_FLOOR_AFTER ? 0 : TCP_BACKOFF_FLOOR);
    }
}

static void
test_extremes (void)
{
  TcpBackoff backoff;

  /* The number of attempts is far beyond the width of any shift. */
  tcp_backoff_init (&backoff, 1, G_MAXUINT, 100);
  for (guint n = 0; n < 100; n++)
    g_assert_cmpuint (next (&backoff, 0), ==, n < 31 ? 1u << n : 1u << 31);

  tcp_backoff_init (&backoff, G_MAXUINT, G_MAXUINT, 40);
  for (guint n = 0; n < 40; n++)
    g_assert_cmpuint (next (&backoff, 0), ==, G_MAXUINT);

  /* The maximum also holds for the first delay. */
  tcp_backoff_init (&backoff, 5000, 100, 3);
  g_assert_cmpuint (next (&backoff, 0), ==, 100);
  g_assert_cmpuint (next (&backoff, 0), ==, 100);

  tcp_backoff_init (&backoff, 0, 0, 3);
  g_assert_cmpuint (next (&backoff, 0.5), ==, 0);

  tcp_backoff_init (&backoff, 1000, 30000, G_MAXINT);
  backoff.attempt = backoff.step = G_MAXINT - 1;
  g_assert_cmpuint (next (&backoff, 0), ==, 30000);
  g_assert_cmpuint (backoff.attempt, ==, G_MAXINT);
  g_assert_true (tcp_backoff_is_exhausted (&backoff));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/backoff/sequence", test_sequence);
  g_test_add_func ("/backoff/restart", test_restart);
  g_test_add_func ("/backoff/resume", test_resume);
  g_test_add_func ("/backoff/many-sessions", test_many_sessions);
  g_test_add_func ("/backoff/jitter", test_jitter);
  g_test_add_func ("/backoff/no-attempts", test_no_attempts);
  g_test_add_func ("/backoff/unlimited", test_unlimited);
  g_test_add_func ("/backoff/floor", test_floor);
  g_test_add_func ("/backoff/extremes", test_extremes);
  return g_test_run ();
}
