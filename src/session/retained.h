/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/buffer.h"

G_BEGIN_DECLS

/* The numbered frames of one direction, from the first that the peer may not have to
 * the last that is still to go out. Pure: who sends them is not its business. */
typedef struct
{
  GQueue frames;  /* of TcpBuffer */
  GList *unsent;  /* the first that this channel has not carried; NULL if all were */
  guint64 first;  /* number of the first of the frames */
  guint64 next;   /* number of the next to be made */
  guint64 sent;   /* number of the first unsent */
  guint64 most;   /* number of the first that no channel has carried */
  gsize bytes;    /* that the frames take up in memory, */
  gsize dataless; /* and of them those without data */
} TcpRetained;

guint64 tcp_retained_add (TcpRetained *self,
                          TcpBuffer   *frame);
TcpBuffer *tcp_retained_send (TcpRetained *self);
gboolean tcp_retained_acknowledge (TcpRetained *self,
                                   guint64      received);
void tcp_retained_rewind (TcpRetained *self);
void tcp_retained_clear (TcpRetained *self);

G_END_DECLS
