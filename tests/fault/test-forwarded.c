/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Clients that connect by way of a proxy, and clients that only claim so. */

#include "fixture.h"
#include "monitor.h"
#include "socket-util.h"

#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define AUTHORIZED "Authorization: Bearer " TEST_TOKEN "\r\n"
#define WRONG "Authorization: Bearer wrong\r\n"

/* After this many wrong tokens from one address, the last answer is delayed by a second. */
#define GUESSES 45
#define DELAY G_TIME_SPAN_SECOND

/* The number of pending connections that the gateway accepts in the tests that limit it. */
#define PLACES 40

static TcpGateway *
new_gateway (Target *target,
             const char *proxies)
{
  g_autofree char *address = target_get_address (target);
  const char *const trusted[] = { "2001:db8::/32", proxies, NULL };
  TcpGateway *gateway = tcp_gateway_new (address);

  /* The deadline for pending connections must not interfere. */
  g_object_set (gateway, "token", TEST_TOKEN, "log-level", TCP_TUNNEL_LOG_LEVEL_NONE, "connect-timeout", 600000,
                "trusted-proxies", trusted, NULL);
  return gateway;
}

static guint16
start_gateway (TcpGateway *gateway)
{
  g_autoptr (GError) error = NULL;

  tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error);
  g_assert_no_error (error);
  return test_port_of (gateway);
}

static int
send_request (guint16 port,
              const char *headers)
{
  g_autofree char *request = g_strdup_printf ("GET / HTTP/1.1\r\nHost: gateway\r\n" WS_UPGRADE "%s\r\n", headers);
  int fd = client_connect (port);

  client_write (fd, request, strlen (request));
  return fd;
}

static void
expect_status (int fd,
               guint status)
{
  g_autofree char *line = g_strdup_printf ("HTTP/1.1 %u ", status);
  g_autofree char *head = http_read_head (fd);

  g_assert_nonnull (head);
  g_assert_true (g_str_has_prefix (head, line));
  client_close (fd);
}

/* @format contains one %u. */
static void G_GNUC_PRINTF (3, 4)
guess (guint16 port,
       int *fd,
       const char *format,
       ...)
{
  va_list args;
  g_autofree char *headers = NULL;

  va_start (args, format);
  headers = g_strdup_vprintf (format, args);
  va_end (args);
  *fd = send_request (port, headers);
}

static gboolean
is_answered (int fd)
{
  struct pollfd answer = { .fd = fd, .events = POLLIN };

  return poll (&answer, 1, 0) == 1;
}

/* Requires that the answer to a guess that was sent at @began or later is delayed. On a slow machine, the delay may be
 * over. */
static void
expect_delayed (int fd,
                gint64 began)
{
  if (is_answered (fd))
    g_assert_cmpint (g_get_monotonic_time () - began, >=, DELAY);
}

static void
expect_refusals (const int *fds,
                 guint n)
{
  for (guint i = 0; i < n; i++)
    expect_status (fds[i], 401);
}

/* Any client could send the header, so that it is ignored if the proxy is not trusted. */
static void
test_not_trusted (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target, "127.0.0.2");
  guint16 port = start_gateway (gateway);
  int guesses[GUESSES];
  gint64 began = 0;

  for (guint i = 0; i < GUESSES; i++)
    {
      began = g_get_monotonic_time ();
      guess (port, &guesses[i], WRONG "X-Forwarded-For: 192.0.2.%u\r\n", i);
    }
  expect_status (send_request (port, AUTHORIZED), 101);
  expect_delayed (guesses[GUESSES - 1], began);
  expect_refusals (guesses, GUESSES);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

/* The wrong tokens of one client, whatever header it adds itself, do not delay others that use the same proxy. */
static void
test_trusted (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target, "127.0.0.0/8");
  guint16 port = start_gateway (gateway);
  int guesses[GUESSES], other;
  gint64 began = 0;

  for (guint i = 0; i < GUESSES; i++)
    {
      began = g_get_monotonic_time ();
      guess (port, &guesses[i], WRONG "X-Forwarded-For: 198.51.100.%u, 192.0.2.1\r\n", i);
    }
  guess (port, &other, WRONG "Forwarded: for=192.0.2.%u;proto=https\r\n", 2);
  expect_status (other, 401);
  expect_delayed (guesses[GUESSES - 1], began);
  expect_refusals (guesses, GUESSES);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

static void
check_at_once (TcpGateway *gateway,
               guint16 port,
               const char *const *headers,
               guint n)
{
  int guesses[GUESSES];

  for (guint i = 0; i < GUESSES; i++)
    guess (port, &guesses[i], "%s", headers[i % n]);
  /* Requests are accepted and answered in order. */
  expect_status (send_request (port, AUTHORIZED), 101);
  for (guint i = 0; i < GUESSES; i++)
    g_assert_true (is_answered (guesses[i]));
  expect_refusals (guesses, GUESSES);
}

/* If the proxy does not name the client, the proxy itself is not delayed. */
static void
test_nameless (void)
{
  static const char *const headers[] = {
    WRONG,
    WRONG "Forwarded: for=unknown\r\n",
    WRONG "Forwarded: for=\"_hidden\"\r\nX-Forwarded-For: unknown\r\n",
    WRONG "X-Forwarded-For: 192.0.2.1, ?\r\n",
    WRONG "X-Forwarded-For: 127.0.0.3\r\n",
  };
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target, "127.0.0.0/8");
  guint16 port = start_gateway (gateway);

  check_at_once (gateway, port, headers, G_N_ELEMENTS (headers));
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

/* Of two contradictory headers, one may come from the client. */
static void
test_conflict (void)
{
  static const char headers[] = AUTHORIZED "Forwarded: for=192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\n";
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target, "127.0.0.1");
  g_autoptr (TcpGateway) other = new_gateway (target, "127.0.0.2");

  expect_status (send_request (start_gateway (gateway), headers), 400);
  expect_status (send_request (start_gateway (other), headers), 101);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  tcp_endpoint_close (TCP_ENDPOINT (other));
}

/* Pending connections */

static int
connect_from (guint16 port,
              guint host)
{
  static const char half[] = "GET / HTTP/1.1\r\nHost: gateway\r\n";
  struct sockaddr_in address = { .sin_family = AF_INET };
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  address.sin_addr.s_addr = htonl (INADDR_LOOPBACK - 1 + host);
  g_assert_no_errno (bind (fd, (struct sockaddr *) &address, sizeof address));
  address.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  address.sin_port = htons (port);
  g_assert_no_errno (connect (fd, (struct sockaddr *) &address, sizeof address));
  client_write (fd, half, strlen (half));
  return fd;
}

/* The connections of a proxy belong to many clients: another address that opens too many connections loses some of
 * its own, although the proxy has more. */
static void
test_places (void)
{
  enum
  {
    PROXY = 2,
    FLOOD = 3,
    PROXIED = PLACES * 2 / 3,
  };
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target, "127.0.0.2");
  guint64 before;
  guint16 port;
  int proxied[PROXIED], flood[PLACES];

  /* An eighth of the descriptors is for pending connections. */
  before = test_set_descriptors (8 * PLACES);
  port = start_gateway (gateway);
  test_set_descriptors (before);

  for (guint i = 0; i < PROXIED; i++)
    proxied[i] = connect_from (port, PROXY);
  for (guint i = 0; i < PLACES; i++)
    flood[i] = connect_from (port, FLOOD);
  client_expect_end (flood[PROXIED - 1]);

  for (guint i = 0; i < PROXIED; i++)
    {
      client_write (proxied[i], WS_UPGRADE AUTHORIZED "\r\n", strlen (WS_UPGRADE AUTHORIZED "\r\n"));
      expect_status (proxied[i], 101);
    }
  for (guint i = 0; i < PLACES; i++)
    client_close (flood[i]);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

/* The log */

static Monitor monitor;
static GString *logged; /* protected by the monitor */

static GLogWriterOutput
write_log (GLogLevelFlags level,
           const GLogField *fields,
           gsize n_fields,
           gpointer user_data)
{
  monitor_enter (&monitor);
  for (gsize i = 0; i < n_fields; i++)
    if (strcmp (fields[i].key, "MESSAGE") == 0)
      g_string_append_printf (logged, "%s\n", (const char *) fields[i].value);
  monitor_changed (&monitor);
  monitor_leave (&monitor);
  return G_LOG_WRITER_HANDLED;
}

static void
wait_for_line (const char *text)
{
  if (!MONITOR_WAIT_FOR (&monitor, test_deadline (), strstr (logged->str, text) != NULL))
    test_fail (G_STRLOC, "not logged: %s", text);
}

static void
forget_lines (void)
{
  monitor_enter (&monitor);
  g_string_truncate (logged, 0);
  monitor_leave (&monitor);
}

static void
test_log (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target, "127.0.0.1");
  guint16 port;

  g_object_set (gateway, "log-level", TCP_TUNNEL_LOG_LEVEL_INFO, NULL);
  port = start_gateway (gateway);
  expect_status (send_request (port, WRONG "X-Forwarded-For: evil\x9b, 192.0.2.7, 2001:db8::1\r\n"), 401);
  wait_for_line ("a request from 192.0.2.7 was answered 401: ");
  expect_status (send_request (port, AUTHORIZED "Forwarded: for=\"[2001:db9::5]:80\"\r\n"), 101);
  wait_for_line ("the client default is connected from 2001:db9::5 (");
  expect_status (send_request (port, AUTHORIZED), 101);
  wait_for_line ("the client default is connected from 127.0.0.1 (");
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  monitor_enter (&monitor);
  g_assert_null (strstr (logged->str, "evil"));
  monitor_leave (&monitor);
}

/* The session refuses the request, on another thread. */
static void
test_log_of_session (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target, "127.0.0.1");
  guint16 port;
  int fd;

  g_object_set (gateway, "log-level", TCP_TUNNEL_LOG_LEVEL_INFO, "max-connections", 1, NULL);
  port = start_gateway (gateway);
  fd = ws_connect (port, "/", TEST_TOKEN);
  expect_status (send_request (port, AUTHORIZED "X-Forwarded-For: 192.0.2.8\r\n"), 503);
  wait_for_line ("a request from 192.0.2.8 was answered 503: ");
  client_close (fd);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

/* The header of the PROXY protocol for 192.0.2.7, and for the proxy itself. */
static const char proxied[] = "\r\n\r\n\0\r\nQUIT\n" "\x21\x11\0\x0c" "\xc0\0\2\7" "\x7f\0\0\1" "\x12\x34" "\x56\x78";
static const char local[] = "\r\n\r\n\0\r\nQUIT\n" "\x20\0\0\0";

/* Sends the header and a request in pieces of @step bytes. */
static int
send_proxied (guint16 port,
              const char *header,
              gsize length,
              gsize step,
              const char *headers)
{
  g_autofree char *request = g_strdup_printf ("GET / HTTP/1.1\r\nHost: gateway\r\n" WS_UPGRADE "%s\r\n", headers);
  g_autoptr (GByteArray) all = g_byte_array_new ();
  int fd = client_connect (port);

  g_byte_array_append (all, (const guint8 *) header, length);
  g_byte_array_append (all, (const guint8 *) request, strlen (request));
  for (gsize i = 0; i < all->len; i += step)
    client_write (fd, all->data + i, MIN (step, all->len - i));
  return fd;
}

/* The header of a trusted proxy names the client; from others it is an invalid request. */
static void
test_proxy_protocol (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target, "127.0.0.1");
  g_autoptr (TcpGateway) other = new_gateway (target, "127.0.0.2");
  guint16 port;

  g_object_set (gateway, "log-level", TCP_TUNNEL_LOG_LEVEL_INFO, NULL);
  port = start_gateway (gateway);
  forget_lines ();
  expect_status (send_proxied (port, proxied, sizeof proxied - 1, G_MAXUINT16, WRONG), 401);
  wait_for_line ("a request from 192.0.2.7 was answered 401: ");
  expect_status (send_proxied (port, proxied, sizeof proxied - 1, 7, AUTHORIZED), 101);
  wait_for_line ("the client default is connected from 192.0.2.7 ");
  forget_lines ();
  expect_status (send_proxied (port, local, sizeof local - 1, 1, AUTHORIZED), 101);
  wait_for_line ("the client default is connected from 127.0.0.1 ");
  /* With this header, the HTTP headers come from the client and are ignored. */
  expect_status (send_proxied (port, proxied, sizeof proxied - 1, G_MAXUINT16, AUTHORIZED "X-Forwarded-For: 192.0.2.9\r\n"), 101);
  wait_for_line ("the client default is connected from 192.0.2.7 ");
  client_expect_end (send_proxied (port, "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\0", 16, G_MAXUINT16, AUTHORIZED));
  wait_for_line ("the header of the PROXY protocol is malformed");
  expect_status (send_request (port, AUTHORIZED), 101);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));

  port = start_gateway (other);
  expect_status (send_proxied (port, proxied, sizeof proxied - 1, G_MAXUINT16, AUTHORIZED), 400);
  tcp_endpoint_close (TCP_ENDPOINT (other));
}

static void
expect_header (Target *target,
               const char *expected,
               gsize length)
{
  int fd = target_accept (target);
  g_autofree guint8 *data = g_malloc (length);

  client_read (fd, data, length);
  g_assert_cmpmem (data, length, expected, length);
  client_close (fd);
}

/* The target first receives the addresses of the client and of the gateway. */
static void
test_proxy_protocol_to_target (void)
{
  static const char begin[] = "\r\n\r\n\0\r\nQUIT\n" "\x21\x11\0\x0c";
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (TcpGateway) gateway = new_gateway (target, "127.0.0.1");
  g_autoptr (GString) expected = g_string_new_len (begin, sizeof begin - 1);
  guint16 port;

  g_object_set (gateway, "proxy-protocol", TCP_PROXY_PROTOCOL_V2, NULL);
  port = start_gateway (gateway);
  g_string_append_len (expected, "\xc0\0\2\7" "\x7f\0\0\1" "\x12\x34", 10);
  g_string_append_c (expected, (char) (port >> 8));
  g_string_append_c (expected, (char) port);
  expect_status (send_proxied (port, proxied, sizeof proxied - 1, G_MAXUINT16, AUTHORIZED), 101);
  expect_header (target, expected->str, expected->len);

  /* The port of a client that HTTP headers name is not known. */
  memset (expected->str + 24, 0, 2);
  expect_status (send_request (port, AUTHORIZED "X-Forwarded-For: 192.0.2.7\r\n"), 101);
  expect_header (target, expected->str, expected->len);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

static void
test_invalid (void)
{
  g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:1");
  const char *const proxies[] = { "127.0.0.1", "10.0.0.1/8", NULL };
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) got = NULL;

  tcp_gateway_set_token (gateway, TEST_TOKEN);
  g_assert_null (test_dup_string (gateway, "trusted-proxies"));
  g_object_set (gateway, "trusted-proxies", proxies, NULL);
  g_object_get (gateway, "trusted-proxies", &got, NULL);
  g_assert_cmpstrv (got, proxies);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "the trusted proxy “10.0.0.1/8” is neither"));
}

int
main (int argc,
      char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  monitor_init (&monitor);
  logged = g_string_new (NULL);
  g_log_set_writer_func (write_log, NULL, NULL);

  g_test_add_func ("/forwarded/not-trusted", test_not_trusted);
  g_test_add_func ("/forwarded/trusted", test_trusted);
  g_test_add_func ("/forwarded/nameless", test_nameless);
  g_test_add_func ("/forwarded/conflict", test_conflict);
  g_test_add_func ("/forwarded/places", test_places);
  g_test_add_func ("/forwarded/log", test_log);
  g_test_add_func ("/forwarded/log-of-session", test_log_of_session);
  g_test_add_func ("/forwarded/proxy-protocol", test_proxy_protocol);
  g_test_add_func ("/forwarded/proxy-protocol-to-target", test_proxy_protocol_to_target);
  g_test_add_func ("/forwarded/invalid", test_invalid);

  result = g_test_run ();
  g_string_free (logged, TRUE);
  monitor_clear (&monitor);
  return result;
}
