/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef enum
{
  TCP_FORWARD_KIND_TARGET,
  TCP_FORWARD_KIND_SOCKS,
  TCP_FORWARD_KIND_HTTP_PROXY,
} TcpForwardKind;

/* Where a tunnel listens, and what its clients are connected to: what a TcpForward says, which does not change. */
typedef struct
{
  gpointer id;       /* by which it is found again; NULL for the tunnel's own */
  TcpForwardKind kind;
  char *hostname;
  guint port;
  char *socket_path; /* in place of the two */
  char *target;      /* NULL for the gateway's own; for TCP_FORWARD_KIND_TARGET */
} TcpForwardSpec;

TcpForwardSpec *tcp_forward_spec_copy (const TcpForwardSpec *self);
void tcp_forward_spec_free (TcpForwardSpec *self);
gboolean tcp_forward_spec_check (const TcpForwardSpec  *self,
                                 GError               **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpForwardSpec, tcp_forward_spec_free)

G_END_DECLS
