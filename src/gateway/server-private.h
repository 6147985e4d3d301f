/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "gateway/guest.h"
#include "gateway/held.h"
#include "gateway/listener.h"
#include "gateway/request.h"
#include "gateway/server.h"
#include "io/pool.h"
#include "io/reactor.h"
#include "session/budget.h"
#include "websocket/group.h"

G_BEGIN_DECLS

struct _TcpServer
{
  gatomicrefcount refs;
  TcpIoThread *thread;
  TcpGatewaySettings *settings;
  TcpAccess *access;
  TcpLog *log;
  TcpStatus *status;
  TcpEventQueue *events;

  /* From here on only touched on the I/O thread. */
  GCancellable *resolving;
  TcpListener *listener;
  TcpChannelGroup *channels;
  TcpBudget *budget;
  GHashTable *guests;   /* set of TcpGuest */
  GHashTable *sessions; /* id → TcpGuest, of those that have an id */
  GHashTable *gone;     /* id → its link in the order */
  GQueue gone_order;    /* of ids, the oldest first; owned by the table */
  GHashTable *held;     /* id → TcpHeld */
  gboolean started;
  gboolean draining;
  GArray *drains; /* ids of those who wait for it */
  TcpTimer *drain_deadline;
  gboolean closed;
};

TcpGuest *tcp_server_find_or_add_guest (TcpServer  *self,
                                        TcpRequest *request);
gboolean tcp_server_may_hold (TcpServer  *self,
                              TcpRequest *request);
void tcp_server_hold (TcpServer  *self,
                      TcpRequest *request,
                      TcpChannel *channel);

/* handshake.c */
TcpRequest *tcp_server_examine (TcpUpgrade *upgrade,
                                TcpRefusal *refusal,
                                gpointer    user_data);
void tcp_server_open (TcpRequest            *request,
                      GIOStream             *stream,
                      TcpBufferedConnection *buffered,
                      GSocket               *socket,
                      gpointer               user_data);

G_END_DECLS
