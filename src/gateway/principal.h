/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "gateway/dial-queue.h"
#include "gateway/quota.h"
#include "io/budget.h"

G_BEGIN_DECLS

/* What clients hold: see shared.h. */
typedef enum
{
  TCP_MEMORY_DATA,
  TCP_MEMORY_QUEUES,
  TCP_MEMORY_INPUT,
  TCP_N_MEMORY_KINDS,
} TcpMemoryKind;

/* Whoever has one of some tokens; and what that one has of the limits. */
typedef struct
{
  gatomicrefcount refs;
  char *name;
  TcpQuotaShare held;
  TcpQuotaShare clients;
  TcpQuotaShare connections;
  TcpQuotaShare reverse_ports;
  atomic_uint arrivals; /* of the connections, those that came to its listeners */
  TcpQuotaShare listeners;
  TcpDialShare dials;
  TcpBudgetPool *memory[TCP_N_MEMORY_KINDS]; /* nullable */
} TcpPrincipal;

TcpPrincipal *tcp_principal_new (const char *name);
TcpPrincipal *tcp_principal_ref (TcpPrincipal *self);
void tcp_principal_unref (TcpPrincipal *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpPrincipal, tcp_principal_unref)

G_END_DECLS
