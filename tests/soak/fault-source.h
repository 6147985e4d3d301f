/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>
#include "fault-proxy.h"

G_BEGIN_DECLS

/* Causes failures in a fault proxy, from a thread of its own: every 50 to 300 ms something happens to the link,
 * unless @tunnel has not been able to connect for a while: where a handshake takes longer than that, because the machine
 * is busy, the session would time out before the tunnel reconnects. The kinds of failures, their places and their times
 * depend on the seed alone. */
typedef struct _FaultSource FaultSource;

FaultSource *fault_source_new (FaultProxy *proxy,
                               TcpTunnel *tunnel,
                               guint32 seed);
/* Ends the failures, and returns a text that lists them. */
char *fault_source_stop (FaultSource *source);

G_END_DECLS
