/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "endpoint/connections.h"

#include "endpoint/connection.h"

GListStore *
tcp_connections_new (void)
{
  return g_list_store_new (TCP_TYPE_CONNECTION);
}

/* Returns the position of the first connection with this id or a higher one. */
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

/* The caller owns the result. */
TcpConnection *
tcp_connections_add (GListStore     *self,
                     TcpRecord      *record,
                     GSocketAddress *client_address,
                     guint           run)
{
  TcpConnection *connection = tcp_connection_new (record, client_address, run);

  g_list_store_insert (self, connections_find (self, record->id), connection);
  return connection;
}

/* The caller owns the result: NULL if there is no connection with that id. */
static TcpConnection *
connections_get (GListStore *self,
                 guint64     id,
                 guint      *position)
{
  g_autoptr (TcpConnection) connection = NULL;

  *position = connections_find (self, id);
  connection = g_list_model_get_item (G_LIST_MODEL (self), *position);
  return connection != NULL && tcp_connection_get_id (connection) == id ? g_steal_pointer (&connection) : NULL;
}

static void
connections_end_at (GListStore    *self,
                    guint          position,
                    TcpConnection *connection,
                    const GError  *error)
{
  tcp_connection_end (connection, error);
  g_list_store_remove (self, position);
  g_object_notify (G_OBJECT (connection), "closed");
}

/* Ends the connection, and removes it from the list. The caller owns the result: NULL if there is no connection with
 * that id. */
TcpConnection *
tcp_connections_end (GListStore   *self,
                     guint64       id,
                     const GError *error)
{
  guint position;
  TcpConnection *connection = connections_get (self, id, &position);

  if (connection != NULL)
    connections_end_at (self, position, connection, error);
  return connection;
}

/* The same for the first connection, if it was opened in @run or before. Ids increase from run to run. */
TcpConnection *
tcp_connections_end_first (GListStore   *self,
                           guint         run,
                           const GError *error)
{
  g_autoptr (TcpConnection) connection = g_list_model_get_item (G_LIST_MODEL (self), 0);

  if (connection == NULL || tcp_connection_get_run (connection) > run)
    return NULL;
  connections_end_at (self, 0, connection, error);
  return g_steal_pointer (&connection);
}

/* Sets the error with which the connection will end. */
void
tcp_connections_settle (GListStore   *self,
                        guint64       id,
                        const GError *error)
{
  guint position;
  g_autoptr (TcpConnection) connection = connections_get (self, id, &position);

  if (connection != NULL)
    tcp_connection_settle (connection, error);
}

/* The same for all connections that were opened in @run, except those for which that is known. */
void
tcp_connections_settle_run (GListStore   *self,
                            guint         run,
                            const GError *error)
{
  guint n = g_list_model_get_n_items (G_LIST_MODEL (self));

  for (guint i = 0; i < n; i++)
    {
      g_autoptr (TcpConnection) connection = g_list_model_get_item (G_LIST_MODEL (self), i);

      if (tcp_connection_get_run (connection) == run)
        tcp_connection_settle (connection, error);
    }
}
