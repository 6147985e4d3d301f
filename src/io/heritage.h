/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Sockets that the next program in this process inherits. */

guint64 tcp_socket_get_inode (int fd);
void tcp_socket_set_inherited (int      fd,
                               guint64  inode,
                               gboolean inherited);
void tcp_socket_set_doomed (int      fd,
                            guint64  inode,
                            gboolean doomed);
GSocket *tcp_socket_inherit (int     fd,
                             guint64 inode);

G_END_DECLS
