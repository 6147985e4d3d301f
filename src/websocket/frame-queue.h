/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "websocket/frame.h"

G_BEGIN_DECLS

/* Frames to be sent over a WebSocket. Control frames overtake unsent data. Without I/O: the caller writes. */
typedef struct
{
  GQueue frames;         /* of TcpBuffer */
  gsize pending;         /* bytes of the messages, with their overhead */
  guint controls;        /* the number of control frames */
  gboolean close_queued; /* nothing may follow */
  guint64 sent;          /* payload bytes of messages that were sent */
} TcpFrameQueue;

void tcp_frame_queue_clear (TcpFrameQueue *self);
gboolean tcp_frame_queue_is_empty (TcpFrameQueue *self);
void tcp_frame_queue_push (TcpFrameQueue *self,
                           TcpBuffer     *buffer);
void tcp_frame_queue_push_control (TcpFrameQueue *self,
                                   gconstpointer  frame,
                                   gsize          length);
void tcp_frame_queue_drop_pings (TcpFrameQueue *self);
void tcp_frame_queue_drop_unsent (TcpFrameQueue *self);
guint tcp_frame_queue_get_vectors (TcpFrameQueue *self,
                                   GOutputVector *vectors,
                                   guint          max);
void tcp_frame_queue_start (TcpFrameQueue *self);
gboolean tcp_frame_queue_advance (TcpFrameQueue *self,
                                  gsize          length);
gboolean tcp_frame_queue_steal_unsent (TcpFrameQueue *self,
                                       GQueue        *unsent);

G_END_DECLS
