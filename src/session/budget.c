/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session/budget.h"

struct _TcpBudget
{
  grefcount refs;
  gsize cap;
  gsize used;
  guint shares;
  GQueue waiting; /* of TcpBudgetShare, by their links */
};

TcpBudget *
tcp_budget_new (gsize cap)
{
  TcpBudget *self = g_new0 (TcpBudget, 1);

  g_ref_count_init (&self->refs);
  self->cap = cap;
  return self;
}

TcpBudget *
tcp_budget_ref (TcpBudget *self)
{
  g_ref_count_inc (&self->refs);
  return self;
}

void
tcp_budget_unref (TcpBudget *self)
{
  if (!g_ref_count_dec (&self->refs))
    return;

  g_assert (self->shares == 0 && self->used == 0);
  g_free (self);
}

gsize
tcp_budget_get_used (TcpBudget *self)
{
  return self->used;
}

static gsize
budget_mark (TcpBudget *self)
{
  return self->cap - self->cap / 4;
}

/* @relieved is called, from within tcp_budget_share_set() of any share, when there is
 * room again after tcp_budget_share_allows() was false. */
void
tcp_budget_share_init (TcpBudgetShare *self,
                       TcpBudget      *budget,
                       TcpBudgetFunc   relieved,
                       gpointer        user_data)
{
  *self = (TcpBudgetShare) { .relieved = relieved, .user_data = user_data };
  self->link.data = self;
  if (budget == NULL)
    return;

  self->budget = tcp_budget_ref (budget);
  budget->shares++;
}

static void
share_stop_waiting (TcpBudgetShare *self)
{
  if (!self->waiting)
    return;

  self->waiting = FALSE;
  g_queue_unlink (&self->budget->waiting, &self->link);
}

static void
budget_relieve (TcpBudget *self)
{
  guint n = self->waiting.length;

  /* Those that wait again, because it does not do for them, go to the end. */
  while (n-- > 0 && !g_queue_is_empty (&self->waiting))
    {
      TcpBudgetShare *share = self->waiting.head->data;

      share_stop_waiting (share);
      share->relieved (share->user_data);
    }
}

void
tcp_budget_share_clear (TcpBudgetShare *self)
{
  if (self->budget == NULL)
    return;

  share_stop_waiting (self);
  tcp_budget_share_set (self, 0);
  self->budget->shares--;
  g_clear_pointer (&self->budget, tcp_budget_unref);
}

/* Says how many bytes the session holds now. */
void
tcp_budget_share_set (TcpBudgetShare *self,
                      gsize           held)
{
  gboolean less = held < self->held;

  if (self->budget != NULL)
    self->budget->used = self->budget->used - self->held + held;
  self->held = held;

  /* Not for every byte. */
  if (less && self->budget != NULL && !g_queue_is_empty (&self->budget->waiting) &&
      self->budget->used < budget_mark (self->budget) - self->budget->cap / 16)
    budget_relieve (self->budget);
}

/* Whether so many bytes may be added. If not, there will be a call when they may. */
gboolean
tcp_budget_share_allows (TcpBudgetShare *self,
                         gsize           more)
{
  TcpBudget *budget = self->budget;

  if (budget == NULL || budget->used + more <= budget_mark (budget))
    return TRUE;
  /* Shares get smaller as there are more, and some may hold more than theirs. */
  if (budget->used + more <= budget->cap && self->held + more <= budget->cap / 4 / budget->shares)
    return TRUE;

  if (!self->waiting)
    {
      self->waiting = TRUE;
      g_queue_push_tail_link (&budget->waiting, &self->link);
    }
  return FALSE;
}

/* By how much windows may grow: the first half is for that, and the rest for what cannot
 * wait. */
gsize
tcp_budget_share_get_growth (TcpBudgetShare *self)
{
  if (self->budget == NULL)
    return G_MAXSIZE;
  return self->budget->cap / 2 - MIN (self->budget->used, self->budget->cap / 2);
}
