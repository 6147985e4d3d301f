/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The targets that clients may request. Without I/O; it does not change, and may be used on all threads. */
typedef struct _TcpTargetRules TcpTargetRules;

TcpTargetRules *tcp_target_rules_new (const char *const  *patterns,
                                      GError            **error);
gboolean tcp_target_rules_equal (TcpTargetRules *self,
                                 TcpTargetRules *other);
TcpTargetRules *tcp_target_rules_ref (TcpTargetRules *self);
void tcp_target_rules_unref (TcpTargetRules *self);
gboolean tcp_target_rules_allow (TcpTargetRules *self,
                                 const char     *target);

gboolean tcp_target_rules_allow_address (TcpTargetRules *self,
                                         GInetAddress   *address,
                                         guint16         port);
gboolean tcp_target_rules_allow_connection (TcpTargetRules    *self,
                                            GSocketConnection *connection);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpTargetRules, tcp_target_rules_unref)

G_END_DECLS
