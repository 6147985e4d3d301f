/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/forward-spec.h"

#include "base/fork.h"
#include "base/host-port.h"
#include "base/lock.h"
#include "base/ref-count.h"

struct _TcpForwardAddress
{
  gatomicrefcount refs;
  TcpLock lock;
  GSocketAddress *address; /* NULL while it does not listen */
  guint fork_count;        /* of the process that listens */
};

TcpForwardAddress *
tcp_forward_address_new (void)
{
  TcpForwardAddress *self = g_new0 (TcpForwardAddress, 1);

  g_atomic_ref_count_init (&self->refs);
  tcp_lock_init (&self->lock);
  return self;
}

TcpForwardAddress *
tcp_forward_address_ref (TcpForwardAddress *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_forward_address_unref (TcpForwardAddress *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  tcp_lock_clear (&self->lock);
  g_clear_object (&self->address);
  g_free (self);
}

/* @address is NULL if it does not listen. */
void
tcp_forward_address_set (TcpForwardAddress *self,
                         GSocketAddress    *address)
{
  tcp_lock (&self->lock);
  g_set_object (&self->address, address);
  self->fork_count = tcp_fork_count ();
  tcp_unlock (&self->lock);
}

GSocketAddress *
tcp_forward_address_dup (TcpForwardAddress *self)
{
  GSocketAddress *address = NULL;

  tcp_lock (&self->lock);
  if (self->address != NULL && self->fork_count == tcp_fork_count ())
    address = g_object_ref (self->address);
  tcp_unlock (&self->lock);
  return address;
}

TcpForwardSpec *
tcp_forward_spec_copy (const TcpForwardSpec *self)
{
  TcpForwardSpec *copy = g_new (TcpForwardSpec, 1);

  *copy = *self;
  tcp_port_spec_copy (&copy->where, &self->where);
  copy->target = g_strdup (self->target);
  copy->address = self->address != NULL ? tcp_forward_address_ref (self->address) : NULL;
  return copy;
}

void
tcp_forward_spec_free (TcpForwardSpec *self)
{
  tcp_port_spec_clear (&self->where);
  g_free (self->target);
  g_clear_pointer (&self->address, tcp_forward_address_unref);
  g_free (self);
}

/* Checks everything that can be checked in advance. */
gboolean
tcp_forward_spec_check (const TcpForwardSpec  *self,
                        GError               **error)
{
  if (!tcp_port_spec_check (&self->where, error))
    return FALSE;
  if (self->kind != TCP_FORWARD_KIND_TARGET || self->target == NULL)
    return TRUE;
  return tcp_target_check (self->target, error);
}
