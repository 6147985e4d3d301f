/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/gateway-private.h"

#include "endpoint/accessors.h"

#define GETTER(ctype, name, zero, expression) \
  TCP_GETTER (TcpGateway, gateway, TCP_IS_GATEWAY, ctype, name, zero, expression)

/**
 * tcp_gateway_get_bytes_sent:
 * @self: a gateway
 *
 * Gets how many bytes went from targets into WebSockets since the gateway was created.
 *
 * May be called from any thread.
 *
 * Returns: bytes
 *
 * Since: 1.0
 */
GETTER (guint64, bytes_sent, 0, tcp_status_get (self->status, bytes_sent))

/**
 * tcp_gateway_get_bytes_received:
 * @self: a gateway
 *
 * Gets how many bytes came from WebSockets for targets since the gateway was created.
 *
 * May be called from any thread.
 *
 * Returns: bytes
 *
 * Since: 1.0
 */
GETTER (guint64, bytes_received, 0, tcp_status_get (self->status, bytes_received))

/**
 * tcp_gateway_get_open_connections:
 * @self: a gateway
 *
 * Gets how many connections to targets are open.
 *
 * May be called from any thread.
 *
 * Returns: the number
 *
 * Since: 1.0
 */
GETTER (guint, open_connections, 0, tcp_status_get (self->status, open_connections))

/**
 * tcp_gateway_get_total_connections:
 * @self: a gateway
 *
 * Gets how many connections to targets there were since the gateway was created.
 *
 * May be called from any thread.
 *
 * Returns: the number
 *
 * Since: 1.0
 */
GETTER (guint64, total_connections, 0, tcp_status_get (self->status, total_connections))

/**
 * tcp_gateway_get_retained_bytes:
 * @self: a gateway
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
 * tcp_gateway_get_receive_window:
 * @self: a gateway
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
 * tcp_gateway_get_send_window:
 * @self: a gateway
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
 * tcp_gateway_get_resumes:
 * @self: a gateway
 *
 * Gets how often a session went on over another WebSocket since the gateway was created.
 *
 * May be called from any thread.
 *
 * Returns: the number
 *
 * Since: 1.0
 */
GETTER (guint64, resumes, 0, tcp_status_get (self->status, resumes))

/**
 * tcp_gateway_get_bytes_replayed:
 * @self: a gateway
 *
 * Gets how many bytes were sent again when sessions were resumed, since the gateway was
 * created.
 *
 * May be called from any thread.
 *
 * Returns: bytes
 *
 * Since: 1.0
 */
GETTER (guint64, bytes_replayed, 0, tcp_status_get (self->status, bytes_replayed))
