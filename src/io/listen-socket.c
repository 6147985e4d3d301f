/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/listen-socket.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <tcptunnel/tcptunnel.h>
#include "base/i18n.h"
#include "base/invalid.h"

/* Describes the socket if it is not suitable; otherwise NULL. */
static const char *
name_other_kind (GSocket *socket)
{
  GSocketFamily family = g_socket_get_family (socket);
  int listening;

  if (g_socket_is_closed (socket))
    return _("it is closed");
  if (family != G_SOCKET_FAMILY_IPV4 && family != G_SOCKET_FAMILY_IPV6 && family != G_SOCKET_FAMILY_UNIX)
    return _("its address is neither of IPv4 or IPv6 nor that of a Unix socket");
  if (g_socket_get_socket_type (socket) == G_SOCKET_TYPE_DATAGRAM)
    return _("it is a datagram socket");
  if (g_socket_get_socket_type (socket) != G_SOCKET_TYPE_STREAM)
    return _("it is not a stream socket");
  if (g_socket_get_protocol (socket) == G_SOCKET_PROTOCOL_SCTP)
    return _("it is a socket of SCTP");
  if (!g_socket_get_option (socket, SOL_SOCKET, SO_ACCEPTCONN, &listening, NULL) || !listening)
    return g_socket_is_connected (socket) ? _("it is a connection, such as a unit with Accept=yes gives")
                                          : _("it does not listen");
  return NULL;
}

/* Whether an endpoint can accept clients on @socket. */
gboolean
tcp_listen_socket_check (GSocket  *socket,
                         GError  **error)
{
  const char *other = name_other_kind (socket);

  return other == NULL ||
         tcp_invalid (error, _("the socket cannot be used, since %s; a stream socket of TCP or a Unix socket is required "
                        "that listens"), other);
}

/* Every client of the socket is trusted like a proxy. */
static void
warn_of_mode (GSocketAddress *address,
              TcpLog         *log)
{
  GUnixSocketAddress *local = G_UNIX_SOCKET_ADDRESS (address);
  g_autofree char *name = NULL;
  GStatBuf info;

  /* An abstract socket has no mode. */
  if (g_unix_socket_address_get_address_type (local) != G_UNIX_SOCKET_ADDRESS_PATH)
    {
      tcp_log_warn (log, "every user of this machine may connect to the Unix socket, which is abstract; one with a path and "
                    "SocketMode=0660 in its unit prevents that");
      return;
    }
  if (g_stat (g_unix_socket_address_get_path (local), &info) < 0 || (info.st_mode & 0002) == 0)
    return;
  name = g_filename_display_name (g_unix_socket_address_get_path (local));
  tcp_log_warn (log, "every user of this machine may connect to the Unix socket %s; SocketMode=0660 in its unit prevents "
                "that", name);
}

/* Returns a duplicate of @socket, which is not closed with it, in an array like that of tcp_listen (). The error is for
 * the application. */
GPtrArray *
tcp_listen_socket (GSocket         *socket,
                   TcpLog          *log,
                   GSocketAddress **address,
                   GError         **error)
{
  int fd = fcntl (g_socket_get_fd (socket), F_DUPFD_CLOEXEC, 0);
  g_autoptr (GSocket) duplicate = NULL;
  g_autoptr (GError) why = NULL;
  GPtrArray *sockets;

  if (fd < 0)
    why = g_error_new_literal (G_IO_ERROR, g_io_error_from_errno (errno), g_strerror (errno));
  else
    duplicate = g_socket_new_from_fd (fd, &why);
  if (duplicate != NULL)
    *address = g_socket_get_local_address (duplicate, &why);
  else if (fd >= 0)
    close (fd);
  if (why != NULL)
    {
      g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LISTEN, _("cannot listen on the socket that was given: %s"),
                   why->message);
      return NULL;
    }

  if (G_IS_UNIX_SOCKET_ADDRESS (*address))
    warn_of_mode (*address, log);
  sockets = g_ptr_array_new_with_free_func (g_object_unref);
  g_ptr_array_add (sockets, g_steal_pointer (&duplicate));
  return sockets;
}
