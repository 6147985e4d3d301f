/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Clients with a token. Each asks for a WebSocket, and tries again at once when its connection
 * ends without one. */

typedef struct
{
  guint16 port;
  gboolean tls;
  gboolean elsewhere; /* from 127.0.0.2 */
  const char *token;
} ValidOptions;

/* One after the other for this long. Prints on stdout how many there were, and the longest that
 * one had to wait for its 101, in ms. */
void valid_run_one (const ValidOptions *options,
                    guint seconds);
/* One after the other for this long, each with a session of its own in which it opens a connection to an echo and makes
 * round trips. Prints how many there were, how many attempts they made, the longest that one
 * waited for its session with its connection or for a round trip, and within what time 99 of 100 round trips were made, in ms. */
void valid_run_talks (const ValidOptions *options,
                      guint seconds);
/* So many at once. Prints how many there were, and when the last had its 101. */
void valid_run_all (const ValidOptions *options,
                    guint count);

G_END_DECLS
