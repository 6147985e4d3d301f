/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "protocol/closed-ids.h"

#define SECOND G_TIME_SPAN_SECOND

static void
test_span (void)
{
  g_autoptr (TcpClosedIds) ids = tcp_closed_ids_new ();
  gint64 now = 1000 * SECOND;

  g_assert_false (tcp_closed_ids_contains (ids, 7, now));
  tcp_closed_ids_add (ids, 7, now);
  tcp_closed_ids_add (ids, 8, now + 10 * SECOND);

  g_assert_true (tcp_closed_ids_contains (ids, 7, now));
  g_assert_true (tcp_closed_ids_contains (ids, 7, now + 30 * SECOND - 1));
  g_assert_false (tcp_closed_ids_contains (ids, 7, now + 30 * SECOND));
  g_assert_true (tcp_closed_ids_contains (ids, 8, now + 40 * SECOND - 1));
  g_assert_false (tcp_closed_ids_contains (ids, 8, now + 40 * SECOND));

  /* An id that is closed once more is kept for the whole time again. */
  tcp_closed_ids_add (ids, 7, now + 50 * SECOND);
  g_assert_true (tcp_closed_ids_contains (ids, 7, now + 80 * SECOND - 1));
}

/* The ids are removed even if nobody looks them up. */
static void
test_timeout (void)
{
  g_autoptr (TcpClosedIds) ids = tcp_closed_ids_new ();
  gsize one;

  g_assert_cmpint (tcp_closed_ids_next_timeout (ids), ==, -1);
  g_assert_cmpuint (tcp_closed_ids_get_size (ids), ==, 0);
  tcp_closed_ids_add (ids, 7, 10 * SECOND);
  one = tcp_closed_ids_get_size (ids);
  g_assert_cmpuint (one, >=, sizeof (guint32) + sizeof (gint64));
  tcp_closed_ids_add (ids, 7, 20 * SECOND);
  g_assert_cmpuint (tcp_closed_ids_get_size (ids), ==, one);
  tcp_closed_ids_add (ids, 8, 20 * SECOND);
  g_assert_cmpuint (tcp_closed_ids_get_size (ids), ==, 2 * one);
  g_assert_cmpint (tcp_closed_ids_next_timeout (ids), ==, 50 * SECOND);
  tcp_closed_ids_prune (ids, 40 * SECOND);
  g_assert_cmpuint (tcp_closed_ids_get_size (ids), ==, one);
  tcp_closed_ids_prune (ids, 50 * SECOND - 1);
  g_assert_cmpuint (tcp_closed_ids_get_size (ids), ==, one);
  g_assert_cmpint (tcp_closed_ids_next_timeout (ids), ==, 50 * SECOND);
  tcp_closed_ids_prune (ids, 50 * SECOND);
  g_assert_cmpint (tcp_closed_ids_next_timeout (ids), ==, -1);
  g_assert_cmpuint (tcp_closed_ids_get_size (ids), ==, 0);
}

static void
test_twice (void)
{
  g_autoptr (TcpClosedIds) ids = tcp_closed_ids_new ();

  tcp_closed_ids_add (ids, 1, 0);
  tcp_closed_ids_add (ids, 1, 20 * SECOND);
  g_assert_false (tcp_closed_ids_contains (ids, 1, 30 * SECOND));
}

static void
test_extreme_ids (void)
{
  g_autoptr (TcpClosedIds) ids = tcp_closed_ids_new ();

  tcp_closed_ids_add (ids, 0, 0);
  tcp_closed_ids_add (ids, G_MAXUINT32, 0);
  g_assert_true (tcp_closed_ids_contains (ids, 0, 1));
  g_assert_true (tcp_closed_ids_contains (ids, G_MAXUINT32, 1));
  g_assert_false (tcp_closed_ids_contains (ids, 1, 1));
}

static void
test_cap (void)
{
  g_autoptr (TcpClosedIds) ids = tcp_closed_ids_new ();
  gsize one;

  tcp_closed_ids_add (ids, 0, 0);
  one = tcp_closed_ids_get_size (ids);
  for (guint32 id = 1; id <= TCP_CLOSED_IDS_CAP + 1000; id++)
    {
      tcp_closed_ids_add (ids, id, id);
      g_assert_cmpuint (tcp_closed_ids_get_size (ids), ==, MIN (id + 1, TCP_CLOSED_IDS_CAP) * one);
    }

  /* The oldest were removed. */
  g_assert_false (tcp_closed_ids_contains (ids, 1, TCP_CLOSED_IDS_CAP));
  g_assert_false (tcp_closed_ids_contains (ids, 1000, TCP_CLOSED_IDS_CAP));
  g_assert_true (tcp_closed_ids_contains (ids, 1001, TCP_CLOSED_IDS_CAP));
  g_assert_true (tcp_closed_ids_contains (ids, TCP_CLOSED_IDS_CAP + 1000, TCP_CLOSED_IDS_CAP));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/closed-ids/span", test_span);
  g_test_add_func ("/closed-ids/timeout", test_timeout);
  g_test_add_func ("/closed-ids/twice", test_twice);
  g_test_add_func ("/closed-ids/extreme-ids", test_extreme_ids);
  g_test_add_func ("/closed-ids/cap", test_cap);
  return g_test_run ();
}
