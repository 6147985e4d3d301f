/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/origin.h"

#include <string.h>

char *
tcp_origin_name (GSocketAddress *address)
{
  static const guint8 mapped[12] = { [10] = 0xff, [11] = 0xff };
  GInetAddress *inet;
  const guint8 *bytes;
  guint8 network[16] = { 0 };
  g_autoptr (GInetAddress) origin = NULL;
  g_autofree char *text = NULL;

  if (!G_IS_INET_SOCKET_ADDRESS (address))
    return g_strdup ("");

  inet = g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (address));
  bytes = g_inet_address_to_bytes (inet);
  if (g_inet_address_get_family (inet) == G_SOCKET_FAMILY_IPV4)
    return g_inet_address_to_string (inet);
  if (memcmp (bytes, mapped, sizeof mapped) == 0)
    {
      origin = g_inet_address_new_from_bytes (bytes + sizeof mapped, G_SOCKET_FAMILY_IPV4);
      return g_inet_address_to_string (origin);
    }

  memcpy (network, bytes, 8);
  origin = g_inet_address_new_from_bytes (network, G_SOCKET_FAMILY_IPV6);
  text = g_inet_address_to_string (origin);
  return g_strconcat (text, "/64", NULL);
}
