/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Many TCP connections that carry a stream of test_fill () in each direction; both ends check every byte, and that
 * nothing follows. Any error ends the process. */

/* The far end: the first bytes of each connection contain what the client wants. */
typedef struct _TrafficServer TrafficServer;

TrafficServer *traffic_server_new (void);
void traffic_server_free (TrafficServer *server);
char *traffic_server_get_address (TrafficServer *server);

/* The near end, on a thread of its own: @streams connections to @port at once, each of which sends @up and requests
 * @down bytes. */
typedef struct _TrafficRun TrafficRun;

TrafficRun *traffic_run_new (guint16 port,
                             guint streams,
                             guint64 up,
                             guint64 down,
                             guint32 seed);
gboolean traffic_run_is_done (TrafficRun *run);
void traffic_run_free (TrafficRun *run);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TrafficServer, traffic_server_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TrafficRun, traffic_run_free)

G_END_DECLS
