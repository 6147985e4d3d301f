/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "websocket/frame.h"

G_BEGIN_DECLS

/* A data frame with a payload up to this size is returned in one piece. */
#define TCP_FRAME_MAX_WHOLE (256 * 1024)

/* The size of a buffer for such a frame. */
#define TCP_FRAME_READER_SIZE (TCP_FRAME_MAX_WHOLE + TCP_FRAME_MAX_HEADER)

/* A frame of up to this size always fits into a small buffer, with the header of a protocol. */
#define TCP_FRAME_SMALL (16 * 1024)

/* Splits the bytes of a WebSocket into frames. Without I/O.
 *
 * There is a buffer only while it contains data, so that an idle WebSocket has none. It is small, or large enough for a
 * frame that is returned in one piece. */
typedef struct
{
  gboolean masked; /* whether the peer must mask */
  guint8 *buffer;
  gsize capacity; /* of the buffer */
  gsize start;
  gsize end;
  gboolean in_message; /* the last data frame was not final */
  guint64 frame_left;  /* of a frame that is returned in parts */
  gboolean frame_final;
  guint32 frame_mask;
} TcpFrameReader;

typedef struct
{
  TcpFrameOpcode opcode;
  guint8 *payload; /* unmasked; valid until tcp_frame_reader_trim () or get_room (), for a control frame until the next
                    * call */
  gsize length;
  /* of data, which may be a part of a message */
  gboolean first;
  gboolean last;
  /* of a control frame, as received */
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
