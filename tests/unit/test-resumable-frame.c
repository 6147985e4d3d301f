/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "protocol/protocol.h"
#include "protocol/resumable-frame.h"

#include <string.h>
#include <tcptunnel/tcptunnel.h>

/* The bytes follow docs/resumable.md. */
#define HELLO                                                                            \
  "\x10\0\0\0" "\0\0\0\0" "\0\1" "\0\0" "\x11\x22\x33\x44\x55\x66\x77\x88" "\0\0\0\0\0\0\1\7" \
  "\0\4\0\0" "\0\1\0\0" "\0\0\0\x64" "\0\0\0\x1e" "\0\0\0\0"

typedef struct
{
  const char *what;
  const char *data;
  gsize length;
} Case;

#define CASE(what, data) { what, data, sizeof (data) - 1 }

static TcpResumableFrame
decode (const char *data,
        gsize       length)
{
  g_autoptr (GError) error = NULL;
  TcpResumableFrame frame;

  g_assert_true (tcp_resumable_decode ((const guint8 *) data, length, &frame, &error));
  g_assert_no_error (error);
  return frame;
}

#define DECODE(data) decode (data, sizeof (data) - 1)

static void
assert_refused (const guint8 *data,
                gsize         length,
                const char   *what)
{
  g_autoptr (GError) error = NULL;
  TcpResumableFrame frame;

  g_test_message ("%s", what);
  g_assert_false (tcp_resumable_decode (data, length, &frame, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL);
  /* This also works without a GError. */
  g_assert_false (tcp_resumable_decode (data, length, &frame, NULL));
}

static void
test_decode (void)
{
  TcpResumableFrame frame = DECODE ("\1\0\0\0\0\0\1\2host:22");

  g_assert_cmpint (frame.type, ==, TCP_RESUMABLE_OPEN);
  g_assert_cmpuint (frame.id, ==, 0x102);
  g_assert_cmpmem (frame.payload, frame.length, "host:22", 7);

  frame = DECODE ("\2\0\0\0\x80\0\0\1");
  g_assert_cmpint (frame.type, ==, TCP_RESUMABLE_OPENED);
  g_assert_cmpuint (frame.id, ==, 0x80000001);

  frame = DECODE ("\3\0\0\0\0\0\0\1x");
  g_assert_cmpint (frame.type, ==, TCP_RESUMABLE_DATA);
  g_assert_cmpmem (frame.payload, frame.length, "x", 1);

  frame = DECODE ("\5\0\0\0\0\0\0\1\0\0\0\7why");
  g_assert_cmpint (frame.type, ==, TCP_RESUMABLE_RESET);
  g_assert_cmpuint (frame.number, ==, TCP_RESET_FLOW_CONTROL);
  g_assert_cmpmem (frame.payload, frame.length, "why", 3);

  frame = DECODE ("\6\0\0\0\0\0\0\1\xff\xff\xff\xff");
  g_assert_cmpuint (frame.number, ==, G_MAXUINT32);

  frame = DECODE ("\x11\0\0\0\0\0\0\0\1\0\0\0\0\0\0\2");
  g_assert_cmpuint (frame.number, ==, G_GUINT64_CONSTANT (0x100000000000002));

  frame = DECODE ("\x14\0\0\0\0\0\0\0\0\0\0\1");
  g_assert_cmpuint (frame.number, ==, TCP_GOAWAY_DRAINING);
  g_assert_cmpuint (frame.length, ==, 0);

  frame = DECODE ("\x40\0\0\0\0\0\0\3\xdf\2web");
  g_assert_cmpint (frame.type, ==, TCP_RESUMABLE_LISTEN);
  g_assert_cmpuint (frame.id, ==, 3);
  g_assert_cmpuint (frame.number, ==, 57090);
  g_assert_cmpmem (frame.payload, frame.length, "web", 3);

  frame = DECODE ("\x41\0\0\0\0\0\0\3\xdf\2::1");
  g_assert_cmpint (frame.type, ==, TCP_RESUMABLE_LISTENING);
  g_assert_cmpuint (frame.number, ==, 57090);
  g_assert_cmpmem (frame.payload, frame.length, "::1", 3);

  frame = DECODE ("\x42\0\0\0\0\0\0\3\0\0\0\12taken");
  g_assert_cmpint (frame.type, ==, TCP_RESUMABLE_UNLISTEN);
  g_assert_cmpuint (frame.number, ==, TCP_RESET_IN_USE);
  g_assert_cmpmem (frame.payload, frame.length, "taken", 5);
}

/* The OPEN of a gateway contains the id of a listener. */
static void
test_arrival (void)
{
  g_autoptr (TcpBuffer) named = tcp_resumable_encode_arrival (2, 0x304, "192.0.2.1:7");
  g_autoptr (TcpBuffer) bare = tcp_resumable_encode_arrival (4, 5, "");
  TcpResumableFrame frame;
  g_autoptr (GError) error = NULL;
  g_autofree char *client = NULL;
  guint32 listener;

  g_assert_cmpmem (named->payload, named->length, "\1\0\0\0\0\0\0\2\0\0\3\4" "192.0.2.1:7", 23);
  g_assert_true (tcp_resumable_decode (named->payload, named->length, &frame, NULL));
  g_assert_true (tcp_resumable_decode_arrival (&frame, &listener, &client, NULL));
  g_assert_cmpuint (listener, ==, 0x304);
  g_assert_cmpstr (client, ==, "192.0.2.1:7");

  g_clear_pointer (&client, g_free);
  g_assert_true (tcp_resumable_decode (bare->payload, bare->length, &frame, NULL));
  g_assert_true (tcp_resumable_decode_arrival (&frame, &listener, &client, NULL));
  g_assert_cmpuint (listener, ==, 5);
  g_assert_null (client);

  frame = DECODE ("\1\0\0\0\0\0\0\2\0\0\3");
  g_assert_false (tcp_resumable_decode_arrival (&frame, &listener, &client, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL);
  frame = DECODE ("\1\0\0\0\0\0\0\2\0\0\3\4\xff");
  g_assert_false (tcp_resumable_decode_arrival (&frame, &listener, &client, NULL));
}

static void
test_hello (void)
{
  TcpResumableFrame frame = DECODE (HELLO);
  g_autoptr (TcpBuffer) again = NULL;
  TcpResumableHello hello;

  g_assert_cmpuint (sizeof (HELLO) - 1, ==, TCP_RESUMABLE_HEADER_SIZE + TCP_RESUMABLE_HELLO_SIZE);
  g_assert_true (tcp_resumable_decode_hello (&frame, &hello, NULL));
  g_assert_cmpuint (hello.instance, ==, G_GUINT64_CONSTANT (0x1122334455667788));
  g_assert_cmpuint (hello.received, ==, 0x107);
  g_assert_cmpuint (hello.window, ==, 0x40000);
  g_assert_cmpuint (hello.max_payload, ==, 0x10000);
  g_assert_cmpuint (hello.max_streams, ==, 100);
  g_assert_cmpuint (hello.session_timeout, ==, 30);

  again = tcp_resumable_encode_hello (&hello);
  g_assert_cmpmem (again->payload, again->length, HELLO, sizeof (HELLO) - 1);
}

/* The byte that is changed, and its new value. */
static void
test_hello_refused (void)
{
  static const struct
  {
    guint at;
    guint8 value;
  } changes[] = {
    { 9, 2 },     /* version */
    { 8, 1 },     /* version, the upper byte */
    { 28, 0x80 }, /* more credit than allowed */
  };
  guint8 data[] = HELLO;
  TcpResumableFrame frame;
  TcpResumableHello hello;

  for (guint i = 0; i < G_N_ELEMENTS (changes); i++)
    {
      g_autoptr (GError) error = NULL;
      guint8 before = data[changes[i].at];

      data[changes[i].at] = changes[i].value;
      g_assert_true (tcp_resumable_decode (data, sizeof (data) - 1, &frame, NULL));
      g_assert_false (tcp_resumable_decode_hello (&frame, &hello, &error));
      g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL);
      data[changes[i].at] = before;
    }

  /* A maximum payload of 0, and one that would need a frame for every few bytes. */
  memset (data + 32, 0, 4);
  g_assert_true (tcp_resumable_decode (data, sizeof (data) - 1, &frame, NULL));
  g_assert_false (tcp_resumable_decode_hello (&frame, &hello, NULL));
  memcpy (data + 32, "\0\0\3\xff", 4);
  g_assert_false (tcp_resumable_decode_hello (&frame, &hello, NULL));
  memcpy (data + 32, "\0\0\4\0", 4);
  g_assert_true (tcp_resumable_decode_hello (&frame, &hello, NULL));
  g_assert_cmpuint (hello.max_payload, ==, 1024);
}

/* The timeout is bounded: a client would keep unacknowledged data, and wait, for that long. */
static void
test_hello_timeout (void)
{
  guint8 data[] = HELLO;
  TcpResumableFrame frame;
  TcpResumableHello hello;

  memcpy (data + 40, "\0\1\x51\x7f", 4);
  g_assert_true (tcp_resumable_decode (data, sizeof (data) - 1, &frame, NULL));
  g_assert_true (tcp_resumable_decode_hello (&frame, &hello, NULL));
  g_assert_cmpuint (hello.session_timeout, ==, 86399);
  memset (data + 40, 0xff, 4);
  g_assert_true (tcp_resumable_decode_hello (&frame, &hello, NULL));
  g_assert_cmpuint (hello.session_timeout, ==, 86400);
}

/* A HELLO of a later version is longer; the fields that this version knows keep their meaning. */
static void
test_later_hello (void)
{
  guint8 data[TCP_RESUMABLE_HEADER_SIZE + TCP_RESUMABLE_MAX_HELLO_SIZE + 1] = HELLO;
  const gsize lengths[] = { sizeof (HELLO) - 1, sizeof (HELLO), sizeof (HELLO) + 7, sizeof data - 1 };

  memset (data + 10, 0xff, 2);
  memset (data + 44, 0xff, sizeof data - 44);
  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++)
    {
      TcpResumableFrame frame;
      TcpResumableHello hello;

      g_assert_true (tcp_resumable_decode (data, lengths[i], &frame, NULL));
      g_assert_true (tcp_resumable_decode_hello (&frame, &hello, NULL));
      g_assert_cmpuint (hello.received, ==, 0x107);
      g_assert_cmpuint (hello.session_timeout, ==, 30);
    }
  assert_refused (data, sizeof data, "HELLO that is longer than any may be");
}

/* Frames of later types are accepted, whatever their flags, ids and payloads. */
static void
test_later_types (void)
{
  g_autofree guint8 *data = g_malloc (TCP_RESUMABLE_HEADER_SIZE + TCP_RESUMABLE_MAX_PAYLOAD + 1);

  memset (data, 0xff, TCP_RESUMABLE_HEADER_SIZE + TCP_RESUMABLE_MAX_PAYLOAD + 1);
  for (guint type = 0x43; type < 0x80; type++)
    {
      static const gsize lengths[] = { 0, 1, TCP_RESUMABLE_MAX_PAYLOAD };

      data[0] = type;
      for (guint i = 0; i < G_N_ELEMENTS (lengths); i++)
        {
          TcpResumableFrame frame;

          g_assert_true (tcp_resumable_decode (data, TCP_RESUMABLE_HEADER_SIZE + lengths[i], &frame, NULL));
          g_assert_cmpuint (frame.type, ==, type);
          g_assert_cmpuint (frame.length, ==, lengths[i]);
        }
      assert_refused (data, TCP_RESUMABLE_HEADER_SIZE + TCP_RESUMABLE_MAX_PAYLOAD + 1, "later, and too long");
    }
}

static void
test_refused (void)
{
  static const Case cases[] = {
    CASE ("nothing", ""),
    CASE ("half a header", "\1\0\0\0\0\0\0"),
    CASE ("type 0", "\0\0\0\0\0\0\0\1"),
    CASE ("a type between", "\7\0\0\0\0\0\0\1"),
    CASE ("a type between", "\x12\0\0\0\0\0\0\0"),
    CASE ("a type beyond", "\x15\0\0\0\0\0\0\0"),
    CASE ("the last type", "\xff\0\0\0\0\0\0\0"),
    CASE ("a type before those of later ends", "\x3f\0\0\0\0\0\0\0"),
    CASE ("a type behind them", "\x80\0\0\0\0\0\0\0"),
    CASE ("a flag", "\3\1\0\0\0\0\0\1x"),
    CASE ("a reserved bit", "\3\0\x80\0\0\0\0\1x"),
    CASE ("a reserved bit", "\3\0\0\1\0\0\0\1x"),
    CASE ("OPEN without an id", "\1\0\0\0\0\0\0\0"),
    CASE ("DATA without an id", "\3\0\0\0\0\0\0\0x"),
    CASE ("ACK with an id", "\x11\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1"),
    CASE ("GOAWAY with an id", "\x14\0\0\0\0\0\0\1\0\0\0\0"),
    CASE ("OPENED with a payload", "\2\0\0\0\0\0\0\1x"),
    CASE ("LISTEN without an id", "\x40\0\0\0\0\0\0\0\0\1"),
    CASE ("LISTEN without a port", "\x40\0\0\0\0\0\0\1\0"),
    CASE ("LISTENING with a flag", "\x41\1\0\0\0\0\0\1\0\1x"),
    CASE ("UNLISTEN without a code", "\x42\0\0\0\0\0\0\1\0\0\0"),
    CASE ("DATA of nothing", "\3\0\0\0\0\0\0\1"),
    CASE ("FIN with a payload", "\4\0\0\0\0\0\0\1x"),
    CASE ("RESET without a code", "\5\0\0\0\0\0\0\1\0\0\0"),
    CASE ("WINDOW of nothing", "\6\0\0\0\0\0\0\1\0\0\0\0"),
    CASE ("WINDOW that is short", "\6\0\0\0\0\0\0\1\0\0\1"),
    CASE ("WINDOW that is long", "\6\0\0\0\0\0\0\1\0\0\0\1\0"),
    CASE ("ACK that is short", "\x11\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    CASE ("ACK that is long", "\x11\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    CASE ("GOAWAY without a code", "\x14\0\0\0\0\0\0\0\0\0\0"),
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    assert_refused ((const guint8 *) cases[i].data, cases[i].length, cases[i].what);
  assert_refused ((const guint8 *) HELLO, sizeof (HELLO) - 2, "HELLO that is short");
}

/* The maximum length is accepted, and one byte more is not. */
static void
test_sizes (void)
{
  static const struct
  {
    guint8 type;
    guint most;
  } sizes[] = {
    { TCP_RESUMABLE_OPEN, TCP_RESUMABLE_MAX_TEXT },
    { TCP_RESUMABLE_DATA, TCP_RESUMABLE_MAX_PAYLOAD },
    { TCP_RESUMABLE_RESET, 4 + TCP_RESUMABLE_MAX_TEXT },
    { TCP_RESUMABLE_GOAWAY, 4 + TCP_RESUMABLE_MAX_TEXT },
  };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      gsize length = TCP_RESUMABLE_HEADER_SIZE + sizes[i].most;
      g_autofree guint8 *data = g_malloc0 (length + 1);
      TcpResumableFrame frame;

      data[0] = sizes[i].type;
      data[7] = sizes[i].type == TCP_RESUMABLE_GOAWAY ? 0 : 1;
      g_assert_true (tcp_resumable_decode (data, length, &frame, NULL));
      assert_refused (data, length + 1, "too long");
    }
}

static void
assert_frame (TcpBuffer  *buffer,
              const char *wanted,
              gsize       length)
{
  g_assert_cmpmem (buffer->payload, buffer->length, wanted, length);
  tcp_buffer_unref (buffer);
}

#define ASSERT_FRAME(buffer, wanted) assert_frame (buffer, wanted, sizeof (wanted) - 1)

static void
test_encode (void)
{
  TcpBuffer *data = tcp_buffer_new (3);

  ASSERT_FRAME (tcp_resumable_encode (TCP_RESUMABLE_OPEN, 3, "a:1", 3), "\1\0\0\0\0\0\0\3a:1");
  ASSERT_FRAME (tcp_resumable_encode (TCP_RESUMABLE_FIN, 0xfffffffd, NULL, 0), "\4\0\0\0\xff\xff\xff\xfd");
  ASSERT_FRAME (tcp_resumable_encode_text (TCP_RESUMABLE_RESET, 1, TCP_RESET_LIMIT, "no"),
                "\5\0\0\0\0\0\0\1\0\0\0\6no");
  ASSERT_FRAME (tcp_resumable_encode_window (5, 0x10203), "\6\0\0\0\0\0\0\5\0\1\2\3");
  ASSERT_FRAME (tcp_resumable_encode_ack (0x102030405060708), "\x11\0\0\0\0\0\0\0\1\2\3\4\5\6\7\x08");

  /* The header is put in front of data that was read into place. */
  memcpy (data->payload, "xyz", 3);
  data->length = 3;
  tcp_resumable_push_header (data, TCP_RESUMABLE_DATA, 1);
  ASSERT_FRAME (data, "\3\0\0\0\0\0\0\1xyz");
}

/* A reason that is too long is cut at the end of a character. */
static void
test_long_text (void)
{
  g_autoptr (GString) text = g_string_new ("x");
  g_autoptr (TcpBuffer) buffer = NULL;
  TcpResumableFrame frame;

  while (text->len < 2 * TCP_RESUMABLE_MAX_TEXT)
    g_string_append (text, "\u00e4");
  buffer = tcp_resumable_encode_text (TCP_RESUMABLE_GOAWAY, 0, 2, text->str);
  g_assert_true (tcp_resumable_decode (buffer->payload, buffer->length, &frame, NULL));
  g_assert_cmpuint (frame.length, ==, TCP_RESUMABLE_MAX_TEXT - 1);
  g_assert_true (g_utf8_validate ((const char *) frame.payload, frame.length, NULL));
}

static void
test_offer (void)
{
  g_assert_true (tcp_resumable_is_offered ("resumable/1"));
  g_assert_true (tcp_resumable_is_offered (" resumable/2 ,\tresumable/1 "));
  g_assert_false (tcp_resumable_is_offered (NULL));
  g_assert_false (tcp_resumable_is_offered (""));
  g_assert_false (tcp_resumable_is_offered ("resumable/10, xresumable/1, resumable"));
}

static void
test_route (void)
{
  g_autofree char *longest = g_strnfill (128, '~');
  g_autofree char *too_long = g_strnfill (129, 'a');
  static const char *const bad[] = {
    "", " ", "a b", "a,b", "a/b", "a=b", "a&b", "a?b", "a#b", "a%41", "a+b", "a:b", "\xc3\xa4", "a\n", "a\"", "a;b",
  };

  g_assert_true (tcp_resumable_route_is_valid ("gateway-3.zone_b~1"));
  g_assert_true (tcp_resumable_route_is_valid (longest));
  g_assert_false (tcp_resumable_route_is_valid (too_long));
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_false (tcp_resumable_route_is_valid (bad[i]));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/resumable/decode", test_decode);
  g_test_add_func ("/resumable/arrival", test_arrival);
  g_test_add_func ("/resumable/hello", test_hello);
  g_test_add_func ("/resumable/hello-refused", test_hello_refused);
  g_test_add_func ("/resumable/hello-timeout", test_hello_timeout);
  g_test_add_func ("/resumable/later-hello", test_later_hello);
  g_test_add_func ("/resumable/later-types", test_later_types);
  g_test_add_func ("/resumable/refused", test_refused);
  g_test_add_func ("/resumable/sizes", test_sizes);
  g_test_add_func ("/resumable/encode", test_encode);
  g_test_add_func ("/resumable/long-text", test_long_text);
  g_test_add_func ("/resumable/offer", test_offer);
  g_test_add_func ("/resumable/route", test_route);
  return g_test_run ();
}
