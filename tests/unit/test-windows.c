/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How the streams of a session share its credit. */

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

/* The first window is made for the usual number of streams, however many are allowed. */
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
use (TcpWindows *windows,
     TcpFlow    *flow,
     gsize       queued,
     gint64      elapsed)
{
  /* All of the window has arrived, and all but @queued bytes of it have reached TCP. */
  flow->granted = 0;
  flow->epoch = 1;
  return tcp_windows_give (windows, flow, queued, G_MAXSIZE, 1000, 1000, 1 + elapsed);
}

/* Lets the window grow as far as it may. */
static guint32
grow (TcpWindows *windows,
      TcpFlow    *flow)
{
  guint32 before = flow->window;

  for (guint i = 0; i < 20; i++)
    use (windows, flow, 0, 1000);
  return flow->window - before;
}

/* Credit by which a window has grown is counted until the stream is removed. */
static void
test_growth (void)
{
  TcpWindows windows = { 0 };
  TcpFlow flows[3] = { 0 };
  guint32 grown, others;

  tcp_windows_init (&windows, LIMIT, G_MAXSIZE, 20000);
  tcp_windows_add (&windows, &flows[0]);
  g_assert_cmpuint (flows[0].window, ==, windows.first);
  g_assert_cmpuint (flows[0].granted, ==, windows.first);
  grown = grow (&windows, &flows[0]);
  g_assert_cmpuint (flows[0].window, ==, 64 * MIB);
  g_assert_cmpuint (windows.grown, ==, grown);
  g_assert_cmpuint (windows.given, ==, windows.first + grown);

  /* A stream may take half of what the others leave. */
  tcp_windows_add (&windows, &flows[1]);
  g_assert_cmpuint (grow (&windows, &flows[1]), ==, (LIMIT - 2 * windows.first - grown) / 2);
  tcp_windows_add (&windows, &flows[2]);
  others = windows.grown;
  g_assert_cmpuint (grow (&windows, &flows[2]), ==, (LIMIT - 3 * windows.first - others) / 2);
  g_assert_cmpuint (windows.given, <, LIMIT);

  for (guint i = 0; i < G_N_ELEMENTS (flows); i++)
    tcp_windows_remove (&windows, &flows[i]);
  g_assert_cmpuint (windows.given + windows.grown + windows.streams, ==, 0);
}

static void
add_many (TcpWindows *windows,
          TcpFlow    *flows,
          guint       n)
{
  for (guint i = 0; i < n; i++)
    tcp_windows_add (windows, &flows[i]);
}

/* However many streams are idle, half of the credit is for those that use theirs. */
static void
test_idle (void)
{
  TcpWindows windows = { 0 };
  TcpFlow idle[6000] = { 0 }, busy[3] = { 0 };

  tcp_windows_init (&windows, LIMIT, G_MAXSIZE, 20000);
  add_many (&windows, idle, G_N_ELEMENTS (idle));
  g_assert_cmpuint (windows.given, >, LIMIT);
  add_many (&windows, busy, G_N_ELEMENTS (busy));
  g_assert_cmpuint (grow (&windows, &busy[0]), ==, LIMIT / 4);
  g_assert_cmpuint (grow (&windows, &busy[1]), ==, LIMIT / 8);

  /* They keep it as long as they use it, */
  use (&windows, &busy[0], 0, 1000);
  g_assert_cmpuint (busy[0].window, >=, LIMIT / 8);
  /* and reach the same size. */
  for (guint i = 0; i < 20; i++)
    for (guint j = 0; j < G_N_ELEMENTS (busy); j++)
      use (&windows, &busy[j], 0, 1000);
  for (guint j = 0; j < G_N_ELEMENTS (busy); j++)
    g_assert_cmpint (ABS ((int) (busy[j].window - windows.first) - LIMIT / 2 / 4), <, 64 * KIB);
}

/* If there are more first windows than memory, those of streams that wait for TCP shrink, until there is enough. */
static void
test_shrink (void)
{
  TcpWindows windows = { 0 };
  TcpFlow flows[6000] = { 0 };

  tcp_windows_init (&windows, LIMIT, G_MAXSIZE, 20000);
  add_many (&windows, flows, 1000);
  g_assert_cmpuint (use (&windows, &flows[0], 300, G_TIME_SPAN_SECOND), ==, windows.first - 300);
  add_many (&windows, flows + 1000, G_N_ELEMENTS (flows) - 1000);
  g_assert_cmpuint (windows.given, >, LIMIT);

  g_assert_cmpuint (use (&windows, &flows[0], 0, G_TIME_SPAN_SECOND), ==, windows.first);
  g_assert_cmpuint (use (&windows, &flows[0], 300, 1), ==, windows.first - 300);
  for (guint i = 0; i < G_N_ELEMENTS (flows); i++)
    {
      use (&windows, &flows[i], 300, G_TIME_SPAN_SECOND);
      g_assert_cmpuint (flows[i].window, >=, 4 * KIB);
    }
  g_assert_cmpuint (windows.given, <=, LIMIT / 2);
  g_assert_cmpuint (windows.grown, ==, 0);

  /* A stream that needs more again gets it. */
  grow (&windows, &flows[0]);
  g_assert_cmpuint (windows.grown, >=, LIMIT / 4);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/windows/first", test_first);
  g_test_add_func ("/windows/growth", test_growth);
  g_test_add_func ("/windows/idle", test_idle);
  g_test_add_func ("/windows/shrink", test_shrink);

  return g_test_run ();
}
