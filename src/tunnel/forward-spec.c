/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/forward-spec.h"

#include <string.h>
#include "base/host-port.h"
#include "base/invalid.h"
#include "io/listen-unix.h"

TcpForwardSpec *
tcp_forward_spec_copy (const TcpForwardSpec *self)
{
  TcpForwardSpec *copy = g_new (TcpForwardSpec, 1);

  *copy = *self;
  copy->hostname = g_strdup (self->hostname);
  copy->socket_path = g_strdup (self->socket_path);
  copy->target = g_strdup (self->target);
  return copy;
}

void
tcp_forward_spec_free (TcpForwardSpec *self)
{
  g_free (self->hostname);
  g_free (self->socket_path);
  g_free (self->target);
  g_free (self);
}

static gboolean
check_listen (const TcpForwardSpec  *self,
              GError               **error)
{
  if (self->socket_path == NULL && (self->hostname == NULL || *self->hostname == '\0'))
    return tcp_invalid (error, "no address to listen on was given, such as 127.0.0.1");
  if (self->socket_path == NULL)
    return TRUE;

  if (*self->socket_path == '\0')
    return tcp_invalid (error, "the path of the Unix socket to listen on is empty");
  if (strlen (self->socket_path) > TCP_SOCKET_PATH_MAX)
    {
      g_autofree char *name = g_filename_display_name (self->socket_path);

      return tcp_invalid (error, "the path of the Unix socket to listen on is too long: %s has %zu bytes, and %d are possible",
                          name, strlen (self->socket_path), TCP_SOCKET_PATH_MAX);
    }
  return TRUE;
}

/* Everything that can be known to be wrong before anything is tried. */
gboolean
tcp_forward_spec_check (const TcpForwardSpec  *self,
                        GError               **error)
{
  g_auto (TcpHostPort) target = { 0 };

  if (!check_listen (self, error))
    return FALSE;
  if (self->kind != TCP_FORWARD_KIND_TARGET || self->target == NULL)
    return TRUE;
  return tcp_host_port_parse (self->target, &target, error);
}
