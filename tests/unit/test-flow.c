/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "protocol/flow.h"

#define WINDOW 1000
#define ROUND_TRIP 100
#define START 50000

static TcpFlow
make_flow (void)
{
  return (TcpFlow) { .window = WINDOW, .granted = WINDOW };
}

static guint32
give_within (TcpFlow       *flow,
             gsize          queued,
             TcpFlowBounds  bounds,
             gint64         elapsed)
{
  return tcp_flow_give (flow, queued, &bounds, ROUND_TRIP, ROUND_TRIP, flow->epoch + elapsed);
}

static const TcpFlowBounds no_bounds = { .least = G_MAXUINT32, .most = G_MAXUINT32, .growth = G_MAXUINT32 };

static guint32
give (TcpFlow *flow,
      gsize    queued,
      gint64   elapsed)
{
  return give_within (flow, queued, no_bounds, elapsed);
}

static void
test_receive (void)
{
  TcpFlow flow = make_flow ();

  g_assert_false (tcp_flow_receive (&flow, WINDOW + 1, START));
  g_assert_cmpuint (flow.granted, ==, WINDOW);
  g_assert_true (tcp_flow_receive (&flow, 1, START));
  g_assert_true (tcp_flow_receive (&flow, WINDOW - 1, START + 7));
  g_assert_cmpuint (flow.granted, ==, 0);
  g_assert_false (tcp_flow_receive (&flow, 1, START + 7));
  /* The epoch starts with the first byte. */
  g_assert_cmpint (flow.epoch, ==, START);
}

/* Credit is due when TCP has taken a quarter of the window, and not before. */
static void
test_due (void)
{
  TcpFlow flow = make_flow ();

  g_assert_false (tcp_flow_is_due (&flow, 0));
  g_assert_true (tcp_flow_receive (&flow, WINDOW, START));
  g_assert_false (tcp_flow_is_due (&flow, WINDOW));
  g_assert_false (tcp_flow_is_due (&flow, WINDOW - WINDOW / 4 + 1));
  g_assert_true (tcp_flow_is_due (&flow, WINDOW - WINDOW / 4));

  /* No data follows a FIN. */
  flow.fin_received = TRUE;
  g_assert_false (tcp_flow_is_due (&flow, 0));

  /* With a large window, credit is due much before a quarter. */
  flow = (TcpFlow) { .window = 1 << 24, .granted = 0 };
  g_assert_false (tcp_flow_is_due (&flow, (1 << 24) - (1 << 18) + 1));
  g_assert_true (tcp_flow_is_due (&flow, (1 << 24) - (1 << 18)));
}

/* A window of one byte, or of none, causes no division by zero and no endless credit. */
static void
test_tiny (void)
{
  TcpFlow flow = { .window = 1, .granted = 1 };

  g_assert_false (tcp_flow_is_due (&flow, 0));
  g_assert_true (tcp_flow_receive (&flow, 1, START));
  g_assert_true (tcp_flow_is_due (&flow, 0));
  g_assert_cmpuint (give (&flow, 0, 0), ==, 1);

  flow = (TcpFlow) { 0 };
  g_assert_false (tcp_flow_is_due (&flow, 0));
}

/* A slow connection gets back exactly what it used. */
static void
test_slow (void)
{
  TcpFlow flow = make_flow ();

  g_assert_true (tcp_flow_receive (&flow, 600, START));
  g_assert_cmpuint (give (&flow, 100, 2 * ROUND_TRIP), ==, 500);
  g_assert_cmpuint (flow.window, ==, WINDOW);
  g_assert_cmpuint (flow.granted, ==, 900);
  g_assert_cmpint (flow.epoch, ==, START + 2 * ROUND_TRIP);

  g_assert_cmpuint (give (&flow, 0, G_TIME_SPAN_DAY), ==, 100);
  g_assert_cmpuint (flow.window, ==, WINDOW);
}

/* The window becomes twice what arrived within a round trip. */
static void
test_fast (void)
{
  TcpFlow flow = make_flow ();

  /* The round trip is not over yet, */
  g_assert_true (tcp_flow_receive (&flow, 500, START));
  g_assert_cmpuint (give (&flow, 0, ROUND_TRIP - 1), ==, 500);
  g_assert_cmpint (flow.epoch, ==, START);
  /* and now it is. */
  g_assert_true (tcp_flow_receive (&flow, 400, START));
  g_assert_cmpuint (give (&flow, 100, ROUND_TRIP), ==, 300 + 600);
  g_assert_cmpuint (flow.window, ==, 1600);
  g_assert_cmpuint (flow.granted, ==, 1500);
  g_assert_cmpint (flow.epoch, ==, START + ROUND_TRIP);

  /* Half the previous rate, and the same rate */
  g_assert_true (tcp_flow_receive (&flow, 700, flow.epoch));
  g_assert_cmpuint (give (&flow, 0, 2 * ROUND_TRIP), ==, 800);
  g_assert_true (tcp_flow_receive (&flow, 800, flow.epoch));
  g_assert_cmpuint (give (&flow, 0, 2 * ROUND_TRIP), ==, 800);
  g_assert_cmpuint (flow.window, ==, 1600);
}

/* The window becomes at most four times as large in one step. */
static void
test_faster (void)
{
  TcpFlow flow = make_flow ();

  for (guint i = 0; i < 5; i++)
    {
      g_assert_true (tcp_flow_receive (&flow, 500, i == 0 ? START : flow.epoch));
      g_assert_cmpuint (give (&flow, 0, 1), ==, 500);
    }
  g_assert_true (tcp_flow_receive (&flow, 500, flow.epoch));
  g_assert_cmpuint (give (&flow, 0, ROUND_TRIP), ==, 500 + 3000);
  g_assert_cmpuint (flow.window, ==, 4 * WINDOW);
}

/* Where packets are lost, credit takes longer than a round trip to have its effect. */
static void
test_losing (void)
{
  TcpFlow flow = make_flow ();

  g_assert_true (tcp_flow_receive (&flow, 600, START));
  g_assert_cmpuint (tcp_flow_give (&flow, 0, &no_bounds, ROUND_TRIP, 3 * ROUND_TRIP, START + ROUND_TRIP), ==, 600 + 2600);
  g_assert_cmpuint (flow.window, ==, 3600);
}

/* On a known path, the window is at once as large as other connections needed. */
static void
test_head_start (void)
{
  TcpFlowBounds bounds = no_bounds, little = no_bounds;
  TcpFlow flow = make_flow ();

  bounds.head_start = little.head_start = 9000;
  little.growth = 7000;
  g_assert_true (tcp_flow_receive (&flow, 300, START));
  /* Not where TCP does not take the data, */
  g_assert_cmpuint (give_within (&flow, 1, bounds, 0), ==, 299);
  g_assert_cmpuint (flow.window, ==, WINDOW);
  /* nor more than the growth that the bounds allow. */
  g_assert_cmpuint (give_within (&flow, 0, little, ROUND_TRIP - 1), ==, 1 + 7000);
  g_assert_cmpuint (give_within (&flow, 0, bounds, ROUND_TRIP - 1), ==, 1000);
  bounds.head_start = 100;
  g_assert_cmpuint (give_within (&flow, 0, bounds, ROUND_TRIP - 1), ==, 0);
  g_assert_cmpuint (flow.window, ==, 9000);
  g_assert_cmpuint (flow.granted, ==, 9000);

  /* A slow connection does not need it. */
  flow = make_flow ();
  bounds.head_start = 9000;
  g_assert_true (tcp_flow_receive (&flow, 300, START));
  g_assert_cmpuint (give_within (&flow, 0, bounds, ROUND_TRIP + 1), ==, 300);
  g_assert_cmpuint (flow.window, ==, WINDOW);
}

static void
test_growth (void)
{
  TcpFlowBounds bounds = no_bounds;
  TcpFlow flow = make_flow ();

  bounds.growth = 30;
  g_assert_true (tcp_flow_receive (&flow, WINDOW, START));
  g_assert_cmpuint (give_within (&flow, 0, bounds, ROUND_TRIP), ==, WINDOW + 30);
  g_assert_cmpuint (flow.window, ==, WINDOW + 30);
  g_assert_cmpuint (flow.granted, ==, WINDOW + 30);

  /* Not beyond bounds.most: credit that was granted stays granted, and what was used is not given back. */
  bounds.growth = G_MAXUINT32;
  bounds.most = WINDOW + 50;
  g_assert_true (tcp_flow_receive (&flow, WINDOW, flow.epoch));
  g_assert_cmpuint (give_within (&flow, 0, bounds, ROUND_TRIP), ==, WINDOW + 20);
  bounds.most = WINDOW / 2;
  g_assert_cmpuint (give_within (&flow, 0, bounds, ROUND_TRIP), ==, 0);
  g_assert_cmpuint (flow.window, ==, WINDOW + 50);
  g_assert_true (tcp_flow_receive (&flow, 200, flow.epoch));
  g_assert_cmpuint (give_within (&flow, 0, bounds, 1), ==, 0);
  g_assert_cmpuint (flow.window, ==, WINDOW - 150);
  g_assert_true (tcp_flow_receive (&flow, 500, flow.epoch));
  g_assert_cmpuint (give_within (&flow, 0, bounds, 1), ==, 150);
  g_assert_cmpuint (flow.window, ==, WINDOW / 2);
  g_assert_cmpuint (flow.granted, ==, WINDOW / 2);
}

/* A connection whose TCP side does not keep up is reduced to what it needs, or to bounds.least. */
static void
test_shrink (void)
{
  TcpFlowBounds bounds = no_bounds;
  TcpFlow flow = make_flow ();

  bounds.least = 200;
  /* Not one that does keep up, */
  g_assert_true (tcp_flow_receive (&flow, 300, START));
  g_assert_cmpuint (give_within (&flow, 0, bounds, 10 * ROUND_TRIP), ==, 300);
  g_assert_cmpuint (flow.window, ==, WINDOW);
  /* nor before its rate is known, */
  g_assert_true (tcp_flow_receive (&flow, 400, flow.epoch));
  g_assert_cmpuint (give_within (&flow, 100, bounds, ROUND_TRIP - 1), ==, 300);
  /* nor one that needs as much. */
  g_assert_true (tcp_flow_receive (&flow, 500, flow.epoch));
  g_assert_cmpuint (give_within (&flow, 100, bounds, ROUND_TRIP), ==, 500 + 600);
  g_assert_cmpuint (flow.window, ==, 2 * 800);
  g_assert_cmpuint (flow.granted, ==, 1500);

  g_assert_true (tcp_flow_receive (&flow, 1000, flow.epoch));
  g_assert_cmpuint (give_within (&flow, 100, bounds, 4 * ROUND_TRIP), ==, 0);
  g_assert_cmpuint (flow.window, ==, 600);
  g_assert_true (tcp_flow_receive (&flow, 500, flow.epoch));
  g_assert_cmpuint (give_within (&flow, 100, bounds, 100 * ROUND_TRIP), ==, 100);
  g_assert_cmpuint (flow.window, ==, 200);
  g_assert_cmpuint (flow.granted, ==, 100);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/flow/receive", test_receive);
  g_test_add_func ("/flow/due", test_due);
  g_test_add_func ("/flow/tiny", test_tiny);
  g_test_add_func ("/flow/slow", test_slow);
  g_test_add_func ("/flow/fast", test_fast);
  g_test_add_func ("/flow/faster", test_faster);
  g_test_add_func ("/flow/losing", test_losing);
  g_test_add_func ("/flow/head-start", test_head_start);
  g_test_add_func ("/flow/growth", test_growth);
  g_test_add_func ("/flow/shrink", test_shrink);
  return g_test_run ();
}
