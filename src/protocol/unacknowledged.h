/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/buffer.h"

G_BEGIN_DECLS

/* The numbered frames of one direction, from the first that the peer may not have to the last that was not sent yet.
 * Without I/O. */
typedef struct
{
  GQueue frames;  /* of TcpBuffer */
  GList *unsent;  /* the first that this transport has not sent; NULL if it has sent all */
  guint64 first;  /* the number of the first of the frames */
  guint64 next;   /* the number of the next new frame */
  guint64 sent;   /* the number of the first unsent frame */
  guint64 carried; /* how many were ever passed to a transport */
  gsize bytes;    /* the memory that the frames take */
  gsize dataless; /* the part of it for frames without data */
} TcpUnacknowledged;

guint64 tcp_unacknowledged_add (TcpUnacknowledged *self,
                                TcpBuffer         *frame);
TcpBuffer *tcp_unacknowledged_send (TcpUnacknowledged *self);
gboolean tcp_unacknowledged_acknowledge (TcpUnacknowledged *self,
                                         guint64            received);
void tcp_unacknowledged_rewind (TcpUnacknowledged *self);
void tcp_unacknowledged_clear (TcpUnacknowledged *self);

G_END_DECLS
