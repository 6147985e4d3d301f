/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "gateway/principal-spec.h"
#include "gateway/settings.h"
#include "gateway/target-rules.h"
#include "gateway/targets.h"

G_BEGIN_DECLS

/* What a principal may do at a gateway. It does not change, and may be used on all threads; a reload makes new ones. */
typedef struct
{
  gatomicrefcount refs;
  TcpTargets *targets;    /* the named targets of the gateway */
  TcpTargetRules *rules;  /* which of these, and which other targets, its clients may request */
  gboolean allows_own;    /* whether they may request none, and so get the gateway's own target */
  gboolean checks_own;    /* the address of that target is checked as well, since only a list allows it */
  guint max_sessions;     /* this and the next three: 0 for the share that access.c computes */
  guint max_connections;
  guint max_dials;
  guint64 max_memory;     /* in bytes */
  guint dial_rate;        /* per second, as the next two; 0 for no limit */
  guint64 upload_rate;    /* in bytes */
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
