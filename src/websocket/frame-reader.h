/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "websocket/frame.h"

G_BEGIN_DECLS

/* A data frame with a payload up to this size is given in one piece. */
#define TCP_FRAME_MAX_WHOLE (256 * 1024)

/* How large a buffer is that takes such a frame. */
#define TCP_FRAME_READER_SIZE (TCP_FRAME_MAX_WHOLE + TCP_FRAME_MAX_HEADER)

/* A frame of up to this size always fits into a small buffer, with what a protocol adds to it. */
#define TCP_FRAME_SMALL (16 * 1024)

/* Takes the bytes of a WebSocket apart into frames. Pure: it neither reads nor waits.
 *
 * There is a buffer only while bytes wait in it, so that an idle WebSocket has none. It is small, or large
 * enough for a frame that is given in one piece. */
typedef struct
{
  gboolean masked; /* what the peer has to do */
  guint8 *buffer;
  gsize capacity; /* of the buffer */
  gsize start;
  gsize end;
  gboolean in_message; /* the last data frame was not final */
  guint64 frame_left;  /* of a frame too large to wait for */
  gboolean frame_final;
  guint32 frame_mask;
} TcpFrameReader;

typedef struct
{
  TcpFrameOpcode opcode;
  guint8 *payload; /* unmasked; until tcp_frame_reader_trim() or get_room(), of a control frame the next call */
  gsize length;
  /* Of data: it may be a piece of a message. */
  gboolean first;
  gboolean last;
  /* Of a control frame, as it came. */
  const guint8 *frame;
  gsize frame_length;
  guint8 control[TCP_FRAME_MAX_CONTROL + 1];
} TcpFrame;

void tcp_frame_reader_init (TcpFrameReader *self,
                            gboolean        masked);
void tcp_frame_reader_clear (TcpFrameReader *self);
gsize tcp_frame_reader_get_memory (TcpFrameReader *self);
guint8 *tcp_frame_reader_get_room (TcpFrameReader *self,
                                   gboolean        large,
                                   gsize          *size);
void tcp_frame_reader_add (TcpFrameReader *self,
                           gsize           length);
void tcp_frame_reader_trim (TcpFrameReader *self);
gboolean tcp_frame_reader_next (TcpFrameReader  *self,
                                TcpFrame        *frame,
                                GError         **error);

G_END_DECLS
