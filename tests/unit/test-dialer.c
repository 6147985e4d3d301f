/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/dialer.h"

#define MAX_WAIT (10 * 60 * 1000)

static void
test_final (void)
{
  for (guint status = 0; status < 600; status++)
    {
      gboolean later = status == 408 || status == 425 || status == 429;

      g_assert_cmpint (tcp_dial_status_is_final (status), ==, status >= 400 && status < 500 && !later);
    }
}

static gint64
parse (const char *text)
{
  g_autoptr (GDateTime) now = g_date_time_new_utc (2030, 6, 1, 12, 0, 0);

  return tcp_dial_parse_retry_after (text, now);
}

static void
test_retry_after_seconds (void)
{
  g_assert_cmpint (parse ("0"), ==, 0);
  g_assert_cmpint (parse ("1"), ==, 1000);
  g_assert_cmpint (parse ("120"), ==, 120000);
  g_assert_cmpint (parse ("600"), ==, MAX_WAIT);
  g_assert_cmpint (parse ("601"), ==, MAX_WAIT);
  g_assert_cmpint (parse ("4294967295"), ==, MAX_WAIT);
}

static void
test_retry_after_date (void)
{
  g_assert_cmpint (parse ("Sat, 01 Jun 2030 12:00:30 GMT"), ==, 30000);
  g_assert_cmpint (parse ("Sat, 01 Jun 2030 12:00:00 GMT"), ==, 0);
  /* It is over. */
  g_assert_cmpint (parse ("Sat, 01 Jun 2030 11:00:00 GMT"), ==, 0);
  g_assert_cmpint (parse ("Sun, 06 Nov 1994 08:49:37 GMT"), ==, 0);
  g_assert_cmpint (parse ("Tue, 01 Jan 2999 00:00:00 GMT"), ==, MAX_WAIT);
}

static void
test_retry_after_garbage (void)
{
  static const char *const garbage[] = {
    "", " ", "soon", "-1", "+1", "1.5", "1 ", "1s", "0x10", "4294967296", "99999999999999999999999", "Sat, 99 Foo 2030",
  };

  g_assert_cmpint (parse (NULL), ==, -1);
  for (guint i = 0; i < G_N_ELEMENTS (garbage); i++)
    g_assert_cmpint (parse (garbage[i]), ==, -1);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/dialer/final", test_final);
  g_test_add_func ("/dialer/retry-after/seconds", test_retry_after_seconds);
  g_test_add_func ("/dialer/retry-after/date", test_retry_after_date);
  g_test_add_func ("/dialer/retry-after/garbage", test_retry_after_garbage);
  return g_test_run ();
}
