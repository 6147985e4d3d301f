/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Which targets clients may ask for. Pure. */
typedef struct _TcpTargetRules TcpTargetRules;

TcpTargetRules *tcp_target_rules_new (const char *const  *patterns,
                                      GError            **error);
void tcp_target_rules_free (TcpTargetRules *self);
gboolean tcp_target_rules_allow (TcpTargetRules *self,
                                 const char     *target);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpTargetRules, tcp_target_rules_free)

G_END_DECLS
