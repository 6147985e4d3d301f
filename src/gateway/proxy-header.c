/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/proxy-header.h"

#include <string.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define SIGNATURE_SIZE 12
#define FIXED_SIZE 16 /* signature, version and command, family, length of the rest */

#define VERSION 0x20
#define COMMAND_LOCAL 0
#define COMMAND_PROXY 1
#define TCP_OVER_IPV4 0x11
#define TCP_OVER_IPV6 0x21

/* Writes an IPv4 address as an IPv6 one if needed, since both ends must have the same family. */
static void
write_address (guint8       *data,
               GInetAddress *address,
               gsize         size)
{
  gsize own = g_inet_address_get_native_size (address);

  memset (data, 0, size);
  if (own < size)
    memset (data + size - own - 2, 0xff, 2);
  memcpy (data + size - own, g_inet_address_to_bytes (address), own);
}

static void
write_port (guint8         *data,
            GSocketAddress *address)
{
  guint16 port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address));

  data[0] = port >> 8;
  data[1] = port;
}

/* Writes the address of the client, and the address at which it was accepted. If one of them is not known, or not an IP
 * address, both are left out, and the header reports a connection of the proxy itself (LOCAL). Returns the size. */
gsize
tcp_proxy_header_write (guint8          data[static TCP_PROXY_HEADER_SIZE],
                        GSocketAddress *source,
                        GSocketAddress *destination)
{
  gboolean known = source != NULL && destination != NULL && G_IS_INET_SOCKET_ADDRESS (source) &&
                   G_IS_INET_SOCKET_ADDRESS (destination);
  GInetAddress *from, *to;
  guint8 *rest = data + FIXED_SIZE;
  gsize size;

  memcpy (data, SIGNATURE, SIGNATURE_SIZE);
  data[12] = VERSION | (known ? COMMAND_PROXY : COMMAND_LOCAL);
  data[13] = data[14] = data[15] = 0;
  if (!known)
    return FIXED_SIZE;

  from = g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (source));
  to = g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (destination));
  size = MAX (g_inet_address_get_native_size (from), g_inet_address_get_native_size (to));
  data[13] = size == 4 ? TCP_OVER_IPV4 : TCP_OVER_IPV6;
  data[15] = 2 * size + 4;
  write_address (rest, from, size);
  write_address (rest + size, to, size);
  write_port (rest + 2 * size, source);
  write_port (rest + 2 * size + 2, destination);
  return FIXED_SIZE + data[15];
}

static GSocketAddress *
read_source (const guint8  *data,
             gsize          size,
             GSocketFamily  family)
{
  g_autoptr (GInetAddress) address = g_inet_address_new_from_bytes (data, family);

  return g_inet_socket_address_new (address, data[2 * size] << 8 | data[2 * size + 1]);
}

/* Parses the beginning of a connection. If the header is complete, @source is set; it is NULL if the header names no
 * client, because the connection is the proxy's own, or does not use TCP. */
TcpProxyHeaderResult
tcp_proxy_header_parse (const guint8    *data,
                        gsize            length,
                        gsize           *size,
                        GSocketAddress **source)
{
  gsize rest;

  *source = NULL;
  *size = FIXED_SIZE;
  /* @data may be NULL then. */
  if (length == 0)
    return TCP_PROXY_HEADER_INCOMPLETE;
  if (memcmp (data, SIGNATURE, MIN (length, SIGNATURE_SIZE)) != 0)
    return TCP_PROXY_HEADER_NONE;
  if (length < FIXED_SIZE)
    return TCP_PROXY_HEADER_INCOMPLETE;

  rest = data[14] << 8 | data[15];
  *size = FIXED_SIZE + rest;
  if ((data[12] & 0xf0) != VERSION || (data[12] & 0x0f) > COMMAND_PROXY || *size > TCP_PROXY_HEADER_MAX_SIZE)
    return TCP_PROXY_HEADER_BAD;
  if ((data[12] & 0x0f) == COMMAND_PROXY &&
      ((data[13] == TCP_OVER_IPV4 && rest < 12) || (data[13] == TCP_OVER_IPV6 && rest < 36)))
    return TCP_PROXY_HEADER_BAD;
  if (length < *size)
    return TCP_PROXY_HEADER_INCOMPLETE;

  if ((data[12] & 0x0f) == COMMAND_PROXY && data[13] == TCP_OVER_IPV4)
    *source = read_source (data + FIXED_SIZE, 4, G_SOCKET_FAMILY_IPV4);
  else if ((data[12] & 0x0f) == COMMAND_PROXY && data[13] == TCP_OVER_IPV6)
    *source = read_source (data + FIXED_SIZE, 16, G_SOCKET_FAMILY_IPV6);
  return TCP_PROXY_HEADER_COMPLETE;
}
