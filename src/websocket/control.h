/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <libsoup/soup.h>

G_BEGIN_DECLS

/* The control frames and the closing handshake of one WebSocket, which libsoup speaks.
 *
 * A SoupWebsocketConnection keeps a GSource in its main context for life. So that thousands
 * of them do not slow down the thread, it lives in a private context, which some dozens
 * share and which is only iterated when there is something to be done. libsoup's own
 * timeouts never fire there: keep-alive and deadlines are the channel's.
 *
 * The callbacks come in the thread's own context. */
typedef struct _TcpControl TcpControl;

typedef struct
{
  /* A whole control frame, to be sent. */
  void (*write) (gconstpointer frame,
                 gsize         length,
                 gpointer      user_data);
  /* The closing handshake is over: the connection is to be closed once all is sent, and
   * tcp_control_stream_closed() answers. From the top of the main loop, as the next is. */
  void (*close_stream) (gpointer user_data);
  /* libsoup is through. @error is what it found wrong, or NULL. */
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
