/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "base/log.h"
#include "tunnel/forward-spec.h"

G_BEGIN_DECLS

/* A TCP port or a Unix socket on which a tunnel listens. Belongs to the I/O thread of the engine. */
typedef struct _TcpPort TcpPort;

typedef void (*TcpPortListenFunc) (TcpPort      *port,
                                   const GError *error,
                                   gpointer      user_data);
typedef void (*TcpPortAcceptFunc) (TcpPort           *port,
                                   GSocketConnection *connection,
                                   GSocketAddress    *peer,
                                   gpointer           user_data);

TcpPort *tcp_port_new (const TcpForwardSpec *spec,
                       TcpLog               *log);
void tcp_port_free (TcpPort *self);
const TcpForwardSpec *tcp_port_get_spec (TcpPort *self);
GSocketAddress *tcp_port_get_address (TcpPort *self);
gboolean tcp_port_is_listening (TcpPort *self);
void tcp_port_listen_async (TcpPort           *self,
                            TcpPortListenFunc  func,
                            gpointer           user_data);
gboolean tcp_port_listen (TcpPort    *self,
                          GPtrArray  *addresses,
                          GError    **error);
gboolean tcp_port_is_accepting (TcpPort *self);
void tcp_port_accept (TcpPort           *self,
                      TcpPortAcceptFunc  func,
                      gpointer           user_data);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpPort, tcp_port_free)

G_END_DECLS
