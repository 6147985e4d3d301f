/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

#include "cli/demo-data.h"
#include "cli/demo-server.h"

G_BEGIN_DECLS

/* Cuts the network below a tunnel repeatedly, as data arrives through it, and shows the reaction of the tunnel. */
typedef struct _DemoCutter DemoCutter;

DemoCutter *demo_cutter_new (TcpGateway *gateway);
void demo_cutter_free (DemoCutter *self);
DemoCount *demo_cutter_get_count (DemoCutter *self);
void demo_cutter_begin (DemoCutter *self,
                        TcpTunnel  *tunnel,
                        DemoServer *relay,
                        guint64     bytes);
gboolean demo_cutter_end (DemoCutter  *self,
                          GError     **error);
guint demo_cutter_get_cuts (DemoCutter *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DemoCutter, demo_cutter_free)

G_END_DECLS
