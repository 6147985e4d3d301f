/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Clients that name their target, by SOCKS5 and HTTP CONNECT. */

#include "endpoint.h"
#include "log-tap.h"
#include "resume-rig.h"
#include "resumable-peer.h"
#include "tunnel-rig.h"

#include <poll.h>
#include <string.h>

typedef struct
{
  TcpForwardKind kind;
  TcpTunnelMode mode;
} Case;

static const Case cases[] = {
  { TCP_FORWARD_KIND_SOCKS, TCP_TUNNEL_MODE_MULTIPLEXED },
  { TCP_FORWARD_KIND_SOCKS, TCP_TUNNEL_MODE_SINGLETON },
  { TCP_FORWARD_KIND_HTTP_PROXY, TCP_TUNNEL_MODE_MULTIPLEXED },
  { TCP_FORWARD_KIND_HTTP_PROXY, TCP_TUNNEL_MODE_SINGLETON },
};

/* The result in either protocol. */
typedef struct
{
  guint8 socks;
  const char *http;
} Answer;

static const Answer connected = { 0, "200" };
static const Answer unavailable = { 1, "503" };
static const Answer forbidden = { 2, "403" };
static const Answer unreachable = { 4, "502" };
static const Answer refused = { 5, "502" };
static const Answer timed_out = { 6, "504" };

static TcpForward *
add_proxy (TcpTunnel *tunnel,
           TcpForwardKind kind)
{
  g_autoptr (TcpForward) forward = tcp_forward_new_proxy (kind, 0);
  g_autoptr (GError) error = NULL;

  tcp_tunnel_add_forward (tunnel, forward, &error);
  g_assert_no_error (error);
  return g_steal_pointer (&forward);
}

static guint16
get_port (TcpForward *forward)
{
  g_autoptr (GSocketAddress) address = tcp_forward_dup_local_address (forward);

  return g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address));
}

/* Sends all that the client has to send before it is answered, and data after it, in one piece. */
static void
proxy_ask (int fd,
           TcpForwardKind kind,
           const char *host,
           guint16 port,
           const char *early)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();

  if (kind == TCP_FORWARD_KIND_SOCKS)
    {
      guint8 length = strlen (host);
      guint8 network[] = { port >> 8, port & 0xff };

      g_byte_array_append (bytes, (const guint8 *) "\x05\x01\x00\x05\x01\x00\x03", 7);
      g_byte_array_append (bytes, &length, 1);
      g_byte_array_append (bytes, (const guint8 *) host, length);
      g_byte_array_append (bytes, network, 2);
    }
  else
    {
      g_autofree char *head = g_strdup_printf ("CONNECT %s:%u HTTP/1.1\r\nHost: %s\r\n\r\n", host, port, host);

      g_byte_array_append (bytes, (const guint8 *) head, strlen (head));
    }
  g_byte_array_append (bytes, (const guint8 *) early, strlen (early));
  client_write (fd, bytes->data, bytes->len);
}

static void
proxy_expect (int fd,
              TcpForwardKind kind,
              const Answer *answer)
{
  if (kind == TCP_FORWARD_KIND_SOCKS)
    {
      guint8 reply[12];

      client_read (fd, reply, sizeof reply);
      g_assert_cmpmem (reply, 2, "\x05\x00", 2);
      g_assert_cmpuint (reply[2], ==, 5);
      g_assert_cmpuint (reply[3], ==, answer->socks);
    }
  else
    {
      g_autoptr (GString) head = g_string_new (NULL);

      while (!g_str_has_suffix (head->str, "\r\n\r\n"))
        {
          char c;

          client_read (fd, &c, 1);
          g_string_append_c (head, c);
        }
      g_assert_true (g_str_has_prefix (head->str, "HTTP/1.1 "));
      g_assert_cmpint (strncmp (head->str + 9, answer->http, 3), ==, 0);
      g_assert_true ((strstr (head->str, "Content-Length") == NULL) == (answer == &connected));
    }
}

/* The client receives the answer and then the end; no reset cuts it off. */
static void
check_refusal (guint16 proxy,
               TcpForwardKind kind,
               const char *host,
               guint16 port,
               const Answer *answer)
{
  int fd = client_connect (proxy);

  g_test_message ("%s:%u", host, port);
  proxy_ask (fd, kind, host, port, "early data that nobody reads");
  proxy_expect (fd, kind, answer);
  client_expect_eof (fd);
  client_close (fd);
}

static void
allow (Fixture *fixture,
       const char *first,
       const char *second)
{
  const char *patterns[] = { first, second, NULL };

  g_object_set (fixture->gateway, "allow", patterns, NULL);
}

static Fixture *
proxy_rig_new (Target *own,
               const Case *c,
               TcpForward **forward)
{
  Fixture *fixture = resume_new (own, c->mode);

  allow (fixture, "127.0.0.1:*", "*.invalid:*");
  *forward = add_proxy (fixture->tunnel, c->kind);
  return fixture;
}

static void
test_connected (gconstpointer data)
{
  const Case *c = data;
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Target) other = target_new_echo ();
  g_autoptr (TcpForward) forward = NULL;
  g_autoptr (Fixture) fixture = proxy_rig_new (own, c, &forward);
  char buffer[5];

  fixture_start (fixture);
  for (guint i = 1; i <= 3; i++)
    {
      int fd = client_connect (get_port (forward));

      proxy_ask (fd, c->kind, "127.0.0.1", target_get_port (other), "early");
      proxy_expect (fd, c->kind, &connected);
      client_read (fd, buffer, sizeof buffer);
      g_assert_cmpmem (buffer, sizeof buffer, "early", 5);
      client_echo_stream (fd, 100000, i);
      client_finish (fd);
      client_expect_eof (fd);
      client_close (fd);
      WAIT_UNTIL (fixture->recorder->closed == i);
      g_assert_no_error (fixture->recorder->closed_error);
    }
  g_assert_cmpuint (target_get_counters (own).accepted, ==, 0);
  g_assert_cmpuint (target_get_counters (other).accepted, ==, 3);
}

/* Requests may arrive byte by byte. */
static void
test_pieces (gconstpointer data)
{
  const Case *c = data;
  g_autoptr (Target) target = target_new_banner ("hello");
  g_autoptr (TcpForward) forward = NULL;
  g_autoptr (Fixture) fixture = proxy_rig_new (target, c, &forward);
  g_autofree char *request = NULL;
  char buffer[5];
  int fd;

  fixture_start (fixture);
  fd = client_connect (get_port (forward));
  if (c->kind == TCP_FORWARD_KIND_SOCKS)
    {
      const guint8 bytes[] = { 5, 2, 2, 0, 5, 1, 0, 1, 127, 0, 0, 1, target_get_port (target) >> 8,
                               target_get_port (target) & 0xff };

      for (guint i = 0; i < sizeof bytes; i++)
        client_write (fd, bytes + i, 1);
    }
  else
    {
      request = g_strdup_printf ("CONNECT 127.0.0.1:%u HTTP/1.0\r\n\r\n", target_get_port (target));
      for (guint i = 0; request[i] != '\0'; i++)
        client_write (fd, request + i, 1);
    }
  proxy_expect (fd, c->kind, &connected);
  client_read (fd, buffer, sizeof buffer);
  g_assert_cmpmem (buffer, sizeof buffer, "hello", 5);
  client_close (fd);
}

static void
test_refusals (gconstpointer data)
{
  const Case *c = data;
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Target) nobody = target_new_refusing ();
  g_autoptr (Target) silent = target_new_silent ();
  g_autoptr (TcpForward) forward = NULL;
  g_autoptr (Fixture) fixture = proxy_rig_new (own, c, &forward);

  g_object_set (fixture->gateway, "connect-timeout", 300, NULL);
  fixture_start (fixture);
  check_refusal (get_port (forward), c->kind, "127.0.0.2", target_get_port (own), &forbidden);
  check_refusal (get_port (forward), c->kind, "127.0.0.1", target_get_port (nobody), &refused);
  check_refusal (get_port (forward), c->kind, "no-such-name.invalid", 80, &unreachable);
  check_refusal (get_port (forward), c->kind, "127.0.0.1", target_get_port (silent), &timed_out);
  g_assert_cmpuint (target_get_counters (own).accepted, ==, 0);
}

static void
test_bad_requests (gconstpointer data)
{
  const Case *c = data;
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (TcpForward) forward = NULL;
  g_autoptr (Fixture) fixture = proxy_rig_new (own, c, &forward);
  int fd;

  fixture_start (fixture);
  fd = client_connect (get_port (forward));
  if (c->kind == TCP_FORWARD_KIND_SOCKS)
    {
      guint8 reply[12];

      client_write (fd, "\x05\x01\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", 13);
      client_read (fd, reply, sizeof reply);
      g_assert_cmpmem (reply, 4, "\x05\x00\x05\x07", 4);
    }
  else
    {
      const char *request = "GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

      client_write (fd, request, strlen (request));
      proxy_expect (fd, c->kind, &(Answer) { .http = "405" });
    }
  client_expect_eof (fd);
  client_close (fd);
  g_assert_cmpuint (test_figure (fixture->tunnel, total_connections), ==, 0);
}

/* A client that sends nothing, or only a part of its request. */
static void
test_silent (gconstpointer data)
{
  const Case *c = data;
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (TcpForward) forward = NULL;
  g_autoptr (Fixture) fixture = proxy_rig_new (own, c, &forward);
  int silent, halfway;

  g_object_set (fixture->tunnel, "connect-timeout", 500, NULL);
  fixture_start (fixture);
  silent = client_connect (get_port (forward));
  halfway = client_connect (get_port (forward));
  client_write (halfway, c->kind == TCP_FORWARD_KIND_SOCKS ? "\x05\x02\x00" : "CON", 3);
  if (c->kind == TCP_FORWARD_KIND_HTTP_PROXY)
    proxy_expect (silent, c->kind, &(Answer) { .http = "408" });
  client_expect_end (silent);
  client_expect_end (halfway);
  client_close (silent);
  client_close (halfway);
}

/* Clients that have not yet sent a request count as well. */
static void
test_too_many (gconstpointer data)
{
  const Case *c = data;
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (TcpForward) forward = NULL;
  g_autoptr (Fixture) fixture = proxy_rig_new (own, c, &forward);
  int fds[3];

  log_tap_clear ();
  g_object_set (fixture->tunnel, "max-connections", 2, NULL);
  fixture_start (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    fds[i] = client_connect (get_port (forward));
  client_expect_end (fds[2]);
  LOG_TAP_EXPECT ("warn", "max-connections", 1);
  g_assert_cmpuint (test_figure (fixture->tunnel, total_connections), ==, 0);

  for (guint i = 0; i < 2; i++)
    {
      proxy_ask (fds[i], c->kind, "127.0.0.1", target_get_port (own), "");
      proxy_expect (fds[i], c->kind, &connected);
      client_round_trip (fds[i], "there was room");
    }
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    client_close (fds[i]);
}

/* The answer waits for that of the gateway. A client that leaves meanwhile is not waited for. */
static void
test_patience (gconstpointer data)
{
  const Case *c = data;
  g_auto (TunnelRig) rig = tunnel_rig_new (TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autoptr (TcpForward) forward = add_proxy (rig.tunnel, c->kind);
  ResumableFrame frame;
  struct pollfd readable = { .events = POLLIN };
  int fd = tunnel_rig_start (&rig);

  readable.fd = client_connect (get_port (forward));
  proxy_ask (readable.fd, c->kind, "db.lab", 5432, "early");
  frame = resumable_expect (rig.server, RESUMABLE_OPEN, 3);
  g_assert_cmpmem (frame.payload, frame.length, "db.lab:5432", 11);
  tunnel_rig_round_trip (&rig, fd, 1, "meanwhile");
  if (c->kind == TCP_FORWARD_KIND_SOCKS)
    {
      guint8 methods[2];

      client_read (readable.fd, methods, 2);
    }
  g_assert_cmpint (poll (&readable, 1, 0), ==, 0);
  resumable_send (rig.server, RESUMABLE_OPENED, 3, NULL, 0);
  frame = resumable_expect (rig.server, RESUMABLE_DATA, 3);
  g_assert_cmpmem (frame.payload, frame.length, "early", 5);
  client_reset (readable.fd);
  resumable_expect (rig.server, RESUMABLE_RESET, 3);

  readable.fd = client_connect (get_port (forward));
  proxy_ask (readable.fd, c->kind, "db.lab", 5432, "");
  resumable_expect (rig.server, RESUMABLE_OPEN, 5);
  client_reset (readable.fd);
  resumable_expect (rig.server, RESUMABLE_RESET, 5);
  client_close (fd);
}

/* The gateway supports no named targets. */
static void
test_unavailable (gconstpointer data)
{
  const Case *c = data;
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (own, c->mode, FIXTURE_PLAIN);
  g_autoptr (TcpForward) forward = add_proxy (fixture->tunnel, c->kind);

  fixture_start (fixture);
  check_refusal (get_port (forward), c->kind, "db.lab", 5432, &unavailable);
  g_assert_cmpuint (target_get_counters (own).bytes_in, ==, 0);
}

/* The tunnel is closed while requests are pending. */
static void
test_closed (gconstpointer data)
{
  const Case *c = data;
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Target) silent = target_new_silent ();
  g_autoptr (TcpForward) forward = NULL;
  g_autoptr (Fixture) fixture = proxy_rig_new (own, c, &forward);
  int quiet, waiting;

  fixture_start (fixture);
  quiet = client_connect (get_port (forward));
  waiting = client_connect (get_port (forward));
  proxy_ask (waiting, c->kind, "127.0.0.1", target_get_port (silent), "");
  WAIT_UNTIL (fixture->recorder->opened == 1);
  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
  client_expect_end (quiet);
  proxy_expect (waiting, c->kind, &unavailable);
  client_expect_end (waiting);
  client_close (quiet);
  client_close (waiting);
}

/* Pages: many at the same time, over a WebSocket that breaks again and again */

#define N_BROWSERS 8
#define PAGE_SIZE 40000
#define CUT_MS 300

typedef struct
{
  TcpForwardKind kind;
  guint16 proxy;
  guint16 target;
  guint pages;
} Browser;

static gpointer
run_browser (gpointer data)
{
  Browser *self = data;

  for (guint i = 0; i < self->pages; i++)
    {
      int fd = client_connect (self->proxy);

      proxy_ask (fd, self->kind, "127.0.0.1", self->target, "GET /");
      proxy_expect (fd, self->kind, &connected);
      client_read_stream (fd, PAGE_SIZE, 11, 0);
      client_finish (fd);
      client_expect_eof (fd);
      client_close (fd);
    }
  return NULL;
}

static gboolean
on_cut (gpointer proxy)
{
  fault_proxy_reset (proxy);
  return G_SOURCE_CONTINUE;
}

static void
test_pages (gconstpointer data)
{
  const Case *c = data;
  g_autoptr (Target) pages = target_new_source (PAGE_SIZE, 11);
  g_autoptr (TcpForward) forward = NULL;
  g_autoptr (Fixture) fixture = proxy_rig_new (pages, c, &forward);
  Browser browsers[N_BROWSERS];
  GThread *threads[N_BROWSERS];
  guint cutter;

  fixture_start (fixture);
  /* Slow enough for several cuts. */
  fault_proxy_throttle (fixture->proxy, FAULT_DOWN, 4000000);
  cutter = g_timeout_add (CUT_MS, on_cut, fixture->proxy);
  for (guint i = 0; i < N_BROWSERS; i++)
    {
      browsers[i] = (Browser) { .kind = c->kind, .proxy = get_port (forward), .target = target_get_port (pages),
                                .pages = 100 };
      threads[i] = g_thread_new ("browser", run_browser, &browsers[i]);
    }
  WAIT_UNTIL (target_get_counters (pages).accepted == N_BROWSERS * 100);
  g_source_remove (cutter);
  for (guint i = 0; i < N_BROWSERS; i++)
    g_thread_join (threads[i]);
  g_test_message ("%" G_GUINT64_FORMAT " resumes", test_figure (fixture->tunnel, resumes));
  g_assert_cmpuint (test_figure (fixture->tunnel, resumes), >=, 3);
  g_assert_cmpuint (target_get_counters (pages).accepted, ==, N_BROWSERS * 100);
}

static void
add_test (const char *name,
          GTestDataFunc func,
          guint n_cases)
{
  for (guint i = 0; i < n_cases; i++)
    {
      g_autofree char *path = g_strdup_printf ("/proxies/%s/%s/%s", name,
                                               cases[i].kind == TCP_FORWARD_KIND_SOCKS ? "socks" : "http",
                                               cases[i].mode == TCP_TUNNEL_MODE_SINGLETON ? "singleton" : "multiplexed");

      g_test_add_data_func (path, &cases[i], func);
    }
}

static void
add_multiplexed_test (const char *name,
                      GTestDataFunc func)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i += 2)
    {
      g_autofree char *path =
          g_strdup_printf ("/proxies/%s/%s", name, cases[i].kind == TCP_FORWARD_KIND_SOCKS ? "socks" : "http");

      g_test_add_data_func (path, &cases[i], func);
    }
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  log_tap_install ();

  add_test ("connected", test_connected, G_N_ELEMENTS (cases));
  add_test ("pieces", test_pieces, G_N_ELEMENTS (cases));
  add_test ("refusals", test_refusals, G_N_ELEMENTS (cases));
  add_test ("bad-requests", test_bad_requests, G_N_ELEMENTS (cases));
  add_multiplexed_test ("silent", test_silent);
  add_multiplexed_test ("too-many", test_too_many);
  add_multiplexed_test ("patience", test_patience);
  add_test ("unavailable", test_unavailable, G_N_ELEMENTS (cases));
  add_multiplexed_test ("closed", test_closed);
  add_multiplexed_test ("pages", test_pages);

  return g_test_run ();
}
