/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The connection below TLS. GnuTLS reads each record in two pieces, and writes each one separately; here many of them
 * share a system call.
 *
 * Written data waits in a buffer. It is sent when the buffer is full, before the next system call that reads, and by
 * tcp_buffered_connection_flush ().
 *
 * A TLS handshake may use the connection from another thread, and wait in it. After the handshake,
 * tcp_buffered_connection_stop_waiting () passes it to the I/O thread, which never waits.
 *
 * It is a GSocketConnection, since GLib's TLS requires one to get the address with which it finds the session that a
 * client resumes. */
#define TCP_TYPE_BUFFERED_CONNECTION (tcp_buffered_connection_get_type ())
G_DECLARE_FINAL_TYPE (TcpBufferedConnection, tcp_buffered_connection, TCP, BUFFERED_CONNECTION, GSocketConnection)

TcpBufferedConnection *tcp_buffered_connection_new (GSocketConnection *base);
void tcp_buffered_connection_stop_waiting (TcpBufferedConnection *self);
gsize tcp_buffered_connection_get_memory (TcpBufferedConnection *self);
gboolean tcp_buffered_connection_is_full (TcpBufferedConnection *self);
GPollableReturn tcp_buffered_connection_flush (TcpBufferedConnection  *self,
                                               GError                **error);

G_END_DECLS
