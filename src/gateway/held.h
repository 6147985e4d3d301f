/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "gateway/request.h"
#include "io/log-limit.h"
#include "websocket/channel.h"

G_BEGIN_DECLS

/* A WebSocket that is held without a target, because its raw session has ended. limrun's client connects again after
 * every close of a WebSocket, for as long as its TCP client stays, and cannot be informed of an end: a refusal with 410
 * would end the whole tunnel, and after a WebSocket that is closed at once it would open another, without end. */
typedef struct _TcpHeld TcpHeld;

/* The client has closed the WebSocket, or it broke. The callback may free the object. */
typedef void (*TcpHeldFunc) (TcpHeld  *held,
                             gpointer  user_data);

TcpHeld *tcp_held_new (const TcpRequest *request,
                       TcpChannel       *channel,
                       TcpLogLimit      *warnings,
                       TcpHeldFunc       ended,
                       gpointer          user_data);
void tcp_held_replace (TcpHeld    *self,
                       TcpChannel *channel);
void tcp_held_free (TcpHeld *self);
const char *tcp_held_get_session_id (TcpHeld *self);
TcpAccount *tcp_held_get_principal (TcpHeld *self);

G_END_DECLS
