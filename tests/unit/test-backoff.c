/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/backoff.h"

static guint
next (TcpBackoff *backoff,
      double      random)
{
  guint delay = G_MAXUINT;

  g_assert_true (tcp_backoff_next (backoff, random, &delay));
  return delay;
}

static void
test_sequence (void)
{
  TcpBackoff backoff;
  guint delay = 4711;

  tcp_backoff_init (&backoff, 1000, 30000, 8);
  g_assert_cmpuint (next (&backoff, 0), ==, 1000);
  g_assert_cmpuint (next (&backoff, 0), ==, 2000);
  g_assert_cmpuint (next (&backoff, 0), ==, 4000);
  g_assert_cmpuint (next (&backoff, 0), ==, 8000);
  g_assert_cmpuint (next (&backoff, 0), ==, 16000);
  g_assert_cmpuint (next (&backoff, 0), ==, 30000);
  g_assert_cmpuint (next (&backoff, 0), ==, 30000);
  g_assert_cmpuint (next (&backoff, 0), ==, 30000);

  g_assert_false (tcp_backoff_next (&backoff, 0, &delay));
  g_assert_false (tcp_backoff_next (&backoff, 0, &delay));
  g_assert_cmpuint (delay, ==, 4711);

  tcp_backoff_reset (&backoff);
  g_assert_cmpuint (next (&backoff, 0), ==, 1000);
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

          /* A fifth at most is taken off, and never is anything added. */
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
  guint delay;

  tcp_backoff_init (&backoff, 1000, 30000, 0);
  g_assert_false (tcp_backoff_next (&backoff, 0, &delay));
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

static void
test_extremes (void)
{
  TcpBackoff backoff;

  /* Far beyond the width of any shift. */
  tcp_backoff_init (&backoff, 1, G_MAXUINT, 100);
  for (guint n = 0; n < 100; n++)
    g_assert_cmpuint (next (&backoff, 0), ==, n < 31 ? 1u << n : 1u << 31);

  tcp_backoff_init (&backoff, G_MAXUINT, G_MAXUINT, 40);
  for (guint n = 0; n < 40; n++)
    g_assert_cmpuint (next (&backoff, 0), ==, G_MAXUINT);

  /* The cap also holds for the first. */
  tcp_backoff_init (&backoff, 5000, 100, 3);
  g_assert_cmpuint (next (&backoff, 0), ==, 100);
  g_assert_cmpuint (next (&backoff, 0), ==, 100);

  tcp_backoff_init (&backoff, 0, 0, 3);
  g_assert_cmpuint (next (&backoff, 0.5), ==, 0);

  tcp_backoff_init (&backoff, 1000, 30000, G_MAXINT);
  backoff.attempt = G_MAXINT - 1;
  g_assert_cmpuint (next (&backoff, 0), ==, 30000);
  g_assert_cmpuint (backoff.attempt, ==, G_MAXINT);
  {
    guint delay;

    g_assert_false (tcp_backoff_next (&backoff, 0, &delay));
  }
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/backoff/sequence", test_sequence);
  g_test_add_func ("/backoff/jitter", test_jitter);
  g_test_add_func ("/backoff/no-attempts", test_no_attempts);
  g_test_add_func ("/backoff/unlimited", test_unlimited);
  g_test_add_func ("/backoff/extremes", test_extremes);
  return g_test_run ();
}
