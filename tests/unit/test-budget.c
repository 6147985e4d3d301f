/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/budget.h"

#include <stdatomic.h>
#include "test-util.h"

#define CAP 1600
#define MARK 1200 /* three quarters */
#define CALM 1100 /* a sixteenth less: below this there is room again */

typedef struct
{
  TcpBudgetShare share;
  guint relieved;
  gsize wants; /* asks for this much again when it is relieved */
} User;

static void
on_relieved (gpointer user_data)
{
  User *self = user_data;

  self->relieved++;
  if (self->wants > 0)
    tcp_budget_share_allows (&self->share, self->wants);
}

/* A budget that is used on this thread only. */
static TcpBudget *
new_budget (void)
{
  g_autoptr (TcpBudgetPool) pool = tcp_budget_pool_new (CAP, 1);

  return tcp_budget_new (pool, NULL);
}

static void
begin (User      *users,
       guint      n,
       TcpBudget *budget)
{
  for (guint i = 0; i < n; i++)
    {
      users[i] = (User) { 0 };
      tcp_budget_share_init (&users[i].share, budget, on_relieved, &users[i]);
    }
}

static void
end (User  *users,
     guint  n)
{
  for (guint i = 0; i < n; i++)
    tcp_budget_share_clear (&users[i].share);
}

static void
test_used (void)
{
  g_autoptr (TcpBudget) budget = new_budget ();
  User users[2];

  begin (users, 2, budget);
  tcp_budget_share_set (&users[0].share, 100);
  tcp_budget_share_set (&users[1].share, 50);
  g_assert_cmpuint (tcp_budget_get_used (budget), ==, 150);
  tcp_budget_share_set (&users[0].share, 30);
  g_assert_cmpuint (tcp_budget_get_used (budget), ==, 80);
  end (users, 1);
  g_assert_cmpuint (tcp_budget_get_used (budget), ==, 50);
  end (users + 1, 1);
  g_assert_cmpuint (tcp_budget_get_used (budget), ==, 0);
}

/* The last quarter is divided into equal parts. */
static void
test_fair (void)
{
  g_autoptr (TcpBudget) budget = new_budget ();
  User users[4];

  begin (users, 4, budget);
  g_assert_true (tcp_budget_share_allows (&users[0].share, MARK));
  g_assert_false (tcp_budget_share_allows (&users[0].share, MARK + 1));
  tcp_budget_share_set (&users[0].share, MARK);
  g_assert_false (tcp_budget_share_allows (&users[0].share, 1));
  for (guint i = 1; i < 4; i++)
    {
      g_assert_true (tcp_budget_share_allows (&users[i].share, 100));
      g_assert_false (tcp_budget_share_allows (&users[i].share, 101));
      tcp_budget_share_set (&users[i].share, 100);
      g_assert_false (tcp_budget_share_allows (&users[i].share, 1));
    }
  end (users, 4);
}

/* However many shares there are, they never get more than the budget in all. */
static void
test_cap (void)
{
  g_autoptr (TcpBudget) budget = new_budget ();
  User users[100];

  for (guint i = 0; i < G_N_ELEMENTS (users); i++)
    {
      begin (users + i, 1, budget);
      while (tcp_budget_share_allows (&users[i].share, 1))
        tcp_budget_share_set (&users[i].share, users[i].share.held + 1);
      g_assert_cmpuint (tcp_budget_get_used (budget), <=, CAP);
    }
  g_assert_cmpuint (tcp_budget_get_used (budget), ==, CAP);
  g_assert_false (tcp_budget_share_is_overdrawn (&users[0].share));
  /* Only what cannot wait may exceed it. */
  tcp_budget_share_set (&users[1].share, users[1].share.held + 1);
  g_assert_true (tcp_budget_share_is_overdrawn (&users[0].share));
  end (users, G_N_ELEMENTS (users));
}

/* A share that was refused is called once when it may continue, and only when enough has become free. */
static void
test_relief (void)
{
  g_autoptr (TcpBudget) budget = new_budget ();
  User users[3];

  begin (users, 3, budget);
  tcp_budget_share_set (&users[0].share, CAP);
  g_assert_false (tcp_budget_share_allows (&users[1].share, 500));
  g_assert_false (tcp_budget_share_allows (&users[1].share, 500));
  tcp_budget_share_set (&users[0].share, CALM);
  g_assert_cmpuint (users[1].relieved, ==, 0);
  tcp_budget_share_set (&users[0].share, CALM - 1);
  g_assert_cmpuint (users[1].relieved, ==, 1);
  tcp_budget_share_set (&users[0].share, 0);
  g_assert_cmpuint (users[1].relieved, ==, 1);
  g_assert_cmpuint (users[0].relieved + users[2].relieved, ==, 0);
  end (users, 3);
}

/* A share that wants more than there is does not keep the others from what they want. */
static void
test_relief_in_turn (void)
{
  g_autoptr (TcpBudget) budget = new_budget ();
  User users[3];

  begin (users, 3, budget);
  tcp_budget_share_set (&users[0].share, CAP);
  users[1].wants = CAP;
  g_assert_false (tcp_budget_share_allows (&users[1].share, CAP));
  g_assert_false (tcp_budget_share_allows (&users[2].share, 500));
  tcp_budget_share_set (&users[0].share, 200);
  g_assert_cmpuint (users[1].relieved, ==, 1);
  g_assert_cmpuint (users[2].relieved, ==, 1);

  /* It waits again, and may be cleared meanwhile. */
  tcp_budget_share_set (&users[0].share, 100);
  g_assert_cmpuint (users[1].relieved, ==, 2);
  end (users + 1, 1);
  tcp_budget_share_set (&users[0].share, 0);
  g_assert_cmpuint (users[1].relieved, ==, 2);
  end (users, 1);
  end (users + 2, 1);
}

static void
test_growth (void)
{
  g_autoptr (TcpBudget) budget = new_budget ();
  User users[2];

  begin (users, 2, budget);
  g_assert_cmpuint (tcp_budget_share_get_growth (&users[0].share), ==, CAP / 2);
  tcp_budget_share_set (&users[1].share, 300);
  g_assert_cmpuint (tcp_budget_share_get_growth (&users[0].share), ==, CAP / 2 - 300);
  tcp_budget_share_set (&users[1].share, CAP);
  g_assert_cmpuint (tcp_budget_share_get_growth (&users[0].share), ==, 0);
  end (users, 2);
}

/* Principals */

#define N_CHILDREN 2

typedef struct
{
  TcpBudgetPool *parent;
  TcpBudgetPool *pools[N_CHILDREN];
  TcpBudget *budgets[N_CHILDREN];
  User users[N_CHILDREN][2];
} Family;

static void
family_begin (Family *family,
              gsize   cap)
{
  family->parent = tcp_budget_pool_new (CAP, 1);
  tcp_budget_pool_set_children (family->parent, N_CHILDREN);
  for (guint i = 0; i < N_CHILDREN; i++)
    family->pools[i] = tcp_budget_pool_new_child (family->parent, cap);
  for (guint i = 0; i < N_CHILDREN; i++)
    {
      family->budgets[i] = tcp_budget_new (family->pools[i], NULL);
      begin (family->users[i], 2, family->budgets[i]);
    }
}

static void
family_end (Family *family)
{
  for (guint i = 0; i < N_CHILDREN; i++)
    {
      end (family->users[i], 2);
      tcp_budget_unref (family->budgets[i]);
      tcp_budget_pool_unref (family->pools[i]);
    }
  tcp_budget_pool_unref (family->parent);
}

/* Each principal keeps to its own limit, and all together keep to the common one. */
static void
test_principals (void)
{
  Family family;
  gsize cap = CAP / 4 * 3;

  family_begin (&family, cap);
  tcp_budget_share_set (&family.users[0][0].share, cap);
  g_assert_false (tcp_budget_share_has_room (&family.users[0][0].share, 1));
  g_assert_false (tcp_budget_share_is_overdrawn (&family.users[0][0].share));
  tcp_budget_share_set (&family.users[0][1].share, 1);
  g_assert_true (tcp_budget_share_is_overdrawn (&family.users[0][0].share));
  g_assert_false (tcp_budget_share_is_overdrawn (&family.users[1][0].share));
  /* Nor does it keep the windows of the other principal from growing. */
  g_assert_cmpuint (tcp_budget_share_get_growth (&family.users[0][0].share), ==, 0);
  g_assert_cmpuint (tcp_budget_share_get_growth (&family.users[1][0].share), ==, CAP / 4 / N_CHILDREN / 2);
  tcp_budget_share_set (&family.users[0][1].share, 0);

  /* The other principal has what is reserved for it, and no more. */
  g_assert_true (tcp_budget_share_has_room (&family.users[1][0].share, CAP / 4 / N_CHILDREN));
  g_assert_false (tcp_budget_share_has_room (&family.users[1][0].share, CAP / 4 / N_CHILDREN + 1));
  family_end (&family);
}

/* A principal that holds more than its limit, in memory that nobody was asked for, does not reduce what the other may
 * have. */
static void
test_overdrawn_principal (void)
{
  Family family;
  gsize part = CAP / 4 / N_CHILDREN;

  family_begin (&family, CAP);
  tcp_budget_share_set (&family.users[0][0].share, 2 * CAP);
  g_assert_true (tcp_budget_share_is_overdrawn (&family.users[0][0].share));
  g_assert_true (tcp_budget_share_has_room (&family.users[1][0].share, part));
  g_assert_false (tcp_budget_share_has_room (&family.users[1][0].share, part + 1));
  g_assert_cmpuint (tcp_budget_share_get_growth (&family.users[1][0].share), ==, part / 2);
  tcp_budget_share_set (&family.users[1][0].share, part);
  g_assert_false (tcp_budget_share_is_overdrawn (&family.users[1][0].share));
  g_assert_cmpuint (tcp_budget_share_get_growth (&family.users[1][0].share), ==, 0);
  tcp_budget_share_set (&family.users[1][0].share, part + 1);
  g_assert_true (tcp_budget_share_is_overdrawn (&family.users[1][0].share));
  family_end (&family);
}

/* A share that frees memory calls those that may now have it: those of its own principal, and those of other
 * principals unless these hold too much themselves. */
static void
test_relief_of_principals (void)
{
  Family family;
  gsize cap = CAP / 4 * 3;
  gsize part = CAP / 4 / N_CHILDREN;

  family_begin (&family, cap);
  tcp_budget_share_set (&family.users[0][0].share, cap);
  tcp_budget_share_set (&family.users[1][0].share, part);
  g_assert_false (tcp_budget_share_allows (&family.users[0][1].share, part));
  g_assert_false (tcp_budget_share_allows (&family.users[1][1].share, part));

  /* The other principal still holds as much as before. */
  tcp_budget_share_set (&family.users[1][0].share, 0);
  g_assert_cmpuint (family.users[1][1].relieved, ==, 1);
  g_assert_cmpuint (family.users[0][1].relieved, ==, 0);
  g_assert_true (tcp_budget_share_allows (&family.users[1][1].share, part));
  tcp_budget_share_set (&family.users[0][0].share, 0);
  g_assert_cmpuint (family.users[0][1].relieved, ==, 1);
  g_assert_cmpuint (family.users[1][1].relieved, ==, 1);
  family_end (&family);
}

/* A single principal may have all. */
static void
test_single_principal (void)
{
  TcpBudgetPool *parent = tcp_budget_pool_new (CAP, 1);
  TcpBudgetPool *child = tcp_budget_pool_new_child (parent, CAP);
  g_autoptr (TcpBudget) budget = tcp_budget_new (child, NULL);
  User users[2];

  begin (users, 2, budget);
  g_assert_true (tcp_budget_share_has_room (&users[0].share, MARK));
  tcp_budget_share_set (&users[0].share, MARK);
  tcp_budget_share_set (&users[1].share, 1);
  g_assert_true (tcp_budget_share_has_room (&users[1].share, CAP / 8 - 1));
  g_assert_false (tcp_budget_share_has_room (&users[1].share, CAP / 8));
  end (users, 2);
  tcp_budget_pool_unref (child);
  tcp_budget_pool_unref (parent);
}

/* Threads */

typedef struct
{
  TcpBudgetPool *pool;
  TcpIoThread *thread;
  TcpBudget *budget;
  User user;
  gsize amount;
  gboolean allowed;
} Side;

static void
side_open (gpointer data)
{
  Side *self = data;

  self->budget = tcp_budget_new (self->pool, self->thread);
  begin (&self->user, 1, self->budget);
}

static void
side_set (gpointer data)
{
  Side *self = data;

  tcp_budget_share_set (&self->user.share, self->amount);
}

static void
side_ask (gpointer data)
{
  Side *self = data;

  self->allowed = tcp_budget_share_allows (&self->user.share, self->amount);
}

static void
side_close (gpointer data)
{
  Side *self = data;

  end (&self->user, 1);
  tcp_budget_unref (self->budget);
}

static void
side_do (Side      *self,
         TcpIoFunc  func,
         gsize      amount)
{
  self->amount = amount;
  tcp_io_thread_invoke_sync (self->thread, func, self);
}

static void
sides_open (Side *sides)
{
  TcpBudgetPool *pool = tcp_budget_pool_new (CAP, 2);

  for (guint i = 0; i < 2; i++)
    {
      sides[i] = (Side) { .pool = pool, .thread = tcp_io_thread_acquire (NULL) };
      side_do (&sides[i], side_open, 0);
    }
  g_assert_true (sides[0].thread != sides[1].thread);
}

static void
sides_close (Side *sides)
{
  for (guint i = 0; i < 2; i++)
    {
      side_do (&sides[i], side_close, 0);
      tcp_io_thread_release (sides[i].thread);
    }
  tcp_budget_pool_unref (sides[0].pool);
}

/* Memory that one thread holds is not available to another; and a share that waits is called on its own thread. */
static void
test_threads (void)
{
  Side sides[2];

  sides_open (sides);
  side_do (&sides[0], side_set, CAP);
  side_do (&sides[1], side_ask, 1);
  g_assert_false (sides[1].allowed);
  side_do (&sides[0], side_set, CALM);
  side_do (&sides[1], side_ask, 1);
  g_assert_cmpuint (sides[1].user.relieved, ==, 0);

  side_do (&sides[0], side_set, MARK);
  side_do (&sides[1], side_ask, CAP);
  side_do (&sides[0], side_set, CALM - 1);
  /* The share was called before this. */
  side_do (&sides[1], side_ask, MARK - CALM + 1);
  g_assert_true (sides[1].allowed);
  g_assert_cmpuint (sides[1].user.relieved, ==, 1);
  sides_close (sides);
}

/* Each thread waits for what the other holds, and frees what it has as soon as it has got it. No call may get
 * lost. */
#define TURNS 2000

typedef struct
{
  Side side;
  guint turns;
  atomic_uint *running;
} Player;

static void
player_move (Player *self)
{
  while (self->turns < TURNS && tcp_budget_share_allows (&self->side.user.share, MARK))
    {
      tcp_budget_share_set (&self->side.user.share, MARK);
      self->turns++;
      tcp_budget_share_set (&self->side.user.share, 0);
    }
  if (self->turns == TURNS)
    {
      self->turns++;
      atomic_fetch_sub (self->running, 1);
    }
}

static void
on_player_relieved (gpointer user_data)
{
  player_move (user_data);
}

static void
player_open (gpointer data)
{
  Player *self = data;

  self->side.budget = tcp_budget_new (self->side.pool, self->side.thread);
  tcp_budget_share_init (&self->side.user.share, self->side.budget, on_player_relieved, self);
}

static void
player_start (gpointer data)
{
  player_move (data);
}

static void
test_no_call_is_lost (void)
{
  TcpBudgetPool *pool = tcp_budget_pool_new (CAP, 2);
  atomic_uint running = 2;
  Player players[2];

  for (guint i = 0; i < 2; i++)
    {
      players[i] = (Player) { .side = { .pool = pool, .thread = tcp_io_thread_acquire (NULL) }, .running = &running };
      tcp_io_thread_invoke_sync (players[i].side.thread, player_open, &players[i]);
    }
  for (guint i = 0; i < 2; i++)
    tcp_io_thread_invoke (players[i].side.thread, player_start, &players[i], NULL);
  WAIT_UNTIL (atomic_load (&running) == 0);

  for (guint i = 0; i < 2; i++)
    {
      tcp_io_thread_invoke_sync (players[i].side.thread, side_close, &players[i].side);
      tcp_io_thread_release (players[i].side.thread);
    }
  tcp_budget_pool_unref (pool);
}

/* Both threads may let a window grow at the same moment. */
static void
test_growth_of_threads (void)
{
  g_autoptr (TcpBudgetPool) pool = tcp_budget_pool_new (CAP, 2);
  g_autoptr (TcpBudget) budget = tcp_budget_new (pool, NULL);
  User user;

  begin (&user, 1, budget);
  g_assert_cmpuint (tcp_budget_share_get_growth (&user.share), ==, CAP / 4);
  tcp_budget_share_set (&user.share, CAP / 4);
  g_assert_cmpuint (tcp_budget_share_get_growth (&user.share), ==, CAP / 8);
  end (&user, 1);
}

/* Another thread changes what is in use while this one computes a growth. Only one of many millions of calls meets
 * such a change. */

typedef struct
{
  TcpBudgetPool *pool;
  atomic_bool stop;
} Flicker;

static gpointer
flicker (gpointer data)
{
  Flicker *self = data;
  g_autoptr (TcpBudget) budget = tcp_budget_new (self->pool, NULL);
  User user;

  begin (&user, 1, budget);
  while (!atomic_load (&self->stop))
    {
      tcp_budget_share_set (&user.share, CAP / 2 - 1);
      tcp_budget_share_set (&user.share, CAP / 2 + 1);
    }
  end (&user, 1);
  return NULL;
}

static void
test_growth_meanwhile (void)
{
  g_autoptr (TcpBudgetPool) pool = tcp_budget_pool_new (CAP, 2);
  g_autoptr (TcpBudget) budget = tcp_budget_new (pool, NULL);
  Flicker other = { .pool = pool };
  GThread *thread;
  User user;

  begin (&user, 1, budget);
  thread = g_thread_new ("flicker", flicker, &other);
  for (guint i = test_count (50000000, 2000000); i > 0; i--)
    g_assert_cmpuint (tcp_budget_share_get_growth (&user.share), <=, CAP / 4);
  atomic_store (&other.stop, TRUE);
  g_thread_join (thread);
  end (&user, 1);
}

/* If each share keeps to this part, all together use no more than the last quarter, whatever others hold. */
static void
test_part (void)
{
  g_autoptr (TcpBudget) budget = new_budget ();
  User users[4];

  begin (users, 1, budget);
  g_assert_cmpuint (tcp_budget_share_get_part (&users[0].share), ==, CAP / 4);
  begin (users + 1, 3, budget);
  tcp_budget_share_set (&users[1].share, CAP);
  g_assert_cmpuint (tcp_budget_share_get_part (&users[0].share), ==, CAP / 4 / 4);
  end (users + 1, 3);
  g_assert_cmpuint (tcp_budget_share_get_part (&users[0].share), ==, CAP / 4);
  end (users, 1);
}

/* The amount that each begins with, and how shares of other principals reduce it. */
static void
test_portion (void)
{
  g_autoptr (TcpBudget) alone = new_budget ();
  Family family;
  User users[16];

  begin (users, 4, alone);
  g_assert_cmpuint (tcp_budget_get_portion (alone, 1), ==, MARK / 4);
  g_assert_cmpuint (tcp_budget_get_portion (alone, 10), ==, MARK / 10);
  end (users, 4);

  family_begin (&family, CAP);
  g_assert_cmpuint (tcp_budget_get_portion (family.budgets[1], 1), ==, MARK / 4);
  begin (users, 16, family.budgets[0]);
  g_assert_cmpuint (tcp_budget_get_portion (family.budgets[0], 1), ==, MARK / 20);
  g_assert_cmpuint (tcp_budget_get_portion (family.budgets[1], 1), ==, CAP / 4 / N_CHILDREN / 2);
  g_assert_cmpuint (tcp_budget_get_portion (family.budgets[1], 10), ==, MARK / 20);
  end (users, 16);
  family_end (&family);
}

static void
test_without (void)
{
  User user;

  begin (&user, 1, NULL);
  g_assert_cmpuint (tcp_budget_get_portion (NULL, 1), ==, G_MAXSIZE);
  tcp_budget_share_set (&user.share, G_MAXUINT32);
  g_assert_true (tcp_budget_share_allows (&user.share, G_MAXUINT32));
  g_assert_cmpuint (tcp_budget_share_get_growth (&user.share), ==, G_MAXSIZE);
  g_assert_false (tcp_budget_share_is_overdrawn (&user.share));
  g_assert_cmpuint (tcp_budget_share_get_part (&user.share), ==, G_MAXSIZE);
  tcp_budget_share_set (&user.share, 0);
  g_assert_cmpuint (user.relieved, ==, 0);
  end (&user, 1);
}

int
main (int    argc,
      char **argv)
{
  g_setenv ("TCP_TUNNEL_IO_THREADS", "2", TRUE);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/budget/used", test_used);
  g_test_add_func ("/budget/fair", test_fair);
  g_test_add_func ("/budget/cap", test_cap);
  g_test_add_func ("/budget/relief", test_relief);
  g_test_add_func ("/budget/relief-in-turn", test_relief_in_turn);
  g_test_add_func ("/budget/growth", test_growth);
  g_test_add_func ("/budget/without", test_without);
  g_test_add_func ("/budget/principals", test_principals);
  g_test_add_func ("/budget/overdrawn-principal", test_overdrawn_principal);
  g_test_add_func ("/budget/relief-of-principals", test_relief_of_principals);
  g_test_add_func ("/budget/single-principal", test_single_principal);
  g_test_add_func ("/budget/threads", test_threads);
  g_test_add_func ("/budget/no-call-is-lost", test_no_call_is_lost);
  g_test_add_func ("/budget/growth-of-threads", test_growth_of_threads);
  g_test_add_func ("/budget/growth-meanwhile", test_growth_meanwhile);
  g_test_add_func ("/budget/portion", test_portion);
  g_test_add_func ("/budget/part", test_part);
  return g_test_run ();
}
