/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whatever a proxy sends first, the end of the header is within its bounds, and the header names the same client when
 * it is written again. */

#include "fuzz.h"

#include "gateway/proxy-header.h"

int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize size)
{
  g_autofree guint8 *copy = g_memdup2 (data, size); /* a sanitizer detects any access beyond its end */
  g_autoptr (GSocketAddress) source = NULL;
  g_autoptr (GSocketAddress) again = NULL;
  guint8 written[TCP_PROXY_HEADER_SIZE];
  gsize length;

  switch (tcp_proxy_header_parse (copy, size, &length, &source))
    {
    case TCP_PROXY_HEADER_INCOMPLETE:
      g_assert_cmpuint (length, >, size);
      g_assert_cmpuint (length, <=, TCP_PROXY_HEADER_MAX_SIZE);
      g_assert_null (source);
      break;
    case TCP_PROXY_HEADER_COMPLETE:
      g_assert_cmpuint (length, <=, size);
      if (source == NULL)
        break;
      length = tcp_proxy_header_write (written, source, source);
      g_assert_cmpint (tcp_proxy_header_parse (written, length, &length, &again), ==, TCP_PROXY_HEADER_COMPLETE);
      g_assert_true (g_inet_address_equal (g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (source)),
                                           g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (again))));
      g_assert_cmpuint (g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (source)), ==,
                        g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (again)));
      break;
    default:
      g_assert_null (source);
    }
  return 0;
}
