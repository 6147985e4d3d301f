/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <tcptunnel/tcptunnel.h>

G_DEFINE_ENUM_TYPE (TcpTunnelState, tcp_tunnel_state,
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_STATE_DISCONNECTED, "disconnected"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_STATE_CONNECTING, "connecting"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_STATE_CONNECTED, "connected"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_STATE_RECONNECTING, "reconnecting"))

G_DEFINE_ENUM_TYPE (TcpTunnelMode, tcp_tunnel_mode,
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_MODE_SINGLETON, "singleton"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_MODE_MULTIPLEXED, "multiplexed"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_MODE_PARALLEL, "parallel"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_MODE_AUTO, "auto"))

G_DEFINE_ENUM_TYPE (TcpTunnelResumption, tcp_tunnel_resumption,
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_RESUMPTION_AUTO, "auto"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_RESUMPTION_REQUIRED, "required"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_RESUMPTION_OFF, "off"))

G_DEFINE_ENUM_TYPE (TcpProxyProtocol, tcp_proxy_protocol,
                    G_DEFINE_ENUM_VALUE (TCP_PROXY_PROTOCOL_NONE, "none"),
                    G_DEFINE_ENUM_VALUE (TCP_PROXY_PROTOCOL_V2, "v2"))

G_DEFINE_ENUM_TYPE (TcpTunnelLogLevel, tcp_tunnel_log_level,
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_LOG_LEVEL_NONE, "none"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_LOG_LEVEL_ERROR, "error"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_LOG_LEVEL_WARN, "warn"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_LOG_LEVEL_INFO, "info"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_LOG_LEVEL_DEBUG, "debug"))

G_DEFINE_ENUM_TYPE (TcpForwardKind, tcp_forward_kind,
                    G_DEFINE_ENUM_VALUE (TCP_FORWARD_KIND_TARGET, "target"),
                    G_DEFINE_ENUM_VALUE (TCP_FORWARD_KIND_SOCKS, "socks"),
                    G_DEFINE_ENUM_VALUE (TCP_FORWARD_KIND_HTTP_PROXY, "http-proxy"))

G_DEFINE_ENUM_TYPE (TcpTunnelError, tcp_tunnel_error,
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_ERROR_INVALID_ARGUMENT, "invalid-argument"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_ERROR_WRONG_STATE, "wrong-state"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_ERROR_LISTEN, "listen"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_ERROR_UNREACHABLE, "unreachable"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_ERROR_TLS, "tls"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_ERROR_UNAUTHORIZED, "unauthorized"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_ERROR_REJECTED, "rejected"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_ERROR_TIMED_OUT, "timed-out"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_ERROR_PROTOCOL, "protocol"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_ERROR_LOST, "lost"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_ERROR_TARGET, "target"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_ERROR_RESET, "reset"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_ERROR_CLOSED, "closed"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_ERROR_LIMIT, "limit"),
                    G_DEFINE_ENUM_VALUE (TCP_TUNNEL_ERROR_FORBIDDEN, "forbidden"))

/* clang-format would format the hyphens as subtractions. */
/* clang-format off */
/**
 * tcp_tunnel_error_quark:
 *
 * Gets the error domain of tunnels and gateways.
 *
 * Returns: the domain
 *
 * Since: 1.0
 */
G_DEFINE_QUARK (tcp-tunnel-error-quark, tcp_tunnel_error)
/* clang-format on */
