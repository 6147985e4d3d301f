/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/door.h"

#include <sys/socket.h>
#include "base/listen.h"
#include "base/source.h"

/* How long a connection may take to become a WebSocket, if nothing else was said. */
#define DEFAULT_TIMEOUT 10000

/* What TLS begins with, and HTTP never does. */
#define TLS_HANDSHAKE 0x16

#define VISITOR_KEY "tcp-visitor"

struct _TcpDoor
{
  SoupServer *soup;
  GTlsCertificate *certificate; /* NULL for none */
  guint timeout;                /* ms */
  TcpChannelGroup *group;
  TcpLog *log;
  GSocketService *service;
  GCancellable *closing;
  GHashTable *visitors; /* set of Visitor */
  guint max_visitors;
};

typedef struct
{
  TcpDoor *door; /* NULL once the door is gone */
  GSocket *socket;
  GSource *deadline;
  GSocketConnection *silent; /* NULL once it has sent a byte */
  GSource *first_byte;
} Visitor;

/* Of the connection, when libsoup has let go of it, or when it was admitted. */
static void
visitor_free (gpointer data)
{
  Visitor *visitor = data;

  if (visitor->door != NULL)
    {
      g_hash_table_remove (visitor->door->visitors, visitor);
      g_socket_service_start (visitor->door->service);
    }
  tcp_source_clear (&visitor->deadline);
  g_free (visitor);
}

static gboolean
on_deadline (gpointer user_data)
{
  Visitor *visitor = user_data;

  tcp_log_info (visitor->door->log, "a connection that did not ask for a WebSocket within %u ms was closed",
                visitor->door->timeout);
  /* libsoup sees the end, and closes. */
  g_socket_shutdown (visitor->socket, TRUE, TRUE, NULL);
  return G_SOURCE_CONTINUE;
}

static gboolean
door_receive (TcpDoor           *self,
              GSocketConnection *connection,
              GIOStream         *stream)
{
  g_autoptr (GSocketAddress) local = g_socket_connection_get_local_address (connection, NULL);
  g_autoptr (GSocketAddress) remote = g_socket_connection_get_remote_address (connection, NULL);

  /* It has broken already. */
  if (local == NULL || remote == NULL)
    return FALSE;

  /* By the address the connection of a message is found again. */
  g_object_set_data (G_OBJECT (remote), VISITOR_KEY, connection);
  return soup_server_accept_iostream (self->soup, stream, local, remote, NULL);
}

static void
on_handshake (GObject      *object,
              GAsyncResult *result,
              gpointer      user_data)
{
  g_autoptr (GSocketConnection) connection = user_data;
  Visitor *visitor = g_object_get_data (G_OBJECT (connection), VISITOR_KEY);
  g_autoptr (GError) error = NULL;
  g_autoptr (TcpChannelGroup) group = g_object_steal_data (object, "tcp-group");
  gboolean received = FALSE;

  if (g_tls_connection_handshake_finish (G_TLS_CONNECTION (object), result, &error))
    {
      if (visitor->door != NULL)
        received = door_receive (visitor->door, connection, G_IO_STREAM (object));
    }
  else if (visitor->door != NULL)
    {
      tcp_log_info (visitor->door->log, "TLS with a client failed: %s", error->message);
    }
  /* Now, not when a thread of the handshake happens to drop the last reference. */
  if (!received)
    g_object_set_data (G_OBJECT (connection), VISITOR_KEY, NULL);
  tcp_channel_group_leave (group);
}

static void
door_begin_tls (TcpDoor           *self,
                GSocketConnection *connection)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GIOStream) tls = g_tls_server_connection_new (G_IO_STREAM (connection), self->certificate, &error);

  if (tls == NULL)
    {
      tcp_log_warn (self->log, "TLS is not available: %s", error->message);
      return;
    }

  /* A peer that closes without a goodbye of TLS has said one of WebSocket, or is lost. */
  g_tls_connection_set_require_close_notify (G_TLS_CONNECTION (tls), FALSE);
  tcp_channel_group_enter (self->group);
  g_object_set_data (G_OBJECT (tls), "tcp-group", tcp_channel_group_ref (self->group));
  g_tls_connection_handshake_async (G_TLS_CONNECTION (tls), G_PRIORITY_DEFAULT, self->closing, on_handshake,
                                    g_object_ref (connection));
}

/* libsoup would wait for the end of a line until the time is up. */
static gboolean
on_first_byte (gpointer user_data)
{
  Visitor *visitor = user_data;
  g_autoptr (GSocketConnection) connection = g_steal_pointer (&visitor->silent);
  char first;

  tcp_source_clear (&visitor->first_byte);
  if (recv (g_socket_get_fd (visitor->socket), &first, 1, MSG_PEEK | MSG_DONTWAIT) == 1 && first == TLS_HANDSHAKE)
    tcp_log_info (visitor->door->log, "a client that began with TLS was sent away: this gateway has no certificate, "
                                      "and its URL begins with ws://");
  else
    door_receive (visitor->door, connection, G_IO_STREAM (connection));
  return G_SOURCE_REMOVE;
}

static gboolean
on_incoming (GSocketService    *service,
             GSocketConnection *connection,
             GObject           *source,
             gpointer           user_data)
{
  TcpDoor *self = user_data;
  Visitor *visitor;

  visitor = g_new0 (Visitor, 1);
  visitor->door = self;
  visitor->socket = g_socket_connection_get_socket (connection);
  visitor->deadline = tcp_timer_new ("[tcptunnel] visitor deadline", on_deadline, visitor);
  g_source_set_ready_time (visitor->deadline, g_get_monotonic_time () + self->timeout * G_TIME_SPAN_MILLISECOND);
  g_hash_table_add (self->visitors, visitor);
  /* The others wait in the kernel. */
  if (g_hash_table_size (self->visitors) >= self->max_visitors)
    g_socket_service_stop (self->service);
  g_object_set_data_full (G_OBJECT (connection), VISITOR_KEY, visitor, visitor_free);

  if (self->certificate != NULL)
    {
      door_begin_tls (self, connection);
      return TRUE;
    }
  visitor->silent = g_object_ref (connection);
  visitor->first_byte = tcp_fd_source_new ("[tcptunnel] visitor first byte", g_socket_get_fd (visitor->socket), G_IO_IN,
                                           on_first_byte, visitor);
  return TRUE;
}

TcpDoor *
tcp_door_new (SoupServer      *soup,
              GTlsCertificate *certificate,
              guint            timeout,
              TcpChannelGroup *group,
              TcpLog          *log)
{
  TcpDoor *self = g_new0 (TcpDoor, 1);

  self->soup = g_object_ref (soup);
  self->certificate = certificate != NULL ? g_object_ref (certificate) : NULL;
  self->timeout = timeout > 0 ? timeout : DEFAULT_TIMEOUT;
  self->max_visitors = tcp_limit_visitors ();
  self->group = tcp_channel_group_ref (group);
  self->log = tcp_log_ref (log);
  self->closing = g_cancellable_new ();
  self->visitors = g_hash_table_new (NULL, NULL);
  self->service = g_socket_service_new ();
  g_signal_connect (self->service, "incoming", G_CALLBACK (on_incoming), self);

  return self;
}

/* Gives the first address that it listens on, with the port. */
GSocketAddress *
tcp_door_open (TcpDoor    *self,
               GPtrArray  *addresses,
               GError    **error)
{
  GSocketAddress *local = tcp_listen (G_SOCKET_LISTENER (self->service), addresses, self->log, error);

  if (local != NULL)
    g_socket_service_start (self->service);
  return local;
}

/* The connection of @message has become a WebSocket. Gives its socket. */
GSocket *
tcp_door_admit (TcpDoor           *self,
                SoupServerMessage *message)
{
  GSocketAddress *remote = soup_server_message_get_remote_address (message);
  GSocketConnection *connection = g_object_steal_data (G_OBJECT (remote), VISITOR_KEY);

  g_return_val_if_fail (connection != NULL, NULL);

  g_object_set_data (G_OBJECT (connection), VISITOR_KEY, NULL);
  return g_object_ref (g_socket_connection_get_socket (connection));
}

void
tcp_door_free (TcpDoor *self)
{
  GHashTableIter iter;
  gpointer key;

  /* libsoup lets go of them one after the other, some later. */
  g_hash_table_iter_init (&iter, self->visitors);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    {
      Visitor *visitor = key;

      visitor->door = NULL;
      tcp_source_clear (&visitor->deadline);
      tcp_source_clear (&visitor->first_byte);
      /* Which may have been the last reference. */
      g_clear_object (&visitor->silent);
    }
  g_hash_table_unref (self->visitors);

  g_signal_handlers_disconnect_by_data (self->service, self);
  g_socket_service_stop (self->service);
  g_socket_listener_close (G_SOCKET_LISTENER (self->service));
  g_object_unref (self->service);
  g_cancellable_cancel (self->closing);
  g_object_unref (self->closing);
  soup_server_disconnect (self->soup);
  g_object_unref (self->soup);

  g_clear_object (&self->certificate);
  tcp_channel_group_unref (self->group);
  tcp_log_unref (self->log);
  g_free (self);
}
