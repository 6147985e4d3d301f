/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "base/buffer.h"

G_BEGIN_DECLS

/* WebSocket frames (RFC 6455, section 5). Without I/O. */

#define TCP_FRAME_MAX_HEADER 14
#define TCP_FRAME_MAX_CONTROL 125

typedef enum
{
  TCP_FRAME_CONTINUATION = 0x0,
  TCP_FRAME_TEXT = 0x1,
  TCP_FRAME_BINARY = 0x2,
  TCP_FRAME_CLOSE = 0x8,
  TCP_FRAME_PING = 0x9,
  TCP_FRAME_PONG = 0xa,
} TcpFrameOpcode;

typedef struct
{
  gboolean fin;
  TcpFrameOpcode opcode;
  gboolean masked;
  guint32 mask; /* in wire order */
  guint64 payload;
  guint header;
} TcpFrameHeader;

#define tcp_frame_is_control(opcode) ((0x8 & (opcode)) != 0)

gssize tcp_frame_header_parse (TcpFrameHeader *self,
                               const guint8   *data,
                               gsize           length,
                               GError        **error);
void tcp_frame_wrap (TcpBuffer      *buffer,
                     TcpFrameOpcode  opcode,
                     gboolean        masked,
                     guint32         mask);
void tcp_frame_unwrap (TcpBuffer *buffer);
void tcp_frame_mask (guint8  *data,
                     gsize    length,
                     guint32  mask);

G_END_DECLS
