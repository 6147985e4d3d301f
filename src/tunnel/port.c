/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/port.h"

#include <gio/gunixsocketaddress.h>
#include "io/acceptor.h"
#include "io/listen.h"
#include "io/listen-socket.h"
#include "io/listen-unix.h"

struct _TcpPort
{
  TcpForwardSpec *spec;
  TcpLog *log;
  GCancellable *resolving; /* NULL if it is not resolving */
  TcpPortListenFunc listen_func;
  TcpPortAcceptFunc accept_func;
  gpointer listen_data;
  gpointer accept_data;
  GPtrArray *sockets;      /* NULL before it listens */
  TcpSocketFile file;      /* of a Unix socket */
  GSocketAddress *address; /* the first one on which it listens */
  TcpAcceptor *acceptor;
};

/* Copies @spec. */
TcpPort *
tcp_port_new (const TcpForwardSpec *spec,
              TcpLog               *log)
{
  TcpPort *self = g_new0 (TcpPort, 1);

  self->spec = tcp_forward_spec_copy (spec);
  self->log = tcp_log_ref (log);
  return self;
}

/* The port is free when this returns. */
void
tcp_port_free (TcpPort *self)
{
  if (self->spec->address != NULL)
    tcp_forward_address_set (self->spec->address, NULL);
  if (self->resolving != NULL)
    g_cancellable_cancel (self->resolving);
  g_clear_object (&self->resolving);
  tcp_socket_file_remove (&self->file);
  g_clear_pointer (&self->acceptor, tcp_acceptor_free);
  for (guint i = 0; self->sockets != NULL && i < self->sockets->len; i++)
    g_socket_close (self->sockets->pdata[i], NULL);
  g_clear_pointer (&self->sockets, g_ptr_array_unref);
  g_clear_object (&self->address);
  tcp_forward_spec_free (self->spec);
  tcp_log_unref (self->log);
  g_free (self);
}

const TcpForwardSpec *
tcp_port_get_spec (TcpPort *self)
{
  return self->spec;
}

/* NULL before it listens. */
GSocketAddress *
tcp_port_get_address (TcpPort *self)
{
  return self->address;
}

gboolean
tcp_port_is_listening (TcpPort *self)
{
  return self->sockets != NULL;
}

static gboolean
port_listen_unix (TcpPort  *self,
                  GError  **error)
{
  self->sockets = tcp_listen_unix (self->spec->socket_path, &self->file, error);
  if (self->sockets == NULL)
    return FALSE;

  self->address = g_unix_socket_address_new (self->spec->socket_path);
  return TRUE;
}

static gboolean
port_fail (TcpPort       *self,
           const GError  *cause,
           GError       **error)
{
  g_propagate_error (error, tcp_listen_error (self->spec->hostname, self->spec->port, cause));
  return FALSE;
}

static gboolean
port_listen_tcp (TcpPort    *self,
                 GPtrArray  *addresses,
                 GError    **error)
{
  g_autoptr (GError) local = NULL;

  self->sockets = tcp_listen (addresses, self->log, &local);
  if (self->sockets != NULL)
    self->address = g_socket_get_local_address (self->sockets->pdata[0], &local);
  return self->address != NULL || port_fail (self, local, error);
}

static gboolean
port_listen_socket (TcpPort  *self,
                    GError  **error)
{
  self->sockets = tcp_listen_socket (self->spec->socket, self->log, &self->address, error);
  return self->sockets != NULL;
}

/* @addresses are those of its hostname: see tcp_resolve (). NULL if it needs none. */
gboolean
tcp_port_listen (TcpPort    *self,
                 GPtrArray  *addresses,
                 GError    **error)
{
  gboolean listens;

  if (self->spec->socket != NULL)
    listens = port_listen_socket (self, error);
  else if (self->spec->socket_path != NULL)
    listens = port_listen_unix (self, error);
  else
    listens = port_listen_tcp (self, addresses, error);

  if (listens && self->spec->address != NULL)
    tcp_forward_address_set (self->spec->address, self->address);
  return listens;
}

static void
on_resolved (GObject      *object,
             GAsyncResult *result,
             gpointer      user_data)
{
  TcpPort *self;
  g_autoptr (GError) local = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) addresses = tcp_resolve_finish (result, &local);

  /* In this case the port may have been freed as well. */
  if (g_error_matches (local, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return;

  self = user_data;
  g_clear_object (&self->resolving);
  if (addresses != NULL)
    tcp_port_listen (self, addresses, &error);
  else
    port_fail (self, local, &error);
  self->listen_func (self, error, self->listen_data);
}

/* Resolves its hostname first. @func, which may free the port, is called unless the port is freed before. */
void
tcp_port_listen_async (TcpPort           *self,
                       TcpPortListenFunc  func,
                       gpointer           user_data)
{
  g_autoptr (GError) error = NULL;

  if (self->spec->socket_path != NULL || self->spec->socket != NULL)
    {
      tcp_port_listen (self, NULL, &error);
      func (self, error, user_data);
      return;
    }

  self->listen_func = func;
  self->listen_data = user_data;
  self->resolving = g_cancellable_new ();
  tcp_resolve (self->spec->hostname, self->spec->port, self->resolving, on_resolved, self);
}

static void
on_accepted (GSocketConnection *connection,
             GSocketAddress    *peer,
             gpointer           user_data)
{
  TcpPort *self = user_data;

  self->accept_func (self, connection, peer, self->accept_data);
}

gboolean
tcp_port_is_accepting (TcpPort *self)
{
  return self->acceptor != NULL;
}

/* Accepts from now on. Earlier connections have waited. @func may free the port. */
void
tcp_port_accept (TcpPort           *self,
                 TcpPortAcceptFunc  func,
                 gpointer           user_data)
{
  self->accept_func = func;
  self->accept_data = user_data;
  self->acceptor = tcp_acceptor_new (self->sockets, self->log, on_accepted, self);
}
