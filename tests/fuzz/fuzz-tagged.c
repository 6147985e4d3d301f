/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"
#include "protocol/plain-frame.h"

#include <string.h>

/* The result of decoding a message, in whatever pieces. */
typedef struct
{
  GByteArray *payload;
  guint ends;
} Result;

static void
decode_piece (TcpTagDecoder *decoder,
              const guint8  *data,
              gsize          length,
              gboolean       first,
              gboolean       last,
              guint32        id,
              Result        *result)
{
  TcpPlainFrame frame = { 0 };

  tcp_tagged_decode (decoder, data, length, first, last, &frame);
  switch (frame.kind)
    {
    case TCP_PLAIN_NOTHING:
      g_assert_nonnull (frame.reason);
      return;

    case TCP_PLAIN_DATA:
      g_assert_cmpuint (frame.length, >, 0);
      g_assert_true (frame.data >= data && frame.data + frame.length == data + length);
      g_byte_array_append (result->payload, frame.data, frame.length);
      break;

    case TCP_PLAIN_END:
      g_assert_true (last);
      result->ends++;
      break;
    }

  g_assert_cmpuint (frame.id, ==, id);
}

static guint32
get_id (const guint8 *message,
        gsize         size)
{
  guint32 tag = 0;

  memcpy (&tag, message, MIN (size, 4));
  return GUINT32_FROM_BE (tag);
}

static void
check (const guint8 *message,
       gsize         size,
       const Result *result)
{
  gsize payload = size > 4 ? size - 4 : 0;

  g_assert_cmpmem (result->payload->data, result->payload->len, message + size - payload, payload);
  g_assert_cmpuint (result->ends, ==, size == 4 ? 1 : 0);
}

static void
check_encode (const guint8 *message,
              gsize         size)
{
  g_autoptr (TcpBuffer) buffer = tcp_buffer_new (size);

  if (size < 4)
    return;

  memcpy (buffer->payload, message + 4, size - 4);
  buffer->length = size - 4;
  tcp_tagged_push_tag (buffer, get_id (message, size));
  g_assert_cmpmem (buffer->payload, buffer->length, message, size);
}

/* The first 8 bytes are the lengths of pieces; the rest are two messages of half its length each, for one decoder. */
int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize         size)
{
  TcpTagDecoder decoder = { 0 };
  const guint8 *cuts = data;

  if (size < 8)
    return 0;
  data += 8;
  size -= 8;

  for (guint i = 0; i < 2; i++)
    {
      gsize length = i == 0 ? size / 2 : size - size / 2;
      const guint8 *message = i == 0 ? data : data + size / 2;
      guint32 id = get_id (message, length);
      Result result = { .payload = g_byte_array_new () };
      gsize at = 0;

      for (guint k = 0; k < 4; k++)
        {
          gsize n = MIN (cuts[i * 4 + k] % 8, length - at);

          decode_piece (&decoder, message + at, n, k == 0, FALSE, id, &result);
          at += n;
        }
      decode_piece (&decoder, message + at, length - at, FALSE, TRUE, id, &result);
      check (message, length, &result);
      check_encode (message, length);
      g_byte_array_unref (result.payload);
    }

  return 0;
}
