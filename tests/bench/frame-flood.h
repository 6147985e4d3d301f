/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A misbehaving client with a token: until the process ends it sends, as fast as it can, frames that cost the gateway
 * more than they cost the client. It reads the answers, and acknowledges them where necessary. */

typedef enum
{
  FRAME_FLOOD_OPEN_RESET,   /* resumable/1: each stream is reset as soon as it is open */
  FRAME_FLOOD_OPEN_CLOSE,   /* tagged: likewise, and the gateway has to keep each id */
  FRAME_FLOOD_SINGLE_BYTES, /* tagged: on one connection */
} FrameFloodKind;

typedef struct _FrameFlood FrameFlood;

/* Connects. The process ends if the gateway does not accept the client, or closes the connection later. */
FrameFlood *frame_flood_new (guint16 port,
                             const char *token,
                             FrameFloodKind kind);
void frame_flood_run (FrameFlood *self) G_GNUC_NORETURN;
/* Returns the number of frames that the gateway has handled. May be called from any thread. */
guint64 frame_flood_get_handled (FrameFlood *self);

G_END_DECLS
