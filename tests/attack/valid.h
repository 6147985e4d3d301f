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
/* So many at once. Prints how many there were, and when the last had its 101. */
void valid_run_all (const ValidOptions *options,
                    guint count);

G_END_DECLS
