/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A start or a drain that a caller waits for: in one blocking call, or in several short
 * ones, which then belong together because they are given the same cancellable. */
typedef struct
{
  gatomicrefcount refs; /* the last to let go may be a collector in another thread */
  gboolean pending;
  GError *error; /* once it is no longer pending */
} TcpBlockingCall;

TcpBlockingCall *tcp_blocking_call_new (void);
TcpBlockingCall *tcp_blocking_call_ref (TcpBlockingCall *self);
void tcp_blocking_call_unref (TcpBlockingCall *self);
TcpBlockingCall *tcp_blocking_call_find (GCancellable *cancellable);
void tcp_blocking_call_attach (TcpBlockingCall *self,
                               GCancellable    *cancellable);
void tcp_blocking_call_end (TcpBlockingCall *self,
                            GError          *error);
void tcp_blocking_call_detach (GCancellable *cancellable);
gboolean tcp_blocking_call_report (TcpBlockingCall  *self,
                                   GError          **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpBlockingCall, tcp_blocking_call_unref)

G_END_DECLS
