/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/tunnel-private.h"

#include "endpoint/accessors.h"

#define GETTER(ctype, name, zero, expression) \
  TCP_GETTER (TcpTunnel, tunnel, TCP_IS_TUNNEL, ctype, name, zero, expression)

/**
 * tcp_tunnel_get_state:
 * @self: a tunnel
 *
 * Gets where the WebSocket stands at this moment.
 *
 * May be called from any thread.
 *
 * Returns: the state
 *
 * Since: 1.0
 */
GETTER (TcpTunnelState, state, TCP_TUNNEL_STATE_DISCONNECTED, tcp_status_get (self->status, state))

/**
 * tcp_tunnel_get_bytes_sent:
 * @self: a tunnel
 *
 * Gets how many bytes went from TCP into WebSockets since the tunnel was created.
 *
 * May be called from any thread.
 *
 * Returns: bytes
 *
 * Since: 1.0
 */
GETTER (guint64, bytes_sent, 0, tcp_status_get (self->status, bytes_sent))

/**
 * tcp_tunnel_get_bytes_received:
 * @self: a tunnel
 *
 * Gets how many bytes came from WebSockets for TCP since the tunnel was created.
 *
 * May be called from any thread.
 *
 * Returns: bytes
 *
 * Since: 1.0
 */
GETTER (guint64, bytes_received, 0, tcp_status_get (self->status, bytes_received))

/**
 * tcp_tunnel_get_open_connections:
 * @self: a tunnel
 *
 * Gets how many TCP connections are open.
 *
 * May be called from any thread.
 *
 * Returns: the number
 *
 * Since: 1.0
 */
GETTER (guint, open_connections, 0, tcp_status_get (self->status, open_connections))

/**
 * tcp_tunnel_get_total_connections:
 * @self: a tunnel
 *
 * Gets how many TCP connections there were since the tunnel was created.
 *
 * May be called from any thread.
 *
 * Returns: the number
 *
 * Since: 1.0
 */
GETTER (guint64, total_connections, 0, tcp_status_get (self->status, total_connections))

/**
 * tcp_tunnel_get_reconnects:
 * @self: a tunnel
 *
 * Gets how often a WebSocket was replaced by another since the tunnel was created.
 *
 * May be called from any thread.
 *
 * Returns: the number
 *
 * Since: 1.0
 */
GETTER (guint64, reconnects, 0, tcp_status_get (self->status, reconnects))

/**
 * tcp_tunnel_get_round_trip:
 * @self: a tunnel
 *
 * Gets how long the last ping took to be answered, in microseconds, or -1 if none was
 * yet.
 *
 * May be called from any thread.
 *
 * Returns: microseconds, or -1
 *
 * Since: 1.0
 */
GETTER (gint64, round_trip, -1, tcp_status_get (self->status, round_trip))

/**
 * tcp_tunnel_get_negotiated_protocol:
 * @self: a tunnel
 *
 * Gets what the tunnel and its gateway speak over the last WebSocket that was opened:
 * `resumable/1`, `tagged` or `raw`.
 *
 * May be called from any thread.
 *
 * Returns: (nullable): the protocol, or %NULL if there was no WebSocket yet
 *
 * Since: 1.0
 */
GETTER (const char *, negotiated_protocol, NULL, tcp_status_get (self->status, protocol))

/**
 * tcp_tunnel_get_retained_bytes:
 * @self: a tunnel
 *
 * Gets how many bytes are kept until the other end has acknowledged them.
 *
 * May be called from any thread.
 *
 * Returns: bytes
 *
 * Since: 1.0
 */
GETTER (guint64, retained_bytes, 0, tcp_status_get (self->status, retained_bytes))

/**
 * tcp_tunnel_get_receive_window:
 * @self: a tunnel
 *
 * Gets how many bytes the other end may send at this moment, in sessions that are
 * resumed.
 *
 * May be called from any thread.
 *
 * Returns: bytes
 *
 * Since: 1.0
 */
GETTER (guint64, receive_window, 0, tcp_status_get (self->status, receive_window))

/**
 * tcp_tunnel_get_send_window:
 * @self: a tunnel
 *
 * Gets how many bytes may be sent to the other end at this moment, in sessions that are
 * resumed.
 *
 * May be called from any thread.
 *
 * Returns: bytes
 *
 * Since: 1.0
 */
GETTER (guint64, send_window, 0, tcp_status_get (self->status, send_window))

/**
 * tcp_tunnel_get_resumes:
 * @self: a tunnel
 *
 * Gets how often a session went on over another WebSocket since the tunnel was created.
 *
 * May be called from any thread.
 *
 * Returns: the number
 *
 * Since: 1.0
 */
GETTER (guint64, resumes, 0, tcp_status_get (self->status, resumes))

/**
 * tcp_tunnel_get_bytes_replayed:
 * @self: a tunnel
 *
 * Gets how many bytes were sent again when sessions were resumed, since the tunnel was
 * created.
 *
 * May be called from any thread.
 *
 * Returns: bytes
 *
 * Since: 1.0
 */
GETTER (guint64, bytes_replayed, 0, tcp_status_get (self->status, bytes_replayed))

/**
 * tcp_tunnel_get_last_error:
 * @self: a tunnel
 *
 * Gets what last went wrong since the tunnel was started.
 *
 * May be called from any thread.
 *
 * Returns: (nullable) (transfer full): an error, or %NULL if nothing did
 *
 * Since: 1.0
 */
GETTER (GError *, last_error, NULL, tcp_status_dup_error (self->status))
