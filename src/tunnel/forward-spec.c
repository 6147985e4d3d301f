/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/forward-spec.h"

#include "base/host-port.h"
#include "io/listen.h"

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

/* Everything that can be known to be wrong before anything is tried. */
gboolean
tcp_forward_spec_check (const TcpForwardSpec  *self,
                        GError               **error)
{
  g_auto (TcpHostPort) target = { 0 };

  if (!tcp_listen_check (self->hostname, self->socket_path, error))
    return FALSE;
  if (self->kind != TCP_FORWARD_KIND_TARGET || self->target == NULL)
    return TRUE;
  return tcp_host_port_parse (self->target, &target, error);
}
