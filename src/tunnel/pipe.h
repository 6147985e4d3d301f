/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* How the application's end of a stream broke: known to both ends. Any thread. */
typedef struct _TcpPipeFate TcpPipeFate;

TcpPipeFate *tcp_pipe_fate_new (void);
TcpPipeFate *tcp_pipe_fate_ref (TcpPipeFate *self);
void tcp_pipe_fate_unref (TcpPipeFate *self);
void tcp_pipe_fate_decide (TcpPipeFate  *self,
                           const GError *error,
                           gboolean      input_ended);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpPipeFate, tcp_pipe_fate_unref)

/* The application's end of a stream that has no port: a socket whose streams fail with the tunnel's error of a
 * connection that broke, where the socket itself has no more than an end, and of which the output is closed in order
 * by closing it alone. */
#define TCP_TYPE_PIPE (tcp_pipe_get_type ())
G_DECLARE_FINAL_TYPE (TcpPipe, tcp_pipe, TCP, PIPE, GSocketConnection)

TcpPipe *tcp_pipe_new (TcpPipeFate        *fate,
                       GSocketConnection **other,
                       GError            **error);

G_END_DECLS
