/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Starting and closing a tunnel, and their errors. */

#include "fixture.h"

#include "socket-util.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

typedef struct
{
  gboolean done;
  gboolean started;
  GError *error;
} Start;

static void
on_started (GObject *source,
            GAsyncResult *result,
            gpointer user_data)
{
  Start *start = user_data;

  start->started = tcp_endpoint_start_finish (TCP_ENDPOINT (source), result, &start->error);
  start->done = TRUE;
}

static void
start_clear (Start *start)
{
  g_clear_error (&start->error);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Start, start_clear)

static void
expect_start_error (TcpTunnel *tunnel,
                    TcpTunnelError code)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, (int) code);
  g_assert_null (strstr (error->message, TEST_TOKEN));
  g_assert_null (tcp_endpoint_get_local_address (TCP_ENDPOINT (tunnel)));
  g_assert_cmpint (tcp_tunnel_get_state (tunnel), ==, TCP_TUNNEL_STATE_DISCONNECTED);
}

static void
test_two_starts (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PLAIN);
  g_autoptr (GError) error = NULL;
  int fd;

  fixture_start (fixture);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (fixture->tunnel), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE);

  fd = client_connect (fixture_get_port (fixture));
  client_round_trip (fd, "the first start holds");
  client_close (fd);
}

static void
test_two_starts_at_once (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  g_auto (Start) first = { 0 };
  g_auto (Start) second = { 0 };

  fixture_start_gateway (fixture);
  tcp_endpoint_start_async (TCP_ENDPOINT (fixture->tunnel), NULL, on_started, &first);
  tcp_endpoint_start_async (TCP_ENDPOINT (fixture->tunnel), NULL, on_started, &second);
  g_assert_false (first.done || second.done);
  WAIT_UNTIL (first.done && second.done);
  g_assert_no_error (first.error);
  g_assert_true (first.started);
  g_assert_error (second.error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE);
}

static void
check_start_after_close (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, mode, FIXTURE_PLAIN);
  int fd;

  fixture_start_gateway (fixture);
  for (guint i = 0; i < 5; i++)
    {
      guint16 port;

      test_tunnel_start (fixture->tunnel);
      g_assert_true (tcp_endpoint_get_active (TCP_ENDPOINT (fixture->tunnel)));
      port = fixture_get_port (fixture);
      fd = client_connect (port);
      client_round_trip (fd, "hello");
      tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
      client_expect_reset (fd);
      client_close (fd);
      g_assert_null (tcp_endpoint_get_local_address (TCP_ENDPOINT (fixture->tunnel)));
      g_assert_false (tcp_endpoint_get_active (TCP_ENDPOINT (fixture->tunnel)));
      g_assert_cmpint (tcp_tunnel_get_state (fixture->tunnel), ==, TCP_TUNNEL_STATE_DISCONNECTED);
      /* The port is available at once. */
      close (socket_listen (port, NULL));
    }
  WAIT_UNTIL (fixture->recorder->last_state == TCP_TUNNEL_STATE_DISCONNECTED);
  g_assert_cmpuint (fixture->recorder->failures, ==, 0);
}

static void
test_start_after_close (void)
{
  check_start_after_close (TCP_TUNNEL_MODE_SINGLETON);
  check_start_after_close (TCP_TUNNEL_MODE_MULTIPLEXED);
}

static void
test_start_after_failure (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PLAIN);
  int fd;

  fixture_start_gateway (fixture);
  tcp_tunnel_set_token (fixture->tunnel, "wrong");
  test_tunnel_start (fixture->tunnel);
  fd = client_connect (fixture_get_port (fixture));
  WAIT_UNTIL (fixture->recorder->failures == 1);
  client_close (fd);

  tcp_tunnel_set_token (fixture->tunnel, TEST_TOKEN);
  test_tunnel_start (fixture->tunnel);
  fd = client_connect (fixture_get_port (fixture));
  client_round_trip (fd, "well again");
  client_close (fd);
}

static void
test_close_is_idempotent (void)
{
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new ("ws://127.0.0.1:9/", TCP_TUNNEL_MODE_SINGLETON);
  guint16 port;
  int fd;

  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
  test_tunnel_start (tunnel);
  port = test_tunnel_get_port (tunnel);
  for (guint i = 0; i < 2; i++)
    {
      tcp_endpoint_close (TCP_ENDPOINT (tunnel));
      g_assert_cmpint (tcp_tunnel_get_state (tunnel), ==, TCP_TUNNEL_STATE_DISCONNECTED);
      g_assert_null (tcp_endpoint_get_local_address (TCP_ENDPOINT (tunnel)));
    }
  g_assert_cmpint (client_try_connect (port, &fd), ==, ECONNREFUSED);
}

static void
test_cancel_start (void)
{
  g_autoptr (HttpStub) stub = http_stub_new ();
  g_autofree char *uri = http_stub_get_uri (stub, "/");
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_auto (Start) start = { 0 };
  g_auto (Start) early = { 0 };

  http_stub_push_silence (stub);
  tcp_endpoint_start_async (TCP_ENDPOINT (tunnel), cancellable, on_started, &start);
  g_assert_true (http_stub_wait_held (stub, 1));
  g_cancellable_cancel (cancellable);
  WAIT_UNTIL (start.done);
  g_assert_error (start.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  /* The start leaves nothing behind. */
  g_assert_true (http_stub_wait_held (stub, 0));
  g_assert_null (tcp_endpoint_get_local_address (TCP_ENDPOINT (tunnel)));

  tcp_endpoint_start_async (TCP_ENDPOINT (tunnel), cancellable, on_started, &early);
  WAIT_UNTIL (early.done);
  g_assert_error (early.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpuint (http_stub_get_requests (stub), ==, 1);
}

static void
test_close_while_starting (void)
{
  g_autoptr (HttpStub) stub = http_stub_new ();
  g_autofree char *uri = http_stub_get_uri (stub, "/");
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_auto (Start) start = { 0 };

  http_stub_push_silence (stub);
  tcp_endpoint_start_async (TCP_ENDPOINT (tunnel), NULL, on_started, &start);
  g_assert_true (http_stub_wait_held (stub, 1));
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
  WAIT_UNTIL (start.done);
  g_assert_error (start.error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED);
  g_assert_true (http_stub_wait_held (stub, 0));
}

static void
test_close_while_connecting (void)
{
  g_autoptr (HttpStub) stub = http_stub_new ();
  g_autofree char *uri = http_stub_get_uri (stub, "/");
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_SINGLETON);
  g_autoptr (Recorder) recorder = recorder_new (tunnel);
  int fd;

  http_stub_push_silence (stub);
  test_tunnel_start (tunnel);
  fd = client_connect (test_tunnel_get_port (tunnel));
  g_assert_true (http_stub_wait_held (stub, 1));
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
  client_expect_reset (fd);
  client_close (fd);
  g_assert_true (http_stub_wait_held (stub, 0));
  g_assert_cmpint (tcp_tunnel_get_state (tunnel), ==, TCP_TUNNEL_STATE_DISCONNECTED);
  /* The close emitted the change of state, and nothing follows, not even earlier changes. */
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpstr (recorder->states->str, ==, "disconnected");
  g_assert_cmpuint (recorder->failures, ==, 0);
}

typedef struct
{
  gboolean over;
  gboolean closed;
  GString *changes; /* of the property active, in order */
} Close;

static void
on_closed (GObject *source,
           GAsyncResult *result,
           gpointer user_data)
{
  Close *close = user_data;
  g_autoptr (GError) error = NULL;

  close->closed = tcp_endpoint_close_finish (TCP_ENDPOINT (source), result, &error);
  if (!close->closed)
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  close->over = TRUE;
}

static void
on_active_changed (TcpEndpoint *endpoint,
                   GParamSpec *pspec,
                   GString *changes)
{
  g_string_append_c (changes, tcp_endpoint_get_active (endpoint) ? '+' : '-');
}

/* The last signals are emitted before the callback is called. */
static void
test_close_async (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  TcpEndpoint *tunnel = TCP_ENDPOINT (fixture->tunnel);
  g_autoptr (GString) changes = g_string_new (NULL);
  int fd;

  g_signal_connect (tunnel, "notify::active", G_CALLBACK (on_active_changed), changes);
  fixture_start_gateway (fixture);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      Close close = { 0 };

      test_tunnel_start (fixture->tunnel);
      fd = client_connect (fixture_get_port (fixture));
      client_round_trip (fd, "hello");
      tcp_endpoint_close_async (tunnel, cancellable, on_closed, &close);
      g_assert_false (close.over);
      if (i == 2)
        g_cancellable_cancel (cancellable);
      WAIT_UNTIL (close.over);
      if (close.closed)
        {
          g_assert_cmpint (fixture->recorder->last_state, ==, TCP_TUNNEL_STATE_DISCONNECTED);
          g_assert_cmpstr (changes->str, ==, "+-");
        }
      /* The close continues even if it was cancelled. */
      client_expect_reset (fd);
      client_close (fd);
      tcp_endpoint_close (tunnel);
      g_assert_cmpstr (changes->str, ==, "+-");
      g_assert_false (tcp_endpoint_get_active (tunnel));
      g_string_truncate (changes, 0);

      close = (Close) { 0 };
      tcp_endpoint_close_async (tunnel, NULL, on_closed, &close);
      WAIT_UNTIL (close.over);
      g_assert_true (close.closed);
    }
  g_assert_cmpuint (changes->len, ==, 0);
}

static void
on_state_is (TcpTunnel *tunnel,
             GParamSpec *pspec,
             TcpTunnelState *last)
{
  *last = tcp_tunnel_get_state (tunnel);
}

/* A handler of the last notification finds what holds then: a property that is bound to the state would keep it. */
static void
test_close_async_state (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  TcpTunnelState last = TCP_TUNNEL_STATE_DISCONNECTED;

  g_signal_connect (fixture->tunnel, "notify::state", G_CALLBACK (on_state_is), &last);
  fixture_start_gateway (fixture);
  for (guint i = 0; i < test_count (50, 20); i++)
    {
      Close close = { 0 };

      test_tunnel_start (fixture->tunnel);
      g_assert_cmpint (last, ==, TCP_TUNNEL_STATE_CONNECTED);
      tcp_endpoint_close_async (TCP_ENDPOINT (fixture->tunnel), NULL, on_closed, &close);
      WAIT_UNTIL (close.over);
      g_assert_cmpint (last, ==, TCP_TUNNEL_STATE_DISCONNECTED);
    }
}

typedef struct
{
  gboolean restarts;
  guint restarted;
} Restarter;

static void
on_over (TcpEndpoint *endpoint,
         GParamSpec *pspec,
         Restarter *restarter)
{
  g_autoptr (GError) error = NULL;

  if (tcp_endpoint_get_active (endpoint) || !restarter->restarts)
    return;
  restarter->restarts = FALSE;
  restarter->restarted++;
  tcp_endpoint_start (endpoint, NULL, &error);
  g_assert_no_error (error);
}

/* An asynchronous close ends only the start that it was called for, and not a later one: neither one by a handler of
 * the end, nor one before the close has begun. */
static void
test_close_async_and_start (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  TcpEndpoint *tunnel = TCP_ENDPOINT (fixture->tunnel);
  int fd;

  fixture_start (fixture);
  for (guint i = 0; i < test_count (20, 5); i++)
    {
      Restarter restarter = { .restarts = TRUE };
      Close close = { 0 };
      gulong id = g_signal_connect (tunnel, "notify::active", G_CALLBACK (on_over), &restarter);

      tcp_endpoint_close_async (tunnel, NULL, on_closed, &close);
      if (i % 2 != 0)
        tcp_endpoint_close (tunnel);
      WAIT_UNTIL (close.over);
      g_signal_handler_disconnect (tunnel, id);
      g_assert_true (close.closed);
      g_assert_cmpuint (restarter.restarted, ==, 1);
      g_assert_true (tcp_endpoint_get_active (tunnel));
      g_assert_cmpint (fixture->recorder->last_state, ==, TCP_TUNNEL_STATE_CONNECTED);
      fd = client_connect (fixture_get_port (fixture));
      client_round_trip (fd, "the second start holds");
      client_close (fd);
    }
}

/* The last reference may be dropped during a close. */
static void
test_close_async_and_drop (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PLAIN);
  g_autofree char *uri = NULL;

  fixture_start_gateway (fixture);
  uri = test_dup_string (fixture->tunnel, "remote-uri");
  for (guint i = 0; i < test_count (50, 20); i++)
    {
      TcpTunnel *tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);

      test_tunnel_start (tunnel);
      tcp_endpoint_close_async (TCP_ENDPOINT (tunnel), NULL, NULL, NULL);
      test_assert_finalized (tunnel);
    }
}

/* A tunnel that has failed is not active, even before its end was delivered. */
static void
test_active_at_end (void)
{
  g_autoptr (HttpStub) stub = http_stub_new ();
  g_autofree char *uri = http_stub_get_uri (stub, "/");
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_SINGLETON);
  g_autoptr (GString) changes = g_string_new (NULL);
  gint64 deadline = test_deadline ();
  int fd;

  http_stub_push_answer (stub, 401, NULL, NULL);
  g_signal_connect (tunnel, "notify::active", G_CALLBACK (on_active_changed), changes);
  test_tunnel_start (tunnel);
  fd = client_connect (test_tunnel_get_port (tunnel));
  while (tcp_endpoint_get_active (TCP_ENDPOINT (tunnel)))
    g_assert_cmpint (test_remaining_ms (deadline), >, 0);
  g_assert_nonnull (tcp_endpoint_get_local_address (TCP_ENDPOINT (tunnel)));
  g_assert_cmpstr (changes->str, ==, "+");
  WAIT_UNTIL (changes->len == 2);
  g_assert_null (tcp_endpoint_get_local_address (TCP_ENDPOINT (tunnel)));
  g_assert_cmpstr (changes->str, ==, "+-");
  client_close (fd);
}

/* The client leaves while the WebSocket is being opened. */
static void
test_client_leaves_while_connecting (void)
{
  g_autoptr (HttpStub) stub = http_stub_new ();
  g_autofree char *uri = http_stub_get_uri (stub, "/");
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_SINGLETON);
  int fd;

  http_stub_push_silence (stub);
  test_tunnel_start (tunnel);
  fd = client_connect (test_tunnel_get_port (tunnel));
  g_assert_true (http_stub_wait_held (stub, 1));
  client_reset (fd);
  g_assert_true (http_stub_wait_held (stub, 0));
  WAIT_UNTIL (test_figure (tunnel, open_connections) == 0);
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
}

static void
check_close_under_load (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  guint clients = mode == TCP_TUNNEL_MODE_MULTIPLEXED ? 8 : 1;

  for (guint round = 0; round < test_count (10, 3); round++)
    {
      g_autoptr (Fixture) fixture = fixture_new (target, mode, FIXTURE_PLAIN);
      int fds[8];

      fixture_start (fixture);
      for (guint i = 0; i < clients; i++)
        {
          fds[i] = client_connect (fixture_get_port (fixture));
          client_round_trip (fds[i], "hello");
          client_blast (fds[i], 2 << 20, 20);
        }
      /* Either end may be closed first. */
      if (round % 2 == 0)
        tcp_endpoint_close (TCP_ENDPOINT (fixture->gateway));
      tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
      for (guint i = 0; i < clients; i++)
        {
          client_expect_reset (fds[i]);
          client_close (fds[i]);
        }
      g_assert_cmpuint (test_figure (fixture->tunnel, open_connections), ==, 0);
    }
  g_assert_true (target_wait_open (target, 0));
}

static void
test_close_under_load (void)
{
  check_close_under_load (TCP_TUNNEL_MODE_SINGLETON);
  check_close_under_load (TCP_TUNNEL_MODE_MULTIPLEXED);
}

static void
test_unref_without_close (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PLAIN);
  g_autofree char *uri = NULL;
  TcpTunnel *tunnel;
  guint16 port;
  int fd;

  fixture_start_gateway (fixture);
  uri = test_dup_string (fixture->tunnel, "remote-uri");
  tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_SINGLETON);
  test_tunnel_start (tunnel);
  port = test_tunnel_get_port (tunnel);
  fd = client_connect (port);
  client_round_trip (fd, "hello");
  test_assert_finalized (tunnel);
  client_expect_reset (fd);
  client_close (fd);
  close (socket_listen (port, NULL));
}

static void
test_port_in_use (void)
{
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new ("ws://127.0.0.1:9/", TCP_TUNNEL_MODE_SINGLETON);
  guint16 port;
  int fd = socket_listen (0, &port);

  g_object_set (tunnel, "port", port, NULL);
  expect_start_error (tunnel, TCP_TUNNEL_ERROR_LISTEN);
  close (fd);
  test_tunnel_start (tunnel);
  g_assert_cmpuint (test_tunnel_get_port (tunnel), ==, port);
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
}

static void
test_bad_hosts (void)
{
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new ("ws://127.0.0.1:9/", TCP_TUNNEL_MODE_SINGLETON);

  /* An address that is not of this machine, and a name that does not exist. */
  g_object_set (tunnel, "hostname", "192.0.2.1", NULL);
  expect_start_error (tunnel, TCP_TUNNEL_ERROR_LISTEN);
  g_object_set (tunnel, "hostname", "no.such.host.invalid", NULL);
  expect_start_error (tunnel, TCP_TUNNEL_ERROR_LISTEN);

  g_object_set (tunnel, "hostname", "127.0.0.1", "mode", TCP_TUNNEL_MODE_MULTIPLEXED,
                "remote-uri", "ws://no.such.host.invalid/", NULL);
  expect_start_error (tunnel, TCP_TUNNEL_ERROR_UNREACHABLE);
}

static void
test_bad_uris (void)
{
  const char *uris[] = {
    NULL, "", "ws://", "ws:///path", "127.0.0.1:80", "http://127.0.0.1/", "https://127.0.0.1/", "ftp://127.0.0.1/",
    "ws//127.0.0.1/", "ws://127.0.0.1:99999/", "ws://[::1/", "not a uri",
  };

  for (guint i = 0; i < G_N_ELEMENTS (uris); i++)
    {
      g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uris[i], TCP_TUNNEL_MODE_SINGLETON);

      g_test_message ("“%s”", uris[i]);
      expect_start_error (tunnel, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
    }
}

static void
test_refused_gateway (void)
{
  g_autoptr (Target) nobody = target_new_refusing ();
  g_autofree char *uri = g_strdup_printf ("ws://127.0.0.1:%u/", target_get_port (nobody));
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);

  expect_start_error (tunnel, TCP_TUNNEL_ERROR_UNREACHABLE);
}

static void
test_tls_accepted (void)
{
  g_autoptr (Target) target = target_new_echo ();

  for (TcpTunnelMode mode = TCP_TUNNEL_MODE_SINGLETON; mode <= TCP_TUNNEL_MODE_MULTIPLEXED; mode++)
    {
      g_autoptr (Fixture) fixture = fixture_new (target, mode, FIXTURE_TLS | FIXTURE_PROXY);
      g_autofree char *uri = NULL;
      int fd;

      fixture_start (fixture);
      uri = tcp_gateway_dup_uri (fixture->gateway);
      g_assert_true (g_str_has_prefix (uri, "wss://127.0.0.1:"));
      fd = client_connect (fixture_get_port (fixture));
      client_echo_stream (fd, test_count (8 << 20, 1 << 20), 3);
      client_finish (fd);
      client_expect_end (fd);
      client_close (fd);
    }
}

static void
test_tls_refused (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_TLS);

  fixture_start_gateway (fixture);
  g_object_set (fixture->tunnel, "tls-database", NULL, NULL);
  expect_start_error (fixture->tunnel, TCP_TUNNEL_ERROR_TLS);
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 0);
}

/* A certificate that is refused will be refused again: a singleton tunnel fails without many attempts. */
static void
test_tls_refused_singleton (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_TLS);
  int fd;

  fixture_start_gateway (fixture);
  g_object_set (fixture->tunnel, "tls-database", NULL, NULL);
  test_tunnel_start (fixture->tunnel);
  fd = client_connect (fixture_get_port (fixture));
  WAIT_UNTIL (fixture->recorder->failures == 1);
  g_assert_error (fixture->recorder->failure, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TLS);
  client_expect_reset (fd);
  client_close (fd);
}

static void
test_tls_to_plain (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  g_autofree char *plain = NULL;
  g_autofree char *uri = NULL;

  fixture_start_gateway (fixture);
  plain = test_dup_string (fixture->tunnel, "remote-uri");
  uri = g_strconcat ("wss", plain + strlen ("ws"), NULL);
  g_object_set (fixture->tunnel, "remote-uri", uri, "connect-timeout", 2000, NULL);
  {
    g_autoptr (GError) error = NULL;

    g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (fixture->tunnel), NULL, &error));
    g_assert_nonnull (error);
  }
}

static void
test_ipv6 (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PLAIN);
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GSocketConnection) connection = NULL;
  g_autoptr (GError) error = NULL;
  GSocketAddress *address;

  fixture_start_gateway (fixture);
  g_object_set (fixture->tunnel, "hostname", "::1", NULL);
  if (!tcp_endpoint_start (TCP_ENDPOINT (fixture->tunnel), NULL, &error))
    {
      g_test_skip_printf ("this machine has no IPv6: %s", error->message);
      return;
    }
  address = tcp_endpoint_get_local_address (TCP_ENDPOINT (fixture->tunnel));
  connection = g_socket_client_connect (client, G_SOCKET_CONNECTABLE (address), NULL, &error);
  g_assert_no_error (error);
  client_round_trip (g_socket_get_fd (g_socket_connection_get_socket (connection)), "hello");
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/lifecycle/two-starts", test_two_starts);
  g_test_add_func ("/lifecycle/two-starts-at-once", test_two_starts_at_once);
  g_test_add_func ("/lifecycle/start-after-close", test_start_after_close);
  g_test_add_func ("/lifecycle/start-after-failure", test_start_after_failure);
  g_test_add_func ("/lifecycle/close-is-idempotent", test_close_is_idempotent);
  g_test_add_func ("/lifecycle/cancel-start", test_cancel_start);
  g_test_add_func ("/lifecycle/close-while-starting", test_close_while_starting);
  g_test_add_func ("/lifecycle/close-while-connecting", test_close_while_connecting);
  g_test_add_func ("/lifecycle/close-async", test_close_async);
  g_test_add_func ("/lifecycle/close-async-state", test_close_async_state);
  g_test_add_func ("/lifecycle/close-async-and-start", test_close_async_and_start);
  g_test_add_func ("/lifecycle/close-async-and-drop", test_close_async_and_drop);
  g_test_add_func ("/lifecycle/active-at-end", test_active_at_end);
  g_test_add_func ("/lifecycle/client-leaves-while-connecting", test_client_leaves_while_connecting);
  g_test_add_func ("/lifecycle/close-under-load", test_close_under_load);
  g_test_add_func ("/lifecycle/unref-without-close", test_unref_without_close);
  g_test_add_func ("/lifecycle/port-in-use", test_port_in_use);
  g_test_add_func ("/lifecycle/bad-hosts", test_bad_hosts);
  g_test_add_func ("/lifecycle/bad-uris", test_bad_uris);
  g_test_add_func ("/lifecycle/refused-gateway", test_refused_gateway);
  g_test_add_func ("/lifecycle/tls-accepted", test_tls_accepted);
  g_test_add_func ("/lifecycle/tls-refused", test_tls_refused);
  g_test_add_func ("/lifecycle/tls-refused-singleton", test_tls_refused_singleton);
  g_test_add_func ("/lifecycle/tls-to-plain", test_tls_to_plain);
  g_test_add_func ("/lifecycle/ipv6", test_ipv6);

  return g_test_run ();
}
