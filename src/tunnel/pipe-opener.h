/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "tunnel/opener.h"

G_BEGIN_DECLS

/* A request of the application for a stream without a port: a task that ends with a GIOStream when the gateway has
 * connected. It begins with a TcpOpener. */
typedef struct _TcpPipeOpener TcpPipeOpener;

/* in the thread of the caller */
TcpPipeOpener *tcp_pipe_opener_new (GTask        *task,
                                    const char   *target,
                                    GError      **error);
void tcp_pipe_opener_watch (TcpPipeOpener  *self,
                            GCallback       on_cancelled,
                            gpointer        data,
                            GDestroyNotify  destroy);
TcpPipeOpener *tcp_pipe_opener_ref (TcpPipeOpener *self);
void tcp_pipe_opener_unref (TcpPipeOpener *self);

/* on the I/O thread */
void tcp_pipe_opener_cancel (TcpPipeOpener *self);
gboolean tcp_pipe_opener_is_cancelled (TcpPipeOpener *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpPipeOpener, tcp_pipe_opener_unref)

G_END_DECLS
