/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/addresses.h"

#include "base/tsan.h"

struct _TcpAddresses
{
  GObject parent_instance;
  GPtrArray *addresses; /* of GSocketAddress */
};

static void addresses_connectable_init (GSocketConnectableIface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (TcpAddresses, tcp_addresses, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_SOCKET_CONNECTABLE, addresses_connectable_init))

#define TCP_TYPE_ADDRESSES_ENUMERATOR (tcp_addresses_enumerator_get_type ())
G_DECLARE_FINAL_TYPE (TcpAddressesEnumerator, tcp_addresses_enumerator, TCP, ADDRESSES_ENUMERATOR,
                      GSocketAddressEnumerator)

struct _TcpAddressesEnumerator
{
  GSocketAddressEnumerator parent_instance;
  GPtrArray *addresses;
  guint next;
};

G_DEFINE_FINAL_TYPE (TcpAddressesEnumerator, tcp_addresses_enumerator, G_TYPE_SOCKET_ADDRESS_ENUMERATOR)

/* The enumerator */

static GSocketAddress *
addresses_enumerator_next (GSocketAddressEnumerator  *enumerator,
                           GCancellable              *cancellable,
                           GError                   **error)
{
  TcpAddressesEnumerator *self = TCP_ADDRESSES_ENUMERATOR (enumerator);

  if (g_cancellable_set_error_if_cancelled (cancellable, error) || self->next >= self->addresses->len)
    return NULL;
  return g_object_ref (self->addresses->pdata[self->next++]);
}

static void
tcp_addresses_enumerator_finalize (GObject *object)
{
  g_ptr_array_unref (TCP_ADDRESSES_ENUMERATOR (object)->addresses);

  G_OBJECT_CLASS (tcp_addresses_enumerator_parent_class)->finalize (object);
}

static void
tcp_addresses_enumerator_class_init (TcpAddressesEnumeratorClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tcp_addresses_enumerator_finalize;
  G_SOCKET_ADDRESS_ENUMERATOR_CLASS (klass)->next = addresses_enumerator_next;
}

static void
tcp_addresses_enumerator_init (TcpAddressesEnumerator *self)
{
}

/* The addresses */

static GSocketAddressEnumerator *
addresses_enumerate (GSocketConnectable *connectable)
{
  TcpAddressesEnumerator *enumerator = g_object_new (TCP_TYPE_ADDRESSES_ENUMERATOR, NULL);

  tcp_tsan_acquire (connectable);
  enumerator->addresses = g_ptr_array_ref (TCP_ADDRESSES (connectable)->addresses);
  return G_SOCKET_ADDRESS_ENUMERATOR (enumerator);
}

static void
addresses_connectable_init (GSocketConnectableIface *iface)
{
  iface->enumerate = addresses_enumerate;
  iface->proxy_enumerate = addresses_enumerate;
}

static void
tcp_addresses_finalize (GObject *object)
{
  TcpAddresses *self = TCP_ADDRESSES (object);

  tcp_tsan_acquire (self);
  g_ptr_array_unref (self->addresses);

  G_OBJECT_CLASS (tcp_addresses_parent_class)->finalize (object);
}

static void
tcp_addresses_class_init (TcpAddressesClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tcp_addresses_finalize;
}

static void
tcp_addresses_init (TcpAddresses *self)
{
  self->addresses = g_ptr_array_new_with_free_func (g_object_unref);
}

/* Finds the next address of this family in @list, starting with @list itself. */
static GList *
find_family (GList         *list,
             GSocketFamily  family)
{
  while (list != NULL && g_inet_address_get_family (list->data) != family)
    list = list->next;
  return list;
}

/* Makes a list of @addresses, of GInetAddress, in their order but with the families alternating: if all addresses of
 * one family are unreachable, the client does not have to try all of them before the first of the other. */
GSocketConnectable *
tcp_addresses_new (GList   *addresses,
                   guint16  port)
{
  TcpAddresses *self = g_object_new (TCP_TYPE_ADDRESSES, NULL);
  GSocketFamily family = g_inet_address_get_family (addresses->data);
  GSocketFamily other = family == G_SOCKET_FAMILY_IPV6 ? G_SOCKET_FAMILY_IPV4 : G_SOCKET_FAMILY_IPV6;
  GList *next = addresses;
  GList *next_other = find_family (addresses, other);

  while (next != NULL || next_other != NULL)
    {
      if (next != NULL)
        g_ptr_array_add (self->addresses, g_inet_socket_address_new (next->data, port));
      if (next_other != NULL)
        g_ptr_array_add (self->addresses, g_inet_socket_address_new (next_other->data, port));
      next = next != NULL ? find_family (next->next, family) : NULL;
      next_other = next_other != NULL ? find_family (next_other->next, other) : NULL;
    }
  tcp_tsan_release (self);
  return G_SOCKET_CONNECTABLE (self);
}

/* Returns those addresses of @where, which is one address or several, that @func allows; NULL if it allows none. */
GSocketConnectable *
tcp_addresses_filter (GSocketConnectable *where,
                      TcpAddressFunc      func,
                      gpointer            user_data)
{
  g_autoptr (GSocketAddressEnumerator) enumerator = g_socket_connectable_enumerate (where);
  g_autoptr (TcpAddresses) allowed = g_object_new (TCP_TYPE_ADDRESSES, NULL);
  GSocketAddress *address;

  if (!TCP_IS_ADDRESSES (where) && !G_IS_INET_SOCKET_ADDRESS (where))
    return NULL;
  while ((address = g_socket_address_enumerator_next (enumerator, NULL, NULL)) != NULL)
    {
      g_autoptr (GInetSocketAddress) inet = G_INET_SOCKET_ADDRESS (address);

      if (func (g_inet_socket_address_get_address (inet), g_inet_socket_address_get_port (inet), user_data))
        g_ptr_array_add (allowed->addresses, g_object_ref (inet));
    }
  if (allowed->addresses->len == 0)
    return NULL;
  if (G_IS_SOCKET_ADDRESS (where))
    return g_object_ref (where);
  tcp_tsan_release (allowed);
  return G_SOCKET_CONNECTABLE (g_steal_pointer (&allowed));
}
