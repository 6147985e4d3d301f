/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The two ways to part with a TCP connection: politely, and so that the peer notices. */
void tcp_linger (GSocketConnection *connection);
void tcp_socket_close_with_reset (GSocket *socket);

G_END_DECLS
