/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "base/log.h"
#include "io/acceptor.h"
#include "io/listen-unix.h"

G_BEGIN_DECLS

/* Where to listen: on the socket if there is one, otherwise at the path if there is one, otherwise at the hostname. */
typedef struct
{
  char *hostname;
  guint port;
  char *socket_path;
  GSocket *socket;
} TcpPortSpec;

void tcp_port_spec_copy (TcpPortSpec       *self,
                         const TcpPortSpec *from);
void tcp_port_spec_clear (TcpPortSpec *self);
gboolean tcp_port_spec_check (const TcpPortSpec  *self,
                              GError            **error);
gboolean tcp_port_spec_is_hostname (const TcpPortSpec *self);

/* A TCP port or a Unix socket on which an endpoint listens. Belongs to one I/O thread. */
typedef struct _TcpPort TcpPort;

typedef void (*TcpPortListenFunc) (const GError *error,
                                   gpointer      user_data);

TcpPort *tcp_port_new (const TcpPortSpec *spec,
                       TcpLog            *log);
TcpPort *tcp_port_new_inherited (GPtrArray           *sockets,
                                 const TcpSocketFile *file,
                                 TcpLog              *log);
void tcp_port_free (TcpPort *self);
GSocketAddress *tcp_port_get_address (TcpPort *self);
GSocket *tcp_port_get_socket (TcpPort *self,
                              guint    index);
const TcpSocketFile *tcp_port_get_file (TcpPort *self);
gboolean tcp_port_is_listening (TcpPort *self);
void tcp_port_listen_async (TcpPort           *self,
                            TcpPortListenFunc  func,
                            gpointer           user_data);
gboolean tcp_port_listen (TcpPort    *self,
                          GPtrArray  *addresses,
                          GError    **error);
gboolean tcp_port_is_accepting (TcpPort *self);
void tcp_port_accept (TcpPort       *self,
                      TcpAcceptFunc  func,
                      gpointer       user_data);
void tcp_port_set_resting (TcpPort  *self,
                           gboolean  resting);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpPort, tcp_port_free)

G_END_DECLS
