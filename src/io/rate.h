/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/heap.h"
#include "io/pool.h"

G_BEGIN_DECLS

/* How many bytes a second the connections of a principal may move in one direction, all together.
 *
 * Each takes what it is about to move. If there is not so much it gets less, and if there is nothing it waits until
 * it is called. What there is goes to the one that has had least: connections that want all they can get have equal
 * parts, and one that wants little does not wait behind them. One that was idle does not catch up for that.
 *
 * A rate is safe on all threads, under a lock that only connections with a limit take. Each thread has a lane of it,
 * with one timer for all that wait there; a lane belongs to its thread, together with its shares. */
typedef struct _TcpRate TcpRate;
typedef struct _TcpRateLane TcpRateLane;

/* It may take something now, and what it does not take before it returns is for others. It may be that another took
 * it before. Anything may be done, also to clear the share. */
typedef void (*TcpRateFunc) (gpointer user_data);

/* One connection's part. */
typedef struct
{
  /* Among those that wait, by the bytes that it has used, counted from where others were when it began. Under the mutex
   * of the rate. */
  TcpHeapNode used;

  TcpRateLane *lane; /* NULL: without limit */
  TcpRateFunc func;
  gpointer user_data;
  gboolean waiting;
  gsize lease;       /* what it may take in its turn */

  /* Under the mutex of the rate */
  gsize wanted;
  gsize granted;
  GList link;        /* among those that its lane is to call */
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
