/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/record.h"

#include <tcptunnel/tcptunnel.h>

#include "base/i18n.h"
#include "base/ref-count.h"

/* @thread is that of the stream. */
TcpRecord *
tcp_record_new (guint64         id,
                const char     *target,
                const char     *principal,
                GSocketAddress *proxy,
                TcpIoThread    *thread)
{
  TcpRecord *self = g_new0 (TcpRecord, 1);

  g_atomic_ref_count_init (&self->refs);
  self->id = id;
  self->opened = g_get_real_time ();
  self->began = g_get_monotonic_time ();
  self->duration = -1;
  self->target = g_strdup (target);
  self->principal = g_strdup (principal);
  self->proxy = proxy != NULL ? g_object_ref (proxy) : NULL;
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
  g_clear_object (&self->proxy);
  g_free (self);
}

static void
record_do_close (gpointer data)
{
  TcpRecord *self = data;
  g_autoptr (GError) error = NULL;

  if (self->stream == NULL)
    return;

  error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED, _("the application closed the connection"));
  self->reset (self->stream, error);
}

/* Resets the connection; may be called from any thread. Does nothing if it has ended. */
void
tcp_record_close (TcpRecord *self)
{
  tcp_io_thread_invoke (self->thread, record_do_close, tcp_record_ref (self), (GDestroyNotify) tcp_record_unref);
}

/* The connection has ended; called on its thread. */
void
tcp_record_end (TcpRecord *self)
{
  atomic_store_explicit (&self->duration, g_get_monotonic_time () - self->began, memory_order_relaxed);
}

/* In microseconds; until now, while it is open. */
gint64
tcp_record_get_duration (TcpRecord *self)
{
  gint64 duration = tcp_record_get (self, duration);

  return duration >= 0 ? duration : g_get_monotonic_time () - self->began;
}

/* The application gets a copy. A language binding frees the data that it attaches to an object while it holds the lock
 * of its interpreter, and no I/O thread may wait for that lock. NULL if @address is. */
GSocketAddress *
tcp_record_copy_address (GSocketAddress *address)
{
  gssize size = address != NULL ? g_socket_address_get_native_size (address) : -1;
  g_autofree gpointer native = size >= 0 ? g_malloc0 (size) : NULL;

  if (native == NULL || !g_socket_address_to_native (address, native, size, NULL))
    return NULL;
  return g_socket_address_new_from_native (native, size);
}
