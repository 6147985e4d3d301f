/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/budget.h"

#include <stdatomic.h>
#include "base/ref-count.h"

struct _TcpBudgetPool
{
  gatomicrefcount refs;
  TcpBudgetPool *parent; /* the pool of which this is a principal's part; NULL for none */
  atomic_uint n_children;
  atomic_bool common; /* nothing of the parent is set aside for it */
  atomic_size_t cap;
  const char *_Atomic limit; /* the limit and its value, for messages; NULL for none */
  guint n_threads;
  atomic_size_t used;
  atomic_uint shares;
  atomic_uint n_waiting; /* budgets in the array */

  GMutex mutex;
  GPtrArray *waiting; /* under the mutex: of TcpBudget, those in which a share waits, including those of children */
};

struct _TcpBudget
{
  gatomicrefcount refs;
  TcpBudgetPool *pool;
  TcpIoThread *thread;
  atomic_bool called; /* by another thread, since there may be room */

  /* only used on its thread */
  GQueue waiting; /* of TcpBudgetShare, by their links */
};

/* @n_threads is the number of threads with sessions. */
TcpBudgetPool *
tcp_budget_pool_new (gsize cap,
                     guint n_threads)
{
  TcpBudgetPool *self = g_new0 (TcpBudgetPool, 1);

  g_atomic_ref_count_init (&self->refs);
  g_mutex_init (&self->mutex);
  self->cap = cap;
  self->n_threads = n_threads;
  self->waiting = g_ptr_array_new ();
  return self;
}

/* Makes the part of a child of @parent. The parts may exceed @parent in total. */
TcpBudgetPool *
tcp_budget_pool_new_child (TcpBudgetPool *parent,
                           gsize          cap)
{
  TcpBudgetPool *self = tcp_budget_pool_new (MIN (cap, parent->cap), parent->n_threads);

  self->parent = tcp_budget_pool_ref (parent);
  return self;
}

/* Sets the number of children among which a quarter is divided. */
void
tcp_budget_pool_set_children (TcpBudgetPool *self,
                              guint          n_children)
{
  self->n_children = n_children;
}

/* Sets whether the pool is not one of the children among which the quarter is divided. */
void
tcp_budget_pool_set_common (TcpBudgetPool *self,
                            gboolean       common)
{
  self->common = common;
}

/* Memory in use beyond @cap stays in use until it is returned. */
void
tcp_budget_pool_set_cap (TcpBudgetPool *self,
                         gsize          cap)
{
  self->cap = self->parent != NULL ? MIN (cap, self->parent->cap) : cap;
}

/* Sets the limit for messages: a property, and its value. @limit is static, or interned. */
void
tcp_budget_pool_set_limit (TcpBudgetPool *self,
                           const char    *limit)
{
  self->limit = limit;
}

gsize
tcp_budget_pool_get_cap (TcpBudgetPool *self)
{
  return self->cap;
}

/* The memory used by all children, on all threads. */
gsize
tcp_budget_pool_get_used (TcpBudgetPool *self)
{
  return self->used;
}

TcpBudgetPool *
tcp_budget_pool_ref (TcpBudgetPool *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_budget_pool_unref (TcpBudgetPool *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  g_assert (self->shares == 0 && self->used == 0 && self->waiting->len == 0);
  g_clear_pointer (&self->parent, tcp_budget_pool_unref);
  g_ptr_array_unref (self->waiting);
  g_mutex_clear (&self->mutex);
  g_free (self);
}

static gsize
pool_mark (TcpBudgetPool *self)
{
  gsize cap = self->cap;

  return cap - cap / 4;
}

/* The part that is set aside for each child. */
static gsize
pool_get_child_part (TcpBudgetPool *self)
{
  guint n = self->n_children;

  return n > 1 ? self->cap / 4 / n : 0;
}

/* The part of the parent that is set aside for this pool. */
static gsize
pool_get_own_part (TcpBudgetPool *self)
{
  return self->parent != NULL && !self->common ? pool_get_child_part (self->parent) : 0;
}

/* Whether to call waiting shares, which is not done for every byte. */
static gboolean
pool_has_room (TcpBudgetPool *self)
{
  if (self->used >= pool_mark (self) - self->cap / 16)
    return FALSE;
  return self->parent == NULL || pool_has_room (self->parent) || self->used < pool_get_own_part (self) / 4 * 3;
}

/* @thread is the current one; it may be NULL if the pool is for one thread only. */
TcpBudget *
tcp_budget_new (TcpBudgetPool *pool,
                TcpIoThread   *thread)
{
  TcpBudget *self = g_new0 (TcpBudget, 1);

  g_atomic_ref_count_init (&self->refs);
  self->pool = tcp_budget_pool_ref (pool);
  self->thread = thread;
  return self;
}

TcpBudget *
tcp_budget_ref (TcpBudget *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_budget_unref (TcpBudget *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  tcp_budget_pool_unref (self->pool);
  g_free (self);
}

/* On all threads. */
gsize
tcp_budget_get_used (TcpBudget *self)
{
  return self->pool->used;
}

/* The portion of the first three quarters for each of @least shares, or of all shares, if these are more. If a
 * principal has a part set aside, each of its shares may have as much of that, however much others use. @self may be
 * NULL. */
gsize
tcp_budget_get_portion (TcpBudget *self,
                        guint      least)
{
  TcpBudgetPool *pool = self != NULL ? self->pool : NULL;
  TcpBudgetPool *all;
  gsize common;

  if (pool == NULL)
    return G_MAXSIZE;

  all = pool->parent != NULL ? pool->parent : pool;
  common = pool_mark (all) / MAX (least, all->shares);
  return MAX (common, pool_get_own_part (pool) / MAX (least, pool->shares));
}

/* @relieved is called, on the thread of the budget, when there is room again after tcp_budget_share_allows () has
 * returned FALSE: perhaps from within tcp_budget_share_set () of any share. */
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
  for (TcpBudgetPool *pool = budget->pool; pool != NULL; pool = pool->parent)
    pool->shares++;
}

/* Waiting. A budget is in the array of the pool, and in that of its parent, as long as a share waits. The waiting share
 * keeps the budget alive. */

static void
share_wait (TcpBudgetShare *self)
{
  TcpBudget *budget = self->budget;

  if (self->waiting)
    return;

  self->waiting = TRUE;
  g_queue_push_tail_link (&budget->waiting, &self->link);
  if (budget->waiting.length > 1)
    return;

  for (TcpBudgetPool *pool = budget->pool; pool != NULL; pool = pool->parent)
    {
      g_mutex_lock (&pool->mutex);
      g_ptr_array_add (pool->waiting, budget);
      pool->n_waiting = pool->waiting->len;
      g_mutex_unlock (&pool->mutex);
    }
}

static void
share_stop_waiting (TcpBudgetShare *self)
{
  TcpBudget *budget = self->budget;

  if (!self->waiting)
    return;

  self->waiting = FALSE;
  g_queue_unlink (&budget->waiting, &self->link);
  if (budget->waiting.length > 0)
    return;

  for (TcpBudgetPool *pool = budget->pool; pool != NULL; pool = pool->parent)
    {
      g_mutex_lock (&pool->mutex);
      g_ptr_array_remove_fast (pool->waiting, budget);
      pool->n_waiting = pool->waiting->len;
      g_mutex_unlock (&pool->mutex);
    }
}

static void
budget_relieve (TcpBudget *self)
{
  guint n = self->waiting.length;

  /* A share that waits again, because the room is not enough, goes to the end. */
  while (n-- > 0 && !g_queue_is_empty (&self->waiting))
    {
      TcpBudgetShare *share = self->waiting.head->data;

      share_stop_waiting (share);
      share->relieved (share->user_data);
    }
}

static void
budget_called (gpointer data)
{
  TcpBudget *self = data;

  self->called = FALSE;
  if (pool_has_room (self->pool))
    budget_relieve (self);
}

static void
pool_call_others (TcpBudgetPool *self,
                  TcpBudget     *caller)
{
  g_mutex_lock (&self->mutex);
  for (guint i = 0; i < self->waiting->len; i++)
    {
      TcpBudget *budget = self->waiting->pdata[i];

      /* A budget whose own principal uses too much would wait again. */
      if (budget != caller && pool_has_room (budget->pool) && !atomic_exchange (&budget->called, TRUE))
        tcp_io_thread_invoke (budget->thread, budget_called, tcp_budget_ref (budget),
                              (GDestroyNotify) tcp_budget_unref);
    }
  g_mutex_unlock (&self->mutex);
}

/* There may be room, for shares of the same principal and of others. */
static void
pool_relieve (TcpBudgetPool *self,
              TcpBudget     *caller)
{
  g_autoptr (TcpBudget) budget = tcp_budget_ref (caller);
  TcpBudgetPool *parent = self->parent;

  if (parent != NULL && parent->n_waiting > 0 && pool_has_room (parent))
    pool_call_others (parent, budget);
  if (self->n_waiting == 0 || !pool_has_room (self))
    return;
  pool_call_others (self, budget);
  budget_relieve (budget);
}

void
tcp_budget_share_clear (TcpBudgetShare *self)
{
  if (self->budget == NULL)
    return;

  share_stop_waiting (self);
  tcp_budget_share_set (self, 0);
  for (TcpBudgetPool *pool = self->budget->pool; pool != NULL; pool = pool->parent)
    pool->shares--;
  g_clear_pointer (&self->budget, tcp_budget_unref);
}

/* Sets how many bytes the session uses now. */
void
tcp_budget_share_set (TcpBudgetShare *self,
                      gsize           held)
{
  TcpBudgetPool *pool = self->budget != NULL ? self->budget->pool : NULL;
  gsize before = self->held;

  self->held = held;
  if (pool == NULL || held == before)
    return;

  pool->used += held - before;
  if (pool->parent != NULL)
    pool->parent->used += held - before;
  if (held < before)
    pool_relieve (pool, self->budget);
}

/* A share's part of the last quarter, which becomes smaller as there are more shares. */
static gsize
pool_get_part (TcpBudgetPool *self)
{
  return self->cap / 4 / self->shares;
}

/* Whether a principal may use @more bytes. The part set aside for it is available whatever others use: these may even
 * exceed the total, for data that was not requested. */
static gboolean
child_has_room (TcpBudgetPool *self,
                gsize          more)
{
  TcpBudgetPool *parent = self->parent;
  gsize used = parent->used;

  if (parent->n_children <= 1)
    return used + more <= parent->cap;
  return used + more <= pool_mark (parent) || self->used + more <= pool_get_own_part (self);
}

static gboolean
share_has_room (TcpBudgetShare *self,
                gsize           more)
{
  TcpBudgetPool *pool = self->budget->pool;
  gsize used = pool->used;

  if (pool->parent != NULL && !child_has_room (pool, more))
    return FALSE;

  /* A share may use more than its part, from a time when the part was larger. */
  return used + more <= pool_mark (pool) ||
         (used + more <= pool->cap && self->held + more <= pool_get_part (pool));
}

/* Whether @more bytes may be added now. */
gboolean
tcp_budget_share_has_room (TcpBudgetShare *self,
                           gsize           more)
{
  return self->budget == NULL || share_has_room (self, more);
}

/* Whether @more bytes may be added. If not, the callback is called when they may. */
gboolean
tcp_budget_share_allows (TcpBudgetShare *self,
                         gsize           more)
{
  if (self->budget == NULL || share_has_room (self, more))
    return TRUE;

  share_wait (self);
  /* Another thread may have freed memory before it could see that this share waits. */
  if (!share_has_room (self, more))
    return FALSE;
  share_stop_waiting (self);
  return TRUE;
}

/* Whether more memory is in use than the limit, which happens with data that was not requested. A principal within its
 * part that is set aside is not affected by the memory of others. */
gboolean
tcp_budget_share_is_overdrawn (TcpBudgetShare *self)
{
  TcpBudgetPool *pool = self->budget != NULL ? self->budget->pool : NULL;
  TcpBudgetPool *parent = pool != NULL ? pool->parent : NULL;

  if (pool == NULL)
    return FALSE;
  return pool->used > pool->cap ||
         (parent != NULL && parent->used > parent->cap && pool->used > pool_get_own_part (pool));
}

/* Returns the limit that was exceeded, or will be next: that of the principal, or that of all. */
const char *
tcp_budget_share_get_limit (TcpBudgetShare *self)
{
  TcpBudgetPool *pool = self->budget != NULL ? self->budget->pool : NULL;
  TcpBudgetPool *parent = pool != NULL ? pool->parent : NULL;
  const char *limit;

  if (parent != NULL && (pool->cap >= parent->cap || (double) pool->used / pool->cap < (double) parent->used / parent->cap))
    pool = parent;
  limit = pool != NULL ? pool->limit : NULL;
  return limit != NULL ? limit : "memory";
}

/* What is left of the first half of @all. */
static gsize
pool_get_growth (TcpBudgetPool *self,
                 gsize          all)
{
  gsize half = all / 2;
  gsize used = self->used; /* read once: MIN would read it twice, and another thread may change it in between */

  return half - MIN (used, half);
}

/* By how much windows may grow: the first half is for that, and the rest for data that cannot wait; and half of the
 * part set aside for a principal, whatever others use. Other threads may give as much at the same moment. */
gsize
tcp_budget_share_get_growth (TcpBudgetShare *self)
{
  TcpBudgetPool *pool = self->budget != NULL ? self->budget->pool : NULL;
  gsize growth;

  if (pool == NULL)
    return G_MAXSIZE;

  growth = pool_get_growth (pool, pool->cap);
  if (pool->parent != NULL)
    {
      gsize common = pool_get_growth (pool->parent, pool->parent->cap);
      gsize own = pool_get_growth (pool, pool_get_own_part (pool));

      growth = MIN (growth, MAX (common, own));
    }
  return growth / pool->n_threads;
}

/* How much each session may use whatever others use, if all keep to that amount. */
gsize
tcp_budget_share_get_part (TcpBudgetShare *self)
{
  return self->budget != NULL ? pool_get_part (self->budget->pool) : G_MAXSIZE;
}
