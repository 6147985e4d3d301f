/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "tunnel/dialer.h"

G_BEGIN_DECLS

/* The limit on goodbyes that wait. Beyond it the oldest is dropped. */
#define TCP_FAREWELLS_MAX 256

/* Goodbyes of ended sessions that the gateway may not have read: until then it keeps the session needlessly. Each
 * goodbye is sent again on a WebSocket of its own, a few times. No caller waits for that; but the object is a member of
 * the channel group meanwhile. */
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
