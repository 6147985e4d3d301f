/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

#define LINK_INPUT_SIZE (16 * 1024)

typedef enum
{
  OPCODE_CONTINUATION = 0x0,
  OPCODE_BINARY = 0x2,
  OPCODE_CLOSE = 0x8,
  OPCODE_PING = 0x9,
  OPCODE_PONG = 0xa,
} Opcode;

typedef struct
{
  guint8 opcode;
  guint64 length;  /* the length of the rest of the payload */
  guint8 mask[4];
  gsize mask_offset;
} Frame;

/* One accepted socket. Threads write in turns, in the order in which they asked for them: with a plain mutex, the
 * thread that blasts could starve the one that echoes. */
typedef struct
{
  int fd;
  gboolean websocket;
  gboolean tagged;
  gboolean shared; /* another thread writes while this one reads */

  GMutex lock;
  GCond turn;
  guint64 next_turn;
  guint64 current_turn;

  guint8 input[LINK_INPUT_SIZE];
  gsize start;
  gsize end;
} Link;

Link *link_new (int fd);
void link_free (Link *link);

void link_begin_turn (Link *link);
void link_end_turn (Link *link);

/* The caller needs a turn. Without a WebSocket this sends the payload alone. */
gboolean link_write (Link *link,
                     Opcode opcode,
                     guint32 id,
                     const void *payload,
                     gsize length);
gboolean link_write_zeros (Link *link,
                           guint32 id,
                           gsize length);
gboolean link_write_in_turn (Link *link,
                             Opcode opcode,
                             guint32 id,
                             const void *payload,
                             gsize length);

gboolean link_fill (Link *link,
                    gsize length);
gboolean link_upgrade (Link *link);
gboolean link_read_frame (Link *link,
                          Frame *frame);
gboolean link_take (Link *link,
                    Frame *frame,
                    void *data,
                    gsize length);
gssize link_drop (Link *link,
                  gsize length);

G_END_DECLS
