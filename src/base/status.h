/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <stdatomic.h>
#include <gio/gio.h>
#include <tcptunnel/tcptunnel.h>

#include "base/lock.h"

G_BEGIN_DECLS

/* The counters and the state of an engine, which any thread may read. It is independent of the lifetimes of the public
 * object and the engine. */
typedef struct
{
  atomic_uint state; /* a TcpTunnelState */
  atomic_uint open_connections;
  atomic_uint open_websockets; /* of a gateway */
  atomic_ullong total_connections;
  atomic_ullong bytes_sent;     /* from TCP to the WebSocket */
  atomic_ullong bytes_received; /* from the WebSocket to TCP */
  atomic_ullong reconnects;
  atomic_ullong unacknowledged_bytes; /* sent but not acknowledged, in resumable sessions */
  atomic_ullong receive_window; /* credit given but not used, all streams together */
  atomic_ullong send_window;    /* credit received but not used */
  atomic_ullong resumes;        /* sessions that continued on another WebSocket */
  atomic_ullong bytes_replayed;
  atomic_llong round_trip; /* in microseconds, -1 if unknown */
  _Atomic (const char *) protocol; /* of the last WebSocket: a constant, or NULL */
  atomic_bool ended;       /* the engine ended by itself */

  TcpLock lock;
  GError *last_error;  /* under the lock */
  char *remote_host;   /* likewise: where the gateway of a reverse tunnel listens; NULL if it does not yet */
  guint remote_port;
} TcpStatus;

TcpStatus *tcp_status_new (void);
TcpStatus *tcp_status_ref (TcpStatus *self);
void tcp_status_unref (TcpStatus *self);
void tcp_status_end (TcpStatus *self);
void tcp_status_set_error (TcpStatus    *self,
                           const GError *error);
GError *tcp_status_dup_error (TcpStatus *self);
char *tcp_status_dup_remote (TcpStatus *self);
void tcp_status_set_remote (TcpStatus  *self,
                            const char *host,
                            guint       port);

#define tcp_status_get(self, field) atomic_load_explicit (&(self)->field, memory_order_relaxed)
#define tcp_status_set(self, field, value) atomic_store_explicit (&(self)->field, value, memory_order_relaxed)
#define tcp_status_add(self, field, value) atomic_fetch_add_explicit (&(self)->field, value, memory_order_relaxed)
#define tcp_status_sub(self, field, value) atomic_fetch_sub_explicit (&(self)->field, value, memory_order_relaxed)

/* Counts an opened connection, and returns its number, from 1. A thread that first reads the number of open ones, with
 * acquire semantics, then finds at least as many in total. */
static inline guint64
tcp_status_add_connection (TcpStatus *self)
{
  guint64 number = tcp_status_add (self, total_connections, 1) + 1;

  atomic_fetch_add_explicit (&self->open_connections, 1, memory_order_release);
  return number;
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpStatus, tcp_status_unref)

G_END_DECLS
