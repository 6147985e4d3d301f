/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/proxy-header.h"

#include <string.h>

#define SIGNATURE "\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"

static void
check_written (const char *source,
               const char *destination,
               const char *expected,
               gsize       length)
{
  guint8 data[TCP_PROXY_HEADER_SIZE];
  g_autoptr (GSocketAddress) from = source != NULL ? g_inet_socket_address_new_from_string (source, 4660) : NULL;
  g_autoptr (GSocketAddress) to = destination != NULL ? g_inet_socket_address_new_from_string (destination, 22136) : NULL;

  g_assert_cmpmem (data, tcp_proxy_header_write (data, from, to), expected, length);
}

/* The bytes follow the specification (proxy-protocol.txt of HAProxy, section 2.2). */
static void
test_write (void)
{
  static const char ipv4[] = SIGNATURE "\x21\x11\x00\x0c" "\xc0\x00\x02\x01" "\xc6\x33\x64\x02" "\x12\x34" "\x56\x78";
  static const char ipv6[] = SIGNATURE "\x21\x21\x00\x24"
                             "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01" "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02"
                             "\x12\x34" "\x56\x78";
  static const char both[] = SIGNATURE "\x21\x21\x00\x24"
                             "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01" "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x33\x64\x02"
                             "\x12\x34" "\x56\x78";
  static const char local[] = SIGNATURE "\x20\x00\x00\x00";

  check_written ("192.0.2.1", "198.51.100.2", ipv4, sizeof ipv4 - 1);
  check_written ("2001:db8::1", "fd00::2", ipv6, sizeof ipv6 - 1);
  check_written ("2001:db8::1", "198.51.100.2", both, sizeof both - 1);
  check_written (NULL, "198.51.100.2", local, sizeof local - 1);
  check_written ("192.0.2.1", NULL, local, sizeof local - 1);
}

/* Each incomplete header needs more bytes; a complete one yields the source, and where the data after it begins. */
static void
check_read (const char *data,
            gsize       length,
            const char *source)
{
  g_autoptr (GSocketAddress) from = NULL;
  g_autofree char *text = NULL;
  gsize size;

  for (gsize i = 0; i < length; i++)
    {
      g_assert_cmpint (tcp_proxy_header_parse ((const guint8 *) data, i, &size, &from), ==, TCP_PROXY_HEADER_INCOMPLETE);
      g_assert_null (from);
      g_assert_cmpuint (size, >, i);
    }
  g_assert_cmpint (tcp_proxy_header_parse ((const guint8 *) data, length + 1, &size, &from), ==, TCP_PROXY_HEADER_COMPLETE);
  g_assert_cmpuint (size, ==, length);
  if (from != NULL)
    text = g_socket_connectable_to_string (G_SOCKET_CONNECTABLE (from));
  g_assert_cmpstr (text, ==, source);
}

static void
test_parse (void)
{
  static const char ipv4[] = SIGNATURE "\x21\x11\x00\x0c" "\xc0\x00\x02\x01" "\xc6\x33\x64\x02" "\x12\x34" "\x56\x78";
  static const char more[] = SIGNATURE "\x21\x11\x00\x10" "\xc0\x00\x02\x01" "\xc6\x33\x64\x02" "\x12\x34" "\x56\x78" "\x04\x00\x01\x00";
  static const char ipv6[] = SIGNATURE "\x21\x21\x00\x24"
                             "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01" "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02"
                             "\x12\x34" "\x56\x78";
  static const char local[] = SIGNATURE "\x20\x00\x00\x00";
  static const char local_with[] = SIGNATURE "\x20\x11\x00\x0c" "\xc0\x00\x02\x01" "\xc6\x33\x64\x02" "\x12\x34" "\x56\x78";
  static const char udp[] = SIGNATURE "\x21\x12\x00\x0c" "\xc0\x00\x02\x01" "\xc6\x33\x64\x02" "\x12\x34" "\x56\x78";

  check_read (ipv4, sizeof ipv4 - 1, "192.0.2.1:4660");
  check_read (more, sizeof more - 1, "192.0.2.1:4660");
  check_read (ipv6, sizeof ipv6 - 1, "[2001:db8::1]:4660");
  check_read (local, sizeof local - 1, NULL);
  check_read (local_with, sizeof local_with - 1, NULL);
  check_read (udp, sizeof udp - 1, NULL);
}

static TcpProxyHeaderResult
parse (const char *data,
       gsize       length)
{
  g_autoptr (GSocketAddress) from = NULL;
  gsize size;

  return tcp_proxy_header_parse ((const guint8 *) data, length, &size, &from);
}

static void
test_bad (void)
{
  g_assert_cmpint (parse ("GET / HTTP/1.1\r\n", 16), ==, TCP_PROXY_HEADER_NONE);
  g_assert_cmpint (parse ("\x16\x03\x01", 3), ==, TCP_PROXY_HEADER_NONE);
  g_assert_cmpint (parse ("\r\n\r\n\r", 5), ==, TCP_PROXY_HEADER_NONE);
  g_assert_cmpint (parse ("PROXY TCP4 192.0.2.1 ", 21), ==, TCP_PROXY_HEADER_NONE);
  /* Another version, another command, addresses that are cut off, and a length that is far too large. */
  g_assert_cmpint (parse (SIGNATURE "\x11\x11\x00\x0c", 16), ==, TCP_PROXY_HEADER_BAD);
  g_assert_cmpint (parse (SIGNATURE "\x22\x11\x00\x0c", 16), ==, TCP_PROXY_HEADER_BAD);
  g_assert_cmpint (parse (SIGNATURE "\x21\x11\x00\x0b", 16), ==, TCP_PROXY_HEADER_BAD);
  g_assert_cmpint (parse (SIGNATURE "\x21\x21\x00\x23", 16), ==, TCP_PROXY_HEADER_BAD);
  g_assert_cmpint (parse (SIGNATURE "\x21\x11\xff\xff", 16), ==, TCP_PROXY_HEADER_BAD);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/proxy-header/write", test_write);
  g_test_add_func ("/proxy-header/parse", test_parse);
  g_test_add_func ("/proxy-header/bad", test_bad);
  return g_test_run ();
}
