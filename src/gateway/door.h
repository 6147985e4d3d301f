/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <libsoup/soup.h>
#include "base/log.h"
#include "channel/group.h"

G_BEGIN_DECLS

/* The port of a gateway. It accepts TCP connections, with TLS if there is a
 * certificate, and hands them to libsoup for the HTTP; one that does not ask for a
 * WebSocket in time has to leave, and there are only so many at once. libsoup's own
 * listener knows neither bound. */
typedef struct _TcpDoor TcpDoor;

TcpDoor *tcp_door_new (SoupServer      *soup,
                       GTlsCertificate *certificate,
                       guint            timeout,
                       TcpChannelGroup *group,
                       TcpLog          *log);
GSocketAddress *tcp_door_open (TcpDoor    *self,
                               GPtrArray  *addresses,
                               GError    **error);
GSocket *tcp_door_admit (TcpDoor           *self,
                         SoupServerMessage *message);
void tcp_door_free (TcpDoor *self);

G_END_DECLS
