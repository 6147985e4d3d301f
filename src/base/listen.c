/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/listen.h"

#include <sys/resource.h>
#include <tcptunnel/tcptunnel.h>

static void
on_resolved (GObject      *object,
             GAsyncResult *result,
             gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;
  g_autolist (GInetAddress) addresses = NULL;

  addresses = g_resolver_lookup_by_name_finish (G_RESOLVER (object), result, &error);
  if (addresses == NULL)
    g_task_return_error (task, error);
  else
    g_task_return_pointer (task, g_inet_socket_address_new (addresses->data, GPOINTER_TO_UINT (g_task_get_task_data (task))),
                           g_object_unref);
}

/* The address to listen on; of a name that has several, the first. */
void
tcp_resolve (const char          *hostname,
             guint                port,
             GCancellable        *cancellable,
             GAsyncReadyCallback  callback,
             gpointer             user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  g_autoptr (GResolver) resolver = g_resolver_get_default ();
  GSocketAddress *address;

  g_task_set_source_tag (task, tcp_resolve);
  g_task_set_task_data (task, GUINT_TO_POINTER (port), NULL);
  address = g_inet_socket_address_new_from_string (hostname, port);
  if (address != NULL)
    g_task_return_pointer (task, address, g_object_unref);
  else
    g_resolver_lookup_by_name_async (resolver, hostname, cancellable, on_resolved, g_steal_pointer (&task));
}

GSocketAddress *
tcp_resolve_finish (GAsyncResult  *result,
                    GError       **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

/* A socket that listens at @address, for a GSocketService or a SoupServer. */
GSocket *
tcp_listen_socket (GSocketAddress  *address,
                   GError         **error)
{
  g_autoptr (GSocket) socket = NULL;

  socket = g_socket_new (g_socket_address_get_family (address), G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, error);
  if (socket == NULL)
    return NULL;

  g_socket_set_listen_backlog (socket, TCP_LISTEN_BACKLOG);
  if (!g_socket_bind (socket, address, TRUE, error) || !g_socket_listen (socket, error))
    return NULL;

  return g_steal_pointer (&socket);
}

/* What to say of a failure of the above. */
GError *
tcp_listen_error (const char   *hostname,
                  guint         port,
                  const GError *cause)
{
  return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LISTEN, "cannot listen on %s port %u: %s", hostname, port,
                      cause->message);
}

/* Shares of the file descriptors that the process may have: a port that cannot accept
 * any more because there is none is ready to be read for ever, so it must not come to
 * that. Half is for connections, an eighth for those that are not a WebSocket yet; the
 * rest is for what lingers, and for the program. */
static guint
share_of_descriptors (guint numerator)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > 1024 * 1024)
    limit.rlim_cur = 1024 * 1024;
  return MAX (1, limit.rlim_cur / 8 * numerator);
}

guint
tcp_limit_connections (guint wanted,
                       guint descriptors_each)
{
  return MIN (wanted, MAX (1, share_of_descriptors (4) / descriptors_each));
}

guint
tcp_limit_visitors (void)
{
  return MIN (share_of_descriptors (1), 512);
}
