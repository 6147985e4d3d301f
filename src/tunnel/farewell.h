/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "tunnel/dialer.h"

G_BEGIN_DECLS

/* So many wait at a time. Beyond that the oldest is given up. */
#define TCP_FAREWELLS_MAX 256

/* Goodbyes of sessions that are over, of which it is not known that the gateway has read them:
 * until it has, it keeps the session for nothing. Each is sent again on a WebSocket of its own, a
 * few times. Nothing waits for that; but it is a member of the channel group meanwhile. */
typedef struct _TcpFarewells TcpFarewells;

TcpFarewells *tcp_farewells_new (TcpDialer       *dialer,
                                 TcpChannelGroup *group,
                                 TcpLog          *log);
void tcp_farewells_free (TcpFarewells *self);
void tcp_farewells_add (TcpFarewells *self,
                        GUri         *uri,
                        GQueue       *frames,
                        TcpChannel   *channel,
                        guint         patience);

G_END_DECLS
