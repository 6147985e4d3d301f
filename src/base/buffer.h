/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* One message to be sent over a WebSocket: the payload, with room before it for all headers of the lower layers, so
 * that nothing is copied.
 *
 *     | head-room | header | payload | spare |
 */
#define TCP_BUFFER_HEADROOM 32

/* The size of one read from TCP: a little less than 64 KiB, so that with all headers it fits into a block of memory,
 * and a segment of the loopback device, of that size. */
#define TCP_BUFFER_SIZE (64 * 1024 - 136)

typedef struct
{
  guint refs; /* only used on one thread */
  guint8 *payload;  /* within data */
  gsize length;     /* of the payload */
  gsize capacity;   /* of the payload */
  guint8 header;    /* the length of the WebSocket header before the payload */
  gboolean masked;
  guint32 mask;     /* in wire order */
  gsize sent;       /* of header and payload */
  gboolean started; /* was passed to TLS, so that it must not change */
  gboolean control;
  gboolean text;    /* is sent as a text message */
  gboolean is_block; /* has the size of which some are kept */
  gboolean dataless;    /* a frame of a session without data from TCP */
  gboolean unsequenced; /* likewise, about the session */
  guint8 data[];
} TcpBuffer;

/* The memory of a buffer for one read. */
#define TCP_BUFFER_MEMORY (sizeof (TcpBuffer) + TCP_BUFFER_HEADROOM + TCP_BUFFER_SIZE)

TcpBuffer *tcp_buffer_new (gsize capacity);
TcpBuffer *tcp_buffer_ref (TcpBuffer *self);
void tcp_buffer_unref (TcpBuffer *self);
void tcp_buffer_push (TcpBuffer  *self,
                      const void *data,
                      gsize       length);
TcpBuffer *tcp_buffer_shrink (TcpBuffer *self);
GVariant *tcp_buffer_save (TcpBuffer *self);
TcpBuffer *tcp_buffer_load (GVariant *bytes);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpBuffer, tcp_buffer_unref)

G_END_DECLS
