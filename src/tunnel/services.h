/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "session/session.h"
#include "tunnel/settings.h"

G_BEGIN_DECLS

/* The services of this end to which TCP clients of the gateway are connected: requests the listeners, and connects to
 * the services. Each link has its own. Belongs to its I/O thread. */
typedef struct _TcpServices TcpServices;

typedef struct
{
  /* The gateway listens for this service. */
  void (*listening) (TcpServices *services,
                     const char  *host,
                     guint16      port,
                     gpointer     user_data);
  /* The gateway does not listen, and repeating the request would not help. */
  void (*failed) (TcpServices  *services,
                  const GError *error,
                  gpointer      user_data);
  /* A TCP client has connected; @from is its address, or NULL if it is not known. */
  void (*stream_opened) (TcpServices    *services,
                         TcpStream      *stream,
                         GSocketAddress *from,
                         gpointer        user_data);
} TcpServicesCallbacks;

TcpServices *tcp_services_new (const TcpTunnelSettings    *settings,
                               TcpSession                 *session,
                               TcpLog                     *log,
                               const TcpServicesCallbacks *callbacks,
                               gpointer                    user_data);
void tcp_services_free (TcpServices *self);
void tcp_services_begin (TcpServices *self);
gboolean tcp_services_are_listening (TcpServices *self);
void tcp_services_lost (TcpServices *self);
void tcp_services_arrived (TcpServices *self,
                           TcpStream   *stream,
                           guint32      listener,
                           const char  *from);
void tcp_services_stream_closed (TcpServices *self,
                                 TcpStream   *stream);
void tcp_services_listening (TcpServices *self,
                             guint32      listener,
                             const char  *host,
                             guint16      port);
void tcp_services_unlistened (TcpServices  *self,
                              guint32       listener,
                              TcpResetCode  code,
                              const GError *error);

G_END_DECLS
