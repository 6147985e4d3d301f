/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "gateway/account.h"
#include "gateway/settings.h"
#include "gateway/roster.h"

G_BEGIN_DECLS

/* Who may use a gateway: the roster, and the accounts of the principals that have connected. It belongs to one thread;
 * an account may be used on all. */
typedef struct _TcpAccess TcpAccess;

/* The limits that all principals share. */
typedef struct
{
  const TcpGatewaySettings *settings;
  TcpQuota *held; /* WebSockets without a target */
  TcpQuota *clients;
  TcpQuota *connections;
  TcpQuota *listeners; /* for reverse tunnels */
  TcpDialQueue *dials; /* connections that are being opened */
  TcpQuota *reverse_ports;
  TcpBudgetPool *memory[TCP_N_MEMORY_KINDS];
} TcpAccessLimits;

TcpAccess *tcp_access_new (const TcpAccessLimits *limits);
void tcp_access_free (TcpAccess *self);
void tcp_access_set_roster (TcpAccess *self,
                            TcpRoster *roster);
TcpRoster *tcp_access_get_roster (TcpAccess *self);
TcpAccount *tcp_access_get_account (TcpAccess  *self,
                                        const char *name);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpAccess, tcp_access_free)

G_END_DECLS
