/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io/pool.h"

G_BEGIN_DECLS

/* The memory that all sessions of a gateway may use together. When three quarters of it are in use, a session may have
 * only its share of the last quarter, so that no session can starve the others. Independently of that, a session may
 * use as much as it needs to continue without others: a single message, or the initial window of one stream. This
 * memory, and the piece that a session reads before it knows that it is too much, is not counted here, or exceeds the
 * limit: a gateway sets memory aside for each of its clients, and limits their number accordingly.
 *
 * A pool may have children, one for each principal, which may use no more than their own limit. Their memory counts in
 * both pools. A quarter of the parent is set aside for them in equal parts: each has its part even while others exceed
 * the limit.
 *
 * The sessions run on several I/O threads. Memory in use is counted in a pool, whose numbers are atomic; each thread
 * has a budget of the pool, which belongs to that thread together with its shares. Since each thread decides for
 * itself, each may exceed the limit by one message. */
typedef struct _TcpBudgetPool TcpBudgetPool;
typedef struct _TcpBudget TcpBudget;

typedef void (*TcpBudgetFunc) (gpointer user_data);

/* The part of one session. */
typedef struct
{
  TcpBudget *budget; /* NULL: without limit */
  gsize held;
  TcpBudgetFunc relieved;
  gpointer user_data;
  GList link; /* among those that wait */
  gboolean waiting;
} TcpBudgetShare;

TcpBudgetPool *tcp_budget_pool_new (gsize cap,
                                    guint n_threads);
TcpBudgetPool *tcp_budget_pool_new_child (TcpBudgetPool *parent,
                                          gsize          cap);
void tcp_budget_pool_set_children (TcpBudgetPool *self,
                                   guint          n_children);
void tcp_budget_pool_set_common (TcpBudgetPool *self,
                                 gboolean       common);
void tcp_budget_pool_set_cap (TcpBudgetPool *self,
                              gsize          cap);
gsize tcp_budget_pool_get_cap (TcpBudgetPool *self);
void tcp_budget_pool_set_limit (TcpBudgetPool *self,
                                const char    *limit);
gsize tcp_budget_pool_get_used (TcpBudgetPool *self);
TcpBudgetPool *tcp_budget_pool_ref (TcpBudgetPool *self);
void tcp_budget_pool_unref (TcpBudgetPool *self);

TcpBudget *tcp_budget_new (TcpBudgetPool *pool,
                           TcpIoThread   *thread);
TcpBudget *tcp_budget_ref (TcpBudget *self);
void tcp_budget_unref (TcpBudget *self);
gsize tcp_budget_get_used (TcpBudget *self);
gsize tcp_budget_get_portion (TcpBudget *self,
                              guint      least);

void tcp_budget_share_init (TcpBudgetShare *self,
                            TcpBudget      *budget,
                            TcpBudgetFunc   relieved,
                            gpointer        user_data);
void tcp_budget_share_clear (TcpBudgetShare *self);
void tcp_budget_share_set (TcpBudgetShare *self,
                           gsize           held);
gboolean tcp_budget_share_has_room (TcpBudgetShare *self,
                                    gsize           more);
gboolean tcp_budget_share_allows (TcpBudgetShare *self,
                                  gsize           more);
gboolean tcp_budget_share_is_overdrawn (TcpBudgetShare *self);
const char *tcp_budget_share_get_limit (TcpBudgetShare *self);
gsize tcp_budget_share_get_growth (TcpBudgetShare *self);
gsize tcp_budget_share_get_part (TcpBudgetShare *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpBudgetPool, tcp_budget_pool_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpBudget, tcp_budget_unref)

G_END_DECLS
