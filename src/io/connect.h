/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Opens a TCP connection without a proxy. For a known address this needs no thread and no GSource; for a name, or
 * several addresses, it uses a GSocketClient. The errors are those of GSocketClient in both cases. */
typedef struct _TcpConnect TcpConnect;

/* @connection is NULL if there is an @error. */
typedef void (*TcpConnectFunc) (GSocketConnection *connection,
                                const GError      *error,
                                gpointer           user_data);

GSocketAddress *tcp_connect_get_literal (const char *host,
                                         guint16     port);
TcpConnect *tcp_connect_new (GSocketConnectable *where,
                             TcpConnectFunc      func,
                             gpointer            user_data);
void tcp_connect_free (TcpConnect *self);

G_END_DECLS
