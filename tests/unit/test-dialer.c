/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/dial-error.h"
#include "base/text.h"
#include "tunnel/dialer.h"

#include <libsoup/soup.h>
#include <string.h>
#include <tcptunnel/tcptunnel.h>

#define MAX_WAIT (10 * 60 * 1000)

static void
test_final (void)
{
  for (guint status = 0; status < 600; status++)
    {
      gboolean later = status == 408 || status == 425 || status == 429;

      g_assert_cmpint (tcp_dial_status_is_final (status), ==, status >= 400 && status < 500 && !later);
    }
}

static gint64
parse (const char *text)
{
  g_autoptr (GDateTime) now = g_date_time_new_utc (2030, 6, 1, 12, 0, 0);

  return tcp_dial_parse_retry_after (text, now);
}

static void
test_retry_after_seconds (void)
{
  g_assert_cmpint (parse ("0"), ==, 0);
  g_assert_cmpint (parse ("1"), ==, 1000);
  g_assert_cmpint (parse ("120"), ==, 120000);
  g_assert_cmpint (parse ("600"), ==, MAX_WAIT);
  g_assert_cmpint (parse ("601"), ==, MAX_WAIT);
  g_assert_cmpint (parse ("4294967295"), ==, MAX_WAIT);
}

static void
test_retry_after_date (void)
{
  g_assert_cmpint (parse ("Sat, 01 Jun 2030 12:00:30 GMT"), ==, 30000);
  g_assert_cmpint (parse ("Sat, 01 Jun 2030 12:00:00 GMT"), ==, 0);
  /* The time is in the past. */
  g_assert_cmpint (parse ("Sat, 01 Jun 2030 11:00:00 GMT"), ==, 0);
  g_assert_cmpint (parse ("Sun, 06 Nov 1994 08:49:37 GMT"), ==, 0);
  g_assert_cmpint (parse ("Tue, 01 Jan 2999 00:00:00 GMT"), ==, MAX_WAIT);
}

static void
test_retry_after_garbage (void)
{
  static const char *const garbage[] = {
    "", " ", "soon", "-1", "+1", "1.5", "1 ", "1s", "0x10", "4294967296", "99999999999999999999999", "Sat, 99 Foo 2030",
  };

  g_assert_cmpint (parse (NULL), ==, -1);
  for (guint i = 0; i < G_N_ELEMENTS (garbage); i++)
    g_assert_cmpint (parse (garbage[i]), ==, -1);
}

/* Makes the message of @failure for a gateway at @url. */
static char *
explain (TcpDialFailure *failure,
         const char     *url,
         TcpTunnelError  code)
{
  g_autoptr (GUri) uri = g_uri_parse (url, G_URI_FLAGS_ENCODED, NULL);
  g_autofree char *display = g_uri_to_string_partial (uri, G_URI_HIDE_QUERY);
  g_autoptr (GError) error = NULL;

  failure->uri = uri;
  failure->display = display;
  error = tcp_dial_error_new (failure);
  g_assert_error (error, TCP_TUNNEL_ERROR, (int) code);
  g_assert_nonnull (strstr (error->message, display));
  g_assert_null (strstr (error->message, "s3cret"));
  return g_strdup (error->message);
}

static void
test_statuses (void)
{
  static const struct
  {
    TcpDialFailure failure;
    const char *url;
    TcpTunnelError code;
    const char *message;
  } cases[] = {
    { { .status = 200, .phrase = "OK" }, "ws://h/a", TCP_TUNNEL_ERROR_PROTOCOL,
      "the gateway ws://h/a answered, but not with a WebSocket (200 OK); this may be a web server, or the login page of a "
      "network: check host, port and path of the URL" },
    { { .status = 400 }, "ws://h/", TCP_TUNNEL_ERROR_REJECTED,
      "the gateway ws://h/ does not understand the request (400); if this port expects TLS, try wss://, else check the "
      "query of the URL" },
    { { .status = 400 }, "wss://h/", TCP_TUNNEL_ERROR_REJECTED,
      "the gateway wss://h/ does not understand the request (400); check the query of the URL" },
    { { .status = 400, .phrase = "No Ports for Reverse Tunnels" }, "ws://h/", TCP_TUNNEL_ERROR_REJECTED,
      "the gateway ws://h/ does not offer ports for reverse tunnels (400 No Ports for Reverse Tunnels); the option "
      "--reverse-ports of 'tcp-tunnel gateway', or the property reverse-ports, sets them" },
    { { .status = 401, .phrase = "Un\033[1m" }, "ws://h/", TCP_TUNNEL_ERROR_UNAUTHORIZED,
      "the gateway ws://h/ refused the token (401 Un\\x1b[1m); of a line NAME:TOKEN in the token file of 'tcp-tunnel gateway', "
      "the tunnel needs the TOKEN alone, and the gateway reads that file again when it changes, or at SIGHUP" },
    { { .status = 401, .challenge = "bearer" }, "ws://h/", TCP_TUNNEL_ERROR_UNAUTHORIZED,
      "the gateway ws://h/ refused the token (401); of a line NAME:TOKEN in the token file of 'tcp-tunnel gateway', "
      "the tunnel needs the TOKEN alone, and the gateway reads that file again when it changes, or at SIGHUP" },
    { { .status = 401, .challenge = "Basic realm=\"x\", Bearer" }, "ws://h/", TCP_TUNNEL_ERROR_UNAUTHORIZED,
      "the gateway ws://h/ refused the token (401); of a line NAME:TOKEN in the token file of 'tcp-tunnel gateway', "
      "the tunnel needs the TOKEN alone, and the gateway reads that file again when it changes, or at SIGHUP" },
    { { .status = 401, .challenge = "Basic realm=\"s3cret\"" }, "ws://h/", TCP_TUNNEL_ERROR_UNAUTHORIZED,
      "the gateway ws://h/ refused the token (401); it asks for a password in its place (Basic), as a web server or a "
      "proxy does, not a gateway" },
    { { .status = 403 }, "ws://h/", TCP_TUNNEL_ERROR_REJECTED,
      "the gateway ws://h/ refused access (403); a rule there, or of a proxy in front of it, does not allow this token, "
      "address or path" },
    { { .status = 404 }, "ws://h/a/b?key=s3cret", TCP_TUNNEL_ERROR_REJECTED,
      "the gateway ws://h/a/b has nothing at this path (404); the path tried is /a/b, and 'tcp-tunnel gateway' serves "
      "that of --path, or else /" },
    { { .status = 405 }, "ws://h/", TCP_TUNNEL_ERROR_REJECTED,
      "the gateway ws://h/ refused the request (405); this may be a web server: check host, port and path of the URL" },
    { { .status = 407 }, "ws://h/", TCP_TUNNEL_ERROR_REJECTED, "the gateway ws://h/ refused the request (407)" },
    { { .status = 426 }, "ws://h/", TCP_TUNNEL_ERROR_REJECTED,
      "the gateway ws://h/ refused the request (426); either a proxy in front of it does not pass on Upgrade and "
      "Connection, or it requires resumption" },
    { { .status = 429, .retry_after = 7001 }, "ws://h/", TCP_TUNNEL_ERROR_UNREACHABLE,
      "the gateway ws://h/ has too many requests (429); it asks to wait for 8 s" },
    { { .status = 429, .retry_after = -1 }, "ws://h/", TCP_TUNNEL_ERROR_UNREACHABLE,
      "the gateway ws://h/ has too many requests (429)" },
    { { .status = 502, .phrase = "Bad Gateway", .server = "nginx/1.2 (Ubuntu) x/1" }, "ws://h/", TCP_TUNNEL_ERROR_UNREACHABLE,
      "the gateway ws://h/ failed (502 Bad Gateway from nginx/1.2); a proxy in front of it answers, which does not reach it: "
      "check whether the gateway runs, and the log of the proxy" },
    { { .status = 502, .server = "0123456789012345678901234567890123456789x" }, "ws://h/", TCP_TUNNEL_ERROR_UNREACHABLE,
      "the gateway ws://h/ failed (502 from 0123456789012345678901234567890123456789); a proxy in front of it answers, which "
      "does not reach it: check whether the gateway runs, and the log of the proxy" },
    { { .status = 500, .server = "(x)" }, "ws://h/", TCP_TUNNEL_ERROR_UNREACHABLE,
      "the gateway ws://h/ failed (500); its log, or that of a proxy in front of it, may say why" },
    { { .status = 500 }, "ws://h/", TCP_TUNNEL_ERROR_UNREACHABLE,
      "the gateway ws://h/ failed (500); its log, or that of a proxy in front of it, may say why" },
    { { .status = 502 }, "ws://h/", TCP_TUNNEL_ERROR_UNREACHABLE,
      "the gateway ws://h/ failed (502); a proxy in front of it answers, which does not reach it: check whether the "
      "gateway runs, and the log of the proxy" },
    { { .status = 503, .retry_after = 5000 }, "ws://h/", TCP_TUNNEL_ERROR_UNREACHABLE,
      "the gateway ws://h/ is not available now (503); it asks to wait for 5 s" },
    { { .status = 301 }, "ws://h/", TCP_TUNNEL_ERROR_UNREACHABLE,
      "the gateway ws://h/ redirects elsewhere (301); redirects are not followed: check the URL" },
    { { .status = 301, .location = "https://u:s3cret@x/y?key=s3cret#s3cret" }, "ws://h/", TCP_TUNNEL_ERROR_UNREACHABLE,
      "the gateway ws://h/ redirects to wss://x/y (301); redirects are not followed: use that as the URL if the gateway is "
      "there" },
    { { .status = 302, .location = "/login" }, "wss://h:1/a", TCP_TUNNEL_ERROR_UNREACHABLE,
      "the gateway wss://h:1/a redirects to wss://h:1/login (302); redirects are not followed: use that as the URL if the "
      "gateway is there" },
    { { .status = 308, .location = "http://x:8080/" }, "wss://h/", TCP_TUNNEL_ERROR_UNREACHABLE,
      "the gateway wss://h/ redirects to ws://x:8080/ (308); redirects are not followed: use that as the URL if the gateway "
      "is there" },
    { { .status = 302, .location = "mailto:s3cret" }, "ws://h/", TCP_TUNNEL_ERROR_UNREACHABLE,
      "the gateway ws://h/ redirects elsewhere (302); redirects are not followed: check the URL" },
    { { .status = 502, .proxy = "http://p:1", .stage = TCP_OPENING_HTTP }, "ws://h/", TCP_TUNNEL_ERROR_UNREACHABLE,
      "the gateway ws://h/ (through the proxy http://p:1) failed (502); a proxy in front of it answers, which does not "
      "reach it: check whether the gateway runs, and the log of the proxy" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      TcpDialFailure failure = cases[i].failure;
      g_autofree char *message = explain (&failure, cases[i].url, cases[i].code);

      g_assert_cmpstr (message, ==, cases[i].message);
    }
}

static void
test_stages (void)
{
  static const struct
  {
    TcpOpeningStage stage;
    const char *url;
    const char *why;
  } cases[] = {
    { TCP_OPENING_RESOLVE, "ws://h/", "no name server has resolved its name" },
    { TCP_OPENING_CONNECT, "ws://h/", "the host or a firewall does not answer at this address and port" },
    { TCP_OPENING_PROXY, "wss://h/", "the proxy has not connected to it" },
    { TCP_OPENING_TLS, "wss://h/", "TCP is connected, but no TLS handshake came (if the port has no TLS, try ws://)" },
    { TCP_OPENING_HTTP, "wss://h/", "it is connected, but did not answer the request" },
    { TCP_OPENING_HTTP, "ws://h/",
      "it is connected, but did not answer the request (if the port expects TLS, try wss://)" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      TcpDialFailure failure = { .timed_out = TRUE, .timeout = 50, .stage = cases[i].stage };
      g_autofree char *message = explain (&failure, cases[i].url, TCP_TUNNEL_ERROR_TIMED_OUT);
      g_autofree char *expected =
          g_strdup_printf ("the gateway %s did not answer within 50 ms: %s", cases[i].url, cases[i].why);

      g_assert_cmpstr (message, ==, expected);
    }
}

/* The first bytes of a server that does not speak HTTP show what it is. */
static void
test_received (void)
{
  static const struct
  {
    const char *received;
    gsize length;
    const char *message;
    TcpTunnelError code;
  } cases[] = {
    { "", 0,
      "the server at ws://h/ does not speak HTTP; check host and port of the URL, and if the port expects TLS, "
      "try wss://" },
    { "\x15\x03\x01\0\x02", 5, "the server at ws://h/ speaks TLS: try wss:// in place of ws://" },
    { "\x16\x03", 2, "the server at ws://h/ speaks TLS: try wss:// in place of ws://" },
    { "\x15", 1,
      "the server at ws://h/ does not speak HTTP: its answer begins with the bytes 15; the URL must be that of a "
      "gateway, not of the service behind it" },
    { "SSH-2.0-Test\r\n", 14,
      "the server at ws://h/ does not speak HTTP: its answer begins with “SSH-2.0-Test”; the URL must be that of a "
      "gateway, not of the SSH server behind it" },
    { "-ERR GET '/?key=s3cret'\r\n", 25,
      "the server at ws://h/ does not speak HTTP: its answer begins with “-ERR GET '/”; the URL must be that of a "
      "gateway, not of the service behind it" },
    { "a\033[1m\0\xff\nabcdefgh", 15,
      "the server at ws://h/ does not speak HTTP: its answer begins with the bytes 61 1b 5b 31 6d 00 ff 0a; the URL must "
      "be that of a gateway, not of the service behind it" },
    { "HTTP/1.1 101 Sw", 15,
      "the server at ws://h/ sent an incomplete or invalid HTTP answer: cause (look at a proxy in front of it)",
      TCP_TUNNEL_ERROR_UNREACHABLE },
    { "GET /?key=s3cret HTTP", 21,
      "the server at ws://h/ sends back what it receives: the URL must be that of a gateway, not of an echo service" },
  };
  g_autoptr (GError) cause = g_error_new_literal (SOUP_SESSION_ERROR, SOUP_SESSION_ERROR_PARSING, "cause");

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *received = g_memdup2 (cases[i].received, cases[i].length);
      TcpDialFailure failure = { .cause = cause, .received = received, .n_received = cases[i].length };
      g_autofree char *message = explain (&failure, "ws://h/", cases[i].code != 0 ? cases[i].code : TCP_TUNNEL_ERROR_PROTOCOL);

      g_assert_cmpstr (message, ==, cases[i].message);
    }
}

/* The message does not contain the token, even if the server sends it back. */
static void
test_echoes (void)
{
  static const struct
  {
    TcpDialFailure failure;
    TcpTunnelError code;
  } cases[] = {
    { { .status = 401, .challenge = "s3cret-token" }, TCP_TUNNEL_ERROR_UNAUTHORIZED },
    { { .received = "-ERR s3cret-token", .n_received = 17 }, TCP_TUNNEL_ERROR_PROTOCOL },
    { { .received = "QmVhcmVyIHMzY3JldC10b2tlbg==", .n_received = 28 }, TCP_TUNNEL_ERROR_PROTOCOL },
  };
  g_autoptr (GError) cause = g_error_new_literal (SOUP_SESSION_ERROR, SOUP_SESSION_ERROR_PARSING, "cause");

  tcp_text_add_secret ("s3cret-token");
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      TcpDialFailure failure = cases[i].failure;
      g_autofree char *message = NULL;

      failure.cause = cause;
      message = explain (&failure, "ws://h/", cases[i].code);
      g_assert_nonnull (strstr (message, "[token]"));
      g_assert_null (strstr (message, "MzY3JldC10b2tlbg"));
    }
  tcp_text_remove_secret ("s3cret-token");
}

static void
test_causes (void)
{
  const struct
  {
    GQuark domain;
    int code;
    TcpOpeningStage stage;
    const char *proxy;
    TcpTunnelError wanted;
    const char *ending;
  } cases[] = {
    { G_RESOLVER_ERROR, G_RESOLVER_ERROR_NOT_FOUND, TCP_OPENING_RESOLVE, NULL, TCP_TUNNEL_ERROR_UNREACHABLE,
      "; check the host in the URL, and the network" },
    { G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED, TCP_OPENING_CONNECT, NULL, TCP_TUNNEL_ERROR_UNREACHABLE,
      "; nothing listens there: check whether the gateway runs, and host and port of the URL" },
    { G_IO_ERROR, G_IO_ERROR_HOST_UNREACHABLE, TCP_OPENING_CONNECT, NULL, TCP_TUNNEL_ERROR_UNREACHABLE,
      "; there is no way to this address: check the host in the URL, the network, and a VPN if it needs one" },
    { G_IO_ERROR, G_IO_ERROR_NETWORK_UNREACHABLE, TCP_OPENING_CONNECT, NULL, TCP_TUNNEL_ERROR_UNREACHABLE,
      "; there is no way to this address: check the host in the URL, the network, and a VPN if it needs one" },
    { G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED, TCP_OPENING_CONNECT, "http://p:1", TCP_TUNNEL_ERROR_UNREACHABLE,
      "; the proxy is that of the environment or the desktop; no_proxy names hosts to reach without one" },
    { G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT, TCP_OPENING_HTTP, NULL, TCP_TUNNEL_ERROR_UNREACHABLE,
      "; it ended the connection without an answer; if the port expects TLS, try wss://" },
    { G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED, TCP_OPENING_TLS, NULL, TCP_TUNNEL_ERROR_UNREACHABLE,
      "; it ended the connection in place of a TLS handshake; if the port has no TLS, try ws://" },
    { G_TLS_ERROR, G_TLS_ERROR_NOT_TLS, TCP_OPENING_TLS, NULL, TCP_TUNNEL_ERROR_TLS,
      "; if the port does not speak TLS, try ws://" },
    { G_TLS_ERROR, G_TLS_ERROR_UNAVAILABLE, TCP_OPENING_TLS, NULL, TCP_TUNNEL_ERROR_TLS, "; install glib-networking" },
    { G_TLS_ERROR, G_TLS_ERROR_CERTIFICATE_REQUIRED, TCP_OPENING_TLS, NULL, TCP_TUNNEL_ERROR_TLS,
      "; the property client-certificate has to be set" },
    { SOUP_WEBSOCKET_ERROR, SOUP_WEBSOCKET_ERROR_BAD_HANDSHAKE, TCP_OPENING_HTTP, NULL, TCP_TUNNEL_ERROR_PROTOCOL,
      "(check host, port and path of the URL, and a proxy in front of it)" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) cause = g_error_new_literal (cases[i].domain, cases[i].code, "about gateway.test");
      TcpDialFailure failure = { .cause = cause, .stage = cases[i].stage, .proxy = cases[i].proxy };
      g_autofree char *message = explain (&failure, "ws://gateway.test/", cases[i].wanted);

      g_assert_nonnull (strstr (message, ": about gateway.test"));
      g_assert_true (g_str_has_suffix (message, cases[i].ending));
    }
}

/* The gateway's name is not looked up here if the connection goes through a proxy: the name that was not found is the
 * proxy's. */
static void
test_name_of_a_proxy (void)
{
  g_autoptr (GError) cause = g_error_new_literal (G_RESOLVER_ERROR, G_RESOLVER_ERROR_NOT_FOUND, "no proxy.test");
  TcpDialFailure failure = { .cause = cause };
  g_autofree char *message = explain (&failure, "ws://h.test/", TCP_TUNNEL_ERROR_UNREACHABLE);

  g_assert_cmpstr (message, ==, "the gateway ws://h.test/ cannot be reached: no proxy.test; this is the name of a proxy, "
                                "from the environment or the desktop");
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/dialer/final", test_final);
  g_test_add_func ("/dialer/retry-after/seconds", test_retry_after_seconds);
  g_test_add_func ("/dialer/retry-after/date", test_retry_after_date);
  g_test_add_func ("/dialer/retry-after/garbage", test_retry_after_garbage);
  g_test_add_func ("/dialer/statuses", test_statuses);
  g_test_add_func ("/dialer/stages", test_stages);
  g_test_add_func ("/dialer/received", test_received);
  g_test_add_func ("/dialer/echoes", test_echoes);
  g_test_add_func ("/dialer/causes", test_causes);
  g_test_add_func ("/dialer/name-of-a-proxy", test_name_of_a_proxy);
  return g_test_run ();
}
