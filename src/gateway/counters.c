/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/counters.h"

#include "base/tsan.h"

const double tcp_histogram_bounds[TCP_N_BUCKETS - 1] = {
  1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000,
};

TcpCounters *
tcp_counters_new (void)
{
  return g_atomic_rc_box_new0 (TcpCounters);
}

TcpCounters *
tcp_counters_ref (TcpCounters *self)
{
  return g_atomic_rc_box_acquire (self);
}

void
tcp_counters_unref (TcpCounters *self)
{
  tcp_tsan_release (self);
  g_atomic_rc_box_release (self);
}

/* Counts @time, in microseconds, in the bucket with the smallest bound that is not below it. */
void
tcp_histogram_add (TcpHistogram *self,
                   gint64        time)
{
  gsize i = 0;

  while (i < TCP_N_BUCKETS - 1 && time > tcp_histogram_bounds[i] * G_TIME_SPAN_MILLISECOND)
    i++;
  tcp_counters_add (self, buckets[i]);
  atomic_fetch_add_explicit (&self->sum, MAX (time, 0), memory_order_relaxed);
}

/* Returns the number of all, and sets @sum to their time, in milliseconds. */
static guint64
histogram_read (TcpHistogram *self,
                guint64      *buckets,
                double       *sum)
{
  guint64 n = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (self->buckets); i++)
    {
      buckets[i] = atomic_load_explicit (&self->buckets[i], memory_order_relaxed);
      n += buckets[i];
    }
  *sum = atomic_load_explicit (&self->sum, memory_order_relaxed) / (double) G_TIME_SPAN_MILLISECOND;
  return n;
}

/* The result is freed with tcp_gateway_metrics_free (). */
TcpMetrics *
tcp_counters_read (TcpCounters *self)
{
  TcpMetrics *all = g_new0 (TcpMetrics, 1);
  TcpGatewayMetrics *metrics = &all->figures;

#define READ(field) metrics->field = atomic_load_explicit (&self->field, memory_order_relaxed)
  READ (total_sessions);
  READ (pending_connections);
  READ (accepted_connections);
  READ (dropped_connections);
  READ (refused_requests);
  READ (authentication_failures);
  READ (tls_handshakes);
  READ (tls_failures);
  READ (dials_refused);
  READ (dials_unreachable);
  READ (dials_timed_out);
  READ (dials_unresolved);
  READ (dials_forbidden);
  READ (dials_limited);
  READ (hits_max_connections);
  READ (hits_max_memory);
  READ (hits_max_dials);
  READ (hits_max_principal_sessions);
  READ (hits_max_principal_connections);
  READ (hits_max_principal_dials);
  READ (hits_max_principal_dial_rate);
  READ (hits_descriptors);
  READ (hits_pending);
#undef READ
  metrics->total_websockets = histogram_read (&self->websockets, all->websocket_buckets, &metrics->websocket_time);
  metrics->dials_connected = histogram_read (&self->dials, all->dial_buckets, &metrics->dial_time);
  return all;
}
