/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "protocol/plain-frame.h"

#include <string.h>

#define TAG_SIZE 4

/* @frame points into @data, which may be a part of a message. */
void
tcp_raw_decode (const guint8  *data,
                gsize          length,
                TcpPlainFrame *frame)
{
  frame->kind = length > 0 ? TCP_PLAIN_DATA : TCP_PLAIN_NOTHING;
  frame->id = TCP_RAW_ID;
  frame->data = data;
  frame->length = length;
  frame->reason = "an empty message";
}

void
tcp_tagged_decode (TcpTagDecoder *decoder,
                   const guint8  *data,
                   gsize          length,
                   gboolean       first,
                   gboolean       last,
                   TcpPlainFrame *frame)
{
  guint32 tag;

  if (first)
    *decoder = (TcpTagDecoder) { 0 };
  while (decoder->have < TAG_SIZE && length > 0)
    {
      decoder->tag[decoder->have++] = *data++;
      length--;
    }
  decoder->payload |= length > 0;

  memcpy (&tag, decoder->tag, TAG_SIZE);
  frame->id = GUINT32_FROM_BE (tag);
  frame->data = data;
  frame->length = length;

  if (length > 0)
    {
      frame->kind = TCP_PLAIN_DATA;
    }
  else if (last && decoder->have == TAG_SIZE && !decoder->payload)
    {
      frame->kind = TCP_PLAIN_END;
    }
  else
    {
      frame->kind = TCP_PLAIN_NOTHING;
      frame->reason = last && decoder->have < TAG_SIZE ? "a message shorter than 4 bytes"
                                                       : "an empty piece of a message";
    }
}

/* Makes a message of data of the stream. */
void
tcp_tagged_push_tag (TcpBuffer *buffer,
                     guint32    id)
{
  guint32 tag = GUINT32_TO_BE (id);

  tcp_buffer_push (buffer, &tag, TAG_SIZE);
}

TcpBuffer *
tcp_tagged_encode_end (guint32 id)
{
  TcpBuffer *buffer = tcp_buffer_new (0);

  tcp_tagged_push_tag (buffer, id);
  return buffer;
}
