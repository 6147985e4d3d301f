/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The targets of a gateway: its own, and the named ones. They come from the configuration, so that their addresses are
 * not checked. Without I/O; it does not change, and may be used on all threads. */
typedef struct _TcpTargets TcpTargets;

TcpTargets *tcp_targets_new (const char         *own,
                             const char *const  *named,
                             GError            **error);
TcpTargets *tcp_targets_ref (TcpTargets *self);
void tcp_targets_unref (TcpTargets *self);
const char *tcp_targets_get_own (TcpTargets *self);
const char *tcp_targets_find (TcpTargets *self,
                              const char *name);
GPtrArray *tcp_targets_get_names (TcpTargets *self);
gboolean tcp_targets_equal (TcpTargets *self,
                            TcpTargets *other);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpTargets, tcp_targets_unref)

G_END_DECLS
