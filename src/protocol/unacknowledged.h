/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/buffer.h"

G_BEGIN_DECLS

/* The numbered frames of one direction, from the first that the peer may not have to
 * the last that is still to go out. Pure: who sends them is not its business. */
typedef struct
{
  GQueue frames;  /* of TcpBuffer */
  GList *unsent;  /* the first that this transport has not carried; NULL if all were */
  guint64 first;  /* number of the first of the frames */
  guint64 next;   /* number of the next to be made */
  guint64 sent;   /* number of the first unsent */
  guint64 carried; /* how many were ever given to a transport */
  gsize bytes;    /* that the frames take up in memory, */
  gsize dataless; /* and of them those without data */
} TcpUnacknowledged;

guint64 tcp_unacknowledged_add (TcpUnacknowledged *self,
                                TcpBuffer         *frame);
TcpBuffer *tcp_unacknowledged_send (TcpUnacknowledged *self);
gboolean tcp_unacknowledged_acknowledge (TcpUnacknowledged *self,
                                         guint64            received);
void tcp_unacknowledged_rewind (TcpUnacknowledged *self);
void tcp_unacknowledged_clear (TcpUnacknowledged *self);

G_END_DECLS
