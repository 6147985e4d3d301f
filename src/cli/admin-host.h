/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* By which names the admin listener may be asked for. A page of anybody can have its own name lead to 127.0.0.1, and
 * would then be taken by a browser for one of the same origin (DNS rebinding); but it cannot have another Host. */
typedef struct _AdminHosts AdminHosts;

AdminHosts *admin_hosts_new (const char        *own,
                             const char *const *further);
void admin_hosts_free (AdminHosts *self);
gboolean admin_hosts_allow (const AdminHosts *self,
                            const char       *header);

G_END_DECLS
