/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The ids of sessions that have ended, to tell clients that come back for one, up to a number. Beyond that
 * the oldest is forgotten of the owner that has most, so that none can make the ids of others be forgotten
 * that has more than they. Owners are names, as a principal may be forgotten before the ids of its sessions. */
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
