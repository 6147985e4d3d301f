/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"
#include "session/dialect.h"

/* A message in pieces: each begins with a byte for its length, and the rest is the last. */
int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize         size)
{
  TcpDialectDecoder decoder = { 0 };
  gboolean first = TRUE;

  while (size > 0)
    {
      gsize length = MIN (data[0], size - 1);
      TcpDialectFrame frame = { 0 };

      data++;
      size--;
      tcp_dialect_raw.decode (&decoder, data, length, first, size == length, &frame);
      g_assert_cmpint (frame.kind, ==, length > 0 ? TCP_DIALECT_DATA : TCP_DIALECT_NOTHING);
      if (frame.kind == TCP_DIALECT_DATA)
        {
          g_assert_cmpuint (frame.id, ==, TCP_RAW_ID);
          g_assert_true (frame.data == data);
          g_assert_cmpuint (frame.length, ==, length);
        }
      else
        {
          g_assert_nonnull (frame.reason);
        }
      data += length;
      size -= length;
      first = FALSE;
    }

  return 0;
}
