/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A client of a gateway that has a token and no manners: it sends frames that cost the gateway more than they
 * weigh, as fast as it can, until the process ends. What comes back it reads, and acknowledges where it must. */

typedef enum
{
  FRAME_FLOOD_OPEN_RESET,   /* resumable/1: a stream is gone as soon as it is there */
  FRAME_FLOOD_OPEN_CLOSE,   /* tagged: likewise, and each id is to be remembered */
  FRAME_FLOOD_SINGLE_BYTES, /* tagged: on one connection */
} FrameFloodKind;

typedef struct _FrameFlood FrameFlood;

/* Connects. It ends the process if the gateway does not accept it, or later closes the connection. */
FrameFlood *frame_flood_new (guint16 port,
                             const char *token,
                             FrameFloodKind kind);
void frame_flood_run (FrameFlood *self) G_GNUC_NORETURN;
/* How many frames the gateway has handled. From any thread. */
guint64 frame_flood_get_handled (FrameFlood *self);

G_END_DECLS
