/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <tcptunnel/tcptunnel.h>
#include "base/i18n.h"

/* The maximum number of addresses of a name to listen on. */
#define MAX_ADDRESSES 16

/* How often another port is tried, if the one that was free at the first address is in use at another. */
#define MAX_ATTEMPTS 64

static GPtrArray *
make_addresses (GList *found,
                guint  port)
{
  GPtrArray *addresses = g_ptr_array_new_with_free_func (g_object_unref);

  for (GList *l = found; l != NULL && addresses->len < MAX_ADDRESSES; l = l->next)
    g_ptr_array_add (addresses, g_inet_socket_address_new (l->data, port));
  return addresses;
}

/* Returns the address if @hostname is one; otherwise NULL. */
static GPtrArray *
parse_address (const char *hostname,
               guint       port)
{
  GSocketAddress *address = g_inet_socket_address_new_from_string (hostname, port);
  GPtrArray *addresses;

  if (address == NULL)
    return NULL;

  addresses = g_ptr_array_new_with_free_func (g_object_unref);
  g_ptr_array_add (addresses, address);
  return addresses;
}

static void
on_resolved (GObject      *object,
             GAsyncResult *result,
             gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;
  g_autolist (GInetAddress) found = NULL;

  found = g_resolver_lookup_by_name_finish (G_RESOLVER (object), result, &error);
  if (found == NULL)
    {
      g_task_return_error (task, error);
      return;
    }

  g_task_return_pointer (task, make_addresses (found, GPOINTER_TO_UINT (g_task_get_task_data (task))),
                         (GDestroyNotify) g_ptr_array_unref);
}

/* Resolves the addresses to listen on: a name may have several. */
void
tcp_resolve (const char          *hostname,
             guint                port,
             GCancellable        *cancellable,
             GAsyncReadyCallback  callback,
             gpointer             user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  g_autoptr (GResolver) resolver = g_resolver_get_default ();
  GPtrArray *addresses = parse_address (hostname, port);

  g_task_set_source_tag (task, tcp_resolve);
  g_task_set_task_data (task, GUINT_TO_POINTER (port), NULL);
  if (addresses != NULL)
    {
      g_task_return_pointer (task, addresses, (GDestroyNotify) g_ptr_array_unref);
      return;
    }
  g_resolver_lookup_by_name_async (resolver, hostname, cancellable, on_resolved, g_steal_pointer (&task));
}

/* An array of GSocketAddress, with at least one element. */
GPtrArray *
tcp_resolve_finish (GAsyncResult  *result,
                    GError       **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

/* The same in a thread that may block. */
GPtrArray *
tcp_resolve_sync (const char  *hostname,
                  guint        port,
                  GError     **error)
{
  g_autoptr (GResolver) resolver = g_resolver_get_default ();
  GPtrArray *addresses = parse_address (hostname, port);
  g_autolist (GInetAddress) found = NULL;

  if (addresses != NULL)
    return addresses;
  found = g_resolver_lookup_by_name (resolver, hostname, NULL, error);
  return found != NULL ? make_addresses (found, port) : NULL;
}

/* g_socket_bind () does not distinguish these errors: the caller treats an address that this machine does not have
 * differently from one that is in use. @code is an errno. */
static GSocket *
listen_at (GSocketAddress *address,
           gboolean        only_ipv6,
           int            *code)
{
  struct sockaddr_storage native;
  gssize size = g_socket_address_get_native_size (address);
  GSocket *result;
  int on = 1;
  int fd;

  *code = EINVAL;
  if (!g_socket_address_to_native (address, &native, sizeof (native), NULL))
    return NULL;
  fd = socket (native.ss_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
  if (fd < 0)
    {
      *code = errno;
      return NULL;
    }

  setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof (on));
  /* "::" would occupy the port of 0.0.0.0 as well. */
  if (only_ipv6 && native.ss_family == AF_INET6)
    setsockopt (fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof (on));
  if (bind (fd, (struct sockaddr *) &native, size) < 0 || listen (fd, TCP_LISTEN_BACKLOG) < 0)
    {
      *code = errno;
      close (fd);
      return NULL;
    }

  result = g_socket_new_from_fd (fd, NULL);
  *code = result != NULL ? 0 : EINVAL;
  if (result == NULL)
    close (fd);
  return result;
}

static GSocketAddress *
with_port (GInetSocketAddress *address,
           guint               port)
{
  gboolean ipv6 = g_socket_address_get_family (G_SOCKET_ADDRESS (address)) == G_SOCKET_FAMILY_IPV6;

  return g_object_new (G_TYPE_INET_SOCKET_ADDRESS, "address", g_inet_socket_address_get_address (address),
                       "port", port, "scope-id", ipv6 ? g_inet_socket_address_get_scope_id (address) : 0, NULL);
}

static char *
name_address (GSocketAddress *address)
{
  return g_socket_connectable_to_string (G_SOCKET_CONNECTABLE (address));
}

/* Makes one attempt. With port 0 the first address determines the port of all; @taken is set, without an error, if that
 * port is in use at another address. */
static GPtrArray *
listen_once (GPtrArray  *addresses,
             TcpLog     *log,
             GPtrArray  *failed,
             gboolean   *taken,
             GError    **error)
{
  g_autoptr (GPtrArray) sockets = g_ptr_array_new_with_free_func (g_object_unref);
  guint wanted = g_inet_socket_address_get_port (addresses->pdata[0]);
  guint port = wanted;
  g_autoptr (GError) missing = NULL;

  *taken = FALSE;
  for (guint i = 0; i < addresses->len; i++)
    {
      g_autoptr (GSocketAddress) address = with_port (addresses->pdata[i], port);
      g_autofree char *name = name_address (address);
      int code;
      g_autoptr (GSocket) socket = listen_at (address, addresses->len > 1, &code);

      if (socket != NULL)
        {
          g_autoptr (GSocketAddress) local = g_socket_get_local_address (socket, error);

          if (local == NULL)
            return NULL;
          port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (local));
          g_ptr_array_add (sockets, g_steal_pointer (&socket));
          continue;
        }
      /* The machine does not have the address, for example ::1 without IPv6. */
      if (code == EADDRNOTAVAIL || code == EAFNOSUPPORT)
        {
          if (addresses->len > 1)
            tcp_log_info (log, "not listening on %s: %s", name, g_strerror (code));
          if (missing == NULL)
            missing = g_error_new_literal (G_IO_ERROR, g_io_error_from_errno (code), g_strerror (code));
          continue;
        }
      if (code == EADDRINUSE && wanted == 0 && port != 0)
        {
          *taken = TRUE;
          g_ptr_array_extend_and_steal (failed, g_steal_pointer (&sockets));
          return NULL;
        }
      if (addresses->len > 1)
        g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code), "%s: %s", name, g_strerror (code));
      else
        g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (code), g_strerror (code));
      return NULL;
    }

  if (sockets->len == 0)
    {
      g_propagate_error (error, g_steal_pointer (&missing));
      return NULL;
    }
  return g_steal_pointer (&sockets);
}

static GPtrArray *
listen_at_all (GPtrArray  *addresses,
               TcpLog     *log,
               GError    **error)
{
  /* Kept until the end, so that each attempt gets another port. */
  g_autoptr (GPtrArray) failed = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < MAX_ATTEMPTS; i++)
    {
      gboolean taken;
      GPtrArray *sockets = listen_once (addresses, log, failed, &taken, error);

      if (!taken)
        return sockets;
    }

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE, _("no port was found in %d attempts that is free at all addresses"), MAX_ATTEMPTS);
  return NULL;
}

/* Listens on @addresses, which are those of one name. Returns an array of GSocket, with at least one.
 *
 * An address that this machine does not have is skipped as long as there is another; one whose port is in use is an
 * error, since a client that connects to the name might reach another program there. With port 0 all addresses get the
 * same port. */
GPtrArray *
tcp_listen (GPtrArray  *addresses,
            TcpLog     *log,
            GError    **error)
{
  GPtrArray *sockets = listen_at_all (addresses, log, error);

  if (sockets == NULL)
    return NULL;
  for (guint i = 0; i < sockets->len && sockets->len > 1; i++)
    {
      g_autoptr (GSocketAddress) local = g_socket_get_local_address (sockets->pdata[i], NULL);
      g_autofree char *name = local != NULL ? name_address (local) : NULL;

      tcp_log_info (log, "listening on %s", name);
    }
  return sockets;
}

/* What to do about a failure to listen. */
static const char *
advise_on_listen (const GError *cause)
{
  if (g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE))
    return _("; another program or listener has this port: choose another, or 0 for any that is free");
  if (g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED))
    return _("; ports below 1024 need privileges: choose one from 1024 on");
  /* GIO has no code for the address of another machine. */
  if (cause->domain == G_RESOLVER_ERROR || strstr (cause->message, g_strerror (EADDRNOTAVAIL)) != NULL)
    return _("; it has to be an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all that it has");
  return "";
}

GError *
tcp_listen_error (const char   *hostname,
                  guint         port,
                  const GError *cause)
{
  return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LISTEN, _("cannot listen on %s port %u: %s%s"), hostname, port,
                      cause->message, advise_on_listen (cause));
}
