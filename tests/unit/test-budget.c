/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session/budget.h"

#define CAP 1600
#define MARK 1200 /* three quarters */
#define CALM 1100 /* a sixteenth less: there is room again */

typedef struct
{
  TcpBudgetShare share;
  guint relieved;
  gsize wants; /* asks for it again when it is relieved */
} User;

static void
on_relieved (gpointer user_data)
{
  User *self = user_data;

  self->relieved++;
  if (self->wants > 0)
    tcp_budget_share_allows (&self->share, self->wants);
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
  g_autoptr (TcpBudget) budget = tcp_budget_new (CAP);
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

/* The last quarter is for all in equal parts. */
static void
test_fair (void)
{
  g_autoptr (TcpBudget) budget = tcp_budget_new (CAP);
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

/* Whoever comes, there is never more of it than all. */
static void
test_cap (void)
{
  g_autoptr (TcpBudget) budget = tcp_budget_new (CAP);
  User users[100];

  for (guint i = 0; i < G_N_ELEMENTS (users); i++)
    {
      begin (users + i, 1, budget);
      while (tcp_budget_share_allows (&users[i].share, 1))
        tcp_budget_share_set (&users[i].share, users[i].share.held + 1);
      g_assert_cmpuint (tcp_budget_get_used (budget), <=, CAP);
    }
  g_assert_cmpuint (tcp_budget_get_used (budget), ==, CAP);
  end (users, G_N_ELEMENTS (users));
}

/* Who was told to wait is told when to go on, once, and when that is worth it. */
static void
test_relief (void)
{
  g_autoptr (TcpBudget) budget = tcp_budget_new (CAP);
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

/* One that wants more than there is keeps nobody from getting theirs. */
static void
test_relief_in_turn (void)
{
  g_autoptr (TcpBudget) budget = tcp_budget_new (CAP);
  User users[3];

  begin (users, 3, budget);
  tcp_budget_share_set (&users[0].share, CAP);
  users[1].wants = CAP;
  g_assert_false (tcp_budget_share_allows (&users[1].share, CAP));
  g_assert_false (tcp_budget_share_allows (&users[2].share, 500));
  tcp_budget_share_set (&users[0].share, 200);
  g_assert_cmpuint (users[1].relieved, ==, 1);
  g_assert_cmpuint (users[2].relieved, ==, 1);

  /* It waits again, and may leave meanwhile. */
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
  g_autoptr (TcpBudget) budget = tcp_budget_new (CAP);
  User users[2];

  begin (users, 2, budget);
  g_assert_cmpuint (tcp_budget_share_get_growth (&users[0].share), ==, CAP / 2);
  tcp_budget_share_set (&users[1].share, 300);
  g_assert_cmpuint (tcp_budget_share_get_growth (&users[0].share), ==, CAP / 2 - 300);
  tcp_budget_share_set (&users[1].share, CAP);
  g_assert_cmpuint (tcp_budget_share_get_growth (&users[0].share), ==, 0);
  end (users, 2);
}

static void
test_without (void)
{
  User user;

  begin (&user, 1, NULL);
  tcp_budget_share_set (&user.share, G_MAXUINT32);
  g_assert_true (tcp_budget_share_allows (&user.share, G_MAXUINT32));
  g_assert_cmpuint (tcp_budget_share_get_growth (&user.share), ==, G_MAXSIZE);
  tcp_budget_share_set (&user.share, 0);
  g_assert_cmpuint (user.relieved, ==, 0);
  end (&user, 1);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/budget/used", test_used);
  g_test_add_func ("/budget/fair", test_fair);
  g_test_add_func ("/budget/cap", test_cap);
  g_test_add_func ("/budget/relief", test_relief);
  g_test_add_func ("/budget/relief-in-turn", test_relief_in_turn);
  g_test_add_func ("/budget/growth", test_growth);
  g_test_add_func ("/budget/without", test_without);
  return g_test_run ();
}
