/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "tunnel/opener.h"
#include "tunnel/proxy-request.h"

G_BEGIN_DECLS

/* A TCP client of a proxy, which names its target: reads its request, requests a stream for it, and answers. Nothing
 * behind the request is read before the gateway has connected. It begins with a TcpOpener. */
typedef struct _TcpProxyClient TcpProxyClient;

typedef struct
{
  /* The request is complete: the client must be served, as an opener. */
  void (*asked) (TcpProxyClient *client,
                 gpointer        user_data);
  /* The client was refused, for that reason. */
  void (*refused) (TcpProxyClient *client,
                   const char     *why,
                   gpointer        user_data);
  /* The client has ended, and must be freed. */
  void (*ended) (TcpProxyClient *client,
                 gpointer        user_data);
} TcpProxyClientCallbacks;

TcpProxyClient *tcp_proxy_client_new (const TcpProxyClass           *class,
                                      GSocketConnection             *connection,
                                      GSocketAddress                *peer,
                                      const TcpProxyClientCallbacks *callbacks,
                                      gpointer                       user_data);
void tcp_proxy_client_start (TcpProxyClient *self,
                             guint           timeout);
void tcp_proxy_client_free (TcpProxyClient *self);

G_END_DECLS
