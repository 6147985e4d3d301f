/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include <stdatomic.h>

G_BEGIN_DECLS

/* What both ends of the demo's connections speak: lines, and bulk data that
 * is made up from a seed and summed up as it passes. */

typedef _Atomic guint64 DemoCount;

char *demo_data_send (GOutputStream  *out,
                      guint64         bytes,
                      guint64         seed,
                      DemoCount      *count,
                      GError        **error);
char *demo_data_receive (GInputStream  *in,
                         guint64        bytes,
                         DemoCount     *count,
                         GError       **error);

GBufferedInputStream *demo_data_reader (GSocketConnection *connection);
char *demo_data_read_line (GBufferedInputStream  *in,
                           GError               **error);
gboolean demo_data_write_line (GOutputStream  *out,
                               GError        **error,
                               const char     *format,
                               ...) G_GNUC_PRINTF (3, 4);

G_END_DECLS
