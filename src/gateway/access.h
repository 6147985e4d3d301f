/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/log.h"
#include "gateway/dial-queue.h"
#include "gateway/quota.h"
#include "gateway/settings.h"
#include "io/budget.h"

G_BEGIN_DECLS

/* Who may use a gateway: tokens, and the principals that they belong to. */
typedef struct _TcpAccess TcpAccess;

/* What clients hold: see shared.h. */
typedef enum
{
  TCP_MEMORY_DATA,
  TCP_MEMORY_QUEUES,
  TCP_MEMORY_INPUT,
  TCP_N_MEMORY_KINDS,
} TcpMemoryKind;

/* Whoever has one of some tokens. It lives as long as the TcpAccess. */
typedef struct
{
  char *name;
  /* Their limits: see tcp_access_share_out () */
  TcpQuotaShare held;        /* WebSockets without a target */
  TcpQuotaShare clients;
  TcpQuotaShare connections;
  TcpDialShare dials;        /* connections that are under way */
  TcpBudgetPool *memory[TCP_N_MEMORY_KINDS];
} TcpPrincipal;

TcpAccess *tcp_access_new (void);
void tcp_access_free (TcpAccess *self);
gboolean tcp_access_add (TcpAccess   *self,
                         const char  *principal,
                         const char  *token,
                         GError     **error);
gboolean tcp_access_add_lines (TcpAccess   *self,
                               const char  *text,
                               gsize        length,
                               const char  *origin,
                               GError     **error);
TcpAccess *tcp_access_load (const char  *token,
                            const char  *file,
                            TcpLog      *log,
                            GError     **error);
void tcp_access_share_out (TcpAccess                *self,
                           const TcpGatewaySettings *settings,
                           guint                     max_clients,
                           TcpBudgetPool           **memory);
guint tcp_access_count_principals (TcpAccess *self);
guint tcp_access_get_size (TcpAccess *self);
TcpPrincipal *tcp_access_find (TcpAccess  *self,
                               const char *token);
TcpPrincipal *tcp_access_find_header (TcpAccess  *self,
                                      const char *authorization);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpAccess, tcp_access_free)

G_END_DECLS
