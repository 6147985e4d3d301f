/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/counters.h"

/* The struct owns no memory. */
G_DEFINE_BOXED_TYPE (TcpGatewayMetrics, tcp_gateway_metrics, tcp_gateway_metrics_copy, tcp_gateway_metrics_free)

/**
 * tcp_gateway_metrics_copy:
 * @self: metrics
 *
 * Copies the metrics.
 *
 * Returns: (transfer full): a copy
 *
 * Since: 1.0
 */
TcpGatewayMetrics *
tcp_gateway_metrics_copy (const TcpGatewayMetrics *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return g_memdup2 (self, sizeof (TcpMetrics));
}

/**
 * tcp_gateway_metrics_free:
 * @self: metrics
 *
 * Frees the metrics.
 *
 * Since: 1.0
 */
void
tcp_gateway_metrics_free (TcpGatewayMetrics *self)
{
  g_free (self);
}

/**
 * tcp_gateway_metrics_get_bounds:
 * @self: metrics
 * @n_bounds: (out): the number of bounds
 *
 * Gets the upper bounds of the buckets into which durations are counted, in milliseconds and in ascending order. A
 * duration that is equal to a bound is in the bucket of that bound. One more bucket has all longer durations.
 *
 * Returns: (array length=n_bounds) (transfer none): the bounds
 *
 * Since: 1.0
 */
const double *
tcp_gateway_metrics_get_bounds (const TcpGatewayMetrics *self,
                                gsize                   *n_bounds)
{
  g_return_val_if_fail (self != NULL, NULL);
  g_return_val_if_fail (n_bounds != NULL, NULL);

  *n_bounds = G_N_ELEMENTS (tcp_histogram_bounds);
  return tcp_histogram_bounds;
}

/**
 * tcp_gateway_metrics_get_websocket_buckets:
 * @self: metrics
 * @n_buckets: (out): the number of buckets, one more than there are bounds
 *
 * Gets the distribution of the time that WebSockets took, from the accepted TCP connection to the answer to the
 * request.
 *
 * Each item is the number of durations longer than the bound before and no longer than the bound of the item: see
 * [method@TcpTunnel.GatewayMetrics.get_bounds].
 *
 * Returns: (array length=n_buckets) (transfer none): the buckets
 *
 * Since: 1.0
 */
const guint64 *
tcp_gateway_metrics_get_websocket_buckets (const TcpGatewayMetrics *self,
                                           gsize                   *n_buckets)
{
  g_return_val_if_fail (self != NULL, NULL);
  g_return_val_if_fail (n_buckets != NULL, NULL);

  *n_buckets = TCP_N_BUCKETS;
  return ((const TcpMetrics *) self)->websocket_buckets;
}

/**
 * tcp_gateway_metrics_get_dial_buckets:
 * @self: metrics
 * @n_buckets: (out): the number of buckets, one more than there are bounds
 *
 * Gets the distribution of the time that successful connections to targets took, from the request of the client.
 *
 * Each item is the number of durations longer than the bound before and no longer than the bound of the item: see
 * [method@TcpTunnel.GatewayMetrics.get_bounds].
 *
 * Returns: (array length=n_buckets) (transfer none): the buckets
 *
 * Since: 1.0
 */
const guint64 *
tcp_gateway_metrics_get_dial_buckets (const TcpGatewayMetrics *self,
                                      gsize                   *n_buckets)
{
  g_return_val_if_fail (self != NULL, NULL);
  g_return_val_if_fail (n_buckets != NULL, NULL);

  *n_buckets = TCP_N_BUCKETS;
  return ((const TcpMetrics *) self)->dial_buckets;
}
