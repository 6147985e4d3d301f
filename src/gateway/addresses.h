/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The addresses of a name that was looked up, with a port: where GSocketClient may connect to, trying one after
 * the other. It does not change. */
#define TCP_TYPE_ADDRESSES (tcp_addresses_get_type ())
G_DECLARE_FINAL_TYPE (TcpAddresses, tcp_addresses, TCP, ADDRESSES, GObject)

GSocketConnectable *tcp_addresses_new (GList   *addresses,
                                       guint16  port);

/* Whether it may be connected to. */
typedef gboolean (*TcpAddressFunc) (GInetAddress *address,
                                    guint16       port,
                                    gpointer      user_data);
GSocketConnectable *tcp_addresses_filter (GSocketConnectable *where,
                                          TcpAddressFunc      func,
                                          gpointer            user_data);

G_END_DECLS
