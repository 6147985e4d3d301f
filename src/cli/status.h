/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

/* The live line of a tunnel, for as long as this exists. */
typedef struct _Status Status;

Status *status_new (TcpTunnel  *tunnel,
                    const char *before);
Status *status_new_row (TcpTunnel  *tunnel,
                        const char *name,
                        guint       name_width);
Status *status_new_titles (guint name_width);
void status_free (Status *self);
void status_retry (Status       *self,
                   const GError *error,
                   guint         delay);
void status_end (Status     *self,
                 const char *reason);

const char *status_state_name (TcpTunnelState state);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Status, status_free)

G_END_DECLS
