/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "doubles.h"
#include "io/rate.h"
#include "io/reactor.h"

/* How connections share a rate, with a clock that the tests control. */

#define MILLISECOND G_TIME_SPAN_MILLISECOND
#define MAX_USERS 64
#define PIECE (64 * 1024)

/* The number of times per millisecond at which each socket is checked. */
#define LOOKS 8

/* A connection. */
typedef struct
{
  TcpRateShare share;
  gint64 every;      /* has data at this interval; 0: always */
  gsize size;        /* the amount of data; 0: as much as it may move */
  gint64 next;
  gsize left;
  gboolean asked;    /* has waited for its turn since asked_at */
  gint64 asked_at;
  guint64 moved;
  gint64 longest;    /* the longest time that it has waited */
  guint turns;
} User;

typedef struct
{
  TcpRate *rate;
  TcpRateLane *lanes[2];
  User users[MAX_USERS];
  guint n_users;
} Fixture;

static void
user_move (User *self)
{
  gsize wanted = self->size > 0 ? self->left : PIECE;
  /* Like a connection that reads from a socket, it learns the amount only when it tries. */
  gsize n = tcp_rate_share_take (&self->share, PIECE);

  if (n > wanted)
    tcp_rate_share_give_back (&self->share, n - wanted);
  n = MIN (n, wanted);
  self->moved += n;
  self->left -= self->size > 0 ? n : 0;
  if (n > 0 && self->asked)
    {
      self->longest = MAX (self->longest, tcp_now () - self->asked_at);
      self->asked = FALSE;
    }
}

static void
on_turn (gpointer user_data)
{
  User *self = user_data;

  self->turns++;
  user_move (self);
}

/* Called when its socket is checked. */
static void
user_look (User *self)
{
  if (self->every > 0 && tcp_now () >= self->next)
    {
      self->next = tcp_now () + self->every;
      self->left += self->size;
    }
  if (self->share.waiting || (self->size > 0 && self->left == 0))
    return;
  if (!self->asked)
    {
      self->asked = TRUE;
      self->asked_at = tcp_now ();
    }
  user_move (self);
}

static User *
add_user (Fixture *self,
          guint    lane,
          gint64   every,
          gsize    size)
{
  User *user = &self->users[self->n_users++];

  *user = (User) { .every = every, .size = size };
  tcp_rate_share_init (&user->share, self->lanes[lane], on_turn, user);
  return user;
}

static void
add_bulk (Fixture *self,
          guint    n,
          guint    lane)
{
  for (guint i = 0; i < n; i++)
    add_user (self, lane, 0, 0);
}

/* A reactor sleeps for whole milliseconds. */
static void
run (Fixture *self,
     gint64   duration)
{
  for (gint64 end = tcp_now () + duration; tcp_now () < end; clock_advance (MILLISECOND))
    for (guint look = 0; look < LOOKS; look++)
      {
        while (clock_fire () || calls_make ())
          ;
        for (guint i = 0; i < self->n_users; i++)
          user_look (&self->users[i]);
      }
}

static guint64
total (Fixture *self)
{
  guint64 sum = 0;

  for (guint i = 0; i < self->n_users; i++)
    sum += self->users[i].moved;
  return sum;
}

static void
forget (Fixture *self)
{
  for (guint i = 0; i < self->n_users; i++)
    self->users[i].moved = self->users[i].longest = 0;
}

/* Checks that @value differs from @wanted by at most @percent percent. */
static void
expect_about (guint64 value,
              guint64 wanted,
              guint   percent)
{
  g_assert_cmpuint (value, >=, wanted - wanted * percent / 100);
  g_assert_cmpuint (value, <=, wanted + wanted * percent / 100);
}

static void
set_up (Fixture       *self,
        gconstpointer  data)
{
  clock_reset ();
  self->rate = tcp_rate_new ();
  /* The threads are never accessed. */
  for (guint i = 0; i < 2; i++)
    self->lanes[i] = tcp_rate_lane_new (self->rate, (TcpIoThread *) &self->lanes[i]);
}

static void
tear_down (Fixture       *self,
           gconstpointer  data)
{
  for (guint i = 0; i < self->n_users; i++)
    tcp_rate_share_clear (&self->users[i].share);
  while (calls_make ())
    ;
  for (guint i = 0; i < 2; i++)
    tcp_rate_lane_unref (self->lanes[i]);
  tcp_rate_unref (self->rate);
  g_assert_cmpuint (clock_get_timers (), ==, 0);
}

/* Without a limit nothing waits, and no timer is set. */
static void
test_unlimited (Fixture       *self,
                gconstpointer  data)
{
  add_bulk (self, 3, 0);
  run (self, 10 * MILLISECOND);
  g_assert_cmpuint (total (self), ==, 3 * 10 * LOOKS * PIECE);
  g_assert_cmpuint (clock_get_timers (), ==, 0);
}

/* A single connection gets the whole rate, and N connections get 1/N each, at any rate. */
static void
test_equal (Fixture       *self,
            gconstpointer  data)
{
  const guint64 rates[] = { 100 * 1000, 1000 * 1000, 10 * 1000 * 1000, 100 * 1000 * 1000 };
  const guint more[] = { 1, 1, 1, 7, 22, 32 };

  for (guint i = 0; i < G_N_ELEMENTS (more); i++)
    {
      add_bulk (self, more[i], 0);
      for (guint j = 0; j < G_N_ELEMENTS (rates); j++)
        {
          /* The initial content of the bucket is used up first. */
          tcp_rate_set (self->rate, rates[j]);
          run (self, 1500 * MILLISECOND);
          forget (self);
          run (self, G_TIME_SPAN_SECOND);
          expect_about (total (self), rates[j], 2);
          /* At low rates, one piece more or less is tolerated. */
          for (guint k = 0; k < self->n_users; k++)
            expect_about (self->users[k].moved, rates[j] / self->n_users,
                          5 + 100 * 512 * self->n_users / rates[j]);
        }
    }
}

/* The same holds for connections on different threads. */
static void
test_lanes (Fixture       *self,
            gconstpointer  data)
{
  tcp_rate_set (self->rate, 2 * 1000 * 1000);
  add_bulk (self, 1, 0);
  add_bulk (self, 3, 1);
  run (self, 1500 * MILLISECOND);
  forget (self);
  run (self, G_TIME_SPAN_SECOND);
  expect_about (total (self), 2 * 1000 * 1000, 2);
  for (guint i = 0; i < self->n_users; i++)
    expect_about (self->users[i].moved, 500 * 1000, 5);
}

/* A connection with little data does not wait for many that have much. */
static void
test_interactive (Fixture       *self,
                  gconstpointer  data)
{
  User *user;

  tcp_rate_set (self->rate, 1000 * 1000);
  add_bulk (self, MAX_USERS - 1, 0);
  user = add_user (self, 0, 50 * MILLISECOND, 100);
  run (self, 1500 * MILLISECOND);
  forget (self);
  run (self, 10 * G_TIME_SPAN_SECOND);
  g_assert_cmpuint (user->moved, ==, 10 * 20 * 100);
  g_assert_cmpint (user->longest, <=, 15 * MILLISECOND);
  expect_about (total (self), 10 * 1000 * 1000, 2);
}

/* A connection that pauses between its pieces, and is therefore often ahead of the queue, gets no more than the
 * others. */
static void
test_pauses (Fixture       *self,
             gconstpointer  data)
{
  User *user;

  tcp_rate_set (self->rate, 4 * 1000 * 1000);
  add_bulk (self, 3, 0);
  user = add_user (self, 0, 5 * MILLISECOND, PIECE);
  run (self, 1500 * MILLISECOND);
  forget (self);
  run (self, G_TIME_SPAN_SECOND);
  expect_about (user->moved, 1000 * 1000, 5);
  expect_about (total (self), 4 * 1000 * 1000, 2);
}

/* A connection that was idle cannot make up for that at the expense of others. */
static void
test_idle (Fixture       *self,
           gconstpointer  data)
{
  User *user;

  tcp_rate_set (self->rate, 1000 * 1000);
  user = add_user (self, 0, G_TIME_SPAN_DAY, 1);
  add_bulk (self, 3, 0);
  run (self, 10 * G_TIME_SPAN_SECOND);
  user->size = user->every = 0;
  forget (self);
  run (self, G_TIME_SPAN_SECOND);
  expect_about (user->moved, 250 * 1000, 7);
}

/* After all were idle, as much may be moved as the rate allows in a second, and never more. */
static void
test_burst (Fixture       *self,
            gconstpointer  data)
{
  tcp_rate_set (self->rate, 1000 * 1000);
  clock_advance (G_TIME_SPAN_HOUR);
  add_bulk (self, 4, 0);
  run (self, 50 * MILLISECOND);
  g_assert_cmpuint (total (self), >=, 1000 * 1000);
  g_assert_cmpuint (total (self), <=, 1050 * 1000);
  run (self, 950 * MILLISECOND);
  g_assert_cmpuint (total (self), <=, 2000 * 1000);
  expect_about (total (self), 2000 * 1000, 2);
}

/* Connections that wait continue at once when the rate changes, */
static void
test_change (Fixture       *self,
             gconstpointer  data)
{
  tcp_rate_set (self->rate, 1024);
  add_bulk (self, 2, 0);
  add_bulk (self, 2, 1);
  run (self, 3 * G_TIME_SPAN_SECOND);
  g_assert_cmpuint (total (self), <=, 4 * 1024);
  forget (self);

  tcp_rate_set (self->rate, 8 * 1000 * 1000);
  run (self, G_TIME_SPAN_SECOND);
  expect_about (total (self), 8 * 1000 * 1000, 2);
  forget (self);
  tcp_rate_set (self->rate, 80 * 1000);
  run (self, 1500 * MILLISECOND);
  forget (self);
  run (self, G_TIME_SPAN_SECOND);
  expect_about (total (self), 80 * 1000, 3);

  /* also when it becomes unlimited. */
  tcp_rate_set (self->rate, 0);
  run (self, 20 * MILLISECOND);
  forget (self);
  run (self, 10 * MILLISECOND);
  g_assert_cmpuint (total (self), ==, 4 * 10 * LOOKS * PIECE);
}

/* A rate may be smaller than the usual minimum of a turn. */
static void
test_trickle (Fixture       *self,
              gconstpointer  data)
{
  tcp_rate_set (self->rate, 10);
  add_bulk (self, 2, 0);
  run (self, 10 * G_TIME_SPAN_SECOND);
  g_assert_cmpuint (total (self), >=, 100);
  g_assert_cmpuint (total (self), <=, 110);
}

/* What a connection takes and does not move is available to others. */
static void
test_given_back (Fixture       *self,
                 gconstpointer  data)
{
  tcp_rate_set (self->rate, 1000 * 1000);
  for (guint i = 0; i < 10; i++)
    add_user (self, 0, MILLISECOND, 10);
  add_bulk (self, 1, 0);
  run (self, 1500 * MILLISECOND);
  forget (self);
  run (self, G_TIME_SPAN_SECOND);
  expect_about (total (self), 1000 * 1000, 2);
  for (guint i = 0; i < 10; i++)
    expect_about (self->users[i].moved, 10 * 1000, 5);
}

/* A connection may end while it waits, while the call for its turn is under way, and within its turn. */

static void
on_last_turn (gpointer user_data)
{
  User *self = user_data;

  self->turns++;
  tcp_rate_share_clear (&self->share);
}

static void
test_end (Fixture       *self,
          gconstpointer  data)
{
  tcp_rate_set (self->rate, 1000 * 1000);
  add_bulk (self, 4, 0);
  add_bulk (self, 4, 1);
  run (self, 1500 * MILLISECOND);
  for (guint i = 0; i < self->n_users; i++)
    g_assert_true (self->users[i].share.waiting);
  tcp_rate_share_clear (&self->users[0].share);
  tcp_rate_share_clear (&self->users[5].share);
  self->users[1].share.func = on_last_turn;
  self->users[4].share.func = on_last_turn;
  self->users[1].turns = self->users[4].turns = 0;

  /* Either lane calls the other one when it has had its turn. */
  clock_advance (100 * MILLISECOND);
  while (clock_fire ())
    ;
  if (self->users[7].share.waiting)
    tcp_rate_share_clear (&self->users[7].share);
  else
    tcp_rate_share_clear (&self->users[2].share);
  run (self, 100 * MILLISECOND);
  g_assert_cmpuint (self->users[1].turns, ==, 1);
  g_assert_cmpuint (self->users[4].turns, ==, 1);

  /* Those that ended have taken nothing of the rate with them, and are not limited any more. */
  self->users[0].size = self->users[1].size = self->users[4].size = self->users[5].size = 1;
  self->users[2].size = self->users[7].size = 1;
  forget (self);
  run (self, G_TIME_SPAN_SECOND);
  g_assert_cmpuint (total (self), >=, 980 * 1000);
  g_assert_cmpuint (total (self), <=, 1020 * 1000);
  g_assert_cmpuint (tcp_rate_share_take (&self->users[0].share, G_MAXSIZE), ==, G_MAXSIZE);
}

#define ADD(name) g_test_add ("/rate/" #name, Fixture, NULL, set_up, test_##name, tear_down)

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD (unlimited);
  ADD (equal);
  ADD (lanes);
  ADD (interactive);
  ADD (pauses);
  ADD (idle);
  ADD (burst);
  ADD (change);
  ADD (trickle);
  ADD (given_back);
  ADD (end);
  return g_test_run ();
}
