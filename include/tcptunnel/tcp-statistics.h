/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib-object.h>
#include <tcptunnel/tcp-version-macros.h>

G_BEGIN_DECLS

#define TCP_TYPE_STATISTICS (tcp_statistics_get_type ())

typedef struct _TcpStatistics TcpStatistics;

/**
 * TcpStatistics:
 * @bytes_sent: how many bytes went from TCP connections into WebSockets since the endpoint was created
 * @bytes_received: how many bytes came from WebSockets for TCP connections since the endpoint was created
 * @open_connections: how many TCP connections are open
 * @total_connections: how many TCP connections there were since the endpoint was created, with those that are open
 * @reconnects: how often a WebSocket of a tunnel was replaced by another since the tunnel was created; 0 of a gateway
 * @resumes: how often a session went on over another WebSocket since the endpoint was created, with all its connections
 *   and nothing lost
 * @bytes_replayed: how many bytes were sent again when sessions were resumed, since the endpoint was created
 * @unacknowledged_bytes: how many bytes are kept because the other end has not acknowledged them yet, in sessions that
 *   are resumed
 * @receive_window: how many bytes the other end may send at this moment, in sessions that are resumed: the credit that
 *   it was given and has not used, of all connections together
 * @send_window: how many bytes may be sent to the other end at this moment, in sessions that are resumed: the credit
 *   that it gave and that was not used, of all connections together
 * @round_trip: how long the last ping of a tunnel took to be answered, in milliseconds with a fraction; -1 if none was
 *   yet, and of a gateway
 * @protocol: (nullable): what the tunnel and its gateway speak over the last WebSocket that was opened: `resumable/1`,
 *   `tagged` or `raw`; %NULL if there was none yet, and of a gateway. It is never freed
 *
 * What an endpoint has done, and does at this moment.
 *
 * Get it with [method@TcpTunnel.Endpoint.get_statistics]. Later versions may have more fields, so that only the
 * library can make one.
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
