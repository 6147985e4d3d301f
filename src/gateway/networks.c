/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/networks.h"

#include <string.h>
#include "base/i18n.h"
#include "base/invalid.h"

struct _TcpNetworks
{
  GPtrArray *masks; /* of GInetAddressMask */
};

/* An IPv4 address that an IPv6 socket reports (::ffff:…) becomes an address of the family IPv4. */
GInetAddress *
tcp_address_normalize (GInetAddress *address)
{
  static const guint8 mapped[12] = { [10] = 0xff, [11] = 0xff };
  const guint8 *bytes = g_inet_address_to_bytes (address);

  if (g_inet_address_get_family (address) == G_SOCKET_FAMILY_IPV6 && memcmp (bytes, mapped, sizeof mapped) == 0)
    return g_inet_address_new_from_bytes (bytes + sizeof mapped, G_SOCKET_FAMILY_IPV4);
  return g_object_ref (address);
}

/* NULL if it is not an IP address. */
GInetAddress *
tcp_address_get (GSocketAddress *address)
{
  return G_IS_INET_SOCKET_ADDRESS (address)
             ? tcp_address_normalize (g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (address)))
             : NULL;
}

/* 0 if it is not an IP address. */
guint16
tcp_address_get_port (GSocketAddress *address)
{
  return G_IS_INET_SOCKET_ADDRESS (address) ? g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address)) : 0;
}

/* NULL if it is not valid. The length is checked first, since GLib warns about one that is out of range. */
GInetAddressMask *
tcp_network_parse (const char *text)
{
  const char *slash = strchr (text, '/');
  g_autofree char *prefix = slash != NULL ? g_strndup (text, slash - text) : g_strdup (text);
  g_autoptr (GInetAddress) address = g_inet_address_new_from_string (prefix);
  guint64 length;

  if (address == NULL)
    return NULL;
  length = g_inet_address_get_native_size (address) * 8;
  if (slash != NULL && !g_ascii_string_to_unsigned (slash + 1, 10, 0, length, &length, NULL))
    return NULL;
  return g_inet_address_mask_new (address, length, NULL);
}

/* @texts may be NULL. */
TcpNetworks *
tcp_networks_parse (const char *const  *texts,
                    GError            **error)
{
  g_autoptr (TcpNetworks) self = g_new0 (TcpNetworks, 1);

  self->masks = g_ptr_array_new_with_free_func (g_object_unref);
  for (guint i = 0; texts != NULL && texts[i] != NULL; i++)
    {
      GInetAddressMask *mask = tcp_network_parse (texts[i]);

      if (mask == NULL)
        {
          tcp_invalid (error,
                       _("the trusted proxy “%s” is neither an IP address nor a network such as 10.0.0.0/8 or fd00::/8, "
                         "whose bits after the prefix are 0"), texts[i]);
          return NULL;
        }
      g_ptr_array_add (self->masks, mask);
    }
  return g_steal_pointer (&self);
}

void
tcp_networks_free (TcpNetworks *self)
{
  g_ptr_array_unref (self->masks);
  g_free (self);
}

/* @address is a result of tcp_address_normalize (). */
gboolean
tcp_networks_contain (const TcpNetworks *self,
                      GInetAddress      *address)
{
  for (guint i = 0; i < self->masks->len; i++)
    if (g_inet_address_mask_matches (self->masks->pdata[i], address))
      return TRUE;
  return FALSE;
}
