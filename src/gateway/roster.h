/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "gateway/policy.h"
#include "gateway/tokens.h"

G_BEGIN_DECLS

/* Who may use a gateway, and what each may do, according to its settings, its token file and its principals. It does
 * not change, and may be used on all threads; a reload makes another. It may be large: the last reference must not be
 * dropped on an I/O thread. */
typedef struct _TcpRoster TcpRoster;

TcpRoster *tcp_roster_load (const TcpGatewaySettings *settings,
                            GPtrArray                *principals,
                            TcpLog                   *log,
                            GError                  **error);
TcpRoster *tcp_roster_ref (TcpRoster *self);
void tcp_roster_unref (TcpRoster *self);
TcpTokens *tcp_roster_get_tokens (TcpRoster *self);
GTlsDatabase *tcp_roster_get_client_ca (TcpRoster *self);
gboolean tcp_roster_asks (TcpRoster *self);
gboolean tcp_roster_has (TcpRoster  *self,
                         const char *name);
TcpTargets *tcp_roster_get_targets (TcpRoster *self);
guint tcp_roster_count (TcpRoster *self);
TcpPolicy *tcp_roster_get_general_policy (TcpRoster *self);
TcpPolicy *tcp_roster_get_policy (TcpRoster  *self,
                                  const char *name);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpRoster, tcp_roster_unref)

G_END_DECLS
