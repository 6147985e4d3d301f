/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session/flow.h"

#define WINDOW 1000
#define ROUND_TRIP 100
#define START 50000

static TcpFlow
make_flow (void)
{
  return (TcpFlow) { .window = WINDOW, .granted = WINDOW };
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
  /* The clock starts with the first of it. */
  g_assert_cmpint (flow.epoch, ==, START);
}

/* With half of the window at TCP, and not before. */
static void
test_due (void)
{
  TcpFlow flow = make_flow ();

  g_assert_false (tcp_flow_is_due (&flow, 0));
  g_assert_true (tcp_flow_receive (&flow, WINDOW, START));
  g_assert_false (tcp_flow_is_due (&flow, WINDOW));
  g_assert_false (tcp_flow_is_due (&flow, WINDOW / 2 + 1));
  g_assert_true (tcp_flow_is_due (&flow, WINDOW / 2));

  /* Nobody sends behind a FIN. */
  flow.fin_received = TRUE;
  g_assert_false (tcp_flow_is_due (&flow, 0));
}

/* A window of a byte or none comes to nothing else. */
static void
test_tiny (void)
{
  TcpFlow flow = { .window = 1, .granted = 1 };

  g_assert_false (tcp_flow_is_due (&flow, 0));
  g_assert_true (tcp_flow_receive (&flow, 1, START));
  g_assert_true (tcp_flow_is_due (&flow, 0));
  g_assert_cmpuint (tcp_flow_give (&flow, 0, 0, ROUND_TRIP, START), ==, 1);

  flow = (TcpFlow) { 0 };
  g_assert_false (tcp_flow_is_due (&flow, 0));
}

/* What was slow gets back what it used. */
static void
test_slow (void)
{
  TcpFlow flow = make_flow ();

  g_assert_true (tcp_flow_receive (&flow, 600, START));
  g_assert_cmpuint (tcp_flow_give (&flow, 100, G_MAXUINT32, ROUND_TRIP, START + 2 * ROUND_TRIP), ==, 500);
  g_assert_cmpuint (flow.window, ==, WINDOW);
  g_assert_cmpuint (flow.granted, ==, 900);
  g_assert_cmpint (flow.epoch, ==, START + 2 * ROUND_TRIP);

  g_assert_cmpuint (tcp_flow_give (&flow, 0, G_MAXUINT32, ROUND_TRIP, START + G_TIME_SPAN_DAY), ==, 100);
  g_assert_cmpuint (flow.window, ==, WINDOW);
}

/* What is used up within two round trips makes it grow, to what they would take. */
static void
test_fast (void)
{
  TcpFlow flow = make_flow ();

  /* At this pace it is four windows, and it can only double. */
  g_assert_true (tcp_flow_receive (&flow, 500, START));
  g_assert_cmpuint (tcp_flow_give (&flow, 0, G_MAXUINT32, ROUND_TRIP, START + ROUND_TRIP / 4), ==, 500 + WINDOW);
  g_assert_cmpuint (flow.window, ==, 2 * WINDOW);
  g_assert_cmpuint (flow.granted, ==, 2 * WINDOW);

  /* At this one and a quarter, */
  g_assert_true (tcp_flow_receive (&flow, WINDOW, flow.epoch));
  g_assert_cmpuint (tcp_flow_give (&flow, 0, G_MAXUINT32, ROUND_TRIP, flow.epoch + 80), ==, WINDOW + WINDOW / 2);
  g_assert_cmpuint (flow.window, ==, 2 * WINDOW + WINDOW / 2);

  /* and at this just one. */
  g_assert_true (tcp_flow_receive (&flow, WINDOW, flow.epoch));
  g_assert_cmpuint (tcp_flow_give (&flow, 0, G_MAXUINT32, ROUND_TRIP, flow.epoch + 80), ==, WINDOW);
}

static void
test_growth (void)
{
  TcpFlow flow = make_flow ();

  g_assert_true (tcp_flow_receive (&flow, WINDOW, START));
  g_assert_cmpuint (tcp_flow_give (&flow, 0, 30, ROUND_TRIP, START), ==, WINDOW + 30);
  g_assert_cmpuint (flow.window, ==, WINDOW + 30);
  g_assert_cmpuint (flow.granted, ==, WINDOW + 30);

  flow = (TcpFlow) { .window = TCP_FLOW_MAX_WINDOW - 5, .epoch = START };
  g_assert_cmpuint (tcp_flow_give (&flow, 0, G_MAXUINT32, ROUND_TRIP, START), ==, TCP_FLOW_MAX_WINDOW);
  flow = (TcpFlow) { .window = TCP_FLOW_MAX_WINDOW, .epoch = START };
  g_assert_cmpuint (tcp_flow_give (&flow, 0, G_MAXUINT32, G_TIME_SPAN_DAY, START), ==, TCP_FLOW_MAX_WINDOW);
  g_assert_cmpuint (flow.window, ==, TCP_FLOW_MAX_WINDOW);
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
  g_test_add_func ("/flow/growth", test_growth);
  return g_test_run ();
}
