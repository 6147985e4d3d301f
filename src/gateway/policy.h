/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "gateway/principal-spec.h"
#include "gateway/settings.h"
#include "gateway/target-rules.h"
#include "gateway/targets.h"

G_BEGIN_DECLS

/* What a gateway lets a principal do. It does not change, and may be used on all threads; a reload makes others. */
typedef struct
{
  gatomicrefcount refs;
  TcpTargets *targets;    /* that the gateway knows, */
  TcpTargetRules *rules;  /* which of these and of others its clients may ask for, */
  gboolean allows_own;    /* and whether they may ask for nothing, which is for that of the gateway, */
  gboolean checks_own;    /* of which the address is checked as well, since it is only in a list */
  guint max_sessions;     /* of these, 0 is for what access.c gives each principal */
  guint max_connections;
  guint max_dials;
  guint64 max_memory;     /* bytes */
  guint dial_rate;        /* a second, as what follows; 0: without limit */
  guint64 upload_rate;    /* bytes */
  guint64 download_rate;
} TcpPolicy;

TcpPolicy *tcp_policy_new (const TcpGatewaySettings *settings,
                           GError                  **error);
TcpPolicy *tcp_policy_new_for (TcpPolicy               *general,
                               const TcpPrincipalSpec  *spec,
                               GError                 **error);
const char *tcp_policy_find_target (const TcpPolicy *self,
                                    const char      *asked,
                                    gboolean        *is_configured);
gboolean tcp_policy_has_same_targets (const TcpPolicy *self,
                                      const TcpPolicy *other);
TcpPolicy *tcp_policy_ref (TcpPolicy *self);
void tcp_policy_unref (TcpPolicy *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpPolicy, tcp_policy_unref)

G_END_DECLS
