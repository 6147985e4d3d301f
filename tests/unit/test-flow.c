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

/* With a quarter of the window at TCP, and not before. */
static void
test_due (void)
{
  TcpFlow flow = make_flow ();

  g_assert_false (tcp_flow_is_due (&flow, 0));
  g_assert_true (tcp_flow_receive (&flow, WINDOW, START));
  g_assert_false (tcp_flow_is_due (&flow, WINDOW));
  g_assert_false (tcp_flow_is_due (&flow, WINDOW - WINDOW / 4 + 1));
  g_assert_true (tcp_flow_is_due (&flow, WINDOW - WINDOW / 4));

  /* Nobody sends behind a FIN. */
  flow.fin_received = TRUE;
  g_assert_false (tcp_flow_is_due (&flow, 0));

  /* Of a large one, much before a quarter. */
  flow = (TcpFlow) { .window = 1 << 24, .granted = 0 };
  g_assert_false (tcp_flow_is_due (&flow, (1 << 24) - (1 << 18) + 1));
  g_assert_true (tcp_flow_is_due (&flow, (1 << 24) - (1 << 18)));
}

/* A window of a byte or none comes to nothing else. */
static void
test_tiny (void)
{
  TcpFlow flow = { .window = 1, .granted = 1 };

  g_assert_false (tcp_flow_is_due (&flow, 0));
  g_assert_true (tcp_flow_receive (&flow, 1, START));
  g_assert_true (tcp_flow_is_due (&flow, 0));
  g_assert_cmpuint (tcp_flow_give (&flow, 0, 0, 0, ROUND_TRIP, ROUND_TRIP, START), ==, 1);

  flow = (TcpFlow) { 0 };
  g_assert_false (tcp_flow_is_due (&flow, 0));
}

static guint32
give (TcpFlow *flow,
      gsize    queued,
      gint64   elapsed)
{
  return tcp_flow_give (flow, queued, G_MAXUINT32, 0, ROUND_TRIP, ROUND_TRIP, flow->epoch + elapsed);
}

/* What was slow gets back what it used. */
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

/* The window becomes twice what came in a round trip. */
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

  /* Half the pace before, and the same as before */
  g_assert_true (tcp_flow_receive (&flow, 700, flow.epoch));
  g_assert_cmpuint (give (&flow, 0, 2 * ROUND_TRIP), ==, 800);
  g_assert_true (tcp_flow_receive (&flow, 800, flow.epoch));
  g_assert_cmpuint (give (&flow, 0, 2 * ROUND_TRIP), ==, 800);
  g_assert_cmpuint (flow.window, ==, 1600);
}

/* No more than fourfold at a time. */
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

/* Where packets are lost, credit takes longer to have its effect than a round trip. */
static void
test_losing (void)
{
  TcpFlow flow = make_flow ();

  g_assert_true (tcp_flow_receive (&flow, 600, START));
  g_assert_cmpuint (tcp_flow_give (&flow, 0, G_MAXUINT32, 0, ROUND_TRIP, 3 * ROUND_TRIP, START + ROUND_TRIP), ==,
                    600 + 2600);
  g_assert_cmpuint (flow.window, ==, 3600);
}

/* On a path that is known, it is at once what others needed. */
static void
test_head_start (void)
{
  TcpFlow flow = make_flow ();

  g_assert_true (tcp_flow_receive (&flow, 300, START));
  /* Not where TCP does not take it, */
  g_assert_cmpuint (tcp_flow_give (&flow, 1, G_MAXUINT32, 9000, ROUND_TRIP, ROUND_TRIP, START), ==, 299);
  g_assert_cmpuint (flow.window, ==, WINDOW);
  /* nor more than there is to give. */
  g_assert_cmpuint (tcp_flow_give (&flow, 0, 7000, 9000, ROUND_TRIP, ROUND_TRIP, START + ROUND_TRIP - 1), ==, 1 + 7000);
  g_assert_cmpuint (tcp_flow_give (&flow, 0, G_MAXUINT32, 9000, ROUND_TRIP, ROUND_TRIP, START + ROUND_TRIP - 1), ==, 1000);
  g_assert_cmpuint (tcp_flow_give (&flow, 0, G_MAXUINT32, 100, ROUND_TRIP, ROUND_TRIP, START + ROUND_TRIP - 1), ==, 0);
  g_assert_cmpuint (flow.window, ==, 9000);
  g_assert_cmpuint (flow.granted, ==, 9000);

  /* One that is slow does not need it. */
  flow = make_flow ();
  g_assert_true (tcp_flow_receive (&flow, 300, START));
  g_assert_cmpuint (tcp_flow_give (&flow, 0, G_MAXUINT32, 9000, ROUND_TRIP, ROUND_TRIP, START + ROUND_TRIP + 1), ==, 300);
  g_assert_cmpuint (flow.window, ==, WINDOW);
}

static void
test_growth (void)
{
  TcpFlow flow = make_flow ();

  g_assert_true (tcp_flow_receive (&flow, WINDOW, START));
  g_assert_cmpuint (tcp_flow_give (&flow, 0, 30, 0, ROUND_TRIP, ROUND_TRIP, START + ROUND_TRIP), ==, WINDOW + 30);
  g_assert_cmpuint (flow.window, ==, WINDOW + 30);
  g_assert_cmpuint (flow.granted, ==, WINDOW + 30);

  flow = (TcpFlow) { .window = TCP_FLOW_MAX_WINDOW - 5, .epoch = START };
  g_assert_cmpuint (give (&flow, 0, ROUND_TRIP), ==, TCP_FLOW_MAX_WINDOW);
  flow = (TcpFlow) { .window = TCP_FLOW_MAX_WINDOW, .epoch = START };
  g_assert_cmpuint (tcp_flow_give (&flow, 0, G_MAXUINT32, G_MAXUINT32, G_TIME_SPAN_DAY, G_TIME_SPAN_DAY, START + G_TIME_SPAN_DAY), ==,
                    TCP_FLOW_MAX_WINDOW);
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
  g_test_add_func ("/flow/faster", test_faster);
  g_test_add_func ("/flow/losing", test_losing);
  g_test_add_func ("/flow/head-start", test_head_start);
  g_test_add_func ("/flow/growth", test_growth);
  return g_test_run ();
}
