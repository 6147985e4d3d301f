/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include <tcptunnel/tcptunnel.h>
#include "io/port.h"

G_BEGIN_DECLS

/* An address on which a tunnel listens: set by the I/O thread, and read by any thread. */
typedef struct _TcpForwardAddress TcpForwardAddress;

TcpForwardAddress *tcp_forward_address_new (void);
TcpForwardAddress *tcp_forward_address_ref (TcpForwardAddress *self);
void tcp_forward_address_unref (TcpForwardAddress *self);
void tcp_forward_address_set (TcpForwardAddress *self,
                              GSocketAddress    *address);
GSocketAddress *tcp_forward_address_dup (TcpForwardAddress *self);

/* Where a tunnel listens, and the target of its clients: a copy of a TcpForward's settings. */
typedef struct
{
  gconstpointer id;  /* identifies the port; NULL for the tunnel's own */
  TcpForwardKind kind;
  TcpPortSpec where;
  char *target;      /* NULL for that of the tunnel; for TCP_FORWARD_KIND_TARGET */
  TcpForwardAddress *address; /* nullable */
} TcpForwardSpec;

TcpForwardSpec *tcp_forward_spec_copy (const TcpForwardSpec *self);
void tcp_forward_spec_free (TcpForwardSpec *self);
gboolean tcp_forward_spec_check (const TcpForwardSpec  *self,
                                 GError               **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpForwardSpec, tcp_forward_spec_free)

G_END_DECLS
