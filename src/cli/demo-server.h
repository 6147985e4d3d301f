/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

#include "cli/demo-data.h"

G_BEGIN_DECLS

/* A TCP server on a loopback port of its own, with a thread for each connection. */
typedef struct _DemoServer DemoServer;

/* Serves a connection until it ends; @id is its number, from 1. */
typedef void (*DemoServerFunc) (GSocketConnection *connection,
                                guint              id,
                                gpointer           data);

DemoServer *demo_server_new (DemoServerFunc   func,
                             gpointer         data,
                             GError         **error);
void demo_server_free (DemoServer *self);
guint16 demo_server_get_port (DemoServer *self);
gboolean demo_server_cut (DemoServer *self);

/* The network between tunnel and gateway, which demo_server_cut () breaks. */
DemoServer *demo_relay_new (guint16   port,
                            GError  **error);

/* The target of the gateway: demo-service.c describes its commands. */
DemoServer *demo_service_new (DemoCount  *arrived,
                              GError    **error);

guint16 demo_get_port (TcpEndpoint *endpoint);
GSocketConnection *demo_connect (guint16   port,
                                 GError  **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DemoServer, demo_server_free)

G_END_DECLS
