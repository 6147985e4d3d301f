/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The addresses to which a name was resolved, with a port. GSocketClient tries them one after the other. The object
 * does not change. */
#define TCP_TYPE_ADDRESSES (tcp_addresses_get_type ())
G_DECLARE_FINAL_TYPE (TcpAddresses, tcp_addresses, TCP, ADDRESSES, GObject)

GSocketConnectable *tcp_addresses_new (GList   *addresses,
                                       guint16  port);

/* Whether a connection to this address is allowed. */
typedef gboolean (*TcpAddressFunc) (GInetAddress *address,
                                    guint16       port,
                                    gpointer      user_data);
GSocketConnectable *tcp_addresses_filter (GSocketConnectable *where,
                                          TcpAddressFunc      func,
                                          gpointer            user_data);

G_END_DECLS
