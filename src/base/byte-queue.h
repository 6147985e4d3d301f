/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Bytes that wait for a TCP socket. The owner limits the length: the queue itself has no cap. */
typedef struct
{
  GQueue blocks;
  gsize head;   /* the number of bytes already taken from the first block */
  gsize length; /* the total */
} TcpByteQueue;

void tcp_byte_queue_append (TcpByteQueue *self,
                            const guint8 *data,
                            gsize         length);
const guint8 *tcp_byte_queue_peek (TcpByteQueue *self,
                                   gsize        *length);
void tcp_byte_queue_drop (TcpByteQueue *self,
                          gsize         length);
void tcp_byte_queue_copy (TcpByteQueue *self,
                          GByteArray   *copy);
void tcp_byte_queue_clear (TcpByteQueue *self);

G_END_DECLS
