/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib-object.h>
#include <tcptunnel/tcp-version-macros.h>

G_BEGIN_DECLS

#define TCP_TYPE_GATEWAY_METRICS (tcp_gateway_metrics_get_type ())

typedef struct _TcpGatewayMetrics TcpGatewayMetrics;

/**
 * TcpGatewayMetrics:
 * @open_sessions: the number of sessions, including those that wait for their client to return
 * @max_sessions: the maximum number of sessions; 0 while the gateway does not run
 * @total_sessions: the number of sessions so far, including those that are open
 * @open_websockets: the number of open WebSockets
 * @total_websockets: the number of WebSockets so far, including those that are open
 * @websocket_time: the total time of these from the accepted TCP connection to the answer to the request, in
 *   milliseconds with a fraction; see [method@TcpTunnel.GatewayMetrics.get_websocket_buckets]
 * @pending_connections: the number of accepted connections that are not a WebSocket yet
 * @accepted_connections: the number of TCP connections that the listener has accepted
 * @dropped_connections: the number of these that were closed without an answer: they were silent, malformed or too
 *   many, or their TLS handshake failed
 * @refused_requests: the number of requests for a WebSocket that were refused, for any reason
 * @authentication_failures: the number of these that had neither a valid token nor a valid certificate, and were not
 *   accepted by the application either (401)
 * @tls_handshakes: the number of successful TLS handshakes
 * @tls_failures: the number of failed TLS handshakes
 * @open_dials: the number of connections to targets that are being opened
 * @max_dials: the maximum of these, [property@TcpTunnel.Gateway:max-dials]; 0 while the gateway does not run
 * @dials_connected: the number of connections to targets that were opened
 * @dial_time: the total time that these took, in milliseconds with a fraction, including the time for which they waited
 *   for their turn; see [method@TcpTunnel.GatewayMetrics.get_dial_buckets]
 * @dials_refused: the number that the target has refused
 * @dials_unreachable: the number that failed because the target could not be reached
 * @dials_timed_out: the number that were not answered in time
 * @dials_unresolved: the number that failed because the name of the target could not be resolved
 * @dials_forbidden: the number that were not tried because the client may not use the target
 * @dials_limited: the number that were not tried because of a limit
 * @max_connections: the maximum number of connections to targets, [property@TcpTunnel.Endpoint:max-connections]; 0
 *   while the gateway does not run
 * @memory: the number of bytes that sessions use of the memory that they share
 * @max_memory: the maximum of that: the part of [property@TcpTunnel.Gateway:max-memory] that is set aside neither
 *   for each session nor for pending connections; 0 while the gateway does not run
 * @hits_max_connections: the number of sessions and connections that were refused because of
 *   [property@TcpTunnel.Endpoint:max-connections]
 * @hits_max_memory: the number of sessions that were refused because of [property@TcpTunnel.Gateway:max-memory]
 * @hits_max_dials: the number of connections that had no turn in time because of [property@TcpTunnel.Gateway:max-dials]
 * @hits_max_principal_sessions: the number of sessions that were refused because of
 *   [property@TcpTunnel.Gateway:max-principal-sessions], or of [property@TcpTunnel.Gateway:max-principal-memory] if
 *   there is memory for fewer; here and in the next three a [class@TcpTunnel.Principal] may have another limit
 * @hits_max_principal_connections: the number of connections that were refused because of
 *   [property@TcpTunnel.Gateway:max-principal-connections]
 * @hits_max_principal_dials: the number of connections that had no turn in time because of
 *   [property@TcpTunnel.Gateway:max-principal-dials]
 * @hits_max_principal_dial_rate: the number of connections that had no turn in time because of
 *   [property@TcpTunnel.Gateway:max-principal-dial-rate]
 * @hits_descriptors: the number of sessions and connections that were refused because too few file descriptors were
 * left
 * @hits_pending: the number of pending connections that were closed because there were too many
 * @dropped_events: the number of connections that are not delivered to the application, neither in signals nor in
 *   [method@TcpTunnel.Endpoint.get_connections], because it handles events too slowly; counted since the
 *   gateway was last started
 *
 * The metrics of a gateway, in addition to [struct@TcpTunnel.Statistics].
 *
 * Returned by [method@TcpTunnel.Gateway.get_metrics]. The counters begin when the gateway is created. Later versions
 * may have more fields, so that only the library can allocate one.
 *
 * Since: 1.0
 */
struct _TcpGatewayMetrics
{
  guint64 open_sessions;
  guint64 max_sessions;
  guint64 total_sessions;
  guint64 open_websockets;
  guint64 total_websockets;
  double websocket_time;
  guint64 pending_connections;
  guint64 accepted_connections;
  guint64 dropped_connections;
  guint64 refused_requests;
  guint64 authentication_failures;
  guint64 tls_handshakes;
  guint64 tls_failures;
  guint64 open_dials;
  guint64 max_dials;
  guint64 dials_connected;
  double dial_time;
  guint64 dials_refused;
  guint64 dials_unreachable;
  guint64 dials_timed_out;
  guint64 dials_unresolved;
  guint64 dials_forbidden;
  guint64 dials_limited;
  guint64 max_connections;
  guint64 memory;
  guint64 max_memory;
  guint64 hits_max_connections;
  guint64 hits_max_memory;
  guint64 hits_max_dials;
  guint64 hits_max_principal_sessions;
  guint64 hits_max_principal_connections;
  guint64 hits_max_principal_dials;
  guint64 hits_max_principal_dial_rate;
  guint64 hits_descriptors;
  guint64 hits_pending;
  guint64 dropped_events;
};

TCP_TUNNEL_AVAILABLE_IN_1_0
GType tcp_gateway_metrics_get_type (void) G_GNUC_CONST;
TCP_TUNNEL_AVAILABLE_IN_1_0
TcpGatewayMetrics *tcp_gateway_metrics_copy (const TcpGatewayMetrics *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_gateway_metrics_free (TcpGatewayMetrics *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
const guint64 *tcp_gateway_metrics_get_websocket_buckets (const TcpGatewayMetrics *self,
                                                          gsize                   *n_buckets);
TCP_TUNNEL_AVAILABLE_IN_1_0
const guint64 *tcp_gateway_metrics_get_dial_buckets (const TcpGatewayMetrics *self,
                                                     gsize                   *n_buckets);
TCP_TUNNEL_AVAILABLE_IN_1_0
const double *tcp_gateway_metrics_get_bounds (const TcpGatewayMetrics *self,
                                              gsize                   *n_bounds);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpGatewayMetrics, tcp_gateway_metrics_free)

G_END_DECLS
