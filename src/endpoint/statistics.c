/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "endpoint/endpoint-private.h"

/* The struct owns no memory. */
G_DEFINE_BOXED_TYPE (TcpStatistics, tcp_statistics, tcp_statistics_copy, tcp_statistics_free)

/**
 * tcp_statistics_copy:
 * @self: statistics
 *
 * Copies the statistics.
 *
 * Returns: (transfer full): a copy
 *
 * Since: 1.0
 */
TcpStatistics *
tcp_statistics_copy (const TcpStatistics *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return g_memdup2 (self, sizeof (TcpStatistics));
}

/**
 * tcp_statistics_free:
 * @self: statistics
 *
 * Frees the statistics.
 *
 * Since: 1.0
 */
void
tcp_statistics_free (TcpStatistics *self)
{
  g_free (self);
}

/**
 * tcp_endpoint_get_statistics:
 * @self: an endpoint
 *
 * Gets the counters and the current state of the endpoint.
 *
 * May be called from any thread, also while the endpoint does not run: the counters continue from one start to the
 * next. Other threads do not wait for it, so that the figures are of one moment, except for changes during the call;
 * the number of open connections is never above the total.
 *
 * Returns: (transfer full): the statistics
 *
 * Since: 1.0
 */
TcpStatistics *
tcp_endpoint_get_statistics (TcpEndpoint *self)
{
  TcpStatistics *statistics;
  TcpStatus *status;
  gint64 round_trip;

  g_return_val_if_fail (TCP_IS_ENDPOINT (self), NULL);

  status = self->status;
  round_trip = tcp_status_get (status, round_trip);
  statistics = g_new0 (TcpStatistics, 1);
  /* The order matters; see tcp_status_add_connection (). */
  statistics->open_connections = atomic_load_explicit (&status->open_connections, memory_order_acquire);
  statistics->total_connections = tcp_status_get (status, total_connections);
  statistics->bytes_sent = tcp_status_get (status, bytes_sent);
  statistics->bytes_received = tcp_status_get (status, bytes_received);
  statistics->reconnects = tcp_status_get (status, reconnects);
  statistics->resumes = tcp_status_get (status, resumes);
  statistics->bytes_replayed = tcp_status_get (status, bytes_replayed);
  statistics->unacknowledged_bytes = tcp_status_get (status, unacknowledged_bytes);
  statistics->receive_window = tcp_status_get (status, receive_window);
  statistics->send_window = tcp_status_get (status, send_window);
  statistics->round_trip = round_trip < 0 ? -1 : round_trip / (double) G_TIME_SPAN_MILLISECOND;
  statistics->protocol = tcp_status_get (status, protocol);
  return statistics;
}
