/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

/* The live line of a tunnel, during the lifetime of this object. */
typedef struct _Status TunnelLine;

TunnelLine *tunnel_line_new (TcpTunnel  *tunnel,
                    const char *before);
TunnelLine *tunnel_line_new_row (TcpTunnel  *tunnel,
                        const char *name,
                        guint       name_width);
TunnelLine *tunnel_line_new_titles (guint name_width);
void tunnel_line_free (TunnelLine *self);
void tunnel_line_retry (TunnelLine       *self,
                   const GError *error,
                   guint         delay);
void tunnel_line_end (TunnelLine     *self,
                 const char *reason);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TunnelLine, tunnel_line_free)

G_END_DECLS
