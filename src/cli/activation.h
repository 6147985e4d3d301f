/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The sockets that the service manager passes to the command: sd_listen_fds(3). */
void activation_init (void);
gboolean activation_has_sockets (void);
GSocket *activation_take (const char  *name,
                          GError     **error);
GPtrArray *activation_take_all (const char  *name,
                                GError     **error);
void activation_warn_of_rest (void);

G_END_DECLS
