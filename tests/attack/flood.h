/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Many connections to one port that never become a WebSocket. Each that ends is renewed. */

typedef enum
{
  FLOOD_SILENT,  /* no byte */
  FLOOD_TRICKLE, /* a byte of a request each second */
  FLOOD_HELLO,   /* a ClientHello, then nothing */
  FLOOD_HALF,    /* half a request, then nothing */
} FloodKind;

typedef struct
{
  guint16 port;
  FloodKind kind;
  gboolean many;  /* from many addresses of 127.0.0.0/8, else from one */
  guint sockets;
  guint rate;     /* new connections a second, at most */
} FloodOptions;

/* Never returns. A line on stdout when the first of them have been opened. */
void flood_run (const FloodOptions *options) G_GNUC_NORETURN;

G_END_DECLS
