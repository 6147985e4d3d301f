/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/log.h"

G_BEGIN_DECLS

/* Reports that connections may have died silently: the machine got or lost an address or a default route, or has slept.
 * It reports nothing if the kernel does not provide the information. All objects of a process share one watch.
 *
 * Belongs to one thread. */
typedef struct _TcpNetwork TcpNetwork;

/* May do anything, including freeing the object. */
typedef void (*TcpNetworkFunc) (gpointer user_data);

TcpNetwork *tcp_network_new (TcpLog         *log,
                             TcpNetworkFunc  changed,
                             gpointer        user_data);
void tcp_network_free (TcpNetwork *self);

/* Two clocks, in microseconds: only @boot continues while the machine sleeps. */
typedef struct
{
  gint64 monotonic;
  gint64 boot;
} TcpNetworkClocks;

gboolean tcp_network_has_slept (const TcpNetworkClocks *before,
                                const TcpNetworkClocks *now);
gboolean tcp_network_is_change (gconstpointer messages,
                                gsize         length);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpNetwork, tcp_network_free)

G_END_DECLS
