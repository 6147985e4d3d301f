/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The ids of sessions that have ended, so that a client that returns for one gets the right error. Their number is
 * limited. Beyond it, the oldest id of the owner with the most ids is removed, so that no owner can displace the ids of
 * owners with fewer. Owners are names, as a principal may be freed before the ids of its sessions. */
typedef struct _TcpGone TcpGone;

typedef void (*TcpGoneFunc) (const char *owner,
                             const char *id,
                             gpointer    user_data);

TcpGone *tcp_gone_new (guint max);
void tcp_gone_free (TcpGone *self);
void tcp_gone_add (TcpGone    *self,
                   const char *owner,
                   const char *id);
void tcp_gone_foreach (TcpGone     *self,
                       TcpGoneFunc  func,
                       gpointer     user_data);
gboolean tcp_gone_contains (TcpGone    *self,
                            const char *id);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpGone, tcp_gone_free)

G_END_DECLS
