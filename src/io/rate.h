/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/heap.h"
#include "io/pool.h"

G_BEGIN_DECLS

/* The number of bytes per second that the connections of a principal may move in one direction, in total.
 *
 * Each takes what it is about to move. If less is available it gets less, and if nothing is available it waits until it
 * is called. What is available goes to the connection that has received the least: connections that take all they can
 * get have equal shares, and one that needs little does not wait for them. One that was idle does not catch up.
 *
 * A rate is safe on all threads, with a lock that only connections with a limit take. Each thread has a lane of it,
 * with one timer for all that wait there; a lane belongs to its thread, together with its shares. */
typedef struct _TcpRate TcpRate;
typedef struct _TcpRateLane TcpRateLane;

/* The share may take something now; what it does not take before it returns is for others. Another one may have taken
 * it before. The function may do anything, including clearing the share. */
typedef void (*TcpRateFunc) (gpointer user_data);

/* The share of one connection. */
typedef struct
{
  /* The place among those that wait, by the bytes that it has used, counted from where others were when it began. Under
   * the mutex of the rate. */
  TcpHeapNode used;

  TcpRateLane *lane; /* NULL: without limit */
  TcpRateFunc func;
  gpointer user_data;
  gboolean waiting;
  gsize lease;       /* what it may take in its turn */

  /* under the mutex of the rate */
  gsize wanted;
  gsize granted;
  GList link;        /* among those that its lane will call */
} TcpRateShare;

TcpRate *tcp_rate_new (void);
TcpRate *tcp_rate_ref (TcpRate *self);
void tcp_rate_unref (TcpRate *self);
void tcp_rate_set (TcpRate *self,
                   guint64  per_second);
guint64 tcp_rate_get (TcpRate *self);

TcpRateLane *tcp_rate_lane_new (TcpRate     *rate,
                                TcpIoThread *thread);
TcpRateLane *tcp_rate_lane_ref (TcpRateLane *self);
void tcp_rate_lane_unref (TcpRateLane *self);

void tcp_rate_share_init (TcpRateShare *self,
                          TcpRateLane  *lane,
                          TcpRateFunc   func,
                          gpointer      user_data);
void tcp_rate_share_clear (TcpRateShare *self);
gsize tcp_rate_share_take (TcpRateShare *self,
                           gsize         wanted);
void tcp_rate_share_give_back (TcpRateShare *self,
                               gsize         n);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpRate, tcp_rate_unref)

G_END_DECLS
