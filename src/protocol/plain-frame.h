/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/buffer.h"

G_BEGIN_DECLS

/* The frames of raw and tagged: raw sends the bytes of its connection as they are, tagged sends an id before each piece
 * of data, and an id alone for the end. Without I/O. */

/* The id of the only connection of raw. */
#define TCP_RAW_ID 1

typedef enum
{
  TCP_PLAIN_NOTHING, /* ignored; the reason says why */
  TCP_PLAIN_DATA,
  TCP_PLAIN_END,
} TcpPlainKind;

typedef struct
{
  TcpPlainKind kind;
  guint32 id;
  const guint8 *data;
  gsize length;
  const char *reason; /* static */
} TcpPlainFrame;

/* The state between the parts of one message. */
typedef struct
{
  guint8 tag[4];
  guint have;       /* bytes of the tag */
  gboolean payload; /* data has followed the tag */
} TcpTagDecoder;

void tcp_raw_decode (const guint8  *data,
                     gsize          length,
                     TcpPlainFrame *frame);
void tcp_tagged_decode (TcpTagDecoder *decoder,
                        const guint8  *data,
                        gsize          length,
                        gboolean       first,
                        gboolean       last,
                        TcpPlainFrame *frame);
void tcp_tagged_push_tag (TcpBuffer *buffer,
                          guint32    id);
TcpBuffer *tcp_tagged_encode_end (guint32 id);

G_END_DECLS
