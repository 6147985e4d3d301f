/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/gateway-private.h"

#include "base/bucket.h"

#define SETTING(kind_, field) .kind = TCP_SETTING_##kind_, .offset = G_STRUCT_OFFSET (TcpGatewaySettings, field)

static void
get_uri (TcpEndpoint *self,
         GValue      *value)
{
  g_value_set_string (value, self->runner.uri);
}

/* See endpoint/setting.h for how to add one. */
static const TcpSetting rows[] = {
  /**
   * TcpGateway:target:
   *
   * The TCP service for clients that request no other, as `host:port`, with an IPv6 address in brackets, or the name of
   * one of [property@TcpTunnel.Gateway:targets]. The gateway opens a new connection to it for each connection of a
   * client. The start fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if it has another form, or if it is %NULL, the
   * default, and there are no other targets. If it is %NULL, clients that request no target are refused.
   *
   * Since: 1.0
   */
  { "target", SETTING (STRING, target) },

  /**
   * TcpGateway:targets:
   *
   * Named targets, each as `name=host:port`. %NULL, the default, is for none.
   *
   * A name has at most 63 letters, digits, `-`, `_` and `.`, of which the first is a letter or a digit; it is
   * case-sensitive, and must not be `reverse-tunnel`. The start fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if an
   * item has another form, or a name occurs twice.
   *
   * A client requests a target by its name, as [property@TcpTunnel.Tunnel:target] in a session that can be resumed, or
   * in every protocol by the path of the URL: below [property@TcpTunnel.Gateway:path], as `/db` if that is `/`, or
   * `/instance/db` if it is `/instance`. If that property is %NULL, the path is `/db` too.
   *
   * A target is available only if [property@TcpTunnel.Gateway:allow] or [property@TcpTunnel.Principal:allow] allows its
   * name. Its addresses are not checked, so that they may be addresses of this machine. A request at the path of a
   * target that is not allowed is answered 403.
   *
   * Since: 1.0
   */
  { "targets", SETTING (STRV, targets) },

  /**
   * TcpGateway:path:
   *
   * The path of the URL at which clients are served; the paths of [property@TcpTunnel.Gateway:targets] are below it.
   * Requests for other paths are answered 404 if the token is valid, otherwise 401. %NULL serves clients at any path.
   * The default is `/`. Paths are compared as RFC 3986 normalizes them: `/x/../db` is equal to `/db`, and `//db` is
   * not.
   * Since: 1.0
   */
  { "path", SETTING (STRING, path), .text = "/" },

  /**
   * TcpGateway:route:
   *
   * A name for this gateway, by which a load balancer in front of several gateways can find it again: 1 to 128
   * characters of A–Z, a–z, 0–9, `-`, `.`, `_` and `~`. The start fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if it
   * has another form. The default is %NULL, for none.
   *
   * A client whose session can be resumed receives the name with its WebSocket, in the header `Tcp-Tunnel-Route`, and
   * sends it as the query parameter `route` whenever it returns to that session. The load balancer sends such a request
   * to the gateway of that name, whichever gateways were added or removed meanwhile.
   *
   * Since: 1.0
   */
  { "route", SETTING (STRING, route) },

  /**
   * TcpGateway:allow:
   *
   * Patterns of further targets that clients may request. %NULL, the default, allows only
   * [property@TcpTunnel.Gateway:target], which needs no pattern. The clients of one name may have other patterns: see
   * [property@TcpTunnel.Principal:allow].
   *
   * A pattern has the form `HOST:PORT`. `HOST` is a name; `*.` and a name, for every name below that one; an address,
   * with an IPv6 address in brackets; a network, such as `10.0.0.0/8` or `[fd00::/8]`; or `*` for every host. `PORT` is
   * a number from 1 to 65535, a range such as `8000-8099`, or `*`. A pattern may also be just the name of one of
   * [property@TcpTunnel.Gateway:targets]: no other pattern allows that name. The start fails with
   * %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if a pattern has another form.
   *
   * Names are compared as the client writes them, without regard to case: a pattern with an address or a network does
   * not allow a name that resolves to it. A pattern with a name, or `*`, allows every address of the host, except those
   * of this machine and its link (loopback, link-local such as 169.254.169.254, unspecified, multicast, and those at
   * which clouds provide data for this machine only). These must be in another pattern as well, with the port, as an
   * address or a network of such addresses, such as `127.0.0.0/8`. A network that includes other addresses too, such as
   * `0.0.0.0/0`, does not allow them. An address is accepted only in its usual form, such as 10.0.0.1 or [fd00::1]: no
   * pattern allows any other form. A connection that is not allowed is reset, and logged as a warning.
   *
   * Since: 1.0
   */
  { "allow", SETTING (STRV, allow) },

  /**
   * TcpGateway:reverse-ports:
   *
   * TCP ports on which the gateway may listen for its clients, which serve the connections to these ports (reverse
   * tunnels). %NULL, the default, is for none.
   *
   * Each item is a port, such as `57090`, or a range, such as `57090-57099`. The gateway listens there on 127.0.0.1, or
   * on the address before the port, as in `0.0.0.0:57090-57099` or `[::]:57090`. Connections to such a port need no
   * token. A client may use every port that no other client uses, unless the item begins with a name and an @, as in
   * `alice@57090-57099` or `alice@0.0.0.0:57090`: such ports are only for the clients of that name. Of the ports
   * without a name, a principal may use three quarters if there are tokens of several principals, and if there are
   * enough ports some are reserved for each. The start fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if an item has
   * another form, or a port occurs twice; a port that another program uses is not an error until a client requests it.
   *
   * Since: 1.0
   */
  { "reverse-ports", SETTING (STRV, reverse_ports) },

  /**
   * TcpGateway:token:
   *
   * A bearer token that clients may use. It belongs to the principal `default`. It can be set but not read, so that it
   * does not appear where properties are listed. %NULL, the default, is for none; the start fails with
   * %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if [property@TcpTunnel.Gateway:token-file] and
   * [property@TcpTunnel.Gateway:principals] have none either, there is no [property@TcpTunnel.Gateway:client-ca], and
   * [signal@TcpTunnel.Gateway::authenticate] has no handler.
   *
   * Since: 1.0
   */
  { "token", SETTING (STRING, token), .is_secret = TRUE },

  /**
   * TcpGateway:token-file:
   *
   * A file with further tokens, one on each line as `name:token`, where the name is that of the principal, which may
   * have several. A line may contain the SHA-256 of a token instead, as `name:sha256:` and 64 hexadecimal digits. The
   * token may be followed by a space, `expires=` and the time until which it is accepted, such as
   * `2027-01-31T00:00:00Z`; a time without an offset is in UTC. %NULL, the default, is for no file.
   *
   * Empty lines, lines that begin with `#`, and a byte order mark are skipped. A zero byte is an error, and so is a
   * file of more than 64 MiB. The file is read when the gateway starts. If every user of the machine may read it, a
   * warning is logged.
   *
   * Since: 1.0
   */
  { "token-file", SETTING (STRING, token_file) },

  /**
   * TcpGateway:principals:
   *
   * A list of [class@TcpTunnel.Principal]: names of clients that have settings of their own, such as the targets that
   * they may request, or how many connections they may have. %NULL, the default, is for none.
   *
   * Names that have tokens in the [property@TcpTunnel.Gateway:token-file] need not be in the list, and it may have
   * others. The start fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if a name occurs twice or is invalid, if a pattern
   * or a token is malformed, or if the list has items of another type.
   *
   * The gateway reads the list, in the thread of the call, when it is started and when
   * [method@TcpTunnel.Gateway.reload], [method@TcpTunnel.Gateway.check] or [method@TcpTunnel.Gateway.adopt] is called.
   *
   * Since: 1.0
   */
  { "principals", SETTING (OBJECT, principals), .type = g_list_model_get_type },

  /**
   * TcpGateway:listeners:
   *
   * A list of further places where the gateway listens, in addition to that of
   * [property@TcpTunnel.Endpoint:hostname], [property@TcpTunnel.Endpoint:socket-path] or
   * [property@TcpTunnel.Endpoint:socket], which is always the first. %NULL, the default, is for none.
   *
   * An item is a [class@Gio.InetSocketAddress]; a [class@Gio.NetworkAddress], whose name is resolved at the start; a
   * [class@Gio.UnixSocketAddress] with a path, of which GIO drops all but the first 107 bytes; or a [class@Gio.Socket]
   * that listens already. The properties of the endpoint describe each of them. The clients of a Unix socket are
   * trusted like [property@TcpTunnel.Gateway:trusted-proxies], and those of other listeners are not. All listeners have
   * the same limits and the same certificate. [method@TcpTunnel.Gateway.get_local_addresses] returns the ports that
   * were chosen for port 0.
   *
   * The start fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if the list has more than 64 items, or one of another kind,
   * and with %TCP_TUNNEL_ERROR_LISTEN if the gateway cannot listen in one of the places; it then listens nowhere.
   *
   * The gateway reads the list, in the thread of the call, when it is started and when
   * [method@TcpTunnel.Gateway.check] or [method@TcpTunnel.Gateway.adopt] is called.
   *
   * ```c
   * g_autoptr (GListStore) listeners = g_list_store_new (G_TYPE_OBJECT);
   * g_autoptr (GSocketAddress) ipv6 = g_inet_socket_address_new_from_string ("::1", 8080);
   * g_autoptr (GSocketAddress) local = g_unix_socket_address_new ("/run/tcp-tunnel/gateway.sock");
   *
   * g_list_store_append (listeners, ipv6);
   * g_list_store_append (listeners, local);
   * g_object_set (gateway, "hostname", "127.0.0.1", "port", 8080, "listeners", listeners, NULL);
   * ```
   *
   * Since: 1.0
   */
  { "listeners", SETTING (OBJECT, listeners), .type = g_list_model_get_type },

  /**
   * TcpGateway:trusted-proxies:
   *
   * The reverse proxies in front of the gateway, each as an IP address, such as `127.0.0.1`, or a network, such as
   * `10.0.0.0/8` or `fd00::/8`. %NULL, the default, is for none. The start fails with
   * %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if an item is neither.
   *
   * A gateway limits clients without a valid token by their addresses, and behind a proxy all clients have that of the
   * proxy. Connections from a trusted proxy are therefore not limited by its address. Its header `Forwarded` (RFC 7239)
   * or `X-Forwarded-For` names the client, whose address is logged, and counts for wrong tokens. That is the rightmost
   * address in the header that does not belong to a trusted proxy.
   *
   * A trusted proxy may also begin a connection with the header of the PROXY protocol, version 2. The client that it
   * names counts as if it had connected itself.
   *
   * From other addresses these headers are ignored, as any client could send them. A request with both HTTP headers
   * that name different clients is answered 400.
   *
   * Since: 1.0
   */
  { "trusted-proxies", SETTING (STRV, trusted_proxies) },

  /**
   * TcpGateway:proxy-protocol:
   *
   * Whether each connection to a target begins with the header of the PROXY protocol, which names the client. The
   * default is %TCP_PROXY_PROTOCOL_NONE. With the header, all targets must expect it.
   *
   * The source is the address from which the client's last WebSocket came before the connection was opened; if a
   * trusted proxy has named the client in an HTTP header, its port is 0. The destination is the address at which the
   * WebSocket was accepted. If an address is not known, for example behind a Unix socket, the header reports a
   * connection of the gateway itself (LOCAL).
   *
   * Since: 1.0
   */
  { "proxy-protocol", SETTING (ENUM, proxy_protocol), .type = tcp_proxy_protocol_get_type,
    .initial = TCP_PROXY_PROTOCOL_NONE },

  /**
   * TcpGateway:tls-certificate:
   *
   * The certificate, with its private key, to serve `wss://` with. %NULL, the default, serves `ws://`.
   *
   * The gateway tries the certificate when it starts, which fails with %TCP_TUNNEL_ERROR_TLS if the private key belongs
   * to another certificate. A warning is logged if the certificate has expired or is not valid yet, and if the gateway
   * listens on an address other than the loopback without a certificate.
   *
   * Since: 1.0
   */
  { "tls-certificate", SETTING (OBJECT, tls_certificate), .type = g_tls_certificate_get_type },

  /**
   * TcpGateway:client-ca:
   *
   * The database that verifies the certificates of clients, such as a [iface@Gio.TlsFileDatabase] with those of the
   * authorities that issue them. With %NULL, the default, clients are not asked for a certificate. The start fails with
   * %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if it is set without [property@TcpTunnel.Gateway:tls-certificate].
   *
   * A verified certificate names the principal of the client: by the DNS names and the e-mail addresses among its
   * subject alternative names, or if there are none by the common name of its subject, if it has exactly one. The first
   * of these names that is a principal counts: one with a token in the [property@TcpTunnel.Gateway:token-file], or one
   * in [property@TcpTunnel.Gateway:principals]. Names are case-sensitive. A certificate whose extended key usage does
   * not include clients is not accepted.
   *
   * A client with such a certificate needs no token. If it sends one as well, both must belong to the same principal. A
   * certificate that is not accepted is ignored.
   *
   * When the certificate expires, the gateway requires another credential from the client, as when a token expires. A
   * database may access the network, for example for a list of revoked certificates; it is called in a thread of
   * GLib's.
   *
   * Since: 1.0
   */
  { "client-ca", SETTING (OBJECT, client_ca), .type = g_tls_database_get_type },

  /**
   * TcpGateway:connect-timeout:
   *
   * The time for a target to accept a connection, and for a client to request its WebSocket, in milliseconds. 0 is for
   * no limit. The default is 10000.
   *
   * Since: 1.0
   */
  { "connect-timeout", SETTING (UINT, common.connect_timeout), .maximum = G_MAXINT, .initial = 10000 },

  /**
   * TcpGateway:session-timeout:
   *
   * How long a session is kept without a WebSocket, in milliseconds. After that its connections are reset. The default
   * is 300000.
   *
   * A session that is empty, without a connection or anything that its client may not have received, is kept for only
   * 10 seconds while more than half of the clients that [property@TcpTunnel.Endpoint:max-connections] allows are
   * present, or more than half of those that [property@TcpTunnel.Gateway:max-principal-sessions] allows for its
   * principal.
   *
   * For a client in multiplexed mode that does not resume sessions nothing is kept: its connections end with the
   * WebSocket. The same applies to a client in singleton mode that sends no `sessionId` in the query of the URL.
   *
   * Since: 1.0
   */
  { "session-timeout", SETTING (UINT, session_timeout), .maximum = G_MAXUINT, .initial = 300000 },

  /**
   * TcpGateway:max-dials:
   *
   * The number of connections to targets that may be in the process of being opened at once, for all clients together:
   * from their beginning until the target has accepted or refused them. Others wait, and take turns by principal, and
   * by client of each principal. A connection that had no turn within [property@TcpTunnel.Endpoint:connect-timeout] is
   * refused. From 1 to 65535; the default is 256.
   *
   * The name of a target is resolved once for all connections that wait for it, and again when a connection begins more
   * than 5 seconds later. At most two lookups of a name run at once, and the second only if the first does not end. At
   * most 16 names chosen by clients are resolved at once; others wait for their turn within the same time. The
   * [property@TcpTunnel.Gateway:target] does not wait for them.
   *
   * Since: 1.0
   */
  { "max-dials", SETTING (UINT, max_dials), .minimum = 1, .maximum = 65535, .initial = 256 },

  /**
   * TcpGateway:max-memory:
   *
   * The number of bytes of memory that clients may make the gateway use: for data that waits for targets, or for
   * clients, that do not read, or that clients have not acknowledged; for messages that were received in part; for the
   * ids of connections that have ended; and for data that connections send before they are a WebSocket. At least 8 MiB.
   * 0, the default, is 304 MiB and 40 KiB more for each client that [property@TcpTunnel.Endpoint:max-connections]
   * allows: about 1 GiB if that is 20000.
   *
   * When the limit is near, the gateway reads less from targets and from clients, which have to wait. It does not keep
   * a client waiting forever: each has 40 KiB of its own, for which there is always room. A client for which there is
   * no such room is answered 503. A client that ignores a request to send no more, or that does not send the
   * acknowledgements that it must send, loses its session; its connections are reset. A client that has sent a part of
   * a message but not the rest within 30 seconds loses its WebSocket.
   *
   * A quarter of the memory, at most 48 MiB, is for connections that are not a WebSocket yet. Up to half is the
   * clients' own. Of the rest a half is for data that is not acknowledged, and for windows that have grown; a third is
   * for what connections may send before it is known how much each can use; and a sixth is for messages that were
   * received in part, and for WebSockets that are being closed.
   *
   * The window of a connection in a resumable session begins with a quarter of that rest divided by
   * [property@TcpTunnel.Endpoint:max-connections], or by 1000 if that is less, or by the number of clients if that is
   * more than 1000; but with at least 16 KiB and at most 256 KiB. By default that is 64 KiB with up to 1000 clients,
   * and less with more.
   *
   * The limit does not include what each client and each connection needs itself, about 20 KiB and 2 KiB, and 40 KiB
   * more with TLS, nor the memory of the kernel.
   *
   * Since: 1.0
   */
  { "max-memory", SETTING (UINT64, max_memory), .maximum = G_MAXINT64, .least = TCP_GATEWAY_LEAST_MEMORY },

  /**
   * TcpGateway:max-principal-sessions:
   *
   * The number of sessions that each principal may have at once, up to 65535. A client above that is answered 503. 0,
   * the default, is three quarters of [property@TcpTunnel.Endpoint:max-connections] if there are tokens of several
   * principals, otherwise all.
   *
   * Since: 1.0
   */
  { "max-principal-sessions", SETTING (UINT, max_principal_sessions), .maximum = 65535 },

  /**
   * TcpGateway:max-principal-connections:
   *
   * The number of connections to targets that each principal may have at once, up to 65535. A connection above that is
   * refused. 0, the default, is three quarters of [property@TcpTunnel.Endpoint:max-connections] if there are tokens of
   * several principals, otherwise all.
   *
   * Since: 1.0
   */
  { "max-principal-connections", SETTING (UINT, max_principal_connections), .maximum = 65535 },

  /**
   * TcpGateway:max-principal-dials:
   *
   * The number of connections of each principal that may be in the process of being opened at once, up to 65535; see
   * [property@TcpTunnel.Gateway:max-dials]. Each of its clients may have half of them. 0, the default, is three
   * quarters of that property if there are tokens of several principals, otherwise all.
   *
   * Since: 1.0
   */
  { "max-principal-dials", SETTING (UINT, max_principal_dials), .maximum = 65535 },

  /**
   * TcpGateway:max-principal-memory:
   *
   * The number of bytes of [property@TcpTunnel.Gateway:max-memory] that the clients of each principal may use. The
   * effects of the limit are the same. At least 4 MiB. 0, the default, is three quarters of that property if there are
   * tokens of several principals, otherwise all. Each kind of memory is divided in proportion, but a principal may
   * always use 512 KiB for messages that were received in part, so that each message can be received.
   *
   * Since: 1.0
   */
  { "max-principal-memory", SETTING (UINT64, max_principal_memory), .maximum = G_MAXINT64,
    .least = TCP_GATEWAY_LEAST_PRINCIPAL_MEMORY },

  /**
   * TcpGateway:max-principal-dial-rate:
   *
   * The number of connections to targets that may begin per second for each principal, up to 1000000. What is not used
   * in one second may be used in the next. Connections above the limit wait for their turn, as for
   * [property@TcpTunnel.Gateway:max-dials], and those that had none within
   * [property@TcpTunnel.Endpoint:connect-timeout] are refused. 0, the default, is for no limit.
   *
   * Since: 1.0
   */
  { "max-principal-dial-rate", SETTING (UINT, max_principal_dial_rate), .maximum = 1000000 },

  /**
   * TcpGateway:max-principal-upload-rate:
   *
   * The number of bytes per second that the clients of each principal may send through their connections in total, at
   * least 1 KiB and up to 10¹². What is not used in one second may be used in the next. 0, the default, is for no
   * limit.
   *
   * Data above the limit waits, and nothing is lost: the gateway gives a connection of a resumable session no further
   * credit, and reads no more from other WebSockets. Connections that could use more get equal shares, whichever
   * session they belong to. A connection that uses less than its share does not wait for them, except behind others of
   * a WebSocket that is not read.
   *
   * The overhead of the WebSocket, and data that is sent again after a break, do not count. A change takes effect with
   * [method@TcpTunnel.Gateway.reload], also for existing connections.
   *
   * Since: 1.0
   */
  { "max-principal-upload-rate", SETTING (UINT64, max_principal_upload_rate), .maximum = TCP_BUCKET_MAX_RATE,
    .least = TCP_GATEWAY_LEAST_RATE },

  /**
   * TcpGateway:max-principal-download-rate:
   *
   * As max-principal-upload-rate, but for the data that its clients receive: data above the limit waits in the sockets
   * of the targets.
   *
   * Since: 1.0
   */
  { "max-principal-download-rate", SETTING (UINT64, max_principal_download_rate), .maximum = TCP_BUCKET_MAX_RATE,
    .least = TCP_GATEWAY_LEAST_RATE },

  /**
   * TcpGateway:uri:
   *
   * The URL for tunnels on this machine, with the address and port of
   * [property@TcpTunnel.Endpoint:local-address], which is the first of several listeners; %NULL while the gateway does
   * not run, and if that is a Unix socket. Its changes are notified with that property.
   *
   * Since: 1.0
   */
  { "uri", .kind = TCP_SETTING_STRING, .get = get_uri },
};

const TcpSettings tcp_gateway_settings = {
  .parent = &tcp_endpoint_settings,
  .size = sizeof (TcpGatewaySettings),
  .rows = rows,
  .n_rows = G_N_ELEMENTS (rows),
};
