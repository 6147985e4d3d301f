/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/settings.h"

#include <string.h>
#include "tunnel/tunnel-private.h"

/* Part of all texts that must never be shown. */
#define SECRET "s3cret"

static TcpTunnelSettings *
make (const char *uri)
{
  TcpTunnelSettings *settings = tcp_settings_new (&tcp_tunnel_settings);

  settings->remote_uri = g_strdup (uri);
  settings->token = g_strdup ("token");
  return settings;
}

/* Checks the URI that results, and how it is shown. */
static void
check_uri (const char    *uri,
           TcpTunnelMode  mode,
           const char    *wanted,
           const char    *display)
{
  g_autoptr (TcpTunnelSettings) settings = make (uri);
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;

  settings->mode = mode;
  tcp_tunnel_settings_check (settings, &error);
  g_assert_no_error (error);
  text = g_uri_to_string (settings->uri);
  g_assert_cmpstr (text, ==, wanted);
  g_assert_cmpstr (settings->display, ==, display);
}

static void
check_bad (TcpTunnelSettings *settings,
           const char        *hint)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (tcp_tunnel_settings_check (settings, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_assert_null (strstr (error->message, SECRET));
  if (hint != NULL)
    g_assert_nonnull (strstr (error->message, hint));
}

static void
check_bad_uri (const char *uri,
               const char *hint)
{
  g_autoptr (TcpTunnelSettings) settings = make (uri);

  check_bad (settings, hint);
}

static void
test_uri (void)
{
  check_uri ("ws://example.com", 0, "ws://example.com/", "ws://example.com/");
  check_uri ("wss://example.com/a%20b/c", 0, "wss://example.com/a%20b/c", "wss://example.com/a%20b/c");
  check_uri ("WSS://example.com:8443/a", 0, "wss://example.com:8443/a", "wss://example.com:8443/a");
  check_uri ("ws://[::1]:8080/a", 0, "ws://[::1]:8080/a", "ws://[::1]:8080/a");
  check_uri ("ws://h/?x=%2F&y", 0, "ws://h/?x=%2F&y", "ws://h/");
  check_uri ("ws://[fe80::1%25lo]/a", 0, "ws://[fe80::1%25lo]/a", "ws://[fe80::1%25lo]/a");
  check_uri ("wss://b\303\274cher.example/it's", 0, "wss://xn--bcher-kva.example/it's", "wss://xn--bcher-kva.example/it's");
}

static void
test_bad_uri (void)
{
  check_bad_uri (NULL, "wss://");
  check_bad_uri ("", "wss://");
  check_bad_uri ("example.com", NULL);
  check_bad_uri ("//example.com/a", NULL);
  check_bad_uri ("http://example.com", "ws://");
  check_bad_uri ("https://example.com", "ws://");
  check_bad_uri ("ws:///a", "has no host");
  check_bad_uri ("wss://:80/a", "has no host");
}

/* Each with the error, or the correction. */
static void
test_mistakes (void)
{
  static const struct
  {
    const char *uri;
    const char *message;
  } mistakes[] = {
    { "http://h/", "write ws:// in place of http://" },
    { "HTTPS://h/", "write wss:// in place of https://" },
    { "http:/h/", "write ws:// in place of http://" },
    { "tcp://h/", "not with tcp://" },
    { SECRET "/" SECRET "://h", "as wss://example.com/instance does" },
    { SECRET, "as wss://example.com/instance does" },
    { "h:80", "as wss://example.com/instance does" },
    { "ws:", "has to begin with ws://" },
    { "wss:h", "has to begin with wss://" },
    { "wss:/h/", "has to begin with wss://" },
    { "wss//h/", "has to begin with wss://" },
    { "wss:\\\\h\\", "a backslash in it; write /" },
    { "ws://h/\\" SECRET, "a backslash in it; write /" },
    { " ws://h/", "a space in it" },
    { "ws://h/ ", "a space in it" },
    { "ws://a b/", "a space in it" },
    { "ws://h/\n", "a line break or another control character" },
    { "\tws://h/", "a line break or another control character" },
    { "\"ws://h/\"", "a quotation mark or an angle bracket" },
    { "'ws://h/'", "a quotation mark or an angle bracket" },
    { "<ws://h/>", "a quotation mark or an angle bracket" },
    { "\342\200\234ws://h/\342\200\235", "a quotation mark or an angle bracket" },
    { "ws://a\342\200\223b/", "the dash U+2013 in it" },
    { "ws://h/a\342\210\222b", "the dash U+2212 in it" },
    { "ws://h/\342\200\213", "the invisible character U+200B" },
    { "\357\273\277ws://h/", "the invisible character U+FEFF" },
    { "ws://h/\302\240", "the invisible character U+00A0" },
    { "ws://h/\377", "it is not text in UTF-8" },
    { "ws://::1:7001/", "did you mean ws://[::1]:7001/ or ws://[::1:7001]/?" },
    { "wss://::1/" SECRET, "did you mean wss://[::1]/?" },
    { "ws://2001:db8:0:0:0:0:0:1:80/", "did you mean ws://[2001:db8:0:0:0:0:0:1]:80/?" },
    { "ws://2001:db8:0:0:0:0:0:1", "did you mean ws://[2001:db8:0:0:0:0:0:1]/?" },
    { "ws://" SECRET ":80:80/", "more than one colon after the host" },
    { "ws://[::1/", "the text in brackets is not an IPv6 address" },
    { "ws://[h]/", "the text in brackets is not an IPv6 address" },
    { "ws://[127.0.0.1]/", "the text in brackets is not an IPv6 address" },
    { "ws://[fe80::1%eth0]/", "follows %25, as in [fe80::1%25eth0]" },
    { "ws://h:port/", "its port is not a number from 1 to 65535" },
    { "ws://h:65536/", "its port is not a number from 1 to 65535" },
    { "ws://h:0/", "its port is not a number from 1 to 65535" },
    { "ws://[::1]:-1/", "its port is not a number from 1 to 65535" },
    { "ws://h,80/", "its host has a ',' in it" },
    { "ws://*/", "its host has a '*' in it" },
    { "ws://h%0d%0aX-Evil:%20y/", "its host has a '%' in it" },
    { "ws://h%2ei/", "its host has a '%' in it" },
    { "ws://h%00i/", "its host has a '%' in it" },
    { "ws://[fe80::1%25eth0%0d%0aX-Evil%3a%20y]/", "has a character in it that no host name has" },
    { "ws://[fe80::1%25%20]/", "has a character in it that no host name has" },
    { "ws://h\357\274\217i/", "has a character in it that no host name has" },  /* a wide slash */
    { "ws://h\357\274\232i/", "has a character in it that no host name has" },  /* a wide colon */
    { "ws://h\357\274\2050a/", "has a character in it that no host name has" }, /* a wide percent sign */
    { "ws://ws://h/", "it has a second scheme; write ws:// once" },
    { "wss://https://h/", "it has a second scheme; write wss:// once" },
    { "ws://h/#" SECRET, "write %23" },
    { "ws://h#" SECRET, "write %23" },
    { "ws://h/%zz" SECRET, "write %25" },
    { "ws://h/?x=100%", "write %25" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (mistakes); i++)
    {
      g_test_message ("%u: %s", i, mistakes[i].message);
      check_bad_uri (mistakes[i].uri, mistakes[i].message);
    }
}

/* User and password may be where a parser would not look for them. */
static void
test_userinfo (void)
{
  check_bad_uri ("wss://user:" SECRET "@h/a?key=" SECRET, "a user name or a password in it");
  check_bad_uri ("wss://" SECRET "@h/a", "a user name or a password in it");
  check_bad_uri ("http://user:" SECRET "@h/?" SECRET, NULL);
  check_bad_uri ("ws://user:" SECRET "@/", "a user name or a password in it");
  check_bad_uri ("ws://user:" SECRET "@h:port/", NULL);
  check_bad_uri ("ws://user:" SECRET "@h:99999/?" SECRET, NULL);
  check_bad_uri ("ws://user:p@ss:" SECRET "@h/", NULL);
  check_bad_uri ("ws://user:p@" SECRET " " SECRET "@h/", NULL);
  check_bad_uri ("ws://user:p@" SECRET "@h/", NULL);
  check_bad_uri ("ws://user:p@[" SECRET "@h/", NULL);
  check_bad_uri ("ws://user:" SECRET "%zz@h:x/", NULL);
}

static void
check_query (const char *query,
             const char *value,
             const char *wanted)
{
  g_autoptr (GUri) uri = g_uri_build (G_URI_FLAGS_ENCODED_QUERY, "ws", NULL, "h", -1, "/", query, NULL);
  g_autoptr (GUri) result = tcp_uri_add_query (uri, "mode", value);

  g_assert_cmpstr (g_uri_get_query (result), ==, wanted);
  g_assert_cmpstr (g_uri_get_query (uri), ==, query);
}

/* The result is that of URLSearchParams.set (). */
static void
test_query (void)
{
  check_query (NULL, "m", "mode=m");
  check_query ("", "m", "mode=m");
  check_query ("a=1", "m", "a=1&mode=m");
  check_query ("a=1&mode=x&b=2", "m", "a=1&mode=m&b=2");
  check_query ("mode=x&a=1&mode=y&mode", "m", "mode=m&a=1");
  check_query ("mode", "m", "mode=m");
  check_query ("modes=x&mod=y", "m", "modes=x&mod=y&mode=m");
  check_query ("a=%26mode=x", "m", "a=%26mode=x&mode=m");
  check_query ("a=1", "x&y=z ä", "a=1&mode=x%26y%3Dz%20%C3%A4");

  check_uri ("ws://h/?a=1", TCP_TUNNEL_MODE_MULTIPLEXED, "ws://h/?a=1&mode=multiplexed", "ws://h/");
  check_uri ("ws://h/?mode=x&a=1", TCP_TUNNEL_MODE_MULTIPLEXED, "ws://h/?mode=multiplexed&a=1", "ws://h/");
  check_uri ("ws://h/?mode=x", TCP_TUNNEL_MODE_SINGLETON, "ws://h/?mode=x", "ws://h/");
}

/* Exactly one kind of credentials is allowed. */
static void
test_credentials (void)
{
  static const char *const bad[] = { "", " x", "x ", "a\r\nb: c", SECRET "\n", "\303\274" };
  g_autoptr (TcpTunnelSettings) settings = make ("wss://h/");
  g_autoptr (GError) error = NULL;

  settings->authorization = g_strdup ("Basic " SECRET);
  check_bad (settings, "only one of them");
  g_clear_pointer (&settings->token, g_free);
  g_assert_true (tcp_tunnel_settings_check (settings, &error));
  settings->anonymous = TRUE;
  check_bad (settings, "only one of them");
  g_clear_pointer (&settings->authorization, g_free);
  g_assert_true (tcp_tunnel_settings_check (settings, &error));
  settings->anonymous = FALSE;
  check_bad (settings, "no token was given");
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_free (settings->authorization);
      settings->authorization = g_strdup (bad[i]);
      check_bad (settings, "authorization");
    }
}

static void
set_strv (char      ***strv,
          const char  *text)
{
  g_strfreev (*strv);
  *strv = g_strsplit (text, "|", -1);
}

static void
test_request (void)
{
  g_autoptr (TcpTunnelSettings) settings = make ("wss://h/");
  g_autoptr (GError) error = NULL;

  set_strv (&settings->subprotocols, "binary|base64");
  g_assert_true (tcp_tunnel_settings_check (settings, &error));
  set_strv (&settings->subprotocols, "binary|binary");
  check_bad (settings, "“binary” is given twice");
  set_strv (&settings->subprotocols, "a b");
  check_bad (settings, "“a b” is no name");
  g_clear_pointer (&settings->subprotocols, g_strfreev);

  set_strv (&settings->request_headers, "Origin: https://h");
  g_assert_true (tcp_tunnel_settings_check (settings, &error));
  settings->origin = g_strdup ("https://h");
  check_bad (settings, "origin");
  set_strv (&settings->request_headers, "Sec-WebSocket-Protocol: binary");
  check_bad (settings, "subprotocols");
  g_clear_pointer (&settings->request_headers, g_strfreev);
  g_assert_true (tcp_tunnel_settings_check (settings, &error));
  g_free (settings->origin);
  settings->origin = g_strdup ("https://h\n");
  check_bad (settings, "origin");
}

static void
test_connect_to (void)
{
  static const char *const bad[] = { "", "h", "h:", ":80", "h:0", "h:65536", "[::1]", "a b:1" };
  g_autoptr (TcpTunnelSettings) settings = make ("wss://h/");
  g_autoptr (GError) error = NULL;

  settings->connect_to = g_strdup ("[fd00::1]:8443");
  g_assert_true (tcp_tunnel_settings_check (settings, &error));
  g_assert_cmpstr (settings->connect_host, ==, "fd00::1");
  g_assert_cmpuint (settings->connect_port, ==, 8443);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_free (settings->connect_to);
      settings->connect_to = g_strdup (bad[i]);
      check_bad (settings, "connect-to");
    }
}

static void
test_token (void)
{
  static const char *const bad[] = {
    "", SECRET " ", " " SECRET, SECRET " " SECRET, SECRET "\n", SECRET "\r\nX: y", SECRET "\t", SECRET "é", SECRET "\x7f",
    SECRET "\xff",
  };
  g_autoptr (TcpTunnelSettings) settings = make ("ws://h/");
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_free (settings->token);
      settings->token = g_strdup (bad[i]);
      check_bad (settings, "token");
    }
  g_clear_pointer (&settings->token, g_free);
  check_bad (settings, "token");

  settings->token = g_strdup ("eyJhbGciOi.J9-_~+/=!\"$%&'()*,:;<>?@[]^`{|}");
  g_assert_true (tcp_tunnel_settings_check (settings, &error));
  g_assert_no_error (error);
}

static void
test_hostname (void)
{
  g_autoptr (TcpTunnelSettings) settings = make ("ws://h/");

  g_clear_pointer (&settings->common.where.hostname, g_free);
  check_bad (settings, "127.0.0.1");
  settings->common.where.hostname = g_strdup ("");
  check_bad (settings, "127.0.0.1");
}

static void
check_header (const char *header,
              const char *wanted_name,
              const char *wanted_value)
{
  g_autofree char *name = NULL;
  g_autofree char *value = NULL;

  g_assert_cmpint (tcp_header_split (header, &name, &value), ==, wanted_name != NULL);
  g_assert_cmpstr (name, ==, wanted_name);
  g_assert_cmpstr (value, ==, wanted_value);
}

static void
test_header_split (void)
{
  check_header ("Name: value", "Name", "value");
  check_header ("Name:value", "Name", "value");
  check_header ("X-A_b.1!: a: b ", "X-A_b.1!", "a: b");
  check_header ("Name:", "Name", "");
  check_header ("Name: tab\there", "Name", "tab\there");
  check_header ("Name: ümlaut", "Name", "ümlaut");

  check_header ("", NULL, NULL);
  check_header ("Name", NULL, NULL);
  check_header (": value", NULL, NULL);
  check_header ("Na me: value", NULL, NULL);
  check_header (" Name: value", NULL, NULL);
  check_header ("Name : value", NULL, NULL);
  check_header ("Näme: value", NULL, NULL);
  check_header ("Na\nme: value", NULL, NULL);
  check_header ("Name: value\r\nEvil: yes", NULL, NULL);
  check_header ("Name: value\n", NULL, NULL);
  check_header ("Name: \x7f", NULL, NULL);
}

static void
test_headers (void)
{
  static const char *const good[] = { "X-One: 1", "x-two: 2", "Cookie: a=b", NULL };
  static const char *const bad[] = {
    "nothing", SECRET, "A: " SECRET "\r\nB: c", "Authorization: Basic " SECRET, "authorization: " SECRET,
    "Host: " SECRET, "connection: close", "UPGRADE: x", "Sec-WebSocket-Key: " SECRET, "sec-websocket-protocol: x",
  };
  g_autoptr (TcpTunnelSettings) settings = make ("ws://h/");
  g_autoptr (GError) error = NULL;

  settings->request_headers = g_strdupv ((char **) good);
  tcp_tunnel_settings_check (settings, &error);
  g_assert_no_error (error);

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      const char *const headers[] = { "X-Good: yes", bad[i], NULL };

      g_strfreev (settings->request_headers);
      settings->request_headers = g_strdupv ((char **) headers);
      check_bad (settings, "header");
    }

  {
    g_autofree char *value = g_strnfill (32 * 1024, 'x');
    g_autofree char *large = g_strconcat ("X-Large: ", value, NULL);
    const char *const headers[] = { large, large, NULL };

    g_strfreev (settings->request_headers);
    settings->request_headers = g_strdupv ((char **) headers);
    check_bad (settings, "the request headers have more than 65536 bytes");
  }
}

static void
test_copy (void)
{
  static const char *const headers[] = { "X-One: 1", NULL };
  g_autoptr (TcpTunnelSettings) settings = make ("ws://h/");
  g_autoptr (TcpTunnelSettings) copy = NULL;

  settings->request_headers = g_strdupv ((char **) headers);
  settings->common.where.port = 4711;
  g_assert_true (tcp_tunnel_settings_check (settings, NULL));
  copy = tcp_tunnel_settings_copy (settings);

  g_assert_true (copy->remote_uri != settings->remote_uri);
  g_assert_cmpstr (copy->remote_uri, ==, "ws://h/");
  g_assert_cmpstr (copy->token, ==, "token");
  g_assert_cmpstr (copy->display, ==, "ws://h/");
  g_assert_cmpuint (copy->common.where.port, ==, 4711);
  g_assert_cmpstrv (copy->request_headers, headers);
  g_assert_true (tcp_tunnel_settings_check (copy, NULL));
}

static void
count_notify (guint *count)
{
  (*count)++;
}

/* Only a change is notified. */
static void
test_reconnecting (void)
{
  g_autoptr (TcpTunnel) tunnel = tcp_tunnel_new ("ws://127.0.0.1/", NULL);
  guint changes = 0;
  gboolean wait;
  int attempts;

  g_object_get (tunnel, "wait-for-gateway", &wait, "max-reconnect-attempts", &attempts, NULL);
  g_assert_false (wait);
  g_assert_cmpint (attempts, ==, 6);
  g_signal_connect_swapped (tunnel, "notify", G_CALLBACK (count_notify), &changes);
  g_object_set (tunnel, "wait-for-gateway", TRUE, "max-reconnect-attempts", TCP_TUNNEL_UNLIMITED_ATTEMPTS, NULL);
  g_object_set (tunnel, "wait-for-gateway", TRUE, "max-reconnect-attempts", TCP_TUNNEL_UNLIMITED_ATTEMPTS, NULL);
  g_assert_cmpuint (changes, ==, 2);
  g_object_get (tunnel, "wait-for-gateway", &wait, "max-reconnect-attempts", &attempts, NULL);
  g_assert_true (wait);
  g_assert_cmpint (attempts, ==, -1);
}

/* A value of each type is copied, returned, and notified if it differs. */
static void
test_values (void)
{
  static const char *const headers[] = { "X-One: 1", NULL };
  g_autoptr (TcpTunnel) tunnel = g_object_new (TCP_TYPE_TUNNEL, "name", "one", "port", 4711, NULL);
  g_autoptr (GProxyResolver) resolver = g_simple_proxy_resolver_new ("socks://proxy", NULL);
  g_autoptr (GProxyResolver) got_resolver = NULL;
  g_auto (GStrv) got_headers = NULL;
  g_autofree char *name = NULL;
  g_autofree char *hostname = NULL;
  guint changes = 0;
  guint port;

  g_signal_connect_swapped (tunnel, "notify", G_CALLBACK (count_notify), &changes);
  for (guint i = 0; i < 2; i++)
    g_object_set (tunnel, "name", "two", "request-headers", headers, "proxy-resolver", resolver, NULL);
  g_assert_cmpuint (changes, ==, 3);
  g_object_get (tunnel, "name", &name, "hostname", &hostname, "port", &port, "request-headers", &got_headers,
                "proxy-resolver", &got_resolver, NULL);
  g_assert_cmpstr (name, ==, "two");
  g_assert_cmpstr (hostname, ==, "127.0.0.1");
  g_assert_cmpuint (port, ==, 4711);
  g_assert_cmpstrv (got_headers, headers);
  g_assert_true (got_resolver == resolver);

  g_object_set (tunnel, "name", NULL, "request-headers", NULL, "proxy-resolver", NULL, NULL);
  g_assert_cmpuint (changes, ==, 6);
  g_clear_object (&got_resolver);
  g_object_get (tunnel, "proxy-resolver", &got_resolver, NULL);
  g_assert_null (got_resolver);
}

/* Each value comes from its own counter. */
static void
test_statistics (void)
{
  g_autoptr (TcpTunnel) tunnel = tcp_tunnel_new ("ws://127.0.0.1/", NULL);
  TcpStatus *status = TCP_ENDPOINT (tunnel)->status;
  g_autoptr (TcpStatistics) figures = tcp_endpoint_get_statistics (TCP_ENDPOINT (tunnel));
  g_autoptr (TcpStatistics) copy = NULL;

  g_assert_cmpfloat (figures->round_trip, ==, -1);
  g_assert_null (figures->protocol);

  tcp_status_set (status, unacknowledged_bytes, 1);
  tcp_status_set (status, receive_window, 2);
  tcp_status_set (status, send_window, 3);
  tcp_status_set (status, resumes, 4);
  tcp_status_set (status, bytes_replayed, 5);
  tcp_status_set (status, bytes_sent, 6);
  tcp_status_set (status, bytes_received, 7);
  tcp_status_set (status, open_connections, 8);
  tcp_status_set (status, total_connections, 9);
  tcp_status_set (status, reconnects, 10);
  tcp_status_set (status, round_trip, 1500);
  tcp_status_set (status, protocol, "raw");

  tcp_statistics_free (figures);
  figures = tcp_endpoint_get_statistics (TCP_ENDPOINT (tunnel));
  copy = tcp_statistics_copy (figures);
  g_assert_cmpuint (copy->unacknowledged_bytes, ==, 1);
  g_assert_cmpuint (copy->receive_window, ==, 2);
  g_assert_cmpuint (copy->send_window, ==, 3);
  g_assert_cmpuint (copy->resumes, ==, 4);
  g_assert_cmpuint (copy->bytes_replayed, ==, 5);
  g_assert_cmpuint (copy->bytes_sent, ==, 6);
  g_assert_cmpuint (copy->bytes_received, ==, 7);
  g_assert_cmpuint (copy->open_connections, ==, 8);
  g_assert_cmpuint (copy->total_connections, ==, 9);
  g_assert_cmpuint (copy->reconnects, ==, 10);
  g_assert_cmpfloat (copy->round_trip, ==, 1.5);
  g_assert_cmpstr (copy->protocol, ==, "raw");
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/tunnel-settings/uri", test_uri);
  g_test_add_func ("/tunnel-settings/bad-uri", test_bad_uri);
  g_test_add_func ("/tunnel-settings/mistakes", test_mistakes);
  g_test_add_func ("/tunnel-settings/userinfo", test_userinfo);
  g_test_add_func ("/tunnel-settings/query", test_query);
  g_test_add_func ("/tunnel-settings/credentials", test_credentials);
  g_test_add_func ("/tunnel-settings/request", test_request);
  g_test_add_func ("/tunnel-settings/connect-to", test_connect_to);
  g_test_add_func ("/tunnel-settings/token", test_token);
  g_test_add_func ("/tunnel-settings/hostname", test_hostname);
  g_test_add_func ("/tunnel-settings/header-split", test_header_split);
  g_test_add_func ("/tunnel-settings/headers", test_headers);
  g_test_add_func ("/tunnel-settings/copy", test_copy);
  g_test_add_func ("/tunnel-settings/reconnecting", test_reconnecting);
  g_test_add_func ("/tunnel-settings/values", test_values);
  g_test_add_func ("/tunnel-settings/statistics", test_statistics);
  return g_test_run ();
}
