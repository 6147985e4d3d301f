/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/tunnel-private.h"

/**
 * TcpReverseTunnel:
 *
 * A tunnel that makes a TCP service of this end available at the gateway.
 *
 * The gateway at [property@TcpTunnel.Tunnel:remote-uri] listens on a port, and each TCP connection to that port is
 * connected to [property@TcpTunnel.ReverseTunnel:target], a service that this end can reach. All connections share one
 * WebSocket, which is opened at the start. The tunnel has started once the gateway listens;
 * [property@TcpTunnel.ReverseTunnel:remote-address] is the address.
 *
 * With a gateway of this library nothing is lost when the WebSocket breaks, each direction of a connection ends
 * separately, and services may send first: see [property@TcpTunnel.Endpoint:resumption]. With a server that uses
 * limrun's protocol for reverse tunnels, a break resets the connections, and a service must wait for the first bytes of
 * its client. In both cases the tunnel connects again. If the gateway then answers that the port is in use, possibly by
 * this tunnel's connection before the break, the request is repeated for two minutes.
 *
 * It does not listen itself: [property@TcpTunnel.Endpoint:hostname], [property@TcpTunnel.Endpoint:port],
 * [property@TcpTunnel.Endpoint:socket-path], [property@TcpTunnel.Tunnel:mode] and [property@TcpTunnel.Tunnel:reverses]
 * have no effect, and [property@TcpTunnel.Endpoint:local-address] stays %NULL.
 *
 * ```c
 * g_autoptr (TcpReverseTunnel) tunnel = tcp_reverse_tunnel_new ("wss://example.com/instance", token, "127.0.0.1:3000");
 * g_autofree char *address = NULL;
 * g_autoptr (GError) error = NULL;
 *
 * if (!tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, &error))
 *   g_error ("%s", error->message);
 * address = tcp_reverse_tunnel_dup_remote_address (tunnel);
 * g_print ("%s\n", address);
 * ```
 *
 * Since: 1.0
 */

struct _TcpReverseTunnel
{
  TcpTunnel parent_instance;
};

struct _TcpReverseTunnelClass
{
  TcpTunnelClass parent_class;
};

G_DEFINE_FINAL_TYPE (TcpReverseTunnel, tcp_reverse_tunnel, TCP_TYPE_TUNNEL)

#define SETTING(kind_, field) .kind = TCP_SETTING_##kind_, .offset = G_STRUCT_OFFSET (TcpTunnelSettings, field)

static void
get_remote_address (TcpEndpoint *self,
                    GValue      *value)
{
  g_value_take_string (value, tcp_status_dup_remote (self->status));
}

/* endpoint/setting.h describes how to add a property. */
static const TcpSetting rows[] = {
  /**
   * TcpReverseTunnel:target:
   *
   * The TCP service of this end, as `host:port`, with an IPv6 address in brackets. The tunnel opens a new connection to
   * it for each connection. The host is a name in ASCII, or an address in its usual form. The start fails with
   * %TCP_TUNNEL_ERROR_INVALID_ARGUMENT otherwise, and with %NULL, the default.
   *
   * Since: 1.0
   */
  { "target", SETTING (STRING, service) },

  /**
   * TcpReverseTunnel:remote-port:
   *
   * The port for the gateway to listen on, from 1 to 65535. With 0, the default, it is the one in the query of
   * [property@TcpTunnel.Tunnel:remote-uri] (`remotePort`), or otherwise any port that the gateway chooses.
   *
   * Since: 1.0
   */
  { "remote-port", SETTING (UINT, remote_port), .maximum = G_MAXUINT16 },

  /**
   * TcpReverseTunnel:remote-address:
   *
   * The address on which the gateway listens, as `host:port`, with an IPv6 address in brackets; %NULL before it
   * listens, and while the tunnel does not run. It stays the same while the tunnel reconnects. It is notified with
   * [property@TcpTunnel.Tunnel:state].
   *
   * Since: 1.0
   */
  { "remote-address", .kind = TCP_SETTING_STRING, .get = get_remote_address },

  /**
   * TcpReverseTunnel:max-connections:
   *
   * The number of connections that may be open at once, from 1 to 65535. Further ones are refused. The default is 64.
   *
   * Since: 1.0
   */
  { "max-connections", SETTING (UINT, common.max_connections), .minimum = 1, .maximum = G_MAXUINT16, .initial = 64 },

  /**
   * TcpReverseTunnel:max-buffered-bytes:
   *
   * The number of bytes that may wait in memory for services that do not read, in total, in sessions that are not
   * resumable. At this limit, the WebSocket is not read either, so that the gateway has to wait. At least 512 KiB; the
   * default is 4 MiB.
   *
   * Since: 1.0
   */
  { "max-buffered-bytes", SETTING (UINT, max_buffered_bytes), .minimum = 512 * 1024, .maximum = G_MAXUINT,
    .initial = 4 * 1024 * 1024 },

  /**
   * TcpReverseTunnel:max-pending-bytes:
   *
   * The number of bytes that may wait in memory for each connection while its service has not accepted it yet, in
   * sessions that are not resumable. A connection that receives more is ended. The total is limited to 64 MiB, or to
   * this value if it is larger: above that the connection with the most data is ended. At least 64 KiB; the default is
   * 16 MiB.
   *
   * Since: 1.0
   */
  { "max-pending-bytes", SETTING (UINT, max_pending_bytes), .minimum = 64 * 1024, .maximum = G_MAXUINT,
    .initial = 16 * 1024 * 1024 },

  /**
   * TcpReverseTunnel:connect-timeout:
   *
   * The time for opening a WebSocket, for the answer of the gateway after that, and for the service to accept a
   * connection, in milliseconds each. 0 is for no limit. The default is 10000.
   *
   * Since: 1.0
   */
  { "connect-timeout", SETTING (UINT, common.connect_timeout), .maximum = G_MAXINT, .initial = 10000 },
};

static const TcpSettings reverse_tunnel_settings = {
  .parent = &tcp_tunnel_settings,
  .size = sizeof (TcpTunnelSettings),
  .rows = rows,
  .n_rows = G_N_ELEMENTS (rows),
};

/**
 * tcp_reverse_tunnel_dup_remote_address:
 * @self: a reverse tunnel
 *
 * Gets the address on which the gateway listens: see [property@TcpTunnel.ReverseTunnel:remote-address].
 *
 * Returns: (nullable) (transfer full): the address, as `host:port`, or %NULL if the gateway does not listen yet
 *
 * Since: 1.0
 */
char *
tcp_reverse_tunnel_dup_remote_address (TcpReverseTunnel *self)
{
  g_return_val_if_fail (TCP_IS_REVERSE_TUNNEL (self), NULL);

  return tcp_status_dup_remote (TCP_ENDPOINT (self)->status);
}

/**
 * tcp_reverse_tunnel_new:
 * @remote_uri: (nullable): the URL of the gateway, `ws://` or `wss://`
 * @token: (nullable): the bearer token
 * @target: (nullable): the TCP service of this end, as `host:port`
 *
 * Creates a tunnel that makes a service of this end available at a gateway. It does nothing until it is started; all
 * arguments can be set later, and are checked at the start.
 *
 * Returns: (transfer full): a new reverse tunnel
 *
 * Since: 1.0
 */
TcpReverseTunnel *
tcp_reverse_tunnel_new (const char *remote_uri,
                        const char *token,
                        const char *target)
{
  return g_object_new (TCP_TYPE_REVERSE_TUNNEL, "remote-uri", remote_uri, "token", token, "target", target, NULL);
}

static void
tcp_reverse_tunnel_class_init (TcpReverseTunnelClass *klass)
{
  klass->parent_class.is_reverse = TRUE;
  tcp_endpoint_class_install (&klass->parent_class.parent_class, &reverse_tunnel_settings);
}

static void
tcp_reverse_tunnel_init (TcpReverseTunnel *self)
{
}
