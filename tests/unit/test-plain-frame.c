/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "protocol/plain-frame.h"
#include "test-util.h"

#include <string.h>

typedef struct
{
  gboolean raw;
  TcpTagDecoder decoder;
  TcpPlainFrame frame;
} Decode;

static TcpPlainKind
decode (Decode       *decode,
        const void   *data,
        gsize         length,
        gboolean      first,
        gboolean      last)
{
  decode->frame = (TcpPlainFrame) { 0 };
  if (decode->raw)
    tcp_raw_decode (data, length, &decode->frame);
  else
    tcp_tagged_decode (&decode->decoder, data, length, first, last, &decode->frame);
  return decode->frame.kind;
}

#define assert_data(d, wanted_id, wanted, wanted_length)                          \
  G_STMT_START                                                                    \
  {                                                                               \
    g_assert_cmpint ((d)->frame.kind, ==, TCP_PLAIN_DATA);                      \
    g_assert_cmpuint ((d)->frame.id, ==, wanted_id);                              \
    g_assert_cmpmem ((d)->frame.data, (d)->frame.length, wanted, wanted_length);  \
  }                                                                               \
  G_STMT_END

static void
test_raw_decode (void)
{
  Decode raw = { .raw = TRUE };

  decode (&raw, "abc", 3, TRUE, TRUE);
  assert_data (&raw, TCP_RAW_ID, "abc", 3);
  decode (&raw, "de", 2, TRUE, FALSE);
  assert_data (&raw, TCP_RAW_ID, "de", 2);
  decode (&raw, "f", 1, FALSE, TRUE);
  assert_data (&raw, TCP_RAW_ID, "f", 1);

  g_assert_cmpint (decode (&raw, "", 0, TRUE, TRUE), ==, TCP_PLAIN_NOTHING);
  g_assert_cmpint (decode (&raw, "", 0, TRUE, FALSE), ==, TCP_PLAIN_NOTHING);
  g_assert_nonnull (raw.frame.reason);
}

static void
test_tagged_encode (void)
{
  g_autoptr (TcpBuffer) buffer = tcp_buffer_new (16);
  g_autoptr (TcpBuffer) end = tcp_tagged_encode_end (0xfffefdfc);

  memcpy (buffer->payload, "abc", 3);
  buffer->length = 3;
  tcp_tagged_push_tag (buffer, 0x01020304);
  g_assert_cmpmem (buffer->payload, buffer->length, "\1\2\3\4abc", 7);
  g_assert_cmpmem (end->payload, end->length, "\xff\xfe\xfd\xfc", 4);
}

static void
test_tagged_whole (void)
{
  Decode tagged = { 0 };

  decode (&tagged, "\0\0\0\1x", 5, TRUE, TRUE);
  assert_data (&tagged, 1, "x", 1);
  decode (&tagged, "\xff\xff\xff\xffyz", 6, TRUE, TRUE);
  assert_data (&tagged, G_MAXUINT32, "yz", 2);

  g_assert_cmpint (decode (&tagged, "\0\0\1\0", 4, TRUE, TRUE), ==, TCP_PLAIN_END);
  g_assert_cmpuint (tagged.frame.id, ==, 256);
}

static void
test_tagged_short (void)
{
  Decode tagged = { 0 };

  for (guint length = 0; length < 4; length++)
    {
      g_assert_cmpint (decode (&tagged, "\1\2\3", length, TRUE, TRUE), ==, TCP_PLAIN_NOTHING);
      g_assert_nonnull (tagged.frame.reason);
      /* The missing bytes are not taken from the next message. */
      decode (&tagged, "\0\0\0\5z", 5, TRUE, TRUE);
      assert_data (&tagged, 5, "z", 1);
    }
}

/* Tries every way to cut a message into three pieces, some of which are empty. */
static void
check_pieces (const char *message,
              gsize       length)
{
  for (gsize a = 0; a <= length; a++)
    for (gsize b = a; b <= length; b++)
      {
        const gsize cuts[] = { 0, a, b, length };
        Decode tagged = { 0 };
        g_autoptr (GString) got = g_string_new (NULL);
        guint ends = 0;

        for (guint i = 0; i < 3; i++)
          {
            TcpPlainKind kind = decode (&tagged, message + cuts[i], cuts[i + 1] - cuts[i], i == 0, i == 2);

            if (kind == TCP_PLAIN_NOTHING)
              continue;
            g_assert_cmphex (tagged.frame.id, ==, 0x01020304);
            if (kind == TCP_PLAIN_END)
              ends++;
            else
              g_string_append_len (got, (const char *) tagged.frame.data, tagged.frame.length);
          }

        if (length < 4)
          {
            g_assert_cmpuint (ends, ==, 0);
            g_assert_cmpuint (got->len, ==, 0);
            continue;
          }
        g_assert_cmpmem (got->str, got->len, message + 4, length - 4);
        g_assert_cmpuint (ends, ==, length == 4 ? 1 : 0);
      }
}

static void
test_tagged_pieces (void)
{
  for (gsize length = 0; length <= 9; length++)
    check_pieces ("\1\2\3\4abcde", length);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/plain-frame/raw/decode", test_raw_decode);
  g_test_add_func ("/plain-frame/tagged/encode", test_tagged_encode);
  g_test_add_func ("/plain-frame/tagged/whole", test_tagged_whole);
  g_test_add_func ("/plain-frame/tagged/short", test_tagged_short);
  g_test_add_func ("/plain-frame/tagged/pieces", test_tagged_pieces);
  return g_test_run ();
}
