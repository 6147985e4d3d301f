/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Who may use a gateway: tokens, and the principals that they belong to. */
typedef struct _TcpAccess TcpAccess;

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
guint tcp_access_get_size (TcpAccess *self);
const char *tcp_access_find (TcpAccess  *self,
                             const char *token);
const char *tcp_access_find_header (TcpAccess  *self,
                                    const char *authorization);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpAccess, tcp_access_free)

G_END_DECLS
