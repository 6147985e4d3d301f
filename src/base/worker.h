/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The I/O thread of one tunnel or gateway, with a main context of its own. */
typedef struct _TcpWorker TcpWorker;

typedef void (*TcpWorkerFunc) (gpointer data);

TcpWorker *tcp_worker_new (const char *name);
TcpWorker *tcp_worker_ref (TcpWorker *self);
void tcp_worker_unref (TcpWorker *self);
void tcp_worker_invoke (TcpWorker      *self,
                        TcpWorkerFunc   func,
                        gpointer        data,
                        GDestroyNotify  destroy);
void tcp_worker_invoke_sync (TcpWorker     *self,
                             TcpWorkerFunc  func,
                             gpointer       data);
void tcp_worker_quit (TcpWorker *self);
void tcp_worker_release (TcpWorker *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpWorker, tcp_worker_unref)

G_END_DECLS
