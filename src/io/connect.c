/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/connect.h"

#include <errno.h>
#include <sys/socket.h>
#include "io/reactor.h"

struct _TcpConnect
{
  TcpConnectFunc func;
  gpointer user_data;
  GCancellable *cancellable; /* of a GSocketClient; otherwise the following are used: */
  GSocketAddress *address;
  GSocket *socket;
  TcpWatch *watch; /* while the connection is being opened */
  TcpTimer *tell;  /* reports the result, which never happens from within a call */
  GError *error;
};

/* Returns the address, or NULL if @host is a name. */
GSocketAddress *
tcp_connect_get_literal (const char *host,
                         guint16     port)
{
  return g_inet_socket_address_new_from_string (host, port);
}

static void
connect_fail (TcpConnect *self,
              GError     *error)
{
  GInetAddress *address = g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (self->address));
  g_autofree char *host = g_inet_address_to_string (address);
  g_autofree char *prefix = g_strconcat ("Could not connect to ", host, ": ", NULL);

  g_prefix_error_literal (&error, prefix);
  self->error = error;
}

static void
on_tell (gpointer user_data)
{
  TcpConnect *self = user_data;
  g_autoptr (GSocketConnection) connection = NULL;
  g_autoptr (GError) error = g_steal_pointer (&self->error);

  if (error == NULL)
    connection = g_socket_connection_factory_create_connection (self->socket);
  self->func (connection, error, self->user_data);
}

/* Also marks the GSocket as connected. */
static void
connect_check (TcpConnect *self)
{
  GError *error = NULL;

  if (!g_socket_check_connect_result (self->socket, &error))
    connect_fail (self, error);
}

static void
on_ready (GIOCondition condition,
          gpointer     user_data)
{
  TcpConnect *self = user_data;

  tcp_watch_clear (&self->watch);
  connect_check (self);
  on_tell (self);
}

/* Whether the result is known by now. Tries only once more: a connection within this machine is complete already when
 * the first call returns EINPROGRESS. */
static gboolean
connect_try (TcpConnect *self)
{
  struct sockaddr_storage native;
  gssize size = g_socket_address_get_native_size (self->address);
  int fd = g_socket_get_fd (self->socket);
  GError *error = NULL;

  if (!g_socket_address_to_native (self->address, &native, sizeof native, &error))
    {
      connect_fail (self, error);
      return TRUE;
    }
  if (connect (fd, (struct sockaddr *) &native, size) == 0 ||
      (errno == EINPROGRESS && connect (fd, (struct sockaddr *) &native, size) == 0))
    {
      connect_check (self);
      return TRUE;
    }
  if (errno == EINPROGRESS || errno == EALREADY || errno == EINTR)
    return FALSE;

  connect_fail (self, g_error_new_literal (G_IO_ERROR, g_io_error_from_errno (errno), g_strerror (errno)));
  return TRUE;
}

static void
connect_to_address (TcpConnect *self)
{
  GError *error = NULL;

  self->tell = tcp_timer_new (on_tell, self);
  self->socket = g_socket_new (g_socket_address_get_family (self->address), G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT,
                               &error);
  if (self->socket == NULL)
    connect_fail (self, error);
  else
    g_socket_set_blocking (self->socket, FALSE);

  /* The descriptor of a GSocket never blocks, even if the GSocket does. */
  if (self->socket == NULL || connect_try (self))
    tcp_timer_set (self->tell, 0);
  else
    self->watch = tcp_watch_new (g_socket_get_fd (self->socket), G_IO_OUT, on_ready, self);
}

static void
on_client_connected (GObject      *object,
                     GAsyncResult *result,
                     gpointer      user_data)
{
  g_autoptr (GCancellable) cancellable = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocketConnection) connection = g_socket_client_connect_finish (G_SOCKET_CLIENT (object), result, &error);
  TcpConnect *self = g_object_get_data (G_OBJECT (cancellable), "connect");

  /* If it was cancelled, the object is gone. */
  if (!g_cancellable_is_cancelled (cancellable))
    self->func (connection, error, self->user_data);
}

static void
connect_to_any (TcpConnect         *self,
                GSocketConnectable *where)
{
  g_autoptr (GSocketClient) client = g_socket_client_new ();

  self->cancellable = g_cancellable_new ();
  g_object_set_data (G_OBJECT (self->cancellable), "connect", self);
  g_socket_client_set_enable_proxy (client, FALSE);
  g_socket_client_connect_async (client, where, self->cancellable, on_client_connected, g_object_ref (self->cancellable));
}

/* Calls @func once, though not before this function returns. The object must be freed then, or earlier to give up. */
TcpConnect *
tcp_connect_new (GSocketConnectable *where,
                 TcpConnectFunc      func,
                 gpointer            user_data)
{
  TcpConnect *self = g_new0 (TcpConnect, 1);

  self->func = func;
  self->user_data = user_data;
  if (G_IS_SOCKET_ADDRESS (where))
    {
      self->address = g_object_ref (G_SOCKET_ADDRESS (where));
      connect_to_address (self);
    }
  else
    {
      connect_to_any (self, where);
    }
  return self;
}

void
tcp_connect_free (TcpConnect *self)
{
  if (self->cancellable != NULL)
    g_cancellable_cancel (self->cancellable);
  g_clear_object (&self->cancellable);
  tcp_timer_clear (&self->tell);
  tcp_watch_clear (&self->watch);
  g_clear_error (&self->error);
  g_clear_object (&self->socket);
  g_clear_object (&self->address);
  g_free (self);
}
