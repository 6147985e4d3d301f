/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The I/O threads of the process, which all tunnels and gateways share: as many as there are processors, at most 8, or
 * the number in the environment variable TCP_TUNNEL_IO_THREADS, from 1 to 64. A thread starts when it is first needed,
 * has a main context and a reactor of its own, and never ends: it is not joined when the process exits. A forked child
 * has threads of its own; requests to those of the parent have no effect. */
typedef struct _TcpIoThread TcpIoThread;

typedef void (*TcpIoFunc) (gpointer data);

guint tcp_io_thread_count (void);
TcpIoThread *tcp_io_thread_acquire (GError **error);
TcpIoThread *tcp_io_thread_acquire_at (guint    index,
                                       GError **error);
void tcp_io_thread_release (TcpIoThread *self);
void tcp_io_thread_invoke (TcpIoThread    *self,
                           TcpIoFunc       func,
                           gpointer        data,
                           GDestroyNotify  destroy);
void tcp_io_thread_call (TcpIoThread    *self,
                         TcpIoFunc       func,
                         gpointer        data,
                         GDestroyNotify  destroy);
void tcp_io_thread_invoke_sync (TcpIoThread *self,
                                TcpIoFunc    func,
                                gpointer     data);
void tcp_io_threads_probe (GTask *task);

G_END_DECLS
