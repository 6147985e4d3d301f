/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* How the application's end of a stream broke, shared by both ends. Safe on any thread. */
typedef struct _TcpPipeFate TcpPipeFate;

TcpPipeFate *tcp_pipe_fate_new (void);
TcpPipeFate *tcp_pipe_fate_ref (TcpPipeFate *self);
void tcp_pipe_fate_unref (TcpPipeFate *self);
void tcp_pipe_fate_decide (TcpPipeFate  *self,
                           const GError *error,
                           gboolean      input_ended);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpPipeFate, tcp_pipe_fate_unref)

/* The application's end of a stream without a port: a socket whose streams fail with the tunnel's error for a broken
 * connection, while the socket itself only reports an end. Closing its output stream ends only that direction, in
 * order. */
#define TCP_TYPE_PIPE (tcp_pipe_get_type ())
G_DECLARE_FINAL_TYPE (TcpPipe, tcp_pipe, TCP, PIPE, GSocketConnection)

TcpPipe *tcp_pipe_new (TcpPipeFate        *fate,
                       GSocketConnection **other,
                       GError            **error);

G_END_DECLS
