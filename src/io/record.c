/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/record.h"

#include <tcptunnel/tcptunnel.h>

#include "base/ref-count.h"

/* @thread is that of the stream. */
TcpRecord *
tcp_record_new (guint64      id,
                const char  *target,
                const char  *principal,
                TcpIoThread *thread)
{
  TcpRecord *self = g_new0 (TcpRecord, 1);

  g_atomic_ref_count_init (&self->refs);
  self->id = id;
  self->opened = g_get_real_time ();
  self->target = g_strdup (target);
  self->principal = g_strdup (principal);
  self->thread = thread;
  return self;
}

TcpRecord *
tcp_record_ref (TcpRecord *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_record_unref (TcpRecord *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  g_free (self->target);
  g_free (self->principal);
  g_free (self);
}

static void
record_do_close (gpointer data)
{
  TcpRecord *self = data;
  g_autoptr (GError) error = NULL;

  if (self->stream == NULL)
    return;

  error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED, "the application closed the connection");
  self->reset (self->stream, error);
}

/* Resets the connection, from any thread. Does nothing when it is over. */
void
tcp_record_close (TcpRecord *self)
{
  tcp_io_thread_invoke (self->thread, record_do_close, tcp_record_ref (self), (GDestroyNotify) tcp_record_unref);
}
