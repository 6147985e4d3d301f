/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "base/log.h"

G_BEGIN_DECLS

/* A socket that listens already, such as one that a service manager passes to the program. */
gboolean tcp_listen_socket_check (GSocket  *socket,
                                  GError  **error);
GPtrArray *tcp_listen_socket (GSocket         *socket,
                              TcpLog          *log,
                              GSocketAddress **address,
                              GError         **error);

G_END_DECLS
