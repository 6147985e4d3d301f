/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Many connections to one port that never become a WebSocket. Each that ends is replaced by a new one. */

typedef enum
{
  FLOOD_SILENT,  /* no byte */
  FLOOD_TRICKLE, /* one byte of a request per second */
  FLOOD_HELLO,   /* a ClientHello, then nothing */
  FLOOD_HALF,    /* half a request, then nothing */
} FloodKind;

typedef struct
{
  guint16 port;
  FloodKind kind;
  gboolean many;  /* from many addresses of 127.0.0.0/8, else from one */
  guint sockets;
  guint rate;     /* the maximum of new connections per second */
} FloodOptions;

/* Never returns. Writes a line to stdout when @sockets connections have been opened. */
void flood_run (const FloodOptions *options) G_GNUC_NORETURN;

G_END_DECLS
