/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "gateway/dial-queue.h"
#include "gateway/policy.h"
#include "gateway/quota.h"
#include "io/budget.h"
#include "io/rate.h"

G_BEGIN_DECLS

/* The kinds of memory that clients use: see shared.h. */
typedef enum
{
  TCP_MEMORY_DATA,
  TCP_MEMORY_QUEUES,
  TCP_MEMORY_INPUT,
  TCP_N_MEMORY_KINDS,
} TcpMemoryKind;

/* A principal that has or had clients here: its policy, and its share of the limits. */
typedef struct
{
  gatomicrefcount refs;
  char *name;
  gboolean is_unlisted; /* not in the roster; only used on the thread of the server */
  GMutex mutex;
  TcpPolicy *policy; /* under the mutex; a reload replaces it */
  TcpQuotaShare held;
  TcpQuotaShare clients;
  TcpQuotaShare connections;
  TcpQuotaShare reverse_ports;
  atomic_uint arrivals; /* the connections among them that were accepted by listeners of its clients */
  TcpQuotaShare listeners;
  TcpDialShare dials;
  TcpBudgetPool *memory[TCP_N_MEMORY_KINDS]; /* nullable */
  TcpRate *upload;   /* from its clients */
  TcpRate *download; /* to its clients */
} TcpAccount;

/* The part of an account that one thread uses. */
typedef struct
{
  TcpBudget *memory[TCP_N_MEMORY_KINDS];
  TcpRateLane *upload;
  TcpRateLane *download;
  guint n_clients; /* the clients and held WebSockets of the principal on this thread */
} TcpAccountPart;

TcpAccount *tcp_account_new (const char *name,
                             TcpPolicy  *policy);
TcpAccount *tcp_account_ref (TcpAccount *self);
void tcp_account_unref (TcpAccount *self);
TcpPolicy *tcp_account_ref_policy (TcpAccount *self);
void tcp_account_set_policy (TcpAccount *self,
                             TcpPolicy  *policy);

TcpAccountPart *tcp_account_part_new (TcpAccount  *account,
                                      TcpIoThread *thread);
void tcp_account_part_free (TcpAccountPart *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpAccount, tcp_account_unref)

G_END_DECLS
