/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A stream from which something was read already: it gives that once more, and goes on with
 * what the stream beneath has. Writing and closing pass through. */
GIOStream *tcp_primed_stream_new (GIOStream *base,
                                  GBytes    *first);

G_END_DECLS
