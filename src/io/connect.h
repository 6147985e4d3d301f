/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A TCP connection to which no proxy leads. To an address that is known no thread and no GSource is needed for it;
 * a name, or one of several addresses, is for a GSocketClient. Errors read as those of that in either case. */
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
