/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session/dialect.h"

#include <string.h>

/* limrun's multiplexed mode: a 4-byte id before each piece of a stream, and an id
 * alone to end it. */
#define TAG_SIZE 4

static void
tagged_decode (TcpDialectDecoder *decoder,
               const guint8      *data,
               gsize              length,
               gboolean           first,
               gboolean           last,
               TcpDialectFrame   *frame)
{
  guint32 tag;

  if (first)
    *decoder = (TcpDialectDecoder) { 0 };
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
      frame->kind = TCP_DIALECT_DATA;
    }
  else if (last && decoder->have == TAG_SIZE && !decoder->payload)
    {
      frame->kind = TCP_DIALECT_END;
    }
  else
    {
      frame->kind = TCP_DIALECT_NOTHING;
      frame->reason = last && decoder->have < TAG_SIZE ? "a message shorter than 4 bytes"
                                                       : "an empty piece of a message";
    }
}

static void
tagged_encode_data (TcpBuffer *buffer,
                    guint32    id)
{
  guint32 tag = GUINT32_TO_BE (id);

  tcp_buffer_push (buffer, &tag, TAG_SIZE);
}

static TcpBuffer *
tagged_encode_end (guint32 id)
{
  TcpBuffer *buffer = tcp_buffer_new (0);

  tagged_encode_data (buffer, id);
  return buffer;
}

const TcpDialect tcp_dialect_tagged = {
  .name = "tagged",
  .multiplexed = TRUE,
  .decode = tagged_decode,
  .encode_data = tagged_encode_data,
  .encode_end = tagged_encode_end,
};
