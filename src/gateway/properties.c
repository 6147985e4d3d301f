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
   * The TCP service that clients are connected to which ask for no other, as `host:port`, an IPv6 address in
   * brackets, or the name of one of [property@TcpTunnel.Gateway:targets]. It is connected to anew for every connection. The
   * start fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if it is of another form, or if it is %NULL, the default, and
   * there are no other targets. Where it is %NULL, clients that ask for none are refused.
   *
   * Since: 1.0
   */
  { "target", SETTING (STRING, target) },

  /**
   * TcpGateway:targets:
   *
   * Targets that have a name, each as `name=host:port`. %NULL, the default, is for none.
   *
   * A name has at most 63 letters, digits, `-`, `_` and `.`, of which the first is a letter or a digit; upper and lower case
   * differ, and `reverse-tunnel` is not one. The start fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if an item has
   * another form, or a name is there twice.
   *
   * A client asks for a target by its name, as [property@TcpTunnel.Tunnel:target] of a session that can be resumed, or in
   * every protocol by the path of the URL: below [property@TcpTunnel.Gateway:path], as `/db` if that is `/`, or
   * `/instance/db` if it is `/instance`. Where that property is %NULL, the path is `/db` too.
   *
   * Only those are connected that [property@TcpTunnel.Gateway:allow] or [property@TcpTunnel.Principal:allow] allows the
   * name. Addresses are not checked, so that they may be those of this machine. At the path of a target that is not allowed
   * the answer is 403.
   *
   * Since: 1.0
   */
  { "targets", SETTING (STRV, targets) },

  /**
   * TcpGateway:path:
   *
   * The path of the URL at which clients are served, and below which there are the paths of
   * [property@TcpTunnel.Gateway:targets]; others are answered 404 if the token is valid, else 401. %NULL serves clients at any
   * path. The default is `/`. Paths are compared as RFC 3986 normalizes them: `/x/../db` is `/db`, and `//db` is not.
   *
   * Since: 1.0
   */
  { "path", SETTING (STRING, path), .text = "/" },

  /**
   * TcpGateway:route:
   *
   * A name for this gateway, by which a load balancer in front of several can find it again: 1 to 128 characters of
   * A–Z, a–z, 0–9, `-`, `.`, `_` and `~`. The start fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if it is of
   * another form. The default is %NULL, for none.
   *
   * A client whose session can be resumed receives it with its WebSocket, in the header `Tcp-Tunnel-Route`, and
   * sends it as the query parameter `route` whenever it comes back to that session. The load balancer sends such a
   * request to the gateway of that name, whichever gateways were added or removed meanwhile.
   *
   * Since: 1.0
   */
  { "route", SETTING (STRING, route) },

  /**
   * TcpGateway:allow:
   *
   * Patterns of further targets that clients may ask for. %NULL, the default, allows
   * nothing but [property@TcpTunnel.Gateway:target], which needs no pattern. What the clients of one name may ask for can be
   * something else: see [property@TcpTunnel.Principal:allow].
   *
   * A pattern has the form `HOST:PORT`. `HOST` is a name; `*.` and a name, for every name
   * below that one; an address, with an IPv6 address in brackets; a network, such as `10.0.0.0/8`
   * or `[fd00::/8]`; or `*` for every host.
   * `PORT` is a number from 1 to 65535, a range such as `8000-8099`, or `*`. In place of all that a pattern may be
   * the name of one of [property@TcpTunnel.Gateway:targets]: no other pattern allows that name. The start
   * fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if one of them has another form.
   *
   * Names are compared as the client writes them, without regard to case: a pattern with
   * an address or a network does not allow a name that resolves to it. One with a name, and `*`, allow
   * whatever address that has, except those of this machine and its link (loopback, link-local
   * such as 169.254.169.254, unspecified, multicast, and those where clouds have what only the machine is to know): these
   * have to be in another pattern as well, with the port, as an address or a network of such addresses, such as
   * `127.0.0.0/8`. A network that has others in it too, such as `0.0.0.0/0`, does not allow them. An address is taken only in its usual form, such as 10.0.0.1
   * or [fd00::1]: what a client writes otherwise is not allowed by any pattern. What is not
   * allowed is reset, and logged as a warning.
   *
   * Since: 1.0
   */
  { "allow", SETTING (STRV, allow) },

  /**
   * TcpGateway:reverse-ports:
   *
   * TCP ports on which the gateway may listen for its clients, which serve what connects there
   * (reverse tunnels). %NULL, the default, is for none.
   *
   * Each item is a port, such as `57090`, or a range, such as `57090-57099`. The gateway listens
   * there on 127.0.0.1, or on the address that stands before it, as in `0.0.0.0:57090-57099` or
   * `[::]:57090`. Whoever can reach such a port needs no token. A client may have every port that no
   * other has, unless a name and an @ stand before it all, as in `alice@57090-57099` or
   * `alice@0.0.0.0:57090`: such ports are for the clients of that name only. Of those without a name
   * none has more than three quarters if there are tokens of several principals, and where there are
   * enough of them some are kept for each. The start fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if an item has another form, or
   * a port is given twice; a port that another program has is no error until a client asks for it.
   *
   * Since: 1.0
   */
  { "reverse-ports", SETTING (STRV, reverse_ports) },

  /**
   * TcpGateway:token:
   *
   * A bearer token that clients may show. It belongs to the principal `default`. It can
   * be set but not read, so that it does not show where properties are listed. %NULL, the
   * default, is for none; the start fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if
   * [property@TcpTunnel.Gateway:token-file] and [property@TcpTunnel.Gateway:principals] have none either, there is no
   * [property@TcpTunnel.Gateway:client-ca], and nobody is connected to [signal@TcpTunnel.Gateway::authenticate].
   *
   * Since: 1.0
   */
  { "token", SETTING (STRING, token), .is_secret = TRUE },

  /**
   * TcpGateway:token-file:
   *
   * A file with further tokens, one on each line as `name:token`, where the name is that
   * of the principal, which may have several. In place of a token its SHA-256 may stand, as
   * `name:sha256:` and 64 hexadecimal digits. Behind a token and a space there may be
   * `expires=` and the time until which it is accepted, such as `2027-01-31T00:00:00Z`; without
   * an offset that is in UTC. %NULL, the default, is for no file.
   *
   * Empty lines, those that begin with `#`, and a byte order mark are
   * skipped. A zero byte is an error, and so is a file of more than 64 MiB. It is read
   * when the gateway starts. If every user of the machine may read it, that is logged as
   * a warning.
   *
   * Since: 1.0
   */
  { "token-file", SETTING (STRING, token_file) },

  /**
   * TcpGateway:principals:
   *
   * A list of [class@TcpTunnel.Principal]: names of clients for which something else is to count than for others,
   * such as the targets that they may ask for, or how many connections they may have. %NULL, the default, is for none.
   *
   * Names that have tokens in the [property@TcpTunnel.Gateway:token-file] need not be in it, and it may have others.
   * The start fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if a name is in it twice, or cannot be one, if a
   * pattern or a token has not the right form, or if the list has something else in it.
   *
   * The gateway reads the list, in the thread of the call, when it is started and when
   * [method@TcpTunnel.Gateway.reload], [method@TcpTunnel.Gateway.check] or [method@TcpTunnel.Gateway.adopt] is called.
   *
   * Since: 1.0
   */
  { "principals", SETTING (OBJECT, principals), .type = g_list_model_get_type },

  /**
   * TcpGateway:trusted-proxies:
   *
   * The reverse proxies in front of the gateway, each as an IP address, such as `127.0.0.1`,
   * or a network, such as `10.0.0.0/8` or `fd00::/8`. %NULL, the default, is for none. A text
   * that is neither makes the start fail with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT.
   *
   * A gateway protects itself against clients without a valid token by their addresses, and
   * behind a proxy all clients have that of the proxy. Connections from a trusted proxy are
   * therefore not limited by its address. Its header `Forwarded` (RFC 7239) or
   * `X-Forwarded-For` names the client, whose address is logged, and counts for wrong tokens.
   * That is the rightmost address in the header which is not one of a trusted proxy.
   *
   * A trusted proxy may also begin a connection with the header of the PROXY protocol, version
   * 2. The client that it names counts as if it had connected itself.
   *
   * From other addresses these headers are ignored, as anybody could write them. A request
   * with both of them, that name different clients, is answered 400.
   *
   * Since: 1.0
   */
  { "trusted-proxies", SETTING (STRV, trusted_proxies) },

  /**
   * TcpGateway:proxy-protocol:
   *
   * Whether each connection to a target begins with the header of the PROXY protocol, which names
   * the client. The default is %TCP_PROXY_PROTOCOL_NONE. All targets have to expect it.
   *
   * The source is the address from which the client's last WebSocket came before the connection
   * was opened; if a proxy that is trusted has named the client in a header of HTTP, its port is 0. The destination is
   * that at which the WebSocket was accepted. Where the address is not known, as behind a Unix
   * socket, the header says that the connection is the gateway's own (LOCAL).
   *
   * Since: 1.0
   */
  { "proxy-protocol", SETTING (ENUM, proxy_protocol), .type = tcp_proxy_protocol_get_type,
    .initial = TCP_PROXY_PROTOCOL_NONE },

  /**
   * TcpGateway:tls-certificate:
   *
   * The certificate, with its private key, to serve `wss://` with. %NULL, the
   * default, serves `ws://`.
   *
   * The gateway tries it when it starts, which fails with %TCP_TUNNEL_ERROR_TLS if the
   * private key belongs to another certificate. That the certificate has expired, or is
   * not valid yet, is logged as a warning, and so is an address other than the loopback
   * without a certificate.
   *
   * Since: 1.0
   */
  { "tls-certificate", SETTING (OBJECT, tls_certificate), .type = g_tls_certificate_get_type },

  /**
   * TcpGateway:client-ca:
   *
   * What verifies the certificates of clients, such as a [iface@Gio.TlsFileDatabase] with those of the authorities that
   * issue them. %NULL, the default, is for none: then clients are not asked for a certificate. The start fails with
   * %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if it is set without [property@TcpTunnel.Gateway:tls-certificate].
   *
   * A certificate that it verifies names the principal of the client: by the DNS names and the e-mail addresses among
   * its subject alternative names, or if there are none by the common name of its subject, if it has one and not several. Of
   * the names the first counts that is one of a principal: it has a token in the
   * [property@TcpTunnel.Gateway:token-file], or is in [property@TcpTunnel.Gateway:principals]. They are compared letter by
   * letter. A certificate whose extended key usage does not include clients is not accepted.
   *
   * A client with such a certificate needs no token. If it shows one as well, both have to be of the same
   * principal. A certificate that is not accepted counts as none.
   *
   * When the certificate expires, the client is asked for another credential, as when a token expires. A database may ask
   * others, as for a list of what was revoked; it is called in a thread of GLib's.
   *
   * Since: 1.0
   */
  { "client-ca", SETTING (OBJECT, client_ca), .type = g_tls_database_get_type },

  /**
   * TcpGateway:connect-timeout:
   *
   * How long the target may take to accept a connection, and a client to ask for its
   * WebSocket, in milliseconds. 0 is for ever. The default is 10000.
   *
   * Since: 1.0
   */
  { "connect-timeout", SETTING (UINT, common.connect_timeout), .maximum = G_MAXINT, .initial = 10000 },

  /**
   * TcpGateway:session-timeout:
   *
   * How long a session is kept without a WebSocket, in milliseconds. After that its
   * connections end in a reset. The default is 300000.
   *
   * A session that is empty, without a connection or anything that its client may not have
   * received, is only kept for 10 seconds while more than half as many clients are there as
   * [property@TcpTunnel.Endpoint:max-connections] allows, or as many of its principal as
   * [property@TcpTunnel.Gateway:max-principal-sessions] does.
   *
   * With a client in multiplexed mode that does not resume sessions nothing is kept: its
   * connections end with the WebSocket. So does that of a client in singleton mode that
   * gives no `sessionId` in the query of the URL.
   *
   * Since: 1.0
   */
  { "session-timeout", SETTING (UINT, session_timeout), .maximum = G_MAXUINT, .initial = 300000 },

  /**
   * TcpGateway:max-dials:
   *
   * How many connections to the target may be under way at once, of all clients together:
   * from when they begin until the target has accepted them or not. Others wait. They have
   * their turn principal by principal, and client by client of each principal. One that has
   * had no turn within [property@TcpTunnel.Endpoint:connect-timeout] is refused.
   * From 1 to 65535; the default is 256.
   *
   * The name of a target is looked up once for all that wait for it, and then again when a
   * connection begins more than 5 seconds later. Not more than two lookups of a name are under way
   * at once, and the second only if the first does not end. Of names that clients choose not more than
   * 16 are looked up at once; others wait within the same time for their turn. The
   * [property@TcpTunnel.Gateway:target] does not wait for them.
   *
   * Since: 1.0
   */
  { "max-dials", SETTING (UINT, max_dials), .minimum = 1, .maximum = 65535, .initial = 256 },

  /**
   * TcpGateway:max-memory:
   *
   * How many bytes of memory clients may make the gateway use: for what waits for targets
   * that do not read, and for clients that do not, or that have not acknowledged it; for
   * messages that were received in part; for the ids of connections that have ended; and for
   * what connections send before they are a WebSocket. At least 8 MiB. 0, the default, is
   * 304 MiB and 40 KiB more for each client that
   * [property@TcpTunnel.Endpoint:max-connections] allows: about 1 GiB if that is 20000.
   *
   * When the limit is near, the gateway reads less from targets and from clients, which have
   * to wait. It does not keep a client waiting for good: each has 40 KiB of its own, for which there
   * is room in any case. A client for which there is no such room is answered 503. A client
   * that can be asked to send no more but that does not heed it, or that does not acknowledge what
   * it has to, loses its session; its connections end in a reset. One that has sent a part of a
   * message and for 30 seconds not the rest loses its WebSocket.
   *
   * A quarter of it, at most 48 MiB, is for connections that are not a WebSocket yet. Up to half is
   * what clients have of their own. Of the rest a half is for what is not acknowledged, and
   * for windows that have grown; a third is for what connections may send before it is known how much
   * each can use; and a sixth is for messages that were received in part, and for what is left of
   * WebSockets that are being closed.
   *
   * A connection of a session that is resumed begins with a quarter of that rest divided by
   * [property@TcpTunnel.Endpoint:max-connections], or by 1000 if that is less, or by the number
   * of clients if that is more than 1000; with 16 KiB at least and 256 KiB at most. By default
   * that is 64 KiB with up to 1000 clients, and less with more.
   *
   * Not in it is what each client and each connection needs itself, about 20 KiB and 2 KiB, and 40
   * KiB more with TLS, nor what the kernel keeps.
   *
   * Since: 1.0
   */
  { "max-memory", SETTING (UINT64, max_memory), .maximum = G_MAXINT64, .least = TCP_GATEWAY_LEAST_MEMORY },

  /**
   * TcpGateway:max-principal-sessions:
   *
   * How many sessions each principal may have at once, up to 65535. A client above that is answered 503.
   * 0, the default, is three quarters of [property@TcpTunnel.Endpoint:max-connections] if
   * there are tokens of several principals, else all.
   *
   * Since: 1.0
   */
  { "max-principal-sessions", SETTING (UINT, max_principal_sessions), .maximum = 65535 },

  /**
   * TcpGateway:max-principal-connections:
   *
   * How many connections to targets each principal may have at once, up to 65535. A connection above that
   * is ended. 0, the default, is three quarters of
   * [property@TcpTunnel.Endpoint:max-connections] if there are tokens of several principals,
   * else all.
   *
   * Since: 1.0
   */
  { "max-principal-connections", SETTING (UINT, max_principal_connections), .maximum = 65535 },

  /**
   * TcpGateway:max-principal-dials:
   *
   * How many connections of each principal may be under way to the target at once, up to 65535; see
   * [property@TcpTunnel.Gateway:max-dials]. Each of its clients may have half of them. 0, the
   * default, is three quarters of that property if there are tokens of several principals,
   * else all.
   *
   * Since: 1.0
   */
  { "max-principal-dials", SETTING (UINT, max_principal_dials), .maximum = 65535 },

  /**
   * TcpGateway:max-principal-memory:
   *
   * How many bytes of [property@TcpTunnel.Gateway:max-memory] the clients of each principal
   * may use. What happens at the limit is the same. At least 4 MiB. 0, the default, is three
   * quarters of that property if there are tokens of several principals, else all. Each kind of
   * memory is divided in proportion, but a principal may always have 512 KiB for messages that were
   * received in part, so that each message can be received.
   *
   * Since: 1.0
   */
  { "max-principal-memory", SETTING (UINT64, max_principal_memory), .maximum = G_MAXINT64,
    .least = TCP_GATEWAY_LEAST_PRINCIPAL_MEMORY },

  /**
   * TcpGateway:max-principal-dial-rate:
   *
   * How many connections to targets may begin in a second for each principal, up to 1000000. What was not used of
   * a second may be used in the next. Connections above that wait for their turn, as they do for
   * [property@TcpTunnel.Gateway:max-dials], and those that have had none within
   * [property@TcpTunnel.Endpoint:connect-timeout] are refused. 0, the default, is for no limit.
   *
   * Since: 1.0
   */
  { "max-principal-dial-rate", SETTING (UINT, max_principal_dial_rate), .maximum = 1000000 },

  /**
   * TcpGateway:max-principal-upload-rate:
   *
   * How many bytes a second the clients of each principal may send through their connections, all together, at
   * least 1 KiB and up to 10¹². What was not used of a second may be used in the next. 0, the default, is for no
   * limit.
   *
   * What is above that waits, and nothing is lost: the gateway gives a connection of a session that can be
   * resumed no further credit, and reads no more from other WebSockets. Connections that could use more have
   * equal parts, whichever session they belong to, and one that uses less than its part does not wait for them
   * except behind others of a WebSocket that is not read.
   *
   * What the WebSocket itself adds, and what is sent again after a break, does not count. A change takes effect
   * with [method@TcpTunnel.Gateway.reload], also for connections that are there.
   *
   * Since: 1.0
   */
  { "max-principal-upload-rate", SETTING (UINT64, max_principal_upload_rate), .maximum = TCP_BUCKET_MAX_RATE,
    .least = TCP_GATEWAY_LEAST_RATE },

  /**
   * TcpGateway:max-principal-download-rate:
   *
   * The same for what its clients receive: what is above that waits in the sockets of the targets.
   *
   * Since: 1.0
   */
  { "max-principal-download-rate", SETTING (UINT64, max_principal_download_rate), .maximum = TCP_BUCKET_MAX_RATE,
    .least = TCP_GATEWAY_LEAST_RATE },

  /**
   * TcpGateway:uri:
   *
   * The URL for tunnels on this machine; %NULL while the gateway does not run, and if it listens on a
   * [property@TcpTunnel.Endpoint:socket-path]. It is notified with [property@TcpTunnel.Endpoint:local-address].
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
