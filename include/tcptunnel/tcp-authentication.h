/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include <tcptunnel/tcp-version-macros.h>

G_BEGIN_DECLS

#define TCP_TYPE_AUTHENTICATION (tcp_authentication_get_type ())

TCP_TUNNEL_AVAILABLE_IN_1_0
_TCP_TUNNEL_DECLARE_CLASS (TcpAuthentication, tcp_authentication, TCP, AUTHENTICATION, GObject)

TCP_TUNNEL_AVAILABLE_IN_1_0
char *tcp_authentication_dup_token (TcpAuthentication *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
GTlsCertificate *tcp_authentication_get_certificate (TcpAuthentication *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
GSocketAddress *tcp_authentication_get_client_address (TcpAuthentication *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
GSocketAddress *tcp_authentication_get_proxy_address (TcpAuthentication *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
char *tcp_authentication_dup_path (TcpAuthentication *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_authentication_accept (TcpAuthentication *self,
                                    const char *principal,
                                    GDateTime *expires);
TCP_TUNNEL_AVAILABLE_IN_1_0
gboolean tcp_authentication_reject (TcpAuthentication *self,
                                    const char *reason);

G_END_DECLS
