/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "gateway/dial-lane.h"
#include "gateway/dial-queue.h"
#include "gateway/target-rules.h"
#include "gateway/target.h"
#include "protocol/protocol.h"

G_BEGIN_DECLS

/* A connection to a target that is being opened: it waits for its turn, for the addresses, and for the target. It
 * belongs to one thread. */
typedef struct _TcpDial TcpDial;

/* A client in the queue and in the lane. */
typedef struct
{
  TcpDialCaller in_queue;
  TcpDialLaneCaller in_lane;
} TcpDialClient;

/* Called once: with the connection, or with NULL and the reason. May free the dial, which is not freed otherwise. */
typedef void (*TcpDialFunc) (GSocketConnection *connection,
                             TcpResetCode       code,
                             const char        *why,
                             gpointer           user_data);

TcpDial *tcp_dial_new (TcpDialQueue   *queue,
                       TcpDialLane    *lane,
                       TcpDialClient  *client,
                       TcpTarget      *target,
                       guint16         port,
                       TcpTargetRules *rules,
                       TcpIoThread    *thread,
                       guint           timeout,
                       TcpDialFunc     func,
                       gpointer        user_data);
gboolean tcp_dial_is_unresolved (TcpDial *self);
TcpDialObstacle tcp_dial_get_obstacle (TcpDial *self);
void tcp_dial_set_rules (TcpDial        *self,
                         TcpTargetRules *rules);
void tcp_dial_free (TcpDial *self);

G_END_DECLS
