/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/log.h"
#include "base/status.h"
#include "endpoint/event-queue.h"
#include "gateway/access.h"
#include "gateway/counters.h"
#include "gateway/quota.h"
#include "gateway/reverse-ports.h"
#include "gateway/settings.h"
#include "gateway/target.h"
#include "io/budget.h"

G_BEGIN_DECLS

/* The data that the I/O threads of a gateway share: what does not change while it runs, what is safe to use from any
 * thread, and atomic numbers. */

typedef struct
{
  TcpGatewaySettings *settings;
  TcpAccess *access; /* only used on the thread of the server */
  TcpReversePorts *reverse_ports;
  TcpLog *log;
  TcpStatus *status;
  TcpCounters *counters;
  TcpEventQueue *events;
  gsize memory; /* in bytes: the part of max-memory that is set aside neither for each client nor for pending
                 * connections */
  gsize pending_memory; /* for connections that are not a WebSocket yet */
  /* For data that is not acknowledged, and windows that have grown; for data in the initial windows of connections; and
   * for messages that were received in part, and WebSockets that belong to no session any more. */
  TcpBudgetPool *pools[TCP_N_MEMORY_KINDS];
  guint most_clients; /* the number for which memory is set aside */
  TcpQuota clients;
  TcpQuota connections;
  TcpQuota held; /* WebSockets without a target */
  TcpQuota listeners; /* for reverse tunnels */
  TcpDialQueue *dials;
  TcpTargetBook *target_book;
} TcpShared;

TcpShared *tcp_shared_new (const TcpGatewaySettings *settings,
                           TcpIoThread              *thread,
                           TcpLog                   *log,
                           TcpStatus                *status,
                           TcpCounters              *counters,
                           TcpEventQueue            *events);
void tcp_shared_reconfigure (TcpShared                *self,
                             const TcpGatewaySettings *settings,
                             TcpReversePorts          *reverse_ports,
                             TcpRoster                *roster);
TcpShared *tcp_shared_ref (TcpShared *self);
void tcp_shared_unref (TcpShared *self);

G_END_DECLS
