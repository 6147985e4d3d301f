/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

#include "cli/demo-data.h"

G_BEGIN_DECLS

/* A transfer over several connections, and its result. */
typedef struct
{
  const char *name; /* NULL to show nothing */
  guint n_up;    /* connections that send to the service */
  guint n_down;  /* connections that receive from it */
  guint64 bytes; /* of each connection */

  gint64 elapsed; /* in µs */
  double rate;    /* bytes per second, in total */
} DemoTransfer;

gboolean demo_transfer_run (DemoTransfer  *self,
                            guint16        port,
                            DemoCount     *arrived,
                            GError       **error);

G_END_DECLS
