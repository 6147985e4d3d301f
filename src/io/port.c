/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/port.h"

#include <gio/gunixsocketaddress.h>
#include <string.h>
#include "base/i18n.h"
#include "base/invalid.h"
#include "io/listen.h"
#include "io/listen-socket.h"
#include "io/reactor.h"

/* The specification */

/* Overwrites @self. */
void
tcp_port_spec_copy (TcpPortSpec       *self,
                    const TcpPortSpec *from)
{
  *self = (TcpPortSpec) {
    .hostname = g_strdup (from->hostname),
    .port = from->port,
    .socket_path = g_strdup (from->socket_path),
    .socket = from->socket != NULL ? g_object_ref (from->socket) : NULL,
  };
}

void
tcp_port_spec_clear (TcpPortSpec *self)
{
  g_clear_pointer (&self->hostname, g_free);
  g_clear_pointer (&self->socket_path, g_free);
  g_clear_object (&self->socket);
}

/* Whether the hostname has to be resolved. */
gboolean
tcp_port_spec_is_hostname (const TcpPortSpec *self)
{
  return self->socket == NULL && self->socket_path == NULL;
}

/* Checks everything that can be checked in advance. */
gboolean
tcp_port_spec_check (const TcpPortSpec  *self,
                     GError            **error)
{
  g_autofree char *name = NULL;

  if (self->socket != NULL)
    return tcp_listen_socket_check (self->socket, error);
  if (self->socket_path == NULL)
    return (self->hostname != NULL && *self->hostname != '\0') ||
           tcp_invalid (error, _("no address to listen on was given, such as 127.0.0.1"));

  if (*self->socket_path == '\0')
    return tcp_invalid (error, _("the path of the Unix socket to listen on is empty"));
  if (strlen (self->socket_path) <= TCP_SOCKET_PATH_MAX)
    return TRUE;
  name = g_filename_display_name (self->socket_path);
  return tcp_invalid (error, _("the path of the Unix socket to listen on is too long: %s has %zu bytes, and %d are "
                               "possible"), name, strlen (self->socket_path), TCP_SOCKET_PATH_MAX);
}

/* The port */

struct _TcpPort
{
  TcpPortSpec spec;
  TcpLog *log;
  GCancellable *resolving; /* NULL if it is not resolving */
  TcpPortListenFunc listen_func;
  gpointer listen_data;
  GPtrArray *sockets;      /* NULL before it listens */
  TcpSocketFile file;      /* of a Unix socket */
  GSocketAddress *address; /* the first one on which it listens */
  TcpAcceptor *acceptor;
};

/* Copies @spec. */
TcpPort *
tcp_port_new (const TcpPortSpec *spec,
              TcpLog            *log)
{
  TcpPort *self = g_new0 (TcpPort, 1);

  tcp_port_spec_copy (&self->spec, spec);
  self->log = tcp_log_ref (log);
  return self;
}

/* A forked child must not keep the port in use, even if it does not accept yet. */
static void
port_claim (TcpPort  *self,
            gboolean  claimed)
{
  for (guint i = 0; self->sockets != NULL && i < self->sockets->len; i++)
    if (!g_socket_is_closed (self->sockets->pdata[i]))
      tcp_reactor_claim (g_socket_get_fd (self->sockets->pdata[i]), claimed);
}

/* A port that listens already, in a former program of this process. Copies @file, which is empty if the port has none.
 * Returns NULL if the address of the sockets, of which there is at least one, is not known. */
TcpPort *
tcp_port_new_inherited (GPtrArray           *sockets,
                        const TcpSocketFile *file,
                        TcpLog              *log)
{
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (sockets->pdata[0], NULL);
  TcpPort *self;

  if (address == NULL)
    return NULL;

  self = tcp_port_new (&(TcpPortSpec) { 0 }, log);
  self->sockets = g_ptr_array_ref (sockets);
  self->address = g_steal_pointer (&address);
  self->file = *file;
  self->file.path = g_strdup (file->path);
  port_claim (self, TRUE);
  return self;
}

/* The port is free when this returns. */
void
tcp_port_free (TcpPort *self)
{
  if (self->resolving != NULL)
    g_cancellable_cancel (self->resolving);
  g_clear_object (&self->resolving);
  tcp_socket_file_remove (&self->file);
  g_clear_pointer (&self->acceptor, tcp_acceptor_free);
  port_claim (self, FALSE);
  for (guint i = 0; self->sockets != NULL && i < self->sockets->len; i++)
    g_socket_close (self->sockets->pdata[i], NULL);
  g_clear_pointer (&self->sockets, g_ptr_array_unref);
  g_clear_object (&self->address);
  tcp_port_spec_clear (&self->spec);
  tcp_log_unref (self->log);
  g_free (self);
}

/* NULL before it listens. */
GSocketAddress *
tcp_port_get_address (TcpPort *self)
{
  return self->address;
}

/* Returns a socket on which it listens, by its index from 0; NULL beyond the last. */
GSocket *
tcp_port_get_socket (TcpPort *self,
                     guint    index)
{
  return self->sockets != NULL && index < self->sockets->len ? self->sockets->pdata[index] : NULL;
}

/* The path is NULL if the port has no file. */
const TcpSocketFile *
tcp_port_get_file (TcpPort *self)
{
  return &self->file;
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
  self->sockets = tcp_listen_unix (self->spec.socket_path, &self->file, error);
  if (self->sockets == NULL)
    return FALSE;

  self->address = g_unix_socket_address_new (self->spec.socket_path);
  return TRUE;
}

static gboolean
port_fail (TcpPort       *self,
           const GError  *cause,
           GError       **error)
{
  g_propagate_error (error, tcp_listen_error (self->spec.hostname, self->spec.port, cause));
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
  self->sockets = tcp_listen_socket (self->spec.socket, self->log, &self->address, error);
  return self->sockets != NULL;
}

static gboolean
port_listen (TcpPort    *self,
             GPtrArray  *addresses,
             GError    **error)
{
  if (self->spec.socket != NULL)
    return port_listen_socket (self, error);
  if (self->spec.socket_path != NULL)
    return port_listen_unix (self, error);
  return port_listen_tcp (self, addresses, error);
}

/* @addresses are those of its hostname: see tcp_resolve (). NULL if it needs none. */
gboolean
tcp_port_listen (TcpPort    *self,
                 GPtrArray  *addresses,
                 GError    **error)
{
  gboolean listens = port_listen (self, addresses, error);

  port_claim (self, TRUE);
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
  self->listen_func (error, self->listen_data);
}

/* Resolves its hostname first. @func, which may free the port, is called unless the port is freed before. */
void
tcp_port_listen_async (TcpPort           *self,
                       TcpPortListenFunc  func,
                       gpointer           user_data)
{
  g_autoptr (GError) error = NULL;

  if (!tcp_port_spec_is_hostname (&self->spec))
    {
      tcp_port_listen (self, NULL, &error);
      func (error, user_data);
      return;
    }

  self->listen_func = func;
  self->listen_data = user_data;
  self->resolving = g_cancellable_new ();
  tcp_resolve (self->spec.hostname, self->spec.port, self->resolving, on_resolved, self);
}

gboolean
tcp_port_is_accepting (TcpPort *self)
{
  return self->acceptor != NULL;
}

/* Accepts from now on. Earlier connections have waited. @func may free the port. */
void
tcp_port_accept (TcpPort       *self,
                 TcpAcceptFunc  func,
                 gpointer       user_data)
{
  self->acceptor = tcp_acceptor_new (self->sockets, self->log, func, user_data);
}

/* While it rests, new connections wait in the backlog. */
void
tcp_port_set_resting (TcpPort  *self,
                      gboolean  resting)
{
  if (self->acceptor != NULL)
    tcp_acceptor_set_resting (self->acceptor, resting);
}
