/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The file descriptors of the process. All tunnels and gateways share them with the program; none has a share of its
 * own. The kernel assigns the lowest free number, so the number of a new descriptor shows how many are open in the
 * whole process.
 *
 * New connections are refused when few are left. The rest is for further needs of existing connections, such as another
 * WebSocket, for connections that linger, and for the program. */

guint tcp_descriptors_get_limit (void);
const char *tcp_descriptors_get_advice (void);
gboolean tcp_descriptors_suffice (int fd);
gboolean tcp_descriptors_try (guint    n,
                              GError **error);
gboolean tcp_descriptors_check_start (const char  *noun,
                                      GError     **error);
gboolean tcp_descriptors_are_left (void);

G_END_DECLS
