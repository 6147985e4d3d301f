/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/dial-lane.h"

#include "io/reactor.h"
#include "websocket/channel.h"

/* Functions that the lane calls, replaced by --wrap. */
gboolean __wrap_tcp_channel_thread_is_shared (void);
gint64 __real_tcp_now (void);
gint64 __wrap_tcp_now (void);

static gboolean shared;
static GString *begun; /* in order */

gboolean
__wrap_tcp_channel_thread_is_shared (void)
{
  return shared;
}

/* The rests of the lane end only when the test wants it. */
gint64
__wrap_tcp_now (void)
{
  return __real_tcp_now () + (shared ? G_TIME_SPAN_HOUR : 0);
}

typedef struct
{
  char name;
  TcpDialPlace place;
} Dial;

static void
on_turn (gpointer user_data)
{
  g_string_append_c (begun, ((Dial *) user_data)->name);
}

static void
enter (TcpDialLane       *lane,
       TcpDialLaneCaller *caller,
       Dial              *dial,
       char               name)
{
  dial->name = name;
  tcp_dial_lane_enter (lane, caller, &dial->place, on_turn, dial);
}

/* Iterates once: these dials begin. */
static void
expect_turn (const char *names)
{
  g_main_context_iteration (NULL, FALSE);
  g_assert_cmpstr (begun->str, ==, names);
  g_string_truncate (begun, 0);
}

/* A few dials begin in each turn, and callers alternate. */
static void
test_in_turn (void)
{
  TcpDialLane *lane = tcp_dial_lane_new ();
  TcpDialLaneCaller many = { 0 }, few = { 0 };
  Dial dials[6];

  for (guint i = 0; i < 4; i++)
    enter (lane, &many, &dials[i], 'a' + i);
  enter (lane, &few, &dials[4], 'x');
  g_assert_cmpstr (begun->str, ==, "");
  expect_turn ("ax");
  enter (lane, &few, &dials[5], 'y');
  expect_turn ("by");
  expect_turn ("cd");
  expect_turn ("");
  tcp_dial_lane_free (lane);
}

/* A dial that was given up does not begin, and does not delay others. */
static void
test_leave (void)
{
  TcpDialLane *lane = tcp_dial_lane_new ();
  TcpDialLaneCaller callers[2] = { 0 };
  Dial dials[5];

  for (guint i = 0; i < 5; i++)
    enter (lane, &callers[i == 4], &dials[i], 'a' + i);
  for (guint i = 0; i < 3; i++)
    tcp_dial_lane_leave (lane, &dials[i].place);
  expect_turn ("de");
  /* Dials that have begun have already left. */
  tcp_dial_lane_leave (lane, &dials[3].place);

  enter (lane, &callers[0], &dials[0], 'a');
  tcp_dial_lane_leave (lane, &dials[0].place);
  expect_turn ("");
  tcp_dial_lane_free (lane);
}

/* The lane leaves the thread idle for others between its turns, also when nothing was left to begin meanwhile. */
static void
test_rest (void)
{
  TcpDialLane *lane = tcp_dial_lane_new ();
  TcpDialLaneCaller caller = { 0 };
  Dial dials[5];

  shared = TRUE;
  for (guint i = 0; i < 4; i++)
    enter (lane, &caller, &dials[i], 'a' + i);
  expect_turn ("ab");
  for (guint i = 0; i < 10; i++)
    expect_turn ("");
  tcp_dial_lane_leave (lane, &dials[2].place);
  tcp_dial_lane_leave (lane, &dials[3].place);
  enter (lane, &caller, &dials[4], 'e');
  for (guint i = 0; i < 10; i++)
    expect_turn ("");
  tcp_dial_lane_leave (lane, &dials[4].place);
  tcp_dial_lane_free (lane);
  shared = FALSE;
}

int
main (int    argc,
      char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  begun = g_string_new (NULL);
  g_test_add_func ("/dial-lane/in-turn", test_in_turn);
  g_test_add_func ("/dial-lane/leave", test_leave);
  g_test_add_func ("/dial-lane/rest", test_rest);
  status = g_test_run ();
  g_string_free (begun, TRUE);
  return status;
}
