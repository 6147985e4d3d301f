/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <stdatomic.h>
#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

/* One for each bound, and one for everything above. */
#define TCP_N_BUCKETS 14

/* The distribution of durations, in microseconds. */
typedef struct
{
  atomic_ullong buckets[TCP_N_BUCKETS];
  atomic_ullong sum;
} TcpHistogram;

/* All metrics that the application receives. */
typedef struct
{
  TcpGatewayMetrics figures;
  guint64 websocket_buckets[TCP_N_BUCKETS];
  guint64 dial_buckets[TCP_N_BUCKETS];
} TcpMetrics;

/* What a gateway counts in addition to TcpStatus, on any thread, across starts. The names are those of
 * TcpGatewayMetrics. */
typedef struct
{
  atomic_ullong total_sessions;
  atomic_uint pending_connections;
  atomic_ullong accepted_connections;
  atomic_ullong dropped_connections;
  atomic_ullong refused_requests;
  atomic_ullong authentication_failures;
  atomic_ullong tls_handshakes;
  atomic_ullong tls_failures;
  atomic_ullong dials_refused;
  atomic_ullong dials_unreachable;
  atomic_ullong dials_timed_out;
  atomic_ullong dials_unresolved;
  atomic_ullong dials_forbidden;
  atomic_ullong dials_limited;
  atomic_ullong hits_max_connections;
  atomic_ullong hits_max_memory;
  atomic_ullong hits_max_dials;
  atomic_ullong hits_max_principal_sessions;
  atomic_ullong hits_max_principal_connections;
  atomic_ullong hits_max_principal_dials;
  atomic_ullong hits_max_principal_dial_rate;
  atomic_ullong hits_descriptors;
  atomic_ullong hits_pending;
  TcpHistogram websockets;
  TcpHistogram dials;
} TcpCounters;

TcpCounters *tcp_counters_new (void);
TcpCounters *tcp_counters_ref (TcpCounters *self);
void tcp_counters_unref (TcpCounters *self);
TcpMetrics *tcp_counters_read (TcpCounters *self);

/* in milliseconds */
extern const double tcp_histogram_bounds[TCP_N_BUCKETS - 1];

void tcp_histogram_add (TcpHistogram *self,
                        gint64        time);

#define tcp_counters_add(self, field) atomic_fetch_add_explicit (&(self)->field, 1, memory_order_relaxed)
#define tcp_counters_sub(self, field) atomic_fetch_sub_explicit (&(self)->field, 1, memory_order_relaxed)

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpCounters, tcp_counters_unref)

G_END_DECLS
