/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How the credit of a session is shared by its streams. */

#include "protocol/windows.h"

#define KIB 1024
#define MIB (1024 * KIB)
#define LIMIT (128 * MIB)

static guint32
get_first (gsize max,
           gsize max_first,
           guint max_streams)
{
  TcpWindows windows = { 0 };

  tcp_windows_init (&windows, max, max_first, max_streams);
  return windows.first;
}

/* However many streams are allowed, it is for as many as are usual. */
static void
test_first (void)
{
  g_assert_cmpuint (get_first (LIMIT, G_MAXSIZE, 1), ==, 256 * KIB);
  g_assert_cmpuint (get_first (LIMIT, G_MAXSIZE, 512), ==, 128 * KIB);
  g_assert_cmpuint (get_first (LIMIT, G_MAXSIZE, 1000), ==, LIMIT / 2 / 1000);
  g_assert_cmpuint (get_first (LIMIT, G_MAXSIZE, 20000), ==, LIMIT / 2 / 1000);
  g_assert_cmpuint (get_first (LIMIT, 20 * KIB, 20000), ==, 20 * KIB);
  g_assert_cmpuint (get_first (MIB, G_MAXSIZE, 20000), ==, 16 * KIB);
}

static guint32
grow (TcpWindows *windows,
      TcpFlow *flow)
{
  guint32 before = flow->window;

  /* All of it has come, and reached TCP, in a moment: it is worth more. */
  flow->granted = 0;
  flow->epoch = 1;
  tcp_windows_give (windows, flow, 0, G_MAXSIZE, 1000, 1000 * 1000, 1001);
  return flow->window - before;
}

/* The more streams there are, the less is left to grow; and what has grown is counted until they go. */
static void
test_growth (void)
{
  TcpWindows windows = { 0 };
  TcpFlow flows[3000] = { 0 };
  guint32 grown;

  tcp_windows_init (&windows, LIMIT, G_MAXSIZE, 20000);
  tcp_windows_add (&windows, &flows[0]);
  g_assert_cmpuint (flows[0].window, ==, windows.first);
  g_assert_cmpuint (flows[0].granted, ==, windows.first);
  grown = grow (&windows, &flows[0]);
  g_assert_cmpuint (grown, >, 0);
  g_assert_cmpuint (windows.grown, ==, grown);
  g_assert_cmpuint (windows.given, ==, windows.first + grown);

  for (guint i = 1; i < G_N_ELEMENTS (flows); i++)
    tcp_windows_add (&windows, &flows[i]);
  g_assert_cmpuint (windows.given, >, LIMIT);
  g_assert_cmpuint (grow (&windows, &flows[1]), ==, 0);

  for (guint i = 0; i < G_N_ELEMENTS (flows); i++)
    tcp_windows_remove (&windows, &flows[i]);
  g_assert_cmpuint (windows.given + windows.grown + windows.streams, ==, 0);
}

/* With more given than there is, all get less as they use it, until it is enough. */
static void
test_shrink (void)
{
  TcpWindows windows = { 0 };
  TcpFlow flows[6000] = { 0 };

  tcp_windows_init (&windows, LIMIT, G_MAXSIZE, 20000);
  for (guint i = 0; i < G_N_ELEMENTS (flows); i++)
    tcp_windows_add (&windows, &flows[i]);
  g_assert_cmpuint (windows.given, >, LIMIT);

  /* Of one that was not used nothing can be kept back, and of another only what was. */
  tcp_windows_shrink (&windows, &flows[0], 0);
  g_assert_cmpuint (flows[0].window, ==, windows.first);
  flows[0].granted -= 1000;
  tcp_windows_shrink (&windows, &flows[0], 300);
  g_assert_cmpuint (flows[0].window, ==, windows.first - 700);

  for (guint i = 0; i < G_N_ELEMENTS (flows); i++)
    {
      flows[i].granted = 0;
      tcp_windows_shrink (&windows, &flows[i], 0);
      g_assert_cmpuint (flows[i].window, >=, 4 * KIB);
    }
  g_assert_cmpuint (windows.given, <=, LIMIT);
  g_assert_cmpuint (windows.grown, ==, 0);
  g_assert_cmpuint (flows[0].window, <, windows.first / 2);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/windows/first", test_first);
  g_test_add_func ("/windows/growth", test_growth);
  g_test_add_func ("/windows/shrink", test_shrink);

  return g_test_run ();
}
