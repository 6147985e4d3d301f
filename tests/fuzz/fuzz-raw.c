/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"
#include "protocol/plain-frame.h"

/* A message in pieces: each begins with a byte for its length; the last one is the rest. */
int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize         size)
{
  while (size > 0)
    {
      gsize length = MIN (data[0], size - 1);
      TcpPlainFrame frame = { 0 };

      data++;
      size--;
      tcp_raw_decode (data, length, &frame);
      g_assert_cmpint (frame.kind, ==, length > 0 ? TCP_PLAIN_DATA : TCP_PLAIN_NOTHING);
      if (frame.kind == TCP_PLAIN_DATA)
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
    }

  return 0;
}
