/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "endpoint/connections.h"

#include "endpoint/connection.h"

GListStore *
tcp_connections_new (void)
{
  return g_list_store_new (TCP_TYPE_CONNECTION);
}

/* The position of the first that has this id or a higher one. */
static guint
connections_find (GListStore *self,
                  guint64     id)
{
  guint low = 0;
  guint high = g_list_model_get_n_items (G_LIST_MODEL (self));

  while (low < high)
    {
      guint middle = low + (high - low) / 2;
      g_autoptr (TcpConnection) connection = g_list_model_get_item (G_LIST_MODEL (self), middle);

      if (tcp_connection_get_id (connection) < id)
        low = middle + 1;
      else
        high = middle;
    }
  return low;
}

/* The caller owns what it gets. */
TcpConnection *
tcp_connections_add (GListStore     *self,
                     TcpRecord      *record,
                     GSocketAddress *client_address)
{
  TcpConnection *connection = tcp_connection_new (record, client_address);

  g_list_store_insert (self, connections_find (self, record->id), connection);
  return connection;
}

static TcpConnection *
connections_end_at (GListStore   *self,
                    guint         position,
                    const GError *error)
{
  TcpConnection *connection = g_list_model_get_item (G_LIST_MODEL (self), position);

  tcp_connection_end (connection, error);
  g_list_store_remove (self, position);
  g_object_notify (G_OBJECT (connection), "closed");
  return connection;
}

/* Takes it out. The caller owns what it gets: NULL if there is none of that id. */
TcpConnection *
tcp_connections_end (GListStore   *self,
                     guint64       id,
                     const GError *error)
{
  guint position = connections_find (self, id);
  g_autoptr (TcpConnection) connection = g_list_model_get_item (G_LIST_MODEL (self), position);

  if (connection == NULL || tcp_connection_get_id (connection) != id)
    return NULL;
  return connections_end_at (self, position, error);
}

/* The same for the last of them, whichever that is. */
TcpConnection *
tcp_connections_end_last (GListStore   *self,
                          const GError *error)
{
  guint n = g_list_model_get_n_items (G_LIST_MODEL (self));

  return n > 0 ? connections_end_at (self, n - 1, error) : NULL;
}
