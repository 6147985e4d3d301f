/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "doubles.h"
#include "gateway/dial-queue.h"
#include "io/reactor.h"

/* The number of connections to targets that begin per second, with a clock that the tests control. */

#define MILLISECOND G_TIME_SPAN_MILLISECOND
#define N_DIALS 100

typedef struct
{
  TcpDialTicket *ticket;
  gboolean granted;
  gint64 at; /* since the test began */
} Dial;

typedef struct
{
  TcpDialQueue *queue;
  TcpDialShare shares[2]; /* of two principals */
  TcpDialCaller callers[3]; /* the first principal has two clients */
  Dial dials[3][N_DIALS];
  guint n_asked[3];
  gint64 began;
} Fixture;

static Fixture *fixture;

static void
on_granted (gpointer user_data)
{
  Dial *dial = user_data;

  dial->granted = TRUE;
  dial->at = tcp_now () - fixture->began;
}

static void
ask (Fixture *self,
     guint    caller,
     guint    n)
{
  while (n-- > 0)
    {
      Dial *dial = &self->dials[caller][self->n_asked[caller]++];

      dial->ticket = tcp_dial_queue_ask (self->queue, &self->callers[caller], NULL, on_granted, dial, &dial->granted);
      if (dial->granted)
        dial->at = tcp_now () - self->began;
    }
}

static void
give_back (Dial *dial)
{
  g_clear_pointer (&dial->ticket, tcp_dial_ticket_return);
}

static void
settle (void)
{
  while (clock_fire () || calls_make ())
    ;
}

static void
run (gint64 duration)
{
  for (gint64 end = tcp_now () + duration; tcp_now () < end; clock_advance (MILLISECOND))
    settle ();
  settle ();
}

static guint
count (Fixture *self,
       guint    caller)
{
  guint n = 0;

  for (guint i = 0; i < self->n_asked[caller]; i++)
    n += self->dials[caller][i].granted;
  return n;
}

static void
expect_obstacle (Dial       *dial,
                 const char *text)
{
  TcpDialObstacle which;
  g_autofree char *obstacle = tcp_dial_ticket_dup_obstacle (dial->ticket, &which);

  g_assert_cmpstr (obstacle, ==, text);
}

static void
set_up (Fixture       *self,
        gconstpointer  data)
{
  fixture = self;
  clock_reset ();
  self->began = tcp_now ();
  self->queue = tcp_dial_queue_new (1000, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (self->shares); i++)
    tcp_quota_share_limit (&self->shares[i].quota, 1000, "max-principal-dials");
  for (guint i = 0; i < G_N_ELEMENTS (self->callers); i++)
    tcp_dial_caller_init (&self->callers[i], &self->shares[i / 2]);
}

static void
tear_down (Fixture       *self,
           gconstpointer  data)
{
  for (guint i = 0; i < G_N_ELEMENTS (self->callers); i++)
    for (guint j = 0; j < N_DIALS; j++)
      if (self->dials[i][j].ticket != NULL)
        give_back (&self->dials[i][j]);
  tcp_dial_queue_unref (self->queue);
  /* The queue lives on for as long as its timer is set. */
  run (2 * G_TIME_SPAN_SECOND);
  g_assert_cmpuint (clock_get_timers (), ==, 0);
}

/* A full bucket begins at once, then one dial whenever its time has come, in the order in which they were asked for.
 * Another principal is not affected. */
static void
test_pace (Fixture       *self,
           gconstpointer  data)
{
  tcp_dial_queue_set_rate (self->queue, &self->shares[0], 10, "max-principal-dial-rate");
  ask (self, 0, 30);
  ask (self, 2, 50);
  g_assert_cmpuint (count (self, 0), ==, 10);
  g_assert_cmpuint (count (self, 2), ==, 50);
  expect_obstacle (&self->dials[0][10], "the principal may begin 10 connections a second (max-principal-dial-rate)");

  run (3 * G_TIME_SPAN_SECOND);
  g_assert_cmpuint (count (self, 0), ==, 30);
  for (guint i = 0; i < 20; i++)
    {
      g_assert_cmpint (self->dials[0][10 + i].at, >=, (i + 1) * 100 * MILLISECOND);
      g_assert_cmpint (self->dials[0][10 + i].at, <=, (i + 1) * 100 * MILLISECOND + 2 * MILLISECOND);
    }
}

/* The clients of a principal take turns. */
static void
test_clients (Fixture       *self,
              gconstpointer  data)
{
  tcp_dial_queue_set_rate (self->queue, &self->shares[0], 10, "max-principal-dial-rate");
  ask (self, 0, 60);
  ask (self, 1, 10);
  run (G_TIME_SPAN_SECOND);
  g_assert_cmpuint (count (self, 0), ==, 10 + 5);
  g_assert_cmpuint (count (self, 1), ==, 5);
}

/* A dial that has waited for the rate still needs a place, and the other way round; the number of dials under way
 * does not affect how many may begin. */
static void
test_places (Fixture       *self,
             gconstpointer  data)
{
  self->shares[0].quota.max = 2;
  tcp_dial_queue_set_rate (self->queue, &self->shares[0], 3, "max-principal-dial-rate");
  ask (self, 0, 4);
  ask (self, 1, 4);
  g_assert_cmpuint (count (self, 0) + count (self, 1), ==, 2);
  expect_obstacle (&self->dials[1][1], "the principal may have 2 under way, and each client half of that "
                                       "(max-principal-dials)");
  run (10 * G_TIME_SPAN_SECOND);
  g_assert_cmpuint (count (self, 0) + count (self, 1), ==, 2);
  /* No timer is set. */
  g_assert_cmpint (clock_next (), ==, -1);

  for (guint i = 0; i < 3; i++)
    {
      give_back (&self->dials[0][i]);
      settle ();
    }
  g_assert_true (self->dials[0][2].granted);
  g_assert_true (self->dials[0][3].granted);
  give_back (&self->dials[0][3]);
  settle ();
  give_back (&self->dials[1][0]);
  settle ();
  g_assert_false (self->dials[1][1].granted);
  run (G_TIME_SPAN_SECOND / 2);
  g_assert_true (self->dials[1][1].granted);
}

/* All places of the gateway are taken. */
static void
test_all (Fixture       *self,
          gconstpointer  data)
{
  tcp_dial_queue_get_quota (self->queue)->max = 5;
  tcp_dial_queue_get_quota (self->queue)->shared_max = 5;
  ask (self, 0, 5);
  ask (self, 2, 1);
  expect_obstacle (&self->dials[2][0], "the gateway may have 5 under way (max-dials)");
}

/* A new rate takes effect at once, also for dials that wait. */
static void
test_change (Fixture       *self,
             gconstpointer  data)
{
  tcp_dial_queue_set_rate (self->queue, &self->shares[0], 1, "max-principal-dial-rate");
  ask (self, 0, 100);
  run (3 * G_TIME_SPAN_SECOND);
  g_assert_cmpuint (count (self, 0), ==, 4);
  tcp_dial_queue_set_rate (self->queue, &self->shares[0], 20, "max-principal-dial-rate");
  run (G_TIME_SPAN_SECOND);
  g_assert_cmpuint (count (self, 0), >=, 4 + 19);
  g_assert_cmpuint (count (self, 0), <=, 4 + 21);
  tcp_dial_queue_set_rate (self->queue, &self->shares[0], 0, "max-principal-dial-rate");
  settle ();
  g_assert_cmpuint (count (self, 0), ==, 100);
}

/* Dials that were given up do not count as begun. */
static void
test_given_up (Fixture       *self,
               gconstpointer  data)
{
  tcp_dial_queue_set_rate (self->queue, &self->shares[0], 2, "max-principal-dial-rate");
  ask (self, 0, 50);
  for (guint i = 2; i < 49; i++)
    give_back (&self->dials[0][i]);
  run (500 * MILLISECOND);
  g_assert_true (self->dials[0][49].granted);
}

#define ADD(name) g_test_add ("/dial-rate/" #name, Fixture, NULL, set_up, test_##name, tear_down)

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD (pace);
  ADD (clients);
  ADD (places);
  ADD (all);
  ADD (change);
  ADD (given_up);
  return g_test_run ();
}
