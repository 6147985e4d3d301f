/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The host names with which the admin listener may be accessed. Any web page can let its own name resolve to 127.0.0.1,
 * and a browser would then treat the listener as the same origin (DNS rebinding); but the page cannot change the Host
 * header. */
typedef struct _AdminHosts AdminHosts;

AdminHosts *admin_hosts_new (const char        *own,
                             const char *const *further);
void admin_hosts_free (AdminHosts *self);
gboolean admin_hosts_allow (const AdminHosts *self,
                            const char       *header);

G_END_DECLS
