/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "tunnel/forward-spec.h"

G_BEGIN_DECLS

struct _TcpForwardClass
{
  GObjectClass parent_class;
};

/* Functions of a TcpForward for the tunnel. May be called on any thread. */
TcpForwardSpec *tcp_forward_dup_spec (TcpForward *self);
gboolean tcp_forward_claim (TcpForward *self);
void tcp_forward_release (TcpForward *self);
void tcp_forward_notify_address (TcpForward *self);

G_END_DECLS
