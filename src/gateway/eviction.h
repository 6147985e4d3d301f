/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "gateway/origin.h"

G_BEGIN_DECLS

/* Chooses the connection to close when there are too many. No function here uses a clock or a socket. */

/* How long the peer of a TLS handshake may take to answer before another gets its slot. */
#define TCP_MIN_GRACE (5 * G_TIME_SPAN_MILLISECOND)
#define TCP_MAX_GRACE (1 * G_TIME_SPAN_SECOND)

/* A connection that is not a WebSocket yet. */
typedef struct
{
  const TcpOrigin *origin;
  gint64 age;       /* in µs */
  gboolean silent;  /* no byte was received */
  gboolean answers; /* its TLS handshake is in progress or finished */
  gboolean refused; /* the answer is on its way, or delayed */
} TcpPendingState;

/* A TLS handshake that has a slot. */
typedef struct
{
  const TcpOrigin *origin;
  gint64 age;  /* since it has had the slot, in µs */
  gint64 wait; /* how long it has waited for its peer, at most @age; -1 if its peer waits for it */
  gint64 round_trip; /* of its path, in µs */
} TcpHandshakeState;

guint tcp_eviction_choose_pending (const TcpPendingState *pending,
                                   guint                  n);
int tcp_eviction_choose_handshake (const TcpHandshakeState *handshakes,
                                   guint                    n,
                                   gint64                   grace);
gboolean tcp_eviction_is_late (gint64 wait,
                               gint64 lull,
                               gint64 grace);
gint64 tcp_eviction_adapt_grace (gint64 grace,
                                 guint  waiting,
                                 guint  added);
int tcp_eviction_compare_origins (const TcpOrigin *a,
                                  const TcpOrigin *b);

G_END_DECLS
