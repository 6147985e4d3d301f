/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "websocket/frame.h"
#include "test-util.h"

#include <string.h>
#include <tcptunnel/tcptunnel.h>

/* The bytes of a header, and their meaning. */
typedef struct
{
  guint8 bytes[14];
  guint length;
  gboolean fin;
  TcpFrameOpcode opcode;
  gboolean masked;
  guint64 payload;
} Good;

static const Good goods[] = {
  { { 0x82, 0x00 }, 2, TRUE, TCP_FRAME_BINARY, FALSE, 0 },
  { { 0x02, 0x7d }, 2, FALSE, TCP_FRAME_BINARY, FALSE, 125 },
  { { 0x81, 0x01 }, 2, TRUE, TCP_FRAME_TEXT, FALSE, 1 },
  { { 0x00, 0x05 }, 2, FALSE, TCP_FRAME_CONTINUATION, FALSE, 5 },
  { { 0x82, 0x7e, 0x00, 0x7e }, 4, TRUE, TCP_FRAME_BINARY, FALSE, 126 },
  { { 0x82, 0x7e, 0xff, 0xff }, 4, TRUE, TCP_FRAME_BINARY, FALSE, 65535 },
  { { 0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0 }, 10, TRUE, TCP_FRAME_BINARY, FALSE, 65536 },
  { { 0x82, 0x7f, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, 10, TRUE, TCP_FRAME_BINARY, FALSE, G_MAXINT64 },
  { { 0x82, 0x80, 1, 2, 3, 4 }, 6, TRUE, TCP_FRAME_BINARY, TRUE, 0 },
  { { 0x82, 0xfe, 0x01, 0x00, 1, 2, 3, 4 }, 8, TRUE, TCP_FRAME_BINARY, TRUE, 256 },
  { { 0x82, 0xff, 0, 0, 0, 0, 0, 2, 0, 0, 1, 2, 3, 4 }, 14, TRUE, TCP_FRAME_BINARY, TRUE, 131072 },
  { { 0x88, 0x02 }, 2, TRUE, TCP_FRAME_CLOSE, FALSE, 2 },
  { { 0x89, 0x7d }, 2, TRUE, TCP_FRAME_PING, FALSE, 125 },
  { { 0x8a, 0x80, 1, 2, 3, 4 }, 6, TRUE, TCP_FRAME_PONG, TRUE, 0 },
};

static void
test_parse (void)
{
  static const guint8 mask[] = { 1, 2, 3, 4 };

  for (guint i = 0; i < G_N_ELEMENTS (goods); i++)
    {
      const Good *good = &goods[i];
      TcpFrameHeader header;
      g_autoptr (GError) error = NULL;

      /* A header that is not complete yet is no error. */
      for (guint n = 0; n < good->length; n++)
        {
          g_autofree guint8 *part = g_memdup2 (good->bytes, n);

          g_assert_cmpint (tcp_frame_header_parse (&header, part, n, &error), ==, 0);
          g_assert_no_error (error);
        }

      g_assert_cmpint (tcp_frame_header_parse (&header, good->bytes, good->length, &error), ==, good->length);
      g_assert_no_error (error);
      g_assert_cmpint (header.fin, ==, good->fin);
      g_assert_cmpint (header.opcode, ==, good->opcode);
      g_assert_cmpint (header.masked, ==, good->masked);
      g_assert_cmpuint (header.payload, ==, good->payload);
      g_assert_cmpuint (header.header, ==, good->length);
      if (good->masked)
        g_assert_cmpmem (&header.mask, 4, mask, 4);
    }
}

static void
check_bad (const guint8 *bytes,
           gsize         length)
{
  TcpFrameHeader header;
  g_autoptr (GError) error = NULL;
  g_autofree guint8 *copy = g_memdup2 (bytes, length);

  g_assert_cmpint (tcp_frame_header_parse (&header, copy, length, &error), ==, -1);
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL);
}

static void
test_reserved_bits (void)
{
  for (guint bits = 0x10; bits <= 0x70; bits += 0x10)
    check_bad ((guint8[]) { 0x82 | bits, 1 }, 2);
}

static void
test_opcodes (void)
{
  for (guint opcode = 0; opcode < 16; opcode++)
    {
      guint8 bytes[] = { 0x80 | opcode, 0 };
      TcpFrameHeader header;

      if (opcode <= 2 || (opcode >= 8 && opcode <= 10))
        g_assert_cmpint (tcp_frame_header_parse (&header, bytes, 2, NULL), ==, 2);
      else
        check_bad (bytes, 2);
    }
}

static void
test_control_rules (void)
{
  for (guint opcode = 8; opcode <= 10; opcode++)
    {
      check_bad ((guint8[]) { opcode, 0 }, 2); /* fragmented */
      check_bad ((guint8[]) { 0x80 | opcode, 126 }, 2);
      check_bad ((guint8[]) { 0x80 | opcode, 126, 0, 126 }, 4);
      check_bad ((guint8[]) { 0x80 | opcode, 127 }, 2);
    }
}

static void
test_not_the_shortest (void)
{
  check_bad ((guint8[]) { 0x82, 126, 0, 0 }, 4);
  check_bad ((guint8[]) { 0x82, 126, 0, 125 }, 4);
  check_bad ((guint8[]) { 0x82, 127, 0, 0, 0, 0, 0, 0, 0, 0 }, 10);
  check_bad ((guint8[]) { 0x82, 127, 0, 0, 0, 0, 0, 0, 0, 125 }, 10);
  check_bad ((guint8[]) { 0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff }, 10);
  check_bad ((guint8[]) { 0x82, 0xfe, 0, 125, 1, 2, 3, 4 }, 8);
}

static void
test_out_of_range (void)
{
  check_bad ((guint8[]) { 0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0 }, 10);
  check_bad ((guint8[]) { 0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, 10);
}

/* Masks byte by byte, as the RFC specifies it. */
static void
plain_mask (guint8       *data,
            gsize         length,
            const guint8 *mask)
{
  for (gsize i = 0; i < length; i++)
    data[i] ^= mask[i % 4];
}

static void
test_mask (void)
{
  static const guint8 key[] = { 0xde, 0xad, 0x00, 0x5f };
  guint32 mask;

  memcpy (&mask, key, 4);
  for (guint offset = 0; offset < 9; offset++)
    for (guint length = 0; length < 70; length++)
      {
        g_autofree guint8 *data = g_malloc (offset + length + 1);
        g_autofree guint8 *wanted = g_malloc (offset + length + 1);

        test_fill (data, offset + length, 3, 0);
        memcpy (wanted, data, offset + length);
        plain_mask (wanted + offset, length, key);
        tcp_frame_mask (data + offset, length, mask);
        g_assert_cmpmem (data, offset + length, wanted, offset + length);
      }
}

static void
check_round_trip (gsize    length,
                  guint    pushed,
                  gboolean masked,
                  guint32  mask)
{
  g_autoptr (TcpBuffer) buffer = tcp_buffer_new (length);
  g_autofree guint8 *wanted = g_malloc (length + pushed + 1);
  g_autoptr (GError) error = NULL;
  TcpFrameHeader header;
  guint8 *frame;
  gsize total = length + pushed;

  test_fill (wanted, total, 5, 0);
  memcpy (buffer->payload, wanted + pushed, length);
  buffer->length = length;
  tcp_buffer_push (buffer, wanted, pushed);

  tcp_frame_wrap (buffer, TCP_FRAME_BINARY, masked, mask);
  g_assert_cmpuint (buffer->length, ==, total);
  frame = buffer->payload - buffer->header;
  g_assert_cmpint (tcp_frame_header_parse (&header, frame, buffer->header + total, &error), ==, buffer->header);
  g_assert_no_error (error);
  g_assert_true (header.fin);
  g_assert_cmpint (header.opcode, ==, TCP_FRAME_BINARY);
  g_assert_cmpint (header.masked, ==, masked);
  g_assert_cmpuint (header.payload, ==, total);
  g_assert_cmphex (header.mask, ==, masked ? mask : 0);
  if (masked)
    plain_mask (wanted, total, (const guint8 *) &mask);
  g_assert_cmpmem (buffer->payload, total, wanted, total);

  buffer->sent = 3;
  buffer->started = TRUE;
  tcp_frame_unwrap (buffer);
  if (masked)
    plain_mask (wanted, total, (const guint8 *) &mask);
  g_assert_cmpmem (buffer->payload, buffer->length, wanted, total);
  g_assert_cmpuint (buffer->header, ==, 0);
  g_assert_cmpuint (buffer->sent, ==, 0);
  g_assert_false (buffer->started);
  g_assert_false (buffer->masked);

  /* The frame is wrapped again for other WebSockets. */
  tcp_frame_wrap (buffer, TCP_FRAME_BINARY, masked, mask);
  buffer->sent = 3;
  tcp_frame_wrap (buffer, TCP_FRAME_BINARY, !masked, ~mask);
  g_assert_cmpuint (buffer->sent, ==, 0);
  tcp_frame_unwrap (buffer);
  g_assert_cmpmem (buffer->payload, buffer->length, wanted, total);
}

static void
test_round_trip (void)
{
  static const gsize sizes[] = { 0, 1, 2, 3, 7, 8, 121, 122, 125, 126, 127, 65531, 65532, 65535, 65536, 262144 };
  static const guint pushes[] = { 0, 1, 4, 8 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    for (guint k = 0; k < G_N_ELEMENTS (pushes); k++)
      {
        check_round_trip (sizes[i], pushes[k], FALSE, 0x89abcdef);
        check_round_trip (sizes[i], pushes[k], TRUE, 0x89abcdef);
        check_round_trip (sizes[i], pushes[k], TRUE, 0);
      }
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/frame/parse", test_parse);
  g_test_add_func ("/frame/reserved-bits", test_reserved_bits);
  g_test_add_func ("/frame/opcodes", test_opcodes);
  g_test_add_func ("/frame/control-rules", test_control_rules);
  g_test_add_func ("/frame/not-the-shortest", test_not_the_shortest);
  g_test_add_func ("/frame/out-of-range", test_out_of_range);
  g_test_add_func ("/frame/mask", test_mask);
  g_test_add_func ("/frame/round-trip", test_round_trip);
  return g_test_run ();
}
