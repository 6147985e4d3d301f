/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A TCP connection to an address that is known: no name is looked up, no proxy is asked for, and
 * no thread and no GSource is needed for it. Errors read as those of GSocketClient, which is for
 * all else. */
typedef struct _TcpConnect TcpConnect;

/* @connection is NULL if there is an @error. */
typedef void (*TcpConnectFunc) (GSocketConnection *connection,
                                const GError      *error,
                                gpointer           user_data);

GSocketAddress *tcp_connect_get_literal (const char *host,
                                         guint16     port);
TcpConnect *tcp_connect_new (GSocketAddress *address,
                             TcpConnectFunc  func,
                             gpointer        user_data);
void tcp_connect_free (TcpConnect *self);

G_END_DECLS
