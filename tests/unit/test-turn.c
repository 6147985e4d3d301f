/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "websocket/turn.h"

#include <glib.h>

#define NOON (12 * G_TIME_SPAN_HOUR)

/* Takes a turn with @frames frames of @bytes bytes each, which lasts for @took and is interrupted. */
static gint64
take_turn (TcpTurn  *turn,
           guint     frames,
           gsize     bytes,
           gint64    took,
           gboolean  others)
{
  TcpTurns turns = { 0 };
  const char other = 0;

  if (others)
    tcp_turns_note (&turns, &other, NOON);
  tcp_turn_begin (turn, NOON);
  for (guint i = 0; i < frames; i++)
    tcp_turn_add (turn, bytes);
  return tcp_turn_interrupt (turn, &turns, turn, NOON + took);
}

static void
test_frames (void)
{
  TcpTurn turn = { 0 };

  /* The next turn has the full number of frames again. */
  for (guint n = 0; n < 2; n++)
    {
      tcp_turn_begin (&turn, NOON);
      for (guint i = 0; i < TCP_TURN_FRAMES; i++)
        {
          g_assert_false (tcp_turn_is_over (&turn, NOON));
          tcp_turn_add (&turn, 1);
        }
      g_assert_true (tcp_turn_is_over (&turn, NOON));
    }
}

static void
test_time (void)
{
  TcpTurn turn = { 0 };

  tcp_turn_begin (&turn, NOON);
  /* A turn has at least one frame. */
  g_assert_false (tcp_turn_is_over (&turn, NOON + G_TIME_SPAN_SECOND));
  tcp_turn_add (&turn, 1);
  g_assert_false (tcp_turn_is_over (&turn, NOON + TCP_TURN_TIME - 1));
  g_assert_true (tcp_turn_is_over (&turn, NOON + TCP_TURN_TIME));
}

/* A channel that takes much time rests, and then has as much time again. */
static void
test_rest (void)
{
  TcpTurn turn = { 0 };

  for (guint n = 0; n < 3; n++)
    {
      for (gint64 spent = TCP_TURN_TIME; spent < TCP_TURN_ALLOWANCE; spent += TCP_TURN_TIME)
        g_assert_cmpint (take_turn (&turn, 3, 1, TCP_TURN_TIME, TRUE), ==, 0);
      g_assert_cmpint (take_turn (&turn, 3, 1, TCP_TURN_TIME, TRUE), ==, NOON + TCP_TURN_TIME + TCP_TURN_REST);
    }
}

/* The time of cheap frames adds up. */
static void
test_cheap_frames (void)
{
  TcpTurn turn = { 0 };
  guint n = 1;

  while (take_turn (&turn, TCP_TURN_FRAMES, 1, 10, TRUE) == 0)
    g_assert_cmpuint (++n, <=, TCP_TURN_ALLOWANCE / 10);
  g_assert_cmpuint (n, ==, TCP_TURN_ALLOWANCE / 10);
}

/* A channel that has handled all its frames delays no others. */
static void
test_complete (void)
{
  TcpTurn turn = { 0 };

  for (guint n = 0; n < 100; n++)
    {
      g_assert_cmpint (take_turn (&turn, TCP_TURN_FRAMES, 1, TCP_TURN_ALLOWANCE - 1, TRUE), ==, 0);
      tcp_turn_begin (&turn, NOON);
      tcp_turn_add (&turn, 1);
      tcp_turn_complete (&turn);
    }
}

/* There is no other channel to delay. */
static void
test_alone (void)
{
  TcpTurn turn = { 0 };

  for (guint n = 0; n < 100; n++)
    g_assert_cmpint (take_turn (&turn, 3, 1, TCP_TURN_TIME, FALSE), ==, 0);
  /* Until now. */
  g_assert_cmpint (take_turn (&turn, 3, 1, TCP_TURN_TIME, TRUE), >, NOON);
}

/* The bytes of a transfer may take their time: 1 GB/s here. */
static void
test_bulk (void)
{
  TcpTurn turn = { 0 };

  for (guint n = 0; n < 100; n++)
    {
      g_assert_cmpint (take_turn (&turn, 4, 64 * 1024, 256, TRUE), ==, 0);
      g_assert_cmpint (take_turn (&turn, 1, 256 * 1024, 256, TRUE), ==, 0);
      /* Nor does it matter if another process had the processor meanwhile. */
      g_assert_cmpint (take_turn (&turn, 4, 64 * 1024, 10000, TRUE), ==, 0);
    }
}

/* Work that the frames cause later counts as well, and does not affect the turn after that. */
static void
test_charge (void)
{
  TcpTurns turns = { 0 };
  TcpTurn turn = { 0 };
  const char other = 0;

  tcp_turns_note (&turns, &other, NOON);
  tcp_turn_begin (&turn, NOON);
  tcp_turn_add (&turn, 1);
  tcp_turn_charge (&turn, TCP_TURN_TIME - 10);
  g_assert_false (tcp_turn_is_over (&turn, NOON + 9));
  g_assert_true (tcp_turn_is_over (&turn, NOON + 10));
  tcp_turn_charge (&turn, TCP_TURN_ALLOWANCE - TCP_TURN_TIME);
  g_assert_cmpint (tcp_turn_interrupt (&turn, &turns, &turn, NOON + 10), ==, NOON + 10 + TCP_TURN_REST);

  tcp_turn_begin (&turn, NOON);
  tcp_turn_add (&turn, 1);
  g_assert_false (tcp_turn_is_over (&turn, NOON + 10));
  g_assert_cmpint (tcp_turn_interrupt (&turn, &turns, &turn, NOON + 10), ==, 0);
}

/* However many channels rest, only a few have their turn at a time. */
static void
test_many_rest (void)
{
  TcpTurns turns = { 0 };
  TcpTurn turn[30] = { 0 };
  const char other = 0;
  guint n = 0;

  tcp_turns_note (&turns, &other, NOON);
  for (guint i = 0; i < G_N_ELEMENTS (turn); i++)
    {
      gint64 next;

      tcp_turn_begin (&turn[i], NOON);
      tcp_turn_charge (&turn[i], TCP_TURN_ALLOWANCE);
      next = tcp_turn_interrupt (&turn[i], &turns, &turn[i], NOON);
      g_assert_cmpint (next, >=, NOON + TCP_TURN_REST);
      if (next < NOON + 5 * TCP_TURN_REST)
        n++;
    }
  g_assert_cmpuint (n, >=, 4 * TCP_TURN_RESTED);
  g_assert_cmpuint (n, <=, 4 * TCP_TURN_RESTED + 1);
}

static void
test_others (void)
{
  TcpTurns turns = { 0 };
  const char one = 0, two = 0, three = 0;
  gint64 now = NOON;

  g_assert_false (tcp_turns_have_others (&turns, &one, now));
  tcp_turns_note (&turns, &one, now);
  g_assert_false (tcp_turns_have_others (&turns, &one, now));
  g_assert_true (tcp_turns_have_others (&turns, &two, now));

  tcp_turns_note (&turns, &two, now + 1);
  for (guint i = 0; i < 10; i++)
    tcp_turns_note (&turns, &one, now + 2);
  g_assert_true (tcp_turns_have_others (&turns, &one, now + TCP_TURN_COMPANY));
  g_assert_false (tcp_turns_have_others (&turns, &one, now + 1 + TCP_TURN_COMPANY));
  g_assert_true (tcp_turns_have_others (&turns, &two, now + 1 + TCP_TURN_COMPANY));
  g_assert_true (tcp_turns_have_others (&turns, &three, now + 1 + TCP_TURN_COMPANY));
  g_assert_false (tcp_turns_have_others (&turns, &three, now + 2 + TCP_TURN_COMPANY));

  g_assert_true (tcp_turns_are_shared (&turns, now + TCP_TURN_COMPANY));
  g_assert_false (tcp_turns_are_shared (&turns, now + 1 + TCP_TURN_COMPANY));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/turn/frames", test_frames);
  g_test_add_func ("/turn/time", test_time);
  g_test_add_func ("/turn/rest", test_rest);
  g_test_add_func ("/turn/cheap-frames", test_cheap_frames);
  g_test_add_func ("/turn/complete", test_complete);
  g_test_add_func ("/turn/alone", test_alone);
  g_test_add_func ("/turn/bulk", test_bulk);
  g_test_add_func ("/turn/charge", test_charge);
  g_test_add_func ("/turn/many-rest", test_many_rest);
  g_test_add_func ("/turn/others", test_others);
  return g_test_run ();
}
