/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/bucket.h"

#define SECOND G_TIME_SPAN_SECOND
#define START (1000 * SECOND)

/* Takes all that is available, once every @every microseconds. */
static guint64
drain (TcpBucket *bucket,
       gint64     from,
       gint64     until,
       gint64     every)
{
  guint64 taken = 0;

  for (gint64 now = from; now <= until; now += every)
    {
      guint64 n = tcp_bucket_fill (bucket, now);

      tcp_bucket_take (bucket, n);
      taken += n;
    }
  return taken;
}

/* A bucket is full at first, and never holds more than that. */
static void
test_burst (void)
{
  TcpBucket bucket = { 0 };

  tcp_bucket_set_rate (&bucket, 1000, START);
  g_assert_cmpuint (tcp_bucket_fill (&bucket, START), ==, 1000);
  g_assert_cmpuint (tcp_bucket_fill (&bucket, START + SECOND), ==, 1000);
  tcp_bucket_take (&bucket, 1000);
  g_assert_cmpuint (tcp_bucket_fill (&bucket, START + SECOND), ==, 0);
  g_assert_cmpuint (tcp_bucket_fill (&bucket, START + 1500 * 1000), ==, 500);
  g_assert_cmpuint (tcp_bucket_fill (&bucket, START + 3600 * SECOND), ==, 1000);
}

/* Nothing is lost to rounding, however often the bucket is filled. */
static void
test_exact (void)
{
  const guint64 rates[] = { 1, 3, 999, 1000 * 1000, 123456789, TCP_BUCKET_MAX_RATE };
  const gint64 steps[] = { 1, 7, 1000, 333333 };

  for (guint i = 0; i < G_N_ELEMENTS (rates); i++)
    for (guint j = 0; j < G_N_ELEMENTS (steps); j++)
      {
        TcpBucket bucket = { 0 };
        guint64 taken;

        tcp_bucket_set_rate (&bucket, rates[i], START);
        taken = drain (&bucket, START, START + steps[j] * (SECOND / steps[j]), steps[j]);
        taken += drain (&bucket, START + SECOND, START + SECOND, 1);
        g_assert_cmpuint (taken, ==, 2 * rates[i]);
      }
}

static void
test_due (void)
{
  TcpBucket bucket = { 0 };

  tcp_bucket_set_rate (&bucket, 3, START);
  g_assert_cmpint (tcp_bucket_get_due (&bucket, 3), ==, START);
  tcp_bucket_take (&bucket, 3);
  /* A third of a second is not a whole number of microseconds. */
  g_assert_cmpint (tcp_bucket_get_due (&bucket, 1), ==, START + 333334);
  g_assert_cmpuint (tcp_bucket_fill (&bucket, START + 333333), ==, 0);
  g_assert_cmpuint (tcp_bucket_fill (&bucket, START + 333334), ==, 1);
  /* The bucket never holds more than 3. */
  g_assert_cmpint (tcp_bucket_get_due (&bucket, 100), ==, START + SECOND);
  g_assert_cmpuint (tcp_bucket_fill (&bucket, START + SECOND), ==, 3);
}

static void
test_give_back (void)
{
  TcpBucket bucket = { 0 };

  tcp_bucket_set_rate (&bucket, 10, START);
  tcp_bucket_take (&bucket, 10);
  tcp_bucket_give_back (&bucket, 4);
  g_assert_cmpuint (tcp_bucket_fill (&bucket, START), ==, 4);
  tcp_bucket_give_back (&bucket, G_MAXUINT64);
  g_assert_cmpuint (tcp_bucket_fill (&bucket, START), ==, 10);
}

/* When the rate changes, the bucket keeps its content as far as it fits. */
static void
test_change (void)
{
  TcpBucket bucket = { 0 };

  g_assert_cmpuint (tcp_bucket_fill (&bucket, START), ==, G_MAXUINT64);
  tcp_bucket_take (&bucket, 1000);
  tcp_bucket_give_back (&bucket, 1000);
  g_assert_cmpint (tcp_bucket_get_due (&bucket, 1000), <=, START);

  tcp_bucket_set_rate (&bucket, 100, START);
  tcp_bucket_take (&bucket, 50);
  tcp_bucket_set_rate (&bucket, 1000, START);
  g_assert_cmpuint (tcp_bucket_fill (&bucket, START), ==, 50);
  tcp_bucket_set_rate (&bucket, 10, START + 100 * 1000);
  g_assert_cmpuint (tcp_bucket_fill (&bucket, START + 100 * 1000), ==, 10);
  tcp_bucket_set_rate (&bucket, 0, START);
  g_assert_cmpuint (tcp_bucket_fill (&bucket, START), ==, G_MAXUINT64);
  tcp_bucket_set_rate (&bucket, G_MAXUINT64, START + SECOND);
  g_assert_cmpuint (tcp_bucket_fill (&bucket, START + SECOND), ==, TCP_BUCKET_MAX_RATE);
}

/* A clock that goes back neither adds to the bucket nor takes from it. */
static void
test_clock (void)
{
  TcpBucket bucket = { 0 };

  tcp_bucket_set_rate (&bucket, 10, START);
  tcp_bucket_take (&bucket, 10);
  g_assert_cmpuint (tcp_bucket_fill (&bucket, START - SECOND), ==, 0);
  g_assert_cmpuint (tcp_bucket_fill (&bucket, START), ==, 0);
  g_assert_cmpuint (tcp_bucket_fill (&bucket, START + SECOND / 2), ==, 5);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/bucket/burst", test_burst);
  g_test_add_func ("/bucket/exact", test_exact);
  g_test_add_func ("/bucket/due", test_due);
  g_test_add_func ("/bucket/give-back", test_give_back);
  g_test_add_func ("/bucket/change", test_change);
  g_test_add_func ("/bucket/clock", test_clock);
  return g_test_run ();
}
