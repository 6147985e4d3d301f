/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A gateway asks the tunnel to return: with another token, at once, or by the same route. The test operates the
 * gateway. */

#include "resume-rig.h"
#include "tunnel-rig.h"

#include <string.h>

#define DELAY 400
#define N_RESTARTS 4

/* A frame type of a later version, which is sequenced. */
#define LATER_SEQUENCED 0x43

static char *
get_parameter (ResumablePeer *server,
               const char *name)
{
  g_autoptr (GHashTable) parameters = NULL;

  parameters = g_uri_parse_params (strchr (server->query, '?') + 1, -1, "&", G_URI_PARAMS_NONE, NULL);
  return g_strdup (g_hash_table_lookup (parameters, name));
}

static void
send_away (TunnelRig *rig,
           guint32 code)
{
  resumable_send_code (rig->server, RESUMABLE_GOAWAY, 0, code, "come back");
}

/* The tunnel does not wait until this end closes. */
static void
expect_left (TunnelRig *rig)
{
  ResumableFrame frame;

  while (resumable_receive (rig->server, &frame))
    ;
  client_close (rig->server->fd);
  rig->server->fd = -1;
}

static void
on_token_required (TcpTunnel *tunnel,
                   guint *calls)
{
  g_autofree char *token = NULL;

  (*calls)++;
  token = g_strdup_printf ("fresh-%u", *calls);
  tcp_tunnel_set_token (tunnel, token);
}

/* What did not arrive before arrives after the tunnel has returned with the next token. */
static void
test_renew (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  guint calls = 0;
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;
  int fd;

  g_signal_connect (rig.tunnel, "token-required", G_CALLBACK (on_token_required), &calls);
  fd = tunnel_rig_start (&rig);
  first = get_parameter (rig.server, "sessionId");
  tunnel_rig_round_trip (&rig, fd, 1, "before");
  client_write (fd, "during", 6);
  resumable_expect_data (rig.server, 1, "during");
  rig.server->taken--;
  send_away (&rig, RESUMABLE_GOAWAY_RENEW);
  expect_left (&rig);

  WAIT_UNTIL (calls == 1);
  resumable_server_welcome (rig.server);
  second = get_parameter (rig.server, "sessionId");
  g_assert_cmpstr (second, ==, first);
  g_assert_cmpstr (rig.server->token, ==, "fresh-1");
  g_assert_cmpuint (calls, ==, 1);
  resumable_expect_data (rig.server, 1, "during");
  tunnel_rig_round_trip (&rig, fd, 1, "after");
  g_assert_cmpuint (rig.recorder->closed, ==, 0);
  g_assert_cmpuint (rig.recorder->failures, ==, 0);
  client_close (fd);
}

/* A token that was set after the WebSocket was opened is used without asking the application. */
static void
test_renewed_before (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  guint calls = 0;
  int fd;

  g_signal_connect (rig.tunnel, "token-required", G_CALLBACK (on_token_required), &calls);
  fd = tunnel_rig_start (&rig);
  tcp_tunnel_set_token (rig.tunnel, "in-time");
  tunnel_rig_round_trip (&rig, fd, 1, "before");
  send_away (&rig, RESUMABLE_GOAWAY_RENEW);
  expect_left (&rig);
  resumable_server_welcome (rig.server);
  g_assert_cmpstr (rig.server->token, ==, "in-time");
  tunnel_rig_round_trip (&rig, fd, 1, "after");
  g_assert_cmpuint (calls, ==, 0);
  client_close (fd);
}

/* Without a handler of token-required, the tunnel fails as with a refused token. */
static void
test_no_token (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  int fd = tunnel_rig_start (&rig);

  send_away (&rig, RESUMABLE_GOAWAY_RENEW);
  client_expect_reset (fd);
  client_close (fd);
  WAIT_UNTIL (rig.recorder->failures == 1);
  g_assert_error (rig.recorder->failure, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNAUTHORIZED);
  g_assert_nonnull (strstr (rig.recorder->failure->message, "requires another token: come back"));
}

/* If the gateway never accepts a token, the application is not asked for ever. */
static void
test_never_content (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  guint calls = 0;
  guint rounds = 0;
  int fd;

  g_object_set (rig.tunnel, "max-reconnect-attempts", 3, NULL);
  g_signal_connect (rig.tunnel, "token-required", G_CALLBACK (on_token_required), &calls);
  fd = tunnel_rig_start (&rig);
  for (rounds = 0; rounds < 3; rounds++)
    {
      send_away (&rig, RESUMABLE_GOAWAY_RENEW);
      expect_left (&rig);
      WAIT_UNTIL (calls == rounds + 1);
      resumable_server_welcome (rig.server);
    }
  send_away (&rig, RESUMABLE_GOAWAY_RENEW);
  client_expect_reset (fd);
  client_close (fd);
  WAIT_UNTIL (rig.recorder->failures == 1);
  g_assert_error (rig.recorder->failure, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNAUTHORIZED);
  g_assert_cmpuint (calls, ==, 3);
}

static guint
get_delay (TunnelRig *rig,
           guint index)
{
  return g_array_index (rig->recorder->delays, guint, index);
}

/* The tunnel returns at once, but not repeatedly without a delay; not even if a frame arrives each time before, since
 * the gateway could keep the tunnel busy with it. */
static void
check_restarting (TcpTunnelMode mode,
                  gboolean progress)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  int fd;

  g_object_set (rig.tunnel, "reconnect-delay", DELAY, "max-reconnect-delay", DELAY, NULL);
  fd = tunnel_rig_start (&rig);
  tunnel_rig_round_trip (&rig, fd, 1, "before");
  for (guint i = 0; i < N_RESTARTS; i++)
    {
      if (progress)
        resumable_send (rig.server, LATER_SEQUENCED, 0, NULL, 0);
      send_away (&rig, RESUMABLE_GOAWAY_RESTARTING);
      expect_left (&rig);
      resumable_server_welcome (rig.server);
      g_assert_cmpuint (rig.server->heard.instance, ==, rig.server->hello.instance);
    }
  tunnel_rig_round_trip (&rig, fd, 1, "after");
  WAIT_UNTIL (rig.recorder->delays->len == N_RESTARTS);
  g_assert_cmpuint (get_delay (&rig, 0), <=, 50);
  g_assert_cmpuint (get_delay (&rig, N_RESTARTS - 1), >=, DELAY / 2);
  g_assert_nonnull (strstr (rig.recorder->retry_error->message, "is being restarted: come back"));
  g_assert_cmpuint (rig.recorder->closed, ==, 0);
  client_close (fd);
}

static void
test_restarting (TcpTunnelMode mode)
{
  check_restarting (mode, FALSE);
}

static void
test_restarting_with_progress (TcpTunnelMode mode)
{
  check_restarting (mode, TRUE);
}

static void
come_back_by (TunnelRig *rig,
              const char *headers,
              const char *route)
{
  g_autofree char *given = NULL;

  resumable_reset (rig->server);
  rig->server->headers = headers;
  resumable_server_welcome (rig->server);
  given = get_parameter (rig->server, "route");
  g_assert_cmpstr (given, ==, route);
}

/* The route of the last answer is used; invalid routes are ignored, and a new session has none. */
static void
test_route (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  g_autofree char *route = NULL;
  ResumableFrame frame;
  int fd;

  rig.server->headers = "Tcp-Tunnel-Route: zone-1.gateway_2~x\r\n";
  fd = tunnel_rig_start (&rig);
  g_assert_null (strstr (rig.server->query, "route"));
  come_back_by (&rig, "tcp-tunnel-route:other\r\n", "zone-1.gateway_2~x");
  come_back_by (&rig, NULL, "other");
  come_back_by (&rig, "Tcp-Tunnel-Route: a&b=c\r\n", NULL);
  come_back_by (&rig, "Tcp-Tunnel-Route: one\r\nTcp-Tunnel-Route: two\r\n", NULL);
  come_back_by (&rig, "Tcp-Tunnel-Route: last\r\n", NULL);
  tunnel_rig_round_trip (&rig, fd, 1, "here");

  send_away (&rig, RESUMABLE_GOAWAY_DONE);
  client_expect_reset (fd);
  client_close (fd);
  while (resumable_receive (rig.server, &frame))
    ;
  client_close (rig.server->fd);
  rig.server->fd = -1;
  fd = mode != TCP_TUNNEL_MODE_MULTIPLEXED ? client_connect (test_tunnel_get_port (rig.tunnel)) : -1;
  resumable_server_accept (rig.server);
  route = get_parameter (rig.server, "route");
  g_assert_null (route);
  if (fd >= 0)
    client_close (fd);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_mode_test ("/sent-away/renew", test_renew);
  add_mode_test ("/sent-away/renewed-before", test_renewed_before);
  add_mode_test ("/sent-away/no-token", test_no_token);
  add_mode_test ("/sent-away/never-content", test_never_content);
  add_mode_test ("/sent-away/restarting", test_restarting);
  add_mode_test ("/sent-away/restarting-with-progress", test_restarting_with_progress);
  add_mode_test ("/sent-away/route", test_route);

  return g_test_run ();
}
