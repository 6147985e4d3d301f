/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* TcpGatewayMetrics: what a gateway counts in addition to its statistics. */

#include "resume-rig.h"
#include "resumable-peer.h"

#define figure(gateway, field) figure_at (gateway, G_STRUCT_OFFSET (TcpGatewayMetrics, field))

static guint64
figure_at (TcpGateway *gateway,
           gsize offset)
{
  g_autoptr (TcpGatewayMetrics) metrics = tcp_gateway_get_metrics (gateway);

  return G_STRUCT_MEMBER (guint64, metrics, offset);
}

typedef const guint64 *(*BucketsFunc) (const TcpGatewayMetrics *metrics, gsize *n);

static guint64
sum (TcpGatewayMetrics *metrics,
     BucketsFunc get)
{
  gsize n, n_bounds;
  const guint64 *buckets = get (metrics, &n);
  guint64 total = 0;

  tcp_gateway_metrics_get_bounds (metrics, &n_bounds);
  g_assert_cmpuint (n, ==, n_bounds + 1);
  for (gsize i = 0; i < n; i++)
    total += buckets[i];
  return total;
}

/* Sessions, WebSockets and the time to open them; and the resumes and the duration of a connection. */
static void
test_sessions (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (target, TCP_TUNNEL_MODE_MULTIPLEXED);
  TcpGateway *gateway = fixture->gateway;
  g_autoptr (TcpGatewayMetrics) metrics = tcp_gateway_get_metrics (gateway);
  g_autoptr (TcpConnection) connection = NULL;
  gsize n_bounds;
  const double *bounds;
  guint64 resumes, duration;
  int fd;

  g_assert_cmpuint (metrics->total_sessions + metrics->max_sessions + metrics->max_memory, ==, 0);
  g_clear_pointer (&metrics, tcp_gateway_metrics_free);
  fd = resume_begin (fixture);
  g_assert_cmpuint (figure (gateway, open_sessions), ==, 1);
  g_assert_cmpuint (figure (gateway, open_websockets), ==, 1);
  resume_cut (fixture, fd, 2);
  WAIT_UNTIL (figure (gateway, open_websockets) == 1);

  metrics = tcp_gateway_get_metrics (gateway);
  g_assert_cmpuint (metrics->open_sessions, ==, 1);
  g_assert_cmpuint (metrics->total_sessions, ==, 1);
  g_assert_cmpuint (metrics->total_websockets, ==, 3);
  g_assert_cmpuint (metrics->accepted_connections, ==, 3);
  g_assert_cmpuint (metrics->pending_connections, ==, 0);
  g_assert_cmpfloat (metrics->websocket_time, >, 0);
  g_assert_cmpuint (sum (metrics, tcp_gateway_metrics_get_websocket_buckets), ==, 3);
  g_assert_cmpuint (metrics->dials_connected, ==, 1);
  g_assert_cmpuint (sum (metrics, tcp_gateway_metrics_get_dial_buckets), ==, 1);
  g_assert_cmpuint (metrics->open_dials, ==, 0);
  g_assert_cmpuint (metrics->max_dials, ==, test_get_int (gateway, "max-dials"));
  g_assert_cmpuint (metrics->max_connections, ==, test_get_int (gateway, "max-connections"));
  g_assert_cmpuint (metrics->max_memory, >, 0);
  bounds = tcp_gateway_metrics_get_bounds (metrics, &n_bounds);
  for (gsize i = 1; i < n_bounds; i++)
    g_assert_cmpfloat (bounds[i - 1], <, bounds[i]);

  WAIT_UNTIL (g_list_model_get_n_items (tcp_endpoint_get_connections (TCP_ENDPOINT (gateway))) == 1);
  connection = g_list_model_get_item (tcp_endpoint_get_connections (TCP_ENDPOINT (gateway)), 0);
  g_object_get (connection, "resumes", &resumes, NULL);
  g_assert_cmpuint (resumes, ==, 2);
  client_finish (fd);
  WAIT_UNTIL (tcp_connection_get_closed (connection));
  g_object_get (connection, "duration", &duration, NULL);
  for (guint i = 0; i < 3; i++)
    {
      guint64 later;

      g_usleep (2000);
      g_object_get (connection, "duration", &later, NULL);
      g_assert_cmpuint (later, ==, duration);
    }

  /* Totals remain after a close; values of the present state are 0. */
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  g_assert_cmpuint (figure (gateway, open_sessions), ==, 0);
  g_assert_cmpuint (figure (gateway, max_sessions), ==, 0);
  g_assert_cmpuint (figure (gateway, total_sessions), ==, 1);
  g_assert_cmpuint (figure (gateway, total_websockets), ==, 3);
}

/* Connections to a target that fail are counted by their reason. */
static void
dial (TcpGateway *gateway,
      const char *where,
      ResumableReset code)
{
  guint16 port = test_port_of (gateway);
  g_autoptr (ResumablePeer) peer = resumable_client_start (port, TEST_TOKEN, TRUE);

  resumable_send_text (peer, RESUMABLE_OPEN, 1, where);
  resumable_expect_reset (peer, 1, code);
}

static void
test_dials (void)
{
  g_autoptr (Target) target = target_new_refusing ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_RESUMABLE);
  const char *const allow[] = { "*.invalid:1", NULL };
  TcpGateway *gateway = fixture->gateway;
  g_autoptr (TcpGatewayMetrics) metrics = NULL;

  g_object_set (gateway, "allow", allow, NULL);
  fixture_start_gateway (fixture);
  dial (gateway, "", RESUMABLE_RESET_REFUSED);
  dial (gateway, "gone.invalid:1", RESUMABLE_RESET_UNREACHABLE);
  dial (gateway, "192.0.2.1:1", RESUMABLE_RESET_FORBIDDEN);
  dial (gateway, "192.0.2.1:2", RESUMABLE_RESET_FORBIDDEN);
  metrics = tcp_gateway_get_metrics (gateway);
  g_assert_cmpuint (metrics->dials_refused, ==, 1);
  g_assert_cmpuint (metrics->dials_unresolved, ==, 1);
  g_assert_cmpuint (metrics->dials_forbidden, ==, 2);
  g_assert_cmpuint (metrics->dials_unreachable + metrics->dials_timed_out + metrics->dials_limited, ==, 0);
  g_assert_cmpuint (metrics->dials_connected, ==, 0);
}

static void
test_dial_timeout (void)
{
  g_autoptr (Target) target = target_new_silent ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_RESUMABLE);

  g_object_set (fixture->gateway, "connect-timeout", 50, NULL);
  fixture_start_gateway (fixture);
  dial (fixture->gateway, "", RESUMABLE_RESET_TIMED_OUT);
  g_assert_cmpuint (figure (fixture->gateway, dials_timed_out), ==, 1);
}

/* The limit that was hit is counted. */
static void
test_limits (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_RESUMABLE);
  TcpGateway *gateway = fixture->gateway;
  g_autoptr (ResumablePeer) first = NULL;
  g_autofree char *body = NULL;

  g_object_set (gateway, "max-principal-sessions", 1, "max-principal-connections", 1, NULL);
  fixture_start_gateway (fixture);
  first = resumable_client_start (test_port_of (gateway), TEST_TOKEN, TRUE);
  resumable_open (first, 1);
  resumable_send (first, RESUMABLE_OPEN, 3, NULL, 0);
  resumable_expect (first, RESUMABLE_RESET, 3);
  g_assert_cmpuint (figure (gateway, dials_limited), ==, 1);
  g_assert_cmpuint (figure (gateway, hits_max_principal_connections), ==, 1);
  g_assert_cmpuint (figure (gateway, hits_max_connections), ==, 0);

  g_assert_cmpuint (http_get (test_port_of (gateway), "/", WS_UPGRADE "Authorization: Bearer " TEST_TOKEN "\r\n", &body,
                              NULL), ==, 503);
  g_assert_cmpuint (figure (gateway, hits_max_principal_sessions), ==, 1);
  g_assert_cmpuint (figure (gateway, refused_requests), ==, 1);
}

/* Connections that wait too long because of the rate. */
static void
test_dial_limits (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_RESUMABLE);
  TcpGateway *gateway = fixture->gateway;
  g_autoptr (ResumablePeer) peer = NULL;

  g_object_set (gateway, "max-principal-dial-rate", 1, "connect-timeout", 50, NULL);
  fixture_start_gateway (fixture);
  peer = resumable_client_start (test_port_of (gateway), TEST_TOKEN, TRUE);
  resumable_open (peer, 1);
  resumable_send (peer, RESUMABLE_OPEN, 3, NULL, 0);
  resumable_expect (peer, RESUMABLE_RESET, 3);
  g_assert_cmpuint (figure (gateway, hits_max_principal_dial_rate), ==, 1);
  g_assert_cmpuint (figure (gateway, hits_max_dials) + figure (gateway, hits_max_principal_dials), ==, 0);
  g_assert_cmpuint (figure (gateway, dials_limited), ==, 1);
}

/* TLS handshakes, and connections that are dropped before they send a whole request. */
static void
test_strangers (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_TLS);
  TcpGateway *gateway = fixture->gateway;
  int fd;

  fixture_start (fixture);
  fd = client_connect (fixture_get_port (fixture));
  client_round_trip (fd, "hello");
  g_assert_cmpuint (figure (gateway, tls_handshakes), ==, 1);
  client_close (fd);

  fd = client_connect (test_port_of (gateway));
  WAIT_UNTIL (figure (gateway, pending_connections) == 1);
  client_write (fd, "GET / HTTP/1.1\r\n", 16);
  client_expect_end (fd);
  client_close (fd);
  WAIT_UNTIL (figure (gateway, pending_connections) == 0);
  g_assert_cmpuint (figure (gateway, dropped_connections), ==, 1);
}

static void
test_tokens (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PLAIN);
  guint16 port;

  fixture_start_gateway (fixture);
  port = test_port_of (fixture->gateway);
  g_assert_cmpuint (http_get (port, "/", WS_UPGRADE, NULL, NULL), ==, 401);
  g_assert_cmpuint (http_get (port, "/", WS_UPGRADE "Authorization: Bearer wrong\r\n", NULL, NULL), ==, 401);
  g_assert_cmpuint (http_get (port, "/x", WS_UPGRADE "Authorization: Bearer " TEST_TOKEN "\r\n", NULL, NULL), ==, 404);
  g_assert_cmpuint (figure (fixture->gateway, authentication_failures), ==, 2);
  g_assert_cmpuint (figure (fixture->gateway, refused_requests), ==, 3);
}

/* A connection by way of a proxy has two addresses. */
static void
test_proxy_address (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PLAIN);
  TcpEndpoint *gateway = TCP_ENDPOINT (fixture->gateway);
  const char *const proxies[] = { "127.0.0.1", NULL };
  g_autoptr (TcpConnection) connection = NULL;
  g_autoptr (GSocketAddress) proxy = NULL;
  g_autofree char *client = NULL;
  g_autofree char *text = NULL;
  int fd = -1;

  g_object_set (gateway, "trusted-proxies", proxies, NULL);
  fixture_start_gateway (fixture);
  g_assert_cmpuint (http_get (test_port_of (gateway), "/", WS_UPGRADE "Authorization: Bearer " TEST_TOKEN "\r\n"
                                                           "X-Forwarded-For: 192.0.2.7\r\n", NULL, &fd), ==, 101);
  WAIT_UNTIL (g_list_model_get_n_items (tcp_endpoint_get_connections (gateway)) == 1);
  connection = g_list_model_get_item (tcp_endpoint_get_connections (gateway), 0);
  client = g_socket_connectable_to_string (G_SOCKET_CONNECTABLE (tcp_connection_get_client_address (connection)));
  g_assert_cmpstr (client, ==, "192.0.2.7");
  g_object_get (connection, "proxy-address", &proxy, NULL);
  text = g_socket_connectable_to_string (G_SOCKET_CONNECTABLE (proxy));
  g_assert_true (g_str_has_prefix (text, "127.0.0.1:"));
  client_close (fd);
}

/* Several threads read the metrics while the gateway is closed and started again, with one session each time. Totals
 * never decrease. */

#define N_THREADS 4

typedef struct
{
  TcpGateway *gateway;
  int stop; /* atomic */
} Reader;

static gpointer
run_reads (gpointer data)
{
  Reader *reader = data;
  guint64 sessions = 0, accepted = 0;

  while (!g_atomic_int_get (&reader->stop))
    {
      g_autoptr (TcpGatewayMetrics) metrics = tcp_gateway_get_metrics (reader->gateway);

      g_assert_cmpuint (metrics->total_sessions, >=, sessions);
      g_assert_cmpuint (metrics->total_sessions, >=, metrics->open_sessions);
      g_assert_cmpuint (metrics->open_sessions, <=, 1);
      g_assert_cmpuint (metrics->accepted_connections, >=, accepted);
      sessions = metrics->total_sessions;
      accepted = metrics->accepted_connections;
    }
  return NULL;
}

static void
test_threads (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_RESUMABLE);
  Reader reader = { .gateway = fixture->gateway };
  GThread *threads[N_THREADS];
  guint rounds = test_count (50, 20);

  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("reads", run_reads, &reader);
  for (guint i = 0; i < rounds; i++)
    {
      int fd;

      fixture_start (fixture);
      fd = client_connect (fixture_get_port (fixture));
      client_round_trip (fd, "hello");
      client_close (fd);
      tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
      tcp_endpoint_close (TCP_ENDPOINT (fixture->gateway));
    }
  g_atomic_int_set (&reader.stop, TRUE);
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  g_assert_cmpuint (figure (fixture->gateway, total_sessions), ==, rounds);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/metrics/sessions", test_sessions);
  g_test_add_func ("/metrics/dials", test_dials);
  g_test_add_func ("/metrics/dial-timeout", test_dial_timeout);
  g_test_add_func ("/metrics/limits", test_limits);
  g_test_add_func ("/metrics/dial-limits", test_dial_limits);
  g_test_add_func ("/metrics/strangers", test_strangers);
  g_test_add_func ("/metrics/tokens", test_tokens);
  g_test_add_func ("/metrics/proxy-address", test_proxy_address);
  g_test_add_func ("/metrics/threads", test_threads);

  return g_test_run ();
}
