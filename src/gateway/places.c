/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/places.h"

#include <gio/gunixsocketaddress.h>
#include "base/i18n.h"
#include "base/invalid.h"
#include "io/port.h"

static gboolean
read_unix (TcpPortSpec         *spec,
           GUnixSocketAddress  *address,
           GError             **error)
{
  GUnixSocketAddressType type = g_unix_socket_address_get_address_type (address);

  if (type != G_UNIX_SOCKET_ADDRESS_PATH)
    return tcp_invalid (error, _("a Unix socket without a path cannot be opened"));
  spec->socket_path = g_strdup (g_unix_socket_address_get_path (address));
  return TRUE;
}

static void
read_inet (TcpPortSpec        *spec,
           GInetSocketAddress *address)
{
  GInetAddress *host = g_inet_socket_address_get_address (address);
  g_autofree char *text = g_inet_address_to_string (host);
  guint scope = 0;

  if (g_inet_address_get_family (host) == G_SOCKET_FAMILY_IPV6)
    scope = g_inet_socket_address_get_scope_id (address);
  spec->hostname = scope > 0 ? g_strdup_printf ("%s%%%u", text, scope) : g_steal_pointer (&text);
  spec->port = g_inet_socket_address_get_port (address);
}

static gboolean
read_item (TcpPortSpec  *spec,
           GObject      *item,
           GError      **error)
{
  if (G_IS_SOCKET (item))
    {
      spec->socket = G_SOCKET (g_object_ref (item));
    }
  else if (G_IS_UNIX_SOCKET_ADDRESS (item))
    {
      if (!read_unix (spec, G_UNIX_SOCKET_ADDRESS (item), error))
        return FALSE;
    }
  else if (G_IS_INET_SOCKET_ADDRESS (item))
    {
      read_inet (spec, G_INET_SOCKET_ADDRESS (item));
    }
  else if (G_IS_NETWORK_ADDRESS (item))
    {
      spec->hostname = g_strdup (g_network_address_get_hostname (G_NETWORK_ADDRESS (item)));
      spec->port = g_network_address_get_port (G_NETWORK_ADDRESS (item));
    }
  else
    {
      return tcp_invalid (error, _("%s is the type neither of an address nor of a socket"), G_OBJECT_TYPE_NAME (item));
    }
  return tcp_port_spec_check (spec, error);
}

/* Returns the further places at which a gateway listens, as an array of TcpPortSpec. @list, which may be NULL, belongs
 * to the application. */
GArray *
tcp_places_read (GListModel  *list,
                 GError     **error)
{
  guint n = list != NULL ? g_list_model_get_n_items (list) : 0;
  g_autoptr (GArray) places = g_array_new (FALSE, TRUE, sizeof (TcpPortSpec));

  g_array_set_clear_func (places, (GDestroyNotify) tcp_port_spec_clear);
  if (n > TCP_GATEWAY_MAX_LISTENERS)
    {
      tcp_invalid (error, _("there are %u further listeners, and %d are possible"), n, TCP_GATEWAY_MAX_LISTENERS);
      return NULL;
    }
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GObject) item = g_list_model_get_item (list, i);

      /* It has become shorter. */
      if (item == NULL)
        break;
      g_array_set_size (places, i + 1);
      if (!read_item (&g_array_index (places, TcpPortSpec, i), item, error))
        {
          g_prefix_error (error, _("item %u of the listeners: "), i);
          return NULL;
        }
    }
  return g_steal_pointer (&places);
}
