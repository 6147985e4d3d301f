/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib-object.h>
#include <tcptunnel/tcp-version-macros.h>

G_BEGIN_DECLS

/**
 * TCP_TUNNEL_ERROR:
 *
 * The error domain of tunnels and gateways. Its codes are
 * [error@TcpTunnel.TunnelError].
 *
 * Since: 1.0
 */
#define TCP_TUNNEL_ERROR (tcp_tunnel_error_quark ())

/**
 * TcpTunnelError:
 * @TCP_TUNNEL_ERROR_INVALID_ARGUMENT: a property has an invalid value,
 *   such as a URI whose scheme is neither `ws` nor `wss`
 * @TCP_TUNNEL_ERROR_WRONG_STATE: the endpoint runs already, or is being closed
 * @TCP_TUNNEL_ERROR_LISTEN: the local port cannot be opened
 * @TCP_TUNNEL_ERROR_UNREACHABLE: the gateway cannot be reached, or answered with
 *   a temporary failure
 * @TCP_TUNNEL_ERROR_TLS: the certificate of the gateway was refused, or TLS failed
 * @TCP_TUNNEL_ERROR_UNAUTHORIZED: the gateway refused the token (401)
 * @TCP_TUNNEL_ERROR_REJECTED: the gateway refused the request permanently
 *   (another status from 400 to 499)
 * @TCP_TUNNEL_ERROR_TIMED_OUT: an operation took longer than allowed
 * @TCP_TUNNEL_ERROR_PROTOCOL: the other end violates the protocol
 * @TCP_TUNNEL_ERROR_LOST: data may have been lost: the WebSocket broke, or a TCP client that
 *   had closed its side was cut off from the answer
 * @TCP_TUNNEL_ERROR_TARGET: the gateway could not reach its target, or the target
 *   broke the connection
 * @TCP_TUNNEL_ERROR_RESET: the TCP peer broke the connection
 * @TCP_TUNNEL_ERROR_CLOSED: the tunnel or gateway was closed meanwhile
 * @TCP_TUNNEL_ERROR_LIMIT: a limit, such as that on connections, was reached
 * @TCP_TUNNEL_ERROR_FORBIDDEN: the gateway does not allow the requested target
 *
 * The errors of tunnels and gateways.
 *
 * Every message contains what was tried, where, and why it failed. None contains
 * the token.
 *
 * Since: 1.0
 */
typedef enum
{
  TCP_TUNNEL_ERROR_INVALID_ARGUMENT,
  TCP_TUNNEL_ERROR_WRONG_STATE,
  TCP_TUNNEL_ERROR_LISTEN,
  TCP_TUNNEL_ERROR_UNREACHABLE,
  TCP_TUNNEL_ERROR_TLS,
  TCP_TUNNEL_ERROR_UNAUTHORIZED,
  TCP_TUNNEL_ERROR_REJECTED,
  TCP_TUNNEL_ERROR_TIMED_OUT,
  TCP_TUNNEL_ERROR_PROTOCOL,
  TCP_TUNNEL_ERROR_LOST,
  TCP_TUNNEL_ERROR_TARGET,
  TCP_TUNNEL_ERROR_RESET,
  TCP_TUNNEL_ERROR_CLOSED,
  TCP_TUNNEL_ERROR_LIMIT,
  TCP_TUNNEL_ERROR_FORBIDDEN,
} TcpTunnelError;

#define TCP_TYPE_TUNNEL_ERROR (tcp_tunnel_error_get_type ())

TCP_TUNNEL_AVAILABLE_IN_1_0
GType tcp_tunnel_error_get_type (void) G_GNUC_CONST;

TCP_TUNNEL_AVAILABLE_IN_1_0
GQuark tcp_tunnel_error_quark (void);

G_END_DECLS
