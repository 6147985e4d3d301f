/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Sockets on 127.0.0.1 for the test doubles. All functions assert that they succeed. */

/* Port 0 selects any free port. A bound socket that does not listen keeps its port from being used otherwise, and
 * connections to it are refused. */
int socket_bind (guint16 port,
                 guint16 *bound_port);
int socket_listen (guint16 port,
                   guint16 *bound_port);
guint16 socket_find_port (void);
guint16 socket_find_ports (guint n);
int socket_start_connect (guint16 port);
void socket_set_blocking (int fd,
                          gboolean blocking);

/* Closes with a reset in place of an orderly end. */
void socket_reset (int fd);

G_END_DECLS
