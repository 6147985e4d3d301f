/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib-object.h>
#include <tcptunnel/tcp-version-macros.h>

G_BEGIN_DECLS

#define TCP_TYPE_GATEWAY_METRICS (tcp_gateway_metrics_get_type ())

typedef struct _TcpGatewayMetrics TcpGatewayMetrics;

/**
 * TcpGatewayMetrics:
 * @open_sessions: how many sessions there are, with those that wait for their client to come back
 * @max_sessions: how many there may be; 0 while the gateway does not run
 * @total_sessions: how many sessions there were, with those that are open
 * @open_websockets: how many WebSockets are open
 * @total_websockets: how many WebSockets there were, with those that are open
 * @websocket_time: how long all of these together took from the accepted TCP connection to the answer to the request, in
 *   milliseconds with a fraction; see [method@TcpTunnel.GatewayMetrics.get_websocket_buckets]
 * @pending_connections: how many connections that were accepted are not a WebSocket yet
 * @accepted_connections: how many TCP connections the listener has accepted
 * @dropped_connections: how many of these were closed without an answer: they were silent, malformed or too
 *   many, or their TLS handshake failed
 * @refused_requests: how many requests for a WebSocket were refused, for whatever reason
 * @authentication_failures: how many of these showed neither a token nor a certificate that is valid, and were not
 *   accepted by the application either (401)
 * @tls_handshakes: how many TLS handshakes were successful
 * @tls_failures: how many TLS handshakes failed
 * @open_dials: how many connections to targets are being made
 * @max_dials: how many may be made at a time, [property@TcpTunnel.Gateway:max-dials]; 0 while the gateway does not run
 * @dials_connected: how many connections to targets were made
 * @dial_time: how long all of these together took, in milliseconds with a fraction, with the time for which they waited
 *   for their turn; see [method@TcpTunnel.GatewayMetrics.get_dial_buckets]
 * @dials_refused: how many were refused by the target
 * @dials_unreachable: how many failed since the target could not be reached
 * @dials_timed_out: how many were not answered in time
 * @dials_unresolved: how many failed since the name of the target could not be resolved
 * @dials_forbidden: how many were not tried since the client may not have the target
 * @dials_limited: how many were not tried because of a limit
 * @max_connections: how many connections to targets there may be, [property@TcpTunnel.Endpoint:max-connections]; 0
 *   while the gateway does not run
 * @memory: how many bytes the sessions hold, of what they share
 * @max_memory: how many bytes they may hold: what [property@TcpTunnel.Gateway:max-memory] leaves beside that
 *   which is set aside for each session and for pending connections; 0 while the gateway does not run
 * @hits_max_connections: how many sessions and connections were refused because of
 *   [property@TcpTunnel.Endpoint:max-connections]
 * @hits_max_memory: how many sessions were refused because of [property@TcpTunnel.Gateway:max-memory]
 * @hits_max_dials: how many connections had no turn in time because of [property@TcpTunnel.Gateway:max-dials]
 * @hits_max_principal_sessions: how many sessions were refused because of
 *   [property@TcpTunnel.Gateway:max-principal-sessions], or of [property@TcpTunnel.Gateway:max-principal-memory] if
 *   there is memory for fewer; here and in the next three a [class@TcpTunnel.Principal] may have another limit
 * @hits_max_principal_connections: how many connections were refused because of
 *   [property@TcpTunnel.Gateway:max-principal-connections]
 * @hits_max_principal_dials: how many connections had no turn in time because of
 *   [property@TcpTunnel.Gateway:max-principal-dials]
 * @hits_max_principal_dial_rate: how many connections had no turn in time because of
 *   [property@TcpTunnel.Gateway:max-principal-dial-rate]
 * @hits_descriptors: how many sessions and connections were refused since too few file descriptors were left
 * @hits_pending: how many pending connections were closed since there were too many of them
 * @dropped_events: how many connections the application will not see, neither in its signals nor in
 *   [method@TcpTunnel.Endpoint.get_connections], because it handles events too slowly; counted since the
 *   gateway was last started
 *
 * What there is to know of a gateway beside [struct@TcpTunnel.Statistics].
 *
 * Get it with [method@TcpTunnel.Gateway.get_metrics]. What is counted is counted since the gateway was created. Later
 * versions may have more fields, so that only the library can make one.
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
