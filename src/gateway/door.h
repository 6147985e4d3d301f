/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <libsoup/soup.h>
#include "io/buffered-connection.h"
#include "io/log-limit.h"
#include "websocket/group.h"

G_BEGIN_DECLS

/* The port of a gateway. It accepts TCP connections, speaks TLS if there is a certificate,
 * reads the head of the request, and hands to libsoup only those that may become a
 * WebSocket: complete, well-formed, and without a body. A pending connection has a deadline,
 * and there are only so many: beyond that each new one evicts the oldest of the address that
 * has most. Nobody has to wait since others are silent. */
typedef struct _TcpDoor TcpDoor;

TcpDoor *tcp_door_new (SoupServer      *soup,
                       GTlsCertificate *certificate,
                       guint            timeout,
                       TcpChannelGroup *group,
                       TcpLog          *log,
                       TcpLogLimit     *refusals);
GSocketAddress *tcp_door_open (TcpDoor    *self,
                               GPtrArray  *addresses,
                               GError    **error);
GSocket *tcp_door_admit (TcpDoor                *self,
                         SoupServerMessage      *message,
                         TcpBufferedConnection **buffered);
void tcp_door_free (TcpDoor *self);

G_END_DECLS
