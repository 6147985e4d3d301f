/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Clients without a valid token: what they cost, and that they keep no other client out. */

#include "fixture.h"
#include "monitor.h"
#include "resumable-peer.h"
#include "socket-util.h"
#include "tls-client.h"

#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define AUTHORIZED "Authorization: Bearer " TEST_TOKEN "\r\n"
#define HALF_A_REQUEST "GET / HTTP/1.1\r\nHost: gateway\r\n"
#define MIB (1024 * 1024)

/* The number of pending connections that the gateways in this test accept; more than concurrent TLS handshakes. */
#define PLACES 40

/* As in gateway/listener.c and gateway/head.h. */
#define MAX_SECURED 256
#define MAX_HEAD_BYTES (8 * MIB)
#define MAX_HEAD 65536

static guint16
start_gateway (TcpGateway *gateway)
{
  g_autoptr (GError) error = NULL;

  tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error);
  g_assert_no_error (error);
  return test_port_of (gateway);
}

/* The deadline for pending connections must not interfere. */
static TcpGateway *
new_gateway (Target *target)
{
  g_autofree char *address = target_get_address (target);
  TcpGateway *gateway = tcp_gateway_new (address);

  g_object_set (gateway, "token", TEST_TOKEN, "log-level", TCP_TUNNEL_LOG_LEVEL_NONE, "connect-timeout", 600000, NULL);
  return gateway;
}

/* An eighth of the descriptors is for pending connections. */
static guint16
start_with_places (TcpGateway *gateway,
                   guint places)
{
  guint64 before;
  guint16 port;

  test_need_descriptors (8 * places);
  before = test_set_descriptors (8 * places);
  port = start_gateway (gateway);
  test_set_descriptors (before);
  return port;
}

/* Sends the smallest ClientHello: the server answers, and waits. */
static void
send_client_hello (int fd)
{
  guint8 hello[] = {
    0x16, 3, 1, 0, 0,                /* a handshake record, its length */
    1, 0, 0, 0, 3, 3,                /* a ClientHello, its length; TLS 1.2 */
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
    0,                               /* no session */
    0, 4, 0xc0, 0x2f, 0xc0, 0x2b,    /* ECDHE with RSA or ECDSA, AES-128-GCM */
    1, 0,                            /* no compression */
    0, 28,                           /* the extensions */
    0, 10, 0, 4, 0, 2, 0, 23,        /* groups: secp256r1 */
    0, 11, 0, 2, 1, 0,               /* point formats: uncompressed */
    0, 13, 0, 10, 0, 8, 4, 1, 8, 4, 4, 3, 5, 1, /* signature algorithms */
  };

  hello[4] = sizeof hello - 5;
  hello[8] = sizeof hello - 9;
  client_write (fd, hello, sizeof hello);
}

typedef enum
{
  SILENT,
  HALF_REQUEST,
  CLIENT_HELLO,
} Behaviour;

static int
connect_stranger (guint16 port,
                  Behaviour behaviour)
{
  int fd = client_connect (port);

  if (behaviour == HALF_REQUEST)
    client_write (fd, HALF_A_REQUEST, strlen (HALF_A_REQUEST));
  if (behaviour == CLIENT_HELLO)
    send_client_hello (fd);
  return fd;
}

/* The oldest pending connection is closed, the newest stays, and a client with a token is accepted. */
static void
check_full (gboolean tls,
            Behaviour behaviour)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, tls ? FIXTURE_TLS : FIXTURE_PLAIN);
  guint16 port;
  int strangers[2 * PLACES];
  g_autofree char *uri = NULL;
  /* A handshake in progress stays, unless others wait for its place. */
  guint oldest = behaviour == CLIENT_HELLO ? PLACES / 2 : 0;
  int fd;

  g_object_set (fixture->gateway, "connect-timeout", 600000, NULL);
  port = start_with_places (fixture->gateway, PLACES);
  uri = g_strdup_printf ("%s://127.0.0.1:%u/", tls ? "wss" : "ws", port);
  g_object_set (fixture->tunnel, "remote-uri", uri, "tls-database", tls ? test_tls_database () : NULL, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (strangers); i++)
    strangers[i] = connect_stranger (port, behaviour);
  client_expect_end (strangers[oldest]);
  client_expect_end (strangers[PLACES - 1]);

  test_tunnel_start (fixture->tunnel);
  fd = client_connect (fixture_get_port (fixture));
  client_round_trip (fd, "hello");
  if (behaviour != CLIENT_HELLO)
    g_assert_false (client_has_ended (strangers[G_N_ELEMENTS (strangers) - 1]));

  /* A client that was accepted is not affected by the ones that follow. */
  for (guint i = 0; i < G_N_ELEMENTS (strangers); i++)
    {
      client_close (strangers[i]);
      strangers[i] = connect_stranger (port, behaviour);
    }
  client_expect_end (strangers[oldest]);
  client_round_trip (fd, "still here");
  client_close (fd);
  for (guint i = 0; i < G_N_ELEMENTS (strangers); i++)
    client_close (strangers[i]);
}

static void
test_silent (void)
{
  check_full (FALSE, SILENT);
  check_full (TRUE, SILENT);
}

static void
test_half_a_request (void)
{
  check_full (FALSE, HALF_REQUEST);
}

/* Each of these connections occupies a thread. */
static void
test_client_hello (void)
{
  check_full (TRUE, CLIENT_HELLO);
}

/* Pending connections that have completed their TLS handshake need memory: at most half of all pending connections
 * may be of that kind, and no more than 256. The oldest of them is closed for the next one. */
static void
check_secured (guint places,
               guint cap)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  g_autoptr (GPtrArray) streams = g_ptr_array_new_with_free_func (g_object_unref);
  g_autofree int *fds = g_new (int, cap + 1);
  guint16 port;

  g_object_set (gateway, "tls-certificate", test_certificate (), NULL);
  port = start_with_places (gateway, places);
  for (guint i = 0; i <= cap; i++)
    {
      if (i == cap)
        g_assert_false (client_has_ended (fds[0]));
      fds[i] = client_connect (port);
      g_ptr_array_add (streams, tls_client_new (fds[i]));
    }
  client_expect_end (fds[0]);
  for (guint i = 1; i <= cap; i++)
    g_assert_false (client_has_ended (fds[i]));
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

static void
test_secured (void)
{
  check_secured (PLACES, PLACES / 2);
  if (!test_is_quick ())
    check_secured (2 * MAX_SECURED + 2, MAX_SECURED);
}

/* Connects from an address of 127.0.0.0/8 and sends half a request. */
static int
connect_stranger_from (guint16 port,
                       guint host)
{
  struct sockaddr_in address = { .sin_family = AF_INET };
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  address.sin_addr.s_addr = htonl (INADDR_LOOPBACK - 1 + host);
  g_assert_no_errno (bind (fd, (struct sockaddr *) &address, sizeof address));
  address.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  address.sin_port = htons (port);
  g_assert_no_errno (connect (fd, (struct sockaddr *) &address, sizeof address));
  client_write (fd, HALF_A_REQUEST, strlen (HALF_A_REQUEST));
  return fd;
}

static void
finish_request (int fd)
{
  static const char rest[] = WS_UPGRADE AUTHORIZED "\r\n";
  g_autofree char *head = NULL;

  client_write (fd, rest, strlen (rest));
  head = http_read_head (fd);
  g_assert_nonnull (head);
  g_assert_true (g_str_has_prefix (head, "HTTP/1.1 101 "));
  client_close (fd);
}

/* Many connections from one address do not displace one from another address, although that is the oldest. */
static void
test_other_address (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  guint16 port = start_with_places (gateway, PLACES);
  int strangers[3 * PLACES];
  int slow = connect_stranger_from (port, 2);

  for (guint i = 0; i < G_N_ELEMENTS (strangers); i++)
    strangers[i] = connect_stranger (port, HALF_REQUEST);
  client_expect_end (strangers[2 * PLACES]);

  finish_request (slow);
  for (guint i = 0; i < G_N_ELEMENTS (strangers); i++)
    client_close (strangers[i]);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

/* Nor do connections from many addresses displace one from an address that has sent a valid token before. */
static void
test_known_address (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  guint16 port = start_with_places (gateway, PLACES);
  int strangers[3 * PLACES];
  int unknown, slow;

  finish_request (connect_stranger_from (port, 2));
  unknown = connect_stranger_from (port, 3);
  slow = connect_stranger_from (port, 2);
  for (guint i = 0; i < G_N_ELEMENTS (strangers); i++)
    strangers[i] = connect_stranger_from (port, 10 + i);
  client_expect_end (unknown);
  client_expect_end (strangers[PLACES]);

  finish_request (slow);
  client_close (unknown);
  for (guint i = 0; i < G_N_ELEMENTS (strangers); i++)
    client_close (strangers[i]);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

/* Cost */

static void
expect_growth (guint64 before,
               guint64 at_most)
{
  guint64 after = test_memory ("VmRSS");

  g_test_message ("%" G_GUINT64_FORMAT " KiB more", after > before ? (after - before) / 1024 : 0);
  if (test_memory_is_meaningful ())
    g_assert_cmpuint (after, <, before + at_most);
}

static void
check_upload (guint16 port,
              const char *head,
              guint status)
{
  g_autofree char *line = g_strdup_printf ("HTTP/1.1 %u ", status);
  g_autofree char *answer = NULL;
  g_autofree char *connection = NULL;
  g_autofree guint8 *block = g_malloc0 (MIB);
  guint64 before = test_memory ("VmRSS");
  guint sent = 0;
  int fd = client_connect (port);

  client_write (fd, head, strlen (head));
  /* The kernel accepts some data. */
  while (sent < 64 && client_push (fd, block, MIB, 100) == MIB)
    sent++;
  g_assert_cmpuint (sent, <, 64);
  answer = http_read_head (fd);
  g_assert_nonnull (answer);
  g_assert_true (g_str_has_prefix (answer, line));
  connection = http_head_get (answer, "Connection");
  g_assert_cmpstr (connection, ==, "close");
  client_expect_end (fd);
  client_close (fd);
  expect_growth (before, 8 * MIB);
}

static void
test_bodies (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  guint16 port = start_gateway (gateway);

  check_upload (port, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000000\r\n\r\n", 405);
  check_upload (port, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n", 405);
  check_upload (port, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000000\r\n\r\n", 413);
  check_upload (port, "GET / HTTP/1.1\r\nHost: h\r\n" WS_UPGRADE AUTHORIZED "Content-Length: 3000000000\r\n\r\n", 413);
  check_upload (port, "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n", 501);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

static void
send_large_request (guint16 port,
                    const char *headers)
{
  g_autofree char *path = g_strnfill (60000, 'a');
  g_autofree char *request = g_strdup_printf ("GET /%s HTTP/1.1\r\n%s\r\n", path, headers);
  g_autofree char *head = NULL;
  int fd = client_connect (port);

  client_write (fd, request, strlen (request));
  head = http_read_head (fd);
  g_assert_nonnull (head);
  g_assert_true (g_str_has_prefix (head, "HTTP/1.1 4") || g_str_has_prefix (head, "HTTP/1.1 5"));
  client_expect_end (fd);
  client_close (fd);
}

/* No kind of refusal leaks memory. */
static void
test_refusals (void)
{
  static const char *const headers[] = {
    "Host: h\r\nTransfer-Encoding: zz\r\n",
    "Host: h\r\nContent-Length: zz\r\n",
    "Host: h\r\nTransfer-Encoding: chunked\r\n",
    "Host: h\r\nExpect: the unexpected\r\n",
    "Host: a/b\r\n",
    "Host: [\r\n",
    "Host: h\r\n",
    "Host: h\r\n" AUTHORIZED,
    "Host: h\r\n" AUTHORIZED "Upgrade: websocket\r\nConnection: Upgrade\r\n",
    "nonsense\r\n",
    "",
  };
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  guint16 port = start_gateway (gateway);

  for (guint i = 0; i < G_N_ELEMENTS (headers); i++)
    {
      guint64 before;

      g_test_message ("%s", headers[i]);
      for (guint k = 0; k < 20; k++)
        send_large_request (port, headers[i]);
      before = test_memory ("VmRSS");
      for (guint k = 0; k < 200; k++)
        send_large_request (port, headers[i]);
      expect_growth (before, 4 * MIB);
    }
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

/* The size of a request head is limited. */
static void
test_endless_head (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  g_autofree char *header = g_strnfill (200 * 1024, 'a');
  g_autofree char *answer = NULL;
  int fd = client_connect (start_gateway (gateway));

  client_write (fd, HALF_A_REQUEST "X: ", strlen (HALF_A_REQUEST "X: "));
  client_push (fd, header, strlen (header), 100);
  answer = http_read_head (fd);
  g_assert_nonnull (answer);
  g_assert_true (g_str_has_prefix (answer, "HTTP/1.1 431 "));
  client_expect_end (fd);
  client_close (fd);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

static void
expect_status (int fd,
               const char *line)
{
  g_autofree char *head = http_read_head (fd);

  g_assert_nonnull (head);
  g_assert_true (g_str_has_prefix (head, line));
  client_close (fd);
}

/* Returns the first @length bytes of a request, or with @complete a request of that length. */
static char *
make_head (guint length,
           gboolean complete)
{
  const char *begin = "GET / HTTP/1.1\r\nHost: h\r\n" WS_UPGRADE AUTHORIZED "X: ";
  const char *end = complete ? "\r\n\r\n" : "";
  g_autofree char *filling = g_strnfill (length - strlen (begin) - strlen (end), 'a');

  return g_strconcat (begin, filling, end, NULL);
}

static void
test_largest_head (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  guint16 port = start_gateway (gateway);

  for (guint excess = 0; excess <= 1; excess++)
    /* Until the last part arrives, the gateway cannot know that the head is too large. */
    for (guint last = 1; last <= 2000; last += 1999)
      {
        g_autofree char *head = make_head (MAX_HEAD + excess, TRUE);
        int fd = client_connect (port);

        client_write (fd, head, strlen (head) - last);
        /* The first part is read before the rest arrives: others are served meanwhile. */
        for (guint i = 0; i < 5; i++)
          g_assert_cmpuint (http_get (port, "/", "", NULL, NULL), >=, 400);
        client_write (fd, head + strlen (head) - last, last);
        expect_status (fd, excess == 0 ? "HTTP/1.1 101 " : "HTTP/1.1 431 ");
      }
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

/* All incomplete heads together are limited; the largest one is dropped. */
static void
check_head_bytes (guint64 max_memory,
                  guint max_head_bytes)
{
  enum { SIZE = 60000, MAX_N = MAX_HEAD_BYTES / SIZE + 1 };
  const guint n = max_head_bytes / SIZE + 1;
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  guint16 port;
  guint left = max_head_bytes;
  int fds[MAX_N];

  g_object_set (gateway, "max-memory", max_memory, NULL);
  port = start_with_places (gateway, 2 * n);

  for (guint i = 0; i < n; i++)
    {
      g_autofree char *head = make_head (i == 0 ? SIZE + 1 : MIN (SIZE, left), FALSE);

      fds[i] = client_connect (port);
      client_write (fds[i], head, strlen (head));
      left -= strlen (head);
    }
  g_assert_cmpuint (left, ==, 0);
  /* Others are served meanwhile, so that the gateway has read the heads. */
  for (guint i = 0; i < 10; i++)
    g_assert_cmpuint (http_get (port, "/", "", NULL, NULL), >=, 400);
  for (guint i = 0; i < n; i++)
    g_assert_false (client_has_ended (fds[i]));

  client_write (fds[n - 1], "a", 1);
  client_expect_end (fds[0]);
  for (guint i = 1; i < n; i++)
    g_assert_false (client_has_ended (fds[i]));
  for (guint i = 0; i < n; i++)
    client_close (fds[i]);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

static void
test_head_bytes (void)
{
  check_head_bytes (0, MAX_HEAD_BYTES);
  /* They may use a sixth of a quarter of the memory. */
  check_head_bytes (24 * MIB, MIB);
}

static void
check_tls_memory (Behaviour behaviour,
                  guint64 at_most)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  guint64 before;
  guint16 port;
  int fds[100];

  g_object_set (gateway, "tls-certificate", test_certificate (), NULL);
  port = start_gateway (gateway);
  before = test_memory ("VmRSS");
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      guint8 type;

      fds[i] = connect_stranger (port, behaviour);
      /* The first few are answered; there are no threads for more. */
      if (behaviour == CLIENT_HELLO && i < 10)
        {
          client_read (fds[i], &type, 1);
          g_assert_cmphex (type, ==, 0x16);
        }
    }
  expect_growth (before, at_most);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      client_expect_end (fds[i]);
      client_close (fds[i]);
    }
}

static void
test_tls_memory (void)
{
  check_tls_memory (SILENT, 8 * MIB);
  check_tls_memory (CLIENT_HELLO, 12 * MIB);
}

/* Wrong tokens */

static int
send_request (guint16 port,
              const char *path,
              const char *headers)
{
  g_autofree char *request = g_strdup_printf ("GET %s HTTP/1.1\r\nHost: gateway\r\n" WS_UPGRADE "%s\r\n", path, headers);
  int fd = client_connect (port);

  client_write (fd, request, strlen (request));
  return fd;
}

/* The answer to a wrong token is delayed and then sent, even if the client has sent a FIN. A valid token from the
 * same address is not delayed. */
static void
check_guesses (const char *path)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  guint16 port = start_gateway (gateway);
  int guesses[45];
  struct pollfd last = { .events = POLLIN };
  gint64 began = 0;

  for (guint i = 0; i < G_N_ELEMENTS (guesses); i++)
    {
      began = g_get_monotonic_time ();
      guesses[i] = send_request (port, path, "Authorization: Bearer wrong\r\n");
    }
  last.fd = guesses[G_N_ELEMENTS (guesses) - 1];
  g_assert_no_errno (shutdown (last.fd, SHUT_WR));
  expect_status (send_request (port, "/", AUTHORIZED), "HTTP/1.1 101 ");
  /* The delay is a second, which may be over on a slow machine. */
  if (poll (&last, 1, 0) != 0)
    g_assert_cmpint (g_get_monotonic_time () - began, >=, G_TIME_SPAN_SECOND);
  for (guint i = 0; i < G_N_ELEMENTS (guesses); i++)
    expect_status (guesses[i], "HTTP/1.1 401 ");
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

static void
test_guesses (void)
{
  check_guesses ("/");
  check_guesses ("/elsewhere");
}

/* The log */

static Monitor monitor;
static guint refusals;
static GString *last;
static GString *all;

static GLogWriterOutput
write_log (GLogLevelFlags level,
           const GLogField *fields,
           gsize n_fields,
           gpointer user_data)
{
  for (gsize i = 0; i < n_fields; i++)
    if (strcmp (fields[i].key, "MESSAGE") == 0)
      {
        monitor_enter (&monitor);
        if (strstr (fields[i].value, "a request from 127.0.0.1 was answered 401: A valid bearer token is needed.") != NULL)
          refusals++;
        g_string_assign (last, fields[i].value);
        g_string_append_printf (all, "%s\n", (const char *) fields[i].value);
        monitor_changed (&monitor);
        monitor_leave (&monitor);
      }
  return G_LOG_WRITER_HANDLED;
}

/* As in io/log-limit.h: in each period, so many lines of a kind are logged, and one line with the number of the
 * others. */
#define LOGGED 20
#define LOG_PERIOD (10 * G_TIME_SPAN_SECOND)

/* Returns the maximum number of lines since @began. */
static guint
get_log_bound (gint64 began)
{
  return (LOGGED + 1) * (1 + (g_get_monotonic_time () - began) / LOG_PERIOD);
}

/* Refusals are logged with their address and their reason; if there are too many, only their number is. */
static void
test_log (void)
{
  const guint count = 100;
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  gint64 began;
  guint16 port;

  g_object_set (gateway, "log-level", TCP_TUNNEL_LOG_LEVEL_INFO, NULL);
  port = start_gateway (gateway);
  monitor_enter (&monitor);
  refusals = 0;
  monitor_leave (&monitor);
  began = g_get_monotonic_time ();
  for (guint i = 0; i < count; i++)
    g_assert_cmpuint (http_get (port, "/", WS_UPGRADE, NULL, NULL), ==, 401);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));

  g_assert_true (MONITOR_WAIT_FOR (&monitor, test_deadline (), strstr (last->str, "not logged") != NULL));
  monitor_enter (&monitor);
  g_test_message ("%u lines; %s", refusals, last->str);
  g_assert_cmpuint (refusals, >=, LOGGED + 1);
  g_assert_cmpuint (refusals, <=, MIN (count, get_log_bound (began)));
  g_assert_nonnull (strstr (last->str, "127.0.0.1"));
  monitor_leave (&monitor);
}

/* Requests that are refused because of a header are logged, too. */
static void
test_log_of_headers (void)
{
  static const struct
  {
    const char *request;
    const char *line;
  } cases[] = {
    { "GET / HTTP/1.1\r\n" WS_UPGRADE AUTHORIZED, "answered 400: The Host header is missing." },
    { "GET / HTTP/1.1\r\nHost: a/b\r\n" WS_UPGRADE AUTHORIZED, "answered 400: The request line or the Host header is malformed." },
    { "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n" AUTHORIZED, "answered 400: The Connection header" },
    { "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\n" AUTHORIZED,
      "answered 400: Only version 13" },
    { "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" AUTHORIZED,
      "answered 400: The Sec-WebSocket-Key header" },
    { "GET / HTTP/1.1\r\nHost: h\r\n" WS_UPGRADE AUTHORIZED AUTHORIZED, "answered 400: A header that may occur only once" },
    { "GET / HTTP/1.1\nHost: h\r\n" WS_UPGRADE AUTHORIZED, "answered 400: A line of the request does not end" },
    { "GET / HTTP/1.0\r\nHost: h\r\n" WS_UPGRADE AUTHORIZED, "answered 505: " },
  };
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  guint16 port;

  g_object_set (gateway, "log-level", TCP_TUNNEL_LOG_LEVEL_INFO, NULL);
  port = start_gateway (gateway);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *request = g_strconcat (cases[i].request, "\r\n", NULL);
      g_autofree char *head = NULL;
      g_autofree char *connection = NULL;
      int fd = client_connect (port);

      client_write (fd, request, strlen (request));
      head = http_read_head (fd);
      g_assert_nonnull (head);
      connection = http_head_get (head, "Connection");
      g_assert_cmpstr (connection, ==, "close");
      client_expect_end (fd);
      client_close (fd);
    }
  tcp_endpoint_close (TCP_ENDPOINT (gateway));

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_test_message ("%s", cases[i].line);
      g_assert_true (MONITOR_WAIT_FOR (&monitor, test_deadline (), strstr (all->str, cases[i].line) != NULL));
    }
}

/* The lines that a client with a token can cause are limited as well. */
static void
test_log_of_broken (void)
{
  const guint count = 60;
  g_autoptr (Target) target = target_new_refusing ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  guint logged = 0;
  int fd;

  g_object_set (gateway, "log-level", TCP_TUNNEL_LOG_LEVEL_WARN, NULL);
  fd = ws_connect (start_gateway (gateway), "/?mode=multiplexed", TEST_TOKEN);
  monitor_enter (&monitor);
  g_string_truncate (all, 0);
  monitor_leave (&monitor);
  for (guint i = 1; i <= count; i++)
    ws_send (fd, WS_BINARY, (guint8[]) { 0, 0, 0, i, 'x' }, 5);
  for (guint i = 1; i <= count; i++)
    {
      guint opcode;
      g_autoptr (GBytes) close = ws_receive (fd, &opcode);

      g_assert_nonnull (close);
      g_assert_cmpuint (g_bytes_get_size (close), ==, 4);
    }
  client_close (fd);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));

  g_assert_true (MONITOR_WAIT_FOR (&monitor, test_deadline (), strstr (all->str, "not logged") != NULL));
  monitor_enter (&monitor);
  for (const char *at = all->str; (at = strstr (at, " broke: ")) != NULL; at++)
    logged++;
  g_assert_nonnull (strstr (all->str, "not logged"));
  monitor_leave (&monitor);
  /* 20, and one with the number of the others, every ten seconds. */
  g_assert_cmpuint (logged, >=, 21);
  g_assert_cmpuint (logged, <, count);
}

static guint
count_in (const char *text,
          const char *wanted)
{
  guint n = 0;

  for (const char *at = text; (at = strstr (at, wanted)) != NULL; at++)
    n++;
  return n;
}

/* The lines about clients that connect and about protocol errors are limited. */
static void
test_log_of_clients (void)
{
  const guint count = 300;
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  guint connected, broke;
  guint16 port;

  g_object_set (gateway, "log-level", TCP_TUNNEL_LOG_LEVEL_INFO, NULL);
  port = start_gateway (gateway);
  monitor_enter (&monitor);
  g_string_truncate (all, 0);
  monitor_leave (&monitor);
  for (guint i = 0; i < count; i++)
    {
      g_autoptr (ResumablePeer) peer = resumable_client_start (port, TEST_TOKEN, TRUE);

      resumable_send (peer, RESUMABLE_OPEN, 2, NULL, 0);
      resumable_expect_goaway (peer, RESUMABLE_GOAWAY_PROTOCOL, 1002);
    }
  tcp_endpoint_close (TCP_ENDPOINT (gateway));

  g_assert_true (MONITOR_WAIT_FOR (&monitor, test_deadline (), count_in (all->str, "not logged") >= 2));
  monitor_enter (&monitor);
  connected = count_in (all->str, " is connected ");
  broke = count_in (all->str, " broke the protocol: ");
  g_assert_cmpuint (count_in (all->str, "not logged"), >=, 2);
  monitor_leave (&monitor);
  g_test_message ("%u connected, %u broke the protocol", connected, broke);
  /* 20, and one with the number of the others, on each thread, every ten seconds. */
  g_assert_cmpuint (connected, >=, 21);
  g_assert_cmpuint (connected, <, count);
  g_assert_cmpuint (broke, >=, 21);
  g_assert_cmpuint (broke, <, count);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  monitor_init (&monitor);
  last = g_string_new (NULL);
  all = g_string_new (NULL);
  g_log_set_writer_func (write_log, NULL, NULL);

  g_test_add_func ("/strangers/silent", test_silent);
  g_test_add_func ("/strangers/half-a-request", test_half_a_request);
  g_test_add_func ("/strangers/client-hello", test_client_hello);
  g_test_add_func ("/strangers/secured", test_secured);
  g_test_add_func ("/strangers/other-address", test_other_address);
  g_test_add_func ("/strangers/known-address", test_known_address);
  g_test_add_func ("/strangers/bodies", test_bodies);
  g_test_add_func ("/strangers/refusals", test_refusals);
  g_test_add_func ("/strangers/endless-head", test_endless_head);
  g_test_add_func ("/strangers/largest-head", test_largest_head);
  g_test_add_func ("/strangers/head-bytes", test_head_bytes);
  g_test_add_func ("/strangers/tls-memory", test_tls_memory);
  g_test_add_func ("/strangers/guesses", test_guesses);
  g_test_add_func ("/strangers/log", test_log);
  g_test_add_func ("/strangers/log-of-headers", test_log_of_headers);
  g_test_add_func ("/strangers/log-of-broken", test_log_of_broken);
  g_test_add_func ("/strangers/log-of-clients", test_log_of_clients);

  return g_test_run ();
}
