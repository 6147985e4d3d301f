/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <libsoup/soup.h>

G_BEGIN_DECLS

/* The control frames and the closing handshake of one WebSocket, which libsoup handles.
 *
 * A SoupWebsocketConnection keeps a GSource in its main context until it is freed. So that thousands of them do not
 * slow down the thread, it uses a private context, which some dozens share, and which is only iterated when there is
 * work. libsoup's own timeouts never expire there: the channel is responsible for keep-alive and deadlines.
 *
 * The callbacks are called in the thread's own context. */
typedef struct _TcpControl TcpControl;

typedef struct
{
  /* A complete control frame to send. */
  void (*write) (gconstpointer frame,
                 gsize         length,
                 gpointer      user_data);
  /* The closing handshake is over: the connection must be closed when everything is sent, and then
   * tcp_control_stream_closed () called. Called from the main loop, as is the next. */
  void (*close_stream) (gpointer user_data);
  /* libsoup has finished. @error is the error that it has found, or NULL. */
  void (*closed) (const GError *error,
                  gpointer      user_data);
} TcpControlCallbacks;

TcpControl *tcp_control_new (GUri                      *uri,
                             gboolean                   client,
                             const TcpControlCallbacks *callbacks,
                             gpointer                   user_data);
void tcp_control_free (TcpControl *self);
void tcp_control_feed (TcpControl   *self,
                       const guint8 *frame,
                       gsize         length);
void tcp_control_end (TcpControl   *self,
                      const GError *error);
void tcp_control_close (TcpControl *self,
                        guint       code,
                        const char *reason);
void tcp_control_stream_closed (TcpControl *self);

G_END_DECLS
