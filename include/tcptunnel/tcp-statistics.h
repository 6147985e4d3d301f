/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib-object.h>
#include <tcptunnel/tcp-version-macros.h>

G_BEGIN_DECLS

#define TCP_TYPE_STATISTICS (tcp_statistics_get_type ())

typedef struct _TcpStatistics TcpStatistics;

/**
 * TcpStatistics:
 * @bytes_sent: the number of bytes read from TCP connections and sent over WebSockets since the endpoint was created
 * @bytes_received: the number of bytes received over WebSockets for TCP connections since the endpoint was created
 * @open_connections: the number of open TCP connections
 * @total_connections: the number of TCP connections since the endpoint was created, including those that are open
 * @reconnects: how often a WebSocket of a tunnel was replaced by another since the tunnel was created; 0 for a gateway
 * @resumes: how often a session has continued over another WebSocket since the endpoint was created, with all its
 *   connections and without loss
 * @bytes_replayed: the number of bytes sent again when sessions were resumed, since the endpoint was created
 * @unacknowledged_bytes: the number of bytes that are kept because the other end has not acknowledged them yet, in
 *   resumable sessions
 * @receive_window: the number of bytes that the other end may send at this moment, in resumable sessions: the credit
 *   that it was given and has not used, for all connections together
 * @send_window: the number of bytes that may be sent to the other end at this moment, in resumable sessions: the credit
 *   that it has given and that was not used, for all connections together
 * @round_trip: the time until the last ping of a tunnel was answered, in milliseconds with a fraction; -1 before the
 *   first answer, and for a gateway
 * @protocol: (nullable): the protocol of the last WebSocket of a tunnel: `resumable/1`, `tagged` or `raw`; %NULL before
 *   the first WebSocket, and for a gateway. The string is static
 *
 * The counters and the current state of an endpoint.
 *
 * Returned by [method@TcpTunnel.Endpoint.get_statistics]. Later versions may have more fields, so that only the library
 * can allocate one.
 *
 * Since: 1.0
 */
struct _TcpStatistics
{
  guint64 bytes_sent;
  guint64 bytes_received;
  guint64 open_connections;
  guint64 total_connections;
  guint64 reconnects;
  guint64 resumes;
  guint64 bytes_replayed;
  guint64 unacknowledged_bytes;
  guint64 receive_window;
  guint64 send_window;
  double round_trip;
  const char *protocol;
};

TCP_TUNNEL_AVAILABLE_IN_1_0
GType tcp_statistics_get_type (void) G_GNUC_CONST;
TCP_TUNNEL_AVAILABLE_IN_1_0
TcpStatistics *tcp_statistics_copy (const TcpStatistics *self);
TCP_TUNNEL_AVAILABLE_IN_1_0
void tcp_statistics_free (TcpStatistics *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpStatistics, tcp_statistics_free)

G_END_DECLS
