/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/blocking-call.h"

#include "base/tsan.h"

static G_DEFINE_QUARK (tcp-blocking-call, blocking_call)

TcpBlockingCall *
tcp_blocking_call_new (void)
{
  TcpBlockingCall *self = g_new0 (TcpBlockingCall, 1);

  g_atomic_ref_count_init (&self->refs);
  self->pending = TRUE;
  return self;
}

TcpBlockingCall *
tcp_blocking_call_ref (TcpBlockingCall *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_blocking_call_unref (TcpBlockingCall *self)
{
  tcp_tsan_release (self);
  if (!g_atomic_ref_count_dec (&self->refs))
    return;

  tcp_tsan_acquire (self);
  g_clear_error (&self->error);
  g_free (self);
}

/* The call whose earlier steps had this cancellable, or NULL. */
TcpBlockingCall *
tcp_blocking_call_find (GCancellable *cancellable)
{
  TcpBlockingCall *self = g_object_get_qdata (G_OBJECT (cancellable), blocking_call_quark ());

  return self != NULL ? tcp_blocking_call_ref (self) : NULL;
}

/* The next steps find it, until its result was reported. */
void
tcp_blocking_call_attach (TcpBlockingCall *self,
                          GCancellable    *cancellable)
{
  g_object_set_qdata_full (G_OBJECT (cancellable), blocking_call_quark (), tcp_blocking_call_ref (self),
                           (GDestroyNotify) tcp_blocking_call_unref);
}

/* Takes @error. */
void
tcp_blocking_call_end (TcpBlockingCall *self,
                       GError          *error)
{
  self->error = error;
  self->pending = FALSE;
}

/* For the steps to come there is no such call any more. */
void
tcp_blocking_call_detach (GCancellable *cancellable)
{
  g_object_set_qdata (G_OBJECT (cancellable), blocking_call_quark (), NULL);
}

/* What the call returns once it is no longer pending. */
gboolean
tcp_blocking_call_report (TcpBlockingCall  *self,
                          GError          **error)
{
  if (self->error == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&self->error));
  return FALSE;
}
