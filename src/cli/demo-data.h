/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include <stdatomic.h>

G_BEGIN_DECLS

/* The data that both ends of the demo's connections send: lines, and bulk data that a number, the seed, determines. So
 * the receiving end can compare every byte. */

typedef struct
{
  _Atomic guint64 bytes;
  /* If this is not 0, the function is called each time that this many more bytes have arrived, in the thread that has
   * received them. */
  _Atomic guint64 part;
  void (*func) (guint64  bytes,
                gpointer data);
  gpointer data;
} DemoCount;

gboolean demo_data_send (GOutputStream  *out,
                         guint64         bytes,
                         guint64         seed,
                         GError        **error);
gboolean demo_data_receive (GInputStream  *in,
                            guint64        bytes,
                            guint64        seed,
                            DemoCount     *count,
                            GError       **error);

/* The answer of the service when data arrived unchanged. */
#define DEMO_DATA_WHOLE "whole"

GBufferedInputStream *demo_data_reader (GSocketConnection *connection);
char *demo_data_read_line (GBufferedInputStream  *in,
                           GError               **error);
gboolean demo_data_write_line (GOutputStream  *out,
                               GError        **error,
                               const char     *format,
                               ...) G_GNUC_PRINTF (3, 4);

G_END_DECLS
