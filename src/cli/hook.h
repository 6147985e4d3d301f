/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

/* A command that is run once a tunnel is ready, and ended with the tunnel. */
typedef struct _Hook Hook;

/* Called with a description of the failure, or NULL. */
typedef void (*HookFunc) (const char *problem,
                          gpointer    data);

Hook *hook_new (const char  *command,
                const char  *name,
                TcpTunnel   *tunnel,
                HookFunc     ended,
                gpointer     data,
                GError     **error);
void hook_free (Hook *self);
gboolean hook_is_running (Hook *self);
void hook_stop (Hook *self);
void hook_kill (Hook *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Hook, hook_free)

G_END_DECLS
