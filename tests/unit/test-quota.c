/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/quota.h"

#include <stdatomic.h>

/* Those that are refused take no place: a place that is freed is available to the next. */
static void
test_refused (void)
{
  TcpQuota quota;
  TcpQuotaShare share = { .max = 5 };

  tcp_quota_init (&quota, 2);
  for (guint i = 0; i < 2; i++)
    g_assert_cmpint (tcp_quota_enter (&quota, &share), ==, TCP_QUOTA_ENTERED);
  for (guint i = 0; i < 3; i++)
    g_assert_cmpint (tcp_quota_enter (&quota, &share), ==, TCP_QUOTA_FULL);
  tcp_quota_leave (&quota, &share);
  g_assert_cmpint (tcp_quota_enter (&quota, &share), ==, TCP_QUOTA_ENTERED);
  g_assert_cmpint (tcp_quota_enter (&quota, &share), ==, TCP_QUOTA_FULL);
  tcp_quota_clear (&quota);
}

static void
test_own (void)
{
  TcpQuota quota;
  TcpQuotaShare share = { .max = 1 };

  tcp_quota_init (&quota, 2);
  g_assert_cmpint (tcp_quota_enter (&quota, &share), ==, TCP_QUOTA_ENTERED);
  g_assert_cmpint (tcp_quota_enter (&quota, &share), ==, TCP_QUOTA_OWN_FULL);
  tcp_quota_leave (&quota, &share);
  g_assert_cmpint (tcp_quota_enter (&quota, &share), ==, TCP_QUOTA_ENTERED);
  tcp_quota_clear (&quota);
}

static void
test_none (void)
{
  TcpQuota quota;
  TcpQuotaShare share = { .max = 1 };

  tcp_quota_init (&quota, 0);
  g_assert_cmpint (tcp_quota_enter (&quota, &share), ==, TCP_QUOTA_FULL);
  tcp_quota_clear (&quota);
}

static guint
take_all (TcpQuota      *quota,
          TcpQuotaShare *share)
{
  guint before = share->used;

  while (tcp_quota_enter (quota, share) == TCP_QUOTA_ENTERED)
    ;
  return share->used - before;
}

/* However many places the first ones take, each of the others finds its reserved part, also after some have left. */
static void
test_set_aside (void)
{
  TcpQuota quota;
  TcpQuotaShare shares[5] = { 0 };

  tcp_quota_init (&quota, 100);
  tcp_quota_set_aside (&quota, G_N_ELEMENTS (shares), NULL, 0, 0);
  for (guint i = 0; i < G_N_ELEMENTS (shares); i++)
    shares[i].max = tcp_quota_get_share (100, G_N_ELEMENTS (shares), 0);

  g_assert_cmpuint (take_all (&quota, &shares[0]), ==, 75);
  g_assert_cmpuint (take_all (&quota, &shares[1]), ==, 10);
  for (guint i = 2; i < 5; i++)
    g_assert_cmpuint (take_all (&quota, &shares[i]), ==, 5);
  g_assert_cmpuint (quota.used, ==, 100);

  for (guint i = 0; i < 3; i++)
    tcp_quota_leave (&quota, &shares[4]);
  g_assert_cmpuint (take_all (&quota, &shares[1]), ==, 0);
  g_assert_cmpuint (take_all (&quota, &shares[4]), ==, 3);
  for (guint i = 0; i < 7; i++)
    tcp_quota_leave (&quota, &shares[1]);
  g_assert_cmpuint (take_all (&quota, &shares[4]), ==, 5);
  g_assert_cmpuint (take_all (&quota, &shares[1]), ==, 2);
  tcp_quota_clear (&quota);
}

/* A quarter is not enough for one place each, but half is; with still more principals no places are reserved. */
static void
test_set_aside_for_many (void)
{
  TcpQuota quota;
  TcpQuotaShare shares[4] = { { .max = 8 }, { .max = 8 }, { .max = 8 }, { .max = 8 } };

  tcp_quota_init (&quota, 8);
  tcp_quota_set_aside (&quota, 4, NULL, 0, 0);
  g_assert_cmpuint (take_all (&quota, &shares[0]), ==, 5);
  for (guint i = 1; i < 4; i++)
    g_assert_cmpuint (take_all (&quota, &shares[i]), ==, 1);
  g_assert_cmpuint (quota.used, ==, 8);
  tcp_quota_clear (&quota);

  shares[0].used = 0;
  tcp_quota_init (&quota, 8);
  tcp_quota_set_aside (&quota, 5, NULL, 0, 0);
  g_assert_cmpuint (take_all (&quota, &shares[0]), ==, 8);
  tcp_quota_clear (&quota);
}

/* Principals are added and removed while places are taken. */
static void
test_set_aside_again (void)
{
  TcpQuota quota;
  TcpQuotaShare shares[5] = { { .max = 75 }, { .max = 75 }, { .max = 75 }, { .max = 75 }, { .max = 75 } };
  TcpQuotaShare *both[] = { &shares[0], &shares[1] };

  tcp_quota_init (&quota, 100);
  tcp_quota_set_aside (&quota, 2, NULL, 0, 0);
  g_assert_cmpuint (take_all (&quota, &shares[0]), ==, 75);
  g_assert_cmpuint (take_all (&quota, &shares[1]), ==, 25);

  /* A part that is now reserved for others stays in use until it is returned; those who have more than their share
   * get no further place. */
  tcp_quota_set_aside (&quota, 5, both, 2, 0);
  g_assert_cmpuint (take_all (&quota, &shares[2]), ==, 0);
  for (guint i = 0; i < 10; i++)
    tcp_quota_leave (&quota, &shares[0]);
  g_assert_cmpuint (take_all (&quota, &shares[0]), ==, 0);
  g_assert_cmpuint (take_all (&quota, &shares[2]), ==, 5);
  g_assert_cmpuint (take_all (&quota, &shares[3]), ==, 5);

  /* And back. */
  for (guint i = 0; i < 5; i++)
    {
      tcp_quota_leave (&quota, &shares[2]);
      tcp_quota_leave (&quota, &shares[3]);
    }
  tcp_quota_set_aside (&quota, 1, both, 2, 0);
  g_assert_cmpuint (take_all (&quota, &shares[0]), ==, 10);
  while (shares[0].used > 0)
    tcp_quota_leave (&quota, &shares[0]);
  while (shares[1].used > 0)
    tcp_quota_leave (&quota, &shares[1]);
  g_assert_cmpuint (quota.used, ==, 0);
  g_assert_cmpuint (quota.shared_used, ==, 0);
  tcp_quota_clear (&quota);
}

static void
test_share (void)
{
  g_assert_cmpuint (tcp_quota_get_share (100, 1, 0), ==, 100);
  g_assert_cmpuint (tcp_quota_get_share (100, 2, 0), ==, 75);
  g_assert_cmpuint (tcp_quota_get_share (1, 2, 0), ==, 1);
  g_assert_cmpuint (tcp_quota_get_share (100, 1, 20), ==, 20);
  g_assert_cmpuint (tcp_quota_get_share (100, 2, 200), ==, 100);
}

static void
test_half_full (void)
{
  TcpQuota quota;
  TcpQuotaShare first = { .max = 6 }, second = { .max = 6 };

  tcp_quota_init (&quota, 8);
  for (guint i = 0; i < 3; i++)
    tcp_quota_enter (&quota, &first);
  g_assert_false (tcp_quota_is_half_full (&quota, &first));
  tcp_quota_enter (&quota, &first);
  g_assert_true (tcp_quota_is_half_full (&quota, &first));
  g_assert_false (tcp_quota_is_half_full (&quota, &second));
  tcp_quota_enter (&quota, &second);
  g_assert_true (tcp_quota_is_half_full (&quota, &second));
  tcp_quota_clear (&quota);
}

/* Each thread takes at most one place, and there is one for each, even while others are refused at the same time. */

#define THREADS 3
#define TURNS 200000

static TcpQuota full;
static TcpQuota places;
static TcpQuotaShare share = { .max = THREADS };
static atomic_uint inside;

static gpointer
come_and_go (gpointer data)
{
  TcpQuotaShare own = { .max = 1 };

  for (guint i = 0; i < TURNS; i++)
    {
      g_assert_cmpint (tcp_quota_enter (&places, &share), ==, TCP_QUOTA_ENTERED);
      g_assert_cmpuint (atomic_fetch_add (&inside, 1), <, THREADS);
      g_assert_cmpint (tcp_quota_enter (&full, &own), ==, TCP_QUOTA_FULL);
      atomic_fetch_sub (&inside, 1);
      tcp_quota_leave (&places, &share);
    }
  return NULL;
}

static void
test_threads (void)
{
  GThread *threads[THREADS];

  tcp_quota_init (&full, 0);
  tcp_quota_init (&places, THREADS);
  for (guint i = 0; i < THREADS; i++)
    threads[i] = g_thread_new ("visitor", come_and_go, NULL);
  for (guint i = 0; i < THREADS; i++)
    g_thread_join (threads[i]);
  g_assert_cmpuint (places.used, ==, 0);
  g_assert_cmpuint (full.used, ==, 0);
  g_assert_cmpuint (share.used, ==, 0);
  tcp_quota_clear (&full);
  tcp_quota_clear (&places);
}

/* A share of a guest has no reserved part, and gets one when the guest becomes a principal. */
static void
test_guests (void)
{
  TcpQuota quota;
  TcpQuotaShare named[2] = { { .max = 75 }, { .max = 75 } };
  TcpQuotaShare guest = { .max = 90, .common = TRUE };
  TcpQuotaShare *all[] = { &named[0], &named[1], &guest };

  tcp_quota_init (&quota, 100);
  tcp_quota_set_aside (&quota, 2, all, 2, 0);
  g_assert_cmpuint (take_all (&quota, &guest), ==, 76);
  g_assert_cmpuint (take_all (&quota, &named[0]), ==, 12);
  g_assert_cmpuint (take_all (&quota, &named[1]), ==, 12);

  tcp_quota_leave (&quota, &guest);
  g_assert_cmpuint (take_all (&quota, &named[0]), ==, 1);
  tcp_quota_set_aside (&quota, 2, all, 3, 1);
  g_assert_true (guest.common);
  g_assert_cmpuint (take_all (&quota, &guest), ==, 0);
  tcp_quota_set_aside (&quota, 3, all, 3, 0);
  g_assert_false (guest.common);
  while (guest.used > 0)
    tcp_quota_leave (&quota, &guest);
  g_assert_cmpuint (take_all (&quota, &guest), ==, 75);
  tcp_quota_clear (&quota);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/quota/refused", test_refused);
  g_test_add_func ("/quota/own", test_own);
  g_test_add_func ("/quota/none", test_none);
  g_test_add_func ("/quota/set-aside", test_set_aside);
  g_test_add_func ("/quota/set-aside-for-many", test_set_aside_for_many);
  g_test_add_func ("/quota/set-aside-again", test_set_aside_again);
  g_test_add_func ("/quota/share", test_share);
  g_test_add_func ("/quota/half-full", test_half_full);
  g_test_add_func ("/quota/threads", test_threads);
  g_test_add_func ("/quota/guests", test_guests);

  return g_test_run ();
}
