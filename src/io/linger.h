/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The two ways to close a TCP connection: in order, and with a reset. */
void tcp_linger (GSocketConnection *connection);
void tcp_socket_close_with_reset (GSocket *socket);

G_END_DECLS
