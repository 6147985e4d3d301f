/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Clients with a token. Each requests a WebSocket, and tries again at once when its connection ends without one. */

typedef struct
{
  guint16 port;
  gboolean tls;
  gboolean elsewhere; /* from 127.0.0.2 */
  const char *token;
} ValidOptions;

/* Runs one client after the other for this time. Prints to stdout their number, and the longest time until the 101,
 * in milliseconds. */
void valid_run_one (const ValidOptions *options,
                    guint seconds);
/* Runs one client after the other for this time, each with a session of its own in which it opens a connection to an
 * echo and makes round trips. Prints their number, the number of their attempts, the longest wait for a session with its
 * connection or for a round trip, and the 99th percentile of the round trips, in milliseconds. */
void valid_run_talks (const ValidOptions *options,
                      guint seconds);
/* Runs @count clients at once. Prints their number, and the time until the last one had its 101. */
void valid_run_all (const ValidOptions *options,
                    guint count);

G_END_DECLS
