/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* What TLS runs on. GnuTLS reads each record in two pieces, and writes each on its own; here
 * many of them share a system call.
 *
 * What was written waits in a buffer. It is sent when the buffer is full, before the next
 * system call that reads, and by tcp_buffered_connection_flush().
 *
 * A TLS handshake may use it from another thread and wait in it. Once that is over,
 * tcp_buffered_connection_stop_waiting() gives it to the I/O thread, which never waits.
 *
 * It is a GSocketConnection, since only from one of these does the TLS of GLib learn the
 * address by which it finds the session that a client resumes. */
#define TCP_TYPE_BUFFERED_CONNECTION (tcp_buffered_connection_get_type ())
G_DECLARE_FINAL_TYPE (TcpBufferedConnection, tcp_buffered_connection, TCP, BUFFERED_CONNECTION, GSocketConnection)

TcpBufferedConnection *tcp_buffered_connection_new (GSocketConnection *base);
void tcp_buffered_connection_stop_waiting (TcpBufferedConnection *self);
gsize tcp_buffered_connection_get_memory (TcpBufferedConnection *self);
gboolean tcp_buffered_connection_is_full (TcpBufferedConnection *self);
GPollableReturn tcp_buffered_connection_flush (TcpBufferedConnection  *self,
                                               GError                **error);

G_END_DECLS
