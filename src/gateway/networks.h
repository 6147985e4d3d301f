/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* IP addresses and networks, such as those of trusted proxies. The object does not change. */
typedef struct _TcpNetworks TcpNetworks;

TcpNetworks *tcp_networks_parse (const char *const  *texts,
                                 GError            **error);
void tcp_networks_free (TcpNetworks *self);
gboolean tcp_networks_contain (const TcpNetworks *self,
                               GInetAddress      *address);

GInetAddressMask *tcp_network_parse (const char *text);
GInetAddress *tcp_address_normalize (GInetAddress *address);
GInetAddress *tcp_address_get (GSocketAddress *address);
guint16 tcp_address_get_port (GSocketAddress *address);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpNetworks, tcp_networks_free)

G_END_DECLS
