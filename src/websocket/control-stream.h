/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The stream that a SoupWebsocketConnection uses as its connection. Only control frames pass through it: those that the
 * channel passes to libsoup, and libsoup's own, which the channel queues. Data frames do not, so that nothing
 * accumulates in libsoup. */
#define TCP_TYPE_CONTROL_STREAM (tcp_control_stream_get_type ())
G_DECLARE_FINAL_TYPE (TcpControlStream, tcp_control_stream, TCP, CONTROL_STREAM, GIOStream)

typedef struct
{
  void (*write) (gconstpointer data,
                 gsize         length,
                 gpointer      user_data);
  void (*close) (gpointer user_data);
} TcpControlStreamCallbacks;

TcpControlStream *tcp_control_stream_new (const TcpControlStreamCallbacks *callbacks,
                                          gpointer                         user_data);
void tcp_control_stream_detach (TcpControlStream *self);
void tcp_control_stream_feed (TcpControlStream *self,
                              const guint8     *data,
                              gsize             length);
void tcp_control_stream_end (TcpControlStream *self,
                             const GError     *error);
void tcp_control_stream_close_done (TcpControlStream *self);

G_END_DECLS
