/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/account.h"

#include "base/ref-count.h"

/* The account has no limits yet. */
TcpAccount *
tcp_account_new (const char *name,
                 TcpPolicy  *policy)
{
  TcpAccount *self = g_new0 (TcpAccount, 1);

  g_atomic_ref_count_init (&self->refs);
  self->name = g_strdup (name);
  g_mutex_init (&self->mutex);
  self->policy = tcp_policy_ref (policy);
  self->upload = tcp_rate_new ();
  self->download = tcp_rate_new ();
  return self;
}

TcpAccount *
tcp_account_ref (TcpAccount *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_account_unref (TcpAccount *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  for (guint i = 0; i < TCP_N_MEMORY_KINDS; i++)
    g_clear_pointer (&self->memory[i], tcp_budget_pool_unref);
  tcp_rate_unref (self->upload);
  tcp_rate_unref (self->download);
  tcp_policy_unref (self->policy);
  g_mutex_clear (&self->mutex);
  g_free (self->name);
  g_free (self);
}

/* Returns a reference to the current policy. */
TcpPolicy *
tcp_account_ref_policy (TcpAccount *self)
{
  TcpPolicy *policy;

  g_mutex_lock (&self->mutex);
  policy = tcp_policy_ref (self->policy);
  g_mutex_unlock (&self->mutex);
  return policy;
}

void
tcp_account_set_policy (TcpAccount *self,
                        TcpPolicy  *policy)
{
  TcpPolicy *former;

  tcp_policy_ref (policy);
  g_mutex_lock (&self->mutex);
  former = self->policy;
  self->policy = policy;
  g_mutex_unlock (&self->mutex);
  tcp_policy_unref (former);
}

/* @thread is the current one. */
TcpAccountPart *
tcp_account_part_new (TcpAccount  *account,
                      TcpIoThread *thread)
{
  TcpAccountPart *self = g_new0 (TcpAccountPart, 1);

  for (guint i = 0; i < TCP_N_MEMORY_KINDS; i++)
    self->memory[i] = tcp_budget_new (account->memory[i], thread);
  self->upload = tcp_rate_lane_new (account->upload, thread);
  self->download = tcp_rate_lane_new (account->download, thread);
  return self;
}

/* Clients that are left keep their own references to what they use of it. */
void
tcp_account_part_free (TcpAccountPart *self)
{
  for (guint i = 0; i < TCP_N_MEMORY_KINDS; i++)
    tcp_budget_unref (self->memory[i]);
  tcp_rate_lane_unref (self->upload);
  tcp_rate_lane_unref (self->download);
  g_free (self);
}
