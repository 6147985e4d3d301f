/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <tcptunnel/tcptunnel.h>

#define MAJOR TCP_TUNNEL_MAJOR_VERSION
#define MINOR TCP_TUNNEL_MINOR_VERSION
#define MICRO TCP_TUNNEL_MICRO_VERSION

#if !TCP_TUNNEL_CHECK_VERSION(1, 0, 0)
#error "the preprocessor can compute it"
#endif

static void
test_check (void)
{
  g_assert_true (TCP_TUNNEL_CHECK_VERSION (MAJOR, MINOR, MICRO));
  g_assert_true (TCP_TUNNEL_CHECK_VERSION (MAJOR, MINOR, MICRO - 1));
  g_assert_true (TCP_TUNNEL_CHECK_VERSION (MAJOR, MINOR - 1, MICRO + 1));
  g_assert_true (TCP_TUNNEL_CHECK_VERSION (MAJOR - 1, MINOR + 1, MICRO + 1));
  g_assert_false (TCP_TUNNEL_CHECK_VERSION (MAJOR, MINOR, MICRO + 1));
  g_assert_false (TCP_TUNNEL_CHECK_VERSION (MAJOR, MINOR + 1, MICRO - 1));
  g_assert_false (TCP_TUNNEL_CHECK_VERSION (MAJOR + 1, MINOR - 1, MICRO - 1));
}

int
main (int argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/version/check", test_check);
  return g_test_run ();
}
