/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include <stdatomic.h>

G_BEGIN_DECLS

/* What both ends of the demo's connections speak: lines, and bulk data that
 * is made up from a seed and summed up as it passes. */

typedef struct
{
  _Atomic guint64 bytes;
  /* Called whenever another part is complete, unless that is 0, by whoever adds to it. */
  _Atomic guint64 part;
  void (*func) (guint64  bytes,
                gpointer data);
  gpointer data;
} DemoCount;

char *demo_data_send (GOutputStream  *out,
                      guint64         bytes,
                      guint64         seed,
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
