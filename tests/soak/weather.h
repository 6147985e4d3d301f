/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>
#include "fault-proxy.h"

G_BEGIN_DECLS

/* Bad weather over a fault proxy, from a thread of its own: every 50 to 300 ms something happens to
 * the link, unless @tunnel has not been able to connect for a while: where a handshake takes longer than
 * that, because the machine is busy, it would never come back before its session times out. What, where and
 * when else follows from the seed alone. */
typedef struct _Weather Weather;

Weather *weather_new (FaultProxy *proxy,
                      TcpTunnel *tunnel,
                      guint32 seed);
/* The sky is clear again, and nothing else will happen. Tells what did. */
char *weather_stop (Weather *weather);

G_END_DECLS
