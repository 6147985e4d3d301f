/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/listen-unix.h"

#include <errno.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <tcptunnel/tcptunnel.h>
#include "base/i18n.h"
#include "io/listen.h"

G_STATIC_ASSERT (TCP_SOCKET_PATH_MAX == sizeof (((struct sockaddr_un *) NULL)->sun_path) - 1);

static gboolean
fail (GError       **error,
      GIOErrorEnum   code,
      const char    *reason)
{
  g_set_error_literal (error, G_IO_ERROR, code, reason);
  return FALSE;
}

static gboolean
fail_errno (GError **error,
            int      number)
{
  return fail (error, g_io_error_from_errno (number), g_strerror (number));
}

static GSocket *
new_socket (GSocketType   type,
            GError      **error)
{
  return g_socket_new (G_SOCKET_FAMILY_UNIX, type, G_SOCKET_PROTOCOL_DEFAULT, error);
}

/* Checks whether a socket is bound to the file. Connecting with a datagram socket fails with "refused" if no socket is
 * bound, and with "wrong type" if a stream socket is: the program of that socket is not disturbed. */
static gboolean
check_is_stale (GSocketAddress  *address,
                GError         **error)
{
  g_autoptr (GSocket) probe = new_socket (G_SOCKET_TYPE_DATAGRAM, error);
  struct sockaddr_un native;
  gssize length = g_socket_address_get_native_size (address);

  if (probe == NULL || !g_socket_address_to_native (address, &native, sizeof (native), error))
    return FALSE;
  if (connect (g_socket_get_fd (probe), (struct sockaddr *) &native, length) == 0 || errno == EPROTOTYPE)
    return fail (error, G_IO_ERROR_ADDRESS_IN_USE, _("a running program listens there"));
  if (errno != ECONNREFUSED)
    return fail_errno (error, errno);

  return TRUE;
}

/* Removes a socket that a former program has left. Of two programs that find it at the same moment, the later one may
 * remove the new socket of the other. */
static gboolean
remove_stale (const char      *path,
              GSocketAddress  *address,
              GError         **error)
{
  GStatBuf info;

  if (g_lstat (path, &info) < 0)
    return errno == ENOENT || fail_errno (error, errno);
  if (!S_ISSOCK (info.st_mode))
    return fail (error, G_IO_ERROR_ADDRESS_IN_USE, _("there is a file that is not a socket"));
  if (!check_is_stale (address, error))
    return FALSE;

  return g_unlink (path) == 0 || errno == ENOENT || fail_errno (error, errno);
}

/* The file is accessible only for the user, from its creation. Does not use g_socket_bind (), whose errors name the
 * type of the address. */
static GSocket *
bind_socket (GSocketAddress  *address,
             GError         **error)
{
  g_autoptr (GSocket) socket = new_socket (G_SOCKET_TYPE_STREAM, error);
  struct sockaddr_un native;
  gssize length = g_socket_address_get_native_size (address);

  if (socket == NULL || !g_socket_address_to_native (address, &native, sizeof (native), error))
    return NULL;
  /* bind () gives the file the mode of the socket, less the umask of the process, which must not be changed here. */
  if (fchmod (g_socket_get_fd (socket), 0600) < 0 ||
      bind (g_socket_get_fd (socket), (struct sockaddr *) &native, length) < 0)
    {
      fail_errno (error, errno);
      return NULL;
    }

  return g_steal_pointer (&socket);
}

static GSocket *
listen_at (const char     *path,
           TcpSocketFile  *file,
           GError        **error)
{
  g_autoptr (GSocketAddress) address = g_unix_socket_address_new (path);
  g_autofree char *here = g_get_current_dir ();
  g_autoptr (GSocket) socket = NULL;
  g_autoptr (GError) local = NULL;
  GStatBuf info;

  socket = bind_socket (address, &local);
  if (g_error_matches (local, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE))
    {
      if (!remove_stale (path, address, error))
        return NULL;
      g_clear_error (&local);
      socket = bind_socket (address, &local);
    }
  if (socket == NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return NULL;
    }

  if (g_lstat (path, &info) < 0)
    {
      fail_errno (error, errno);
      return NULL;
    }
  /* The process may be in another directory when the file is removed. */
  file->path = g_path_is_absolute (path) ? g_strdup (path) : g_build_filename (here, path, NULL);
  file->device = info.st_dev;
  file->inode = info.st_ino;

  g_socket_set_listen_backlog (socket, TCP_LISTEN_BACKLOG);
  if (!g_socket_listen (socket, error))
    {
      tcp_socket_file_remove (file);
      return NULL;
    }

  return g_steal_pointer (&socket);
}

/* What to do about a failure to listen. */
static const char *
advise_on_unix (const GError *cause)
{
  return g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) ? _("; create its directory first") : "";
}

/* Returns a socket that listens at @path, in an array like that of tcp_listen (), after replacing one to which no
 * program is bound. @file is for tcp_socket_file_remove (). The error is for the application. */
GPtrArray *
tcp_listen_unix (const char     *path,
                 TcpSocketFile  *file,
                 GError        **error)
{
  g_autoptr (GError) why = NULL;
  GSocket *socket = listen_at (path, file, &why);
  GPtrArray *sockets;

  if (socket == NULL)
    {
      g_autofree char *name = g_filename_display_name (path);

      g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LISTEN, _("cannot listen on the Unix socket %s: %s%s"), name,
                   why->message, advise_on_unix (why));
      return NULL;
    }

  sockets = g_ptr_array_new_with_free_func (g_object_unref);
  g_ptr_array_add (sockets, socket);
  return sockets;
}

/* Called before the socket is closed: until then the inode is not reused, so that it identifies our file. */
void
tcp_socket_file_remove (TcpSocketFile *file)
{
  GStatBuf info;

  if (file->path != NULL && g_lstat (file->path, &info) == 0 && info.st_dev == file->device &&
      info.st_ino == file->inode)
    g_unlink (file->path);
  g_clear_pointer (&file->path, g_free);
}
