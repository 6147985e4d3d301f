/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <stdatomic.h>
#include <gio/gio.h>

#include "io/pool.h"

G_BEGIN_DECLS

/* What the application may read about a TCP connection, and do with it, while it is open and afterwards. It is shared
 * by the stream, the events about it and the public object, on any threads. */
typedef struct
{
  gatomicrefcount refs;
  guint64 id;
  gint64 opened; /* microseconds since 1970 */
  gint64 began;  /* the same on the monotonic clock */
  char *target;
  char *principal;
  GSocketAddress *proxy; /* nullable */

  /* only written by the I/O thread */
  atomic_ullong bytes_sent;
  atomic_ullong bytes_received;
  atomic_ullong resumes;
  atomic_llong duration; /* in microseconds; -1 while it is open */

  /* only used on this I/O thread: see tcp_stream_set_record () */
  TcpIoThread *thread;
  gpointer stream; /* NULL when it is gone */
  void (*reset) (gpointer      stream,
                 const GError *error);
} TcpRecord;

TcpRecord *tcp_record_new (guint64         id,
                           const char     *target,
                           const char     *principal,
                           GSocketAddress *proxy,
                           TcpIoThread    *thread);
TcpRecord *tcp_record_ref (TcpRecord *self);
void tcp_record_unref (TcpRecord *self);
void tcp_record_close (TcpRecord *self);
void tcp_record_end (TcpRecord *self);
gint64 tcp_record_get_duration (TcpRecord *self);
GSocketAddress *tcp_record_copy_address (GSocketAddress *address);

/* No other thread writes these. */
#define tcp_record_add(self, field, n) \
  atomic_store_explicit (&(self)->field, atomic_load_explicit (&(self)->field, memory_order_relaxed) + (n), \
                         memory_order_relaxed)
#define tcp_record_get(self, field) atomic_load_explicit (&(self)->field, memory_order_relaxed)

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpRecord, tcp_record_unref)

G_END_DECLS
