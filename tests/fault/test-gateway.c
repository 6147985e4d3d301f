/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The answers of a gateway to requests, its start and its restart. */

#include "fixture.h"

#include "socket-util.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define SESSION "sessionId=0a2f2b5e-5d0f-4a57-9c3e-7f1f0a7c9d11"
#define AUTHORIZED "Authorization: Bearer " TEST_TOKEN "\r\n"

static guint16
start_gateway (TcpGateway *gateway)
{
  g_autoptr (GError) error = NULL;

  tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error);
  g_assert_no_error (error);
  return test_port_of (gateway);
}

static TcpGateway *
new_gateway (Target *target)
{
  g_autofree char *address = target_get_address (target);
  TcpGateway *gateway = tcp_gateway_new (address);

  g_object_set (gateway, "token", TEST_TOKEN, "log-level", TCP_TUNNEL_LOG_LEVEL_DEBUG, NULL);
  return gateway;
}

static void
expect_answer (guint16 port,
               const char *target,
               const char *headers,
               guint status)
{
  g_autofree char *body = NULL;

  g_test_message ("%s → %u", target, status);
  g_assert_cmpuint (http_get (port, target, headers, &body, NULL), ==, status);
  /* A text for people, without a secret. */
  g_assert_cmpuint (strlen (body), >, 5);
  g_assert_true (g_utf8_validate (body, -1, NULL));
  g_assert_null (strstr (body, TEST_TOKEN));
}

static void
test_answers (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  g_autofree char *hint = NULL;
  g_autofree char *refusal = NULL;
  guint16 port;

  g_object_set (gateway, "path", "/tunnel", NULL);
  port = start_gateway (gateway);

  expect_answer (port, "/tunnel?" SESSION, WS_UPGRADE, 401);
  expect_answer (port, "/tunnel?" SESSION, WS_UPGRADE "Authorization: Bearer wrong\r\n", 401);
  expect_answer (port, "/tunnel?" SESSION, WS_UPGRADE "Authorization: Bearer\r\n", 401);
  expect_answer (port, "/tunnel?" SESSION, WS_UPGRADE "Authorization: Bearer " TEST_TOKEN "x\r\n", 401);
  expect_answer (port, "/tunnel?" SESSION, WS_UPGRADE "Authorization: Basic " TEST_TOKEN "\r\n", 401);
  expect_answer (port, "/?" SESSION, WS_UPGRADE AUTHORIZED, 404);
  expect_answer (port, "/tunnel/further?" SESSION, WS_UPGRADE AUTHORIZED, 404);
  /* Only an answer to a valid token contains the path. Without one, it cannot be found out. */
  http_get (port, "/", WS_UPGRADE AUTHORIZED, &hint, NULL);
  g_assert_nonnull (strstr (hint, "serves /tunnel."));
  g_clear_pointer (&hint, g_free);
  http_get (port, "/tunnel", WS_UPGRADE "Authorization: Bearer wrong\r\n", &refusal, NULL);
  expect_answer (port, "/", WS_UPGRADE "Authorization: Bearer wrong\r\n", 401);
  http_get (port, "/", WS_UPGRADE "Authorization: Bearer wrong\r\n", &hint, NULL);
  g_assert_cmpstr (hint, ==, refusal);
  g_clear_pointer (&hint, g_free);
  g_assert_cmpuint (http_get (port, "/", WS_UPGRADE, &hint, NULL), ==, 401);
  g_assert_cmpstr (hint, ==, refusal);
  expect_answer (port, "/tunnel?" SESSION, AUTHORIZED, 426);
  expect_answer (port, "/tunnel?sessionId=", WS_UPGRADE AUTHORIZED, 400);
  expect_answer (port, "/tunnel?mode=sideways&" SESSION, WS_UPGRADE AUTHORIZED, 400);
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 0);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

/* Returns NULL if the answer contains no route. */
static char *
get_route (guint16 port,
           const char *query,
           const char *headers)
{
  g_autofree char *request =
      g_strconcat ("GET /", query, " HTTP/1.1\r\nHost: localhost\r\n" WS_UPGRADE AUTHORIZED, headers, "\r\n", NULL);
  g_autofree char *head = NULL;
  int fd = client_connect (port);

  client_write (fd, request, strlen (request));
  head = http_read_head (fd);
  client_close (fd);
  g_assert_true (g_str_has_prefix (head, "HTTP/1.1 101 "));
  return http_head_get (head, "Tcp-Tunnel-Route");
}

/* Only the answers of sessions that can be resumed contain the route. */
static void
test_route (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  g_autofree char *longest = g_strnfill (128, '~');
  g_autofree char *too_long = g_strnfill (129, 'a');
  const char *const good[] = { "gateway-3.zone_b~1", "0", longest };
  const char *const bad[] = { "", "a b", "a,b", "a%41", "\xc3\xa4", "a\r\nX: y", too_long };

  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_autofree char *route = NULL;
      g_autofree char *foreign = NULL;
      guint16 port;

      g_object_set (gateway, "route", good[i], NULL);
      port = start_gateway (gateway);
      route = get_route (port, "?" SESSION, "Tcp-Tunnel-Protocol: resumable/1\r\n");
      g_assert_cmpstr (route, ==, good[i]);
      foreign = get_route (port, "", "");
      g_assert_null (foreign);
      tcp_endpoint_close (TCP_ENDPOINT (gateway));
    }
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      g_object_set (gateway, "route", bad[i], NULL);
      g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error));
      g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
    }
}

static void
test_max_connections (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  g_autoptr (TcpTunnel) tunnel = tcp_tunnel_new (NULL, NULL);
  g_autofree char *body = NULL;
  g_autofree char *uri = NULL;
  g_autoptr (GError) error = NULL;
  guint16 port;
  int fd;

  g_object_set (gateway, "max-connections", 1, NULL);
  port = start_gateway (gateway);
  fd = ws_connect (port, "/?" SESSION, TEST_TOKEN);
  ws_send (fd, WS_BINARY, "in", 2);
  ws_expect (fd, "in");
  g_assert_cmpuint (http_get (port, "/", WS_UPGRADE AUTHORIZED, &body, NULL), ==, 503);
  g_assert_cmpstr (body, ==, "The gateway has no place for another session (max-connections: 1); try again later.\n");

  /* The error at the other end also names the limit. */
  uri = tcp_gateway_dup_uri (gateway);
  g_object_set (tunnel, "remote-uri", uri, "token", TEST_TOKEN, "mode",
                TCP_TUNNEL_MODE_MULTIPLEXED, "wait-for-gateway", FALSE, NULL);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNREACHABLE);
  g_assert_nonnull (strstr (error->message, "is not available now (503 Too Many Sessions (max-connections: 1) from libtcptunnel/"));
  ws_send (fd, WS_BINARY, "still in", 8);
  ws_expect (fd, "still in");
  client_close (fd);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

/* Connections that send no request, or only a part of one, are closed after a while. */
static void
check_silent_connections (guint timeout)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  guint16 port;
  int silent, slow;

  g_object_set (gateway, "connect-timeout", timeout, NULL);
  port = start_gateway (gateway);
  silent = client_connect (port);
  slow = client_connect (port);
  client_write (slow, "GET / HTTP/1.1\r\n", 16);
  client_expect_end (silent);
  client_expect_end (slow);
  client_close (silent);
  client_close (slow);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

static void
test_silent_connections (void)
{
  check_silent_connections (100);
  /* Without a timeout for the target, there still is one for requests, of 10 s. */
  if (!test_is_quick ())
    check_silent_connections (0);
}

static void
expect_start_error (TcpGateway *gateway,
                    TcpTunnelError code)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, (int) code);
}

static void
test_start_errors (void)
{
  const char *targets[] = { NULL, "", "nowhere", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", ":80" };
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  guint16 port;
  int fd;

  for (guint i = 0; i < G_N_ELEMENTS (targets); i++)
    {
      g_autoptr (TcpGateway) bad = tcp_gateway_new (targets[i]);

      g_test_message ("“%s”", targets[i]);
      tcp_gateway_set_token (bad, TEST_TOKEN);
      expect_start_error (bad, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
    }

  fd = socket_listen (0, &port);
  g_object_set (gateway, "port", port, NULL);
  expect_start_error (gateway, TCP_TUNNEL_ERROR_LISTEN);
  close (fd);
  start_gateway (gateway);
  expect_start_error (gateway, TCP_TUNNEL_ERROR_WRONG_STATE);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  g_assert_null (tcp_endpoint_get_local_address (TCP_ENDPOINT (gateway)));
  close (socket_listen (port, NULL));
}

/* Tokens of a file are accepted in their plain form, unless they have expired. */
static void
test_token_file (void)
{
  static const char text[] = "alice:first expires=2999-12-31T00:00:00Z\n"
                             "alice:second expires=1999-12-31T00:00:00Z\n"
                             "bob:sha256:81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9\n";
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  g_autofree char *file = NULL;
  g_autofree char *body = NULL;
  g_autoptr (GError) error = NULL;
  int fd = g_file_open_tmp ("tcptunnel-test-XXXXXX", &file, &error);
  guint16 port;

  g_assert_no_error (error);
  client_close (fd);
  g_file_set_contents (file, text, -1, &error);
  g_assert_no_error (error);
  g_object_set (gateway, "token-file", file, NULL);
  port = start_gateway (gateway);

  client_close (ws_connect (port, "/", "first"));
  client_close (ws_connect (port, "/", "bob"));
  client_close (ws_connect (port, "/", TEST_TOKEN));
  g_assert_cmpuint (http_get (port, "/", WS_UPGRADE "Authorization: Bearer second\r\n", &body, NULL), ==, 401);
  g_assert_cmpstr (body, ==, "The token has expired.\n");
  expect_answer (port, "/", WS_UPGRADE "Authorization: Bearer "
                 "sha256:81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9\r\n", 401);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  g_unlink (file);
}

static void
test_bad_token_file (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autofree char *address = target_get_address (target);
  g_autoptr (TcpGateway) gateway = tcp_gateway_new (address);
  g_autoptr (GError) error = NULL;

  g_object_set (gateway, "token-file", "/nonexistent/tokens", NULL);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error));
  g_assert_nonnull (strstr (error->message, "/nonexistent/tokens"));
}

/* Many tunnels of both modes are served at the same time. */
static void
test_several_tunnels (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PLAIN);
  g_autofree char *uri = NULL;
  TcpTunnel *tunnels[20];
  int fds[20];

  fixture_start_gateway (fixture);
  uri = test_dup_string (fixture->tunnel, "remote-uri");
  for (guint i = 0; i < G_N_ELEMENTS (tunnels); i++)
    {
      tunnels[i] = test_tunnel_new (uri, i % 2);
      test_tunnel_start (tunnels[i]);
      fds[i] = client_connect (test_tunnel_get_port (tunnels[i]));
      client_send_stream (fds[i], 50000, i, 0);
    }
  for (guint i = 0; i < G_N_ELEMENTS (tunnels); i++)
    client_read_stream (fds[i], 50000, i, 0);
  g_assert_cmpuint (test_figure (fixture->gateway, open_connections), ==, G_N_ELEMENTS (tunnels));
  g_assert_cmpuint (test_figure (fixture->gateway, bytes_received), ==, G_N_ELEMENTS (tunnels) * 50000);
  for (guint i = 0; i < G_N_ELEMENTS (tunnels); i++)
    {
      client_close (fds[i]);
      tcp_endpoint_close (TCP_ENDPOINT (tunnels[i]));
      g_object_unref (tunnels[i]);
    }
  g_assert_true (target_wait_open (target, 0));
}

typedef struct
{
  guint opened;
  guint closed;
  char *principal;
} Seen;

static void
on_opened (TcpGateway *gateway,
           TcpConnection *connection,
           Seen *seen)
{
  seen->opened++;
  g_free (seen->principal);
  seen->principal = test_dup_string (connection, "principal");
}

static void
on_closed (TcpGateway *gateway,
           TcpConnection *connection,
           Seen *seen)
{
  seen->closed++;
}

static void
test_signals (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  Seen seen = { 0 };
  int fd;

  g_signal_connect (fixture->gateway, "connection-opened", G_CALLBACK (on_opened), &seen);
  g_signal_connect (fixture->gateway, "connection-closed", G_CALLBACK (on_closed), &seen);
  fixture_start (fixture);
  fd = client_connect (fixture_get_port (fixture));
  client_round_trip (fd, "hello");
  WAIT_UNTIL (seen.opened == 1);
  g_assert_nonnull (seen.principal);
  client_close (fd);
  WAIT_UNTIL (seen.closed == 1);
  g_free (seen.principal);
}

/* A tunnel reconnects to a gateway that was restarted. */
static void
test_restart (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PROXY);
  g_autoptr (GError) error = NULL;
  int fd;

  g_object_set (fixture->tunnel, "max-reconnect-attempts", 1000, NULL);
  fixture_start (fixture);
  fd = client_connect (fixture_get_port (fixture));
  client_round_trip (fd, "before");
  tcp_endpoint_close (TCP_ENDPOINT (fixture->gateway));
  client_expect_reset (fd);
  client_close (fd);

  tcp_endpoint_start (TCP_ENDPOINT (fixture->gateway), NULL, &error);
  g_assert_no_error (error);
  fault_proxy_set_gateway (fixture->proxy, test_port_of (fixture->gateway));
  WAIT_UNTIL (test_figure (fixture->tunnel, reconnects) == 1);
  fd = client_connect (fixture_get_port (fixture));
  client_round_trip (fd, "after");
  client_close (fd);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/gateway/answers", test_answers);
  g_test_add_func ("/gateway/max-connections", test_max_connections);
  g_test_add_func ("/gateway/silent-connections", test_silent_connections);
  g_test_add_func ("/gateway/start-errors", test_start_errors);
  g_test_add_func ("/gateway/token-file", test_token_file);
  g_test_add_func ("/gateway/bad-token-file", test_bad_token_file);
  g_test_add_func ("/gateway/several-tunnels", test_several_tunnels);
  g_test_add_func ("/gateway/signals", test_signals);
  g_test_add_func ("/gateway/restart", test_restart);

  g_test_add_func ("/gateway/route", test_route);
  return g_test_run ();
}
