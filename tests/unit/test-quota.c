/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/quota.h"

/* Those that are refused take no place: one that is freed is there for the next. */
static void
test_refused (void)
{
  TcpQuota quota = { .max = 2 };

  g_assert_true (tcp_quota_enter (&quota));
  g_assert_true (tcp_quota_enter (&quota));
  for (guint i = 0; i < 3; i++)
    g_assert_false (tcp_quota_enter (&quota));
  tcp_quota_leave (&quota);
  g_assert_true (tcp_quota_enter (&quota));
  g_assert_false (tcp_quota_enter (&quota));
}

static void
test_none (void)
{
  TcpQuota quota = { 0 };

  g_assert_false (tcp_quota_enter (&quota));
}

/* Each thread has at most one, and there is one for each, though others are refused beside them. */

#define THREADS 3
#define TURNS 200000

static TcpQuota full;
static TcpQuota places = { .max = THREADS };
static atomic_uint inside;

static gpointer
come_and_go (gpointer data)
{
  for (guint i = 0; i < TURNS; i++)
    {
      g_assert_true (tcp_quota_enter (&places));
      g_assert_cmpuint (atomic_fetch_add (&inside, 1), <, THREADS);
      g_assert_false (tcp_quota_enter (&full));
      atomic_fetch_sub (&inside, 1);
      tcp_quota_leave (&places);
    }
  return NULL;
}

static void
test_threads (void)
{
  GThread *threads[THREADS];

  for (guint i = 0; i < THREADS; i++)
    threads[i] = g_thread_new ("visitor", come_and_go, NULL);
  for (guint i = 0; i < THREADS; i++)
    g_thread_join (threads[i]);
  g_assert_cmpuint (places.used, ==, 0);
  g_assert_cmpuint (full.used, ==, 0);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/quota/refused", test_refused);
  g_test_add_func ("/quota/none", test_none);
  g_test_add_func ("/quota/threads", test_threads);
  return g_test_run ();
}
