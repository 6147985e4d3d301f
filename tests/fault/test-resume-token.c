/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A token that expires during a session, and the principal to which a session belongs. */

#include "resume-rig.h"

#include "resumable-peer.h"

#include <glib/gstdio.h>
#include <string.h>

/* The tunnel begins with a token of alice. When the WebSocket breaks, a server that refuses that token replaces the
 * gateway, until the tunnel has another token. */
typedef struct
{
  Fixture *fixture;
  HttpStub *refusing;
  char *token_file;
  guint calls;
} Rig;

static void
start (Rig *rig,
       Target *target,
       TcpTunnelMode mode)
{
  g_autoptr (GError) error = NULL;
  int fd = g_file_open_tmp ("tcptunnel-test-XXXXXX", &rig->token_file, &error);

  g_assert_no_error (error);
  client_close (fd);
  g_file_set_contents (rig->token_file, "alice:alices-first\nalice:alices-second\nbob:bobs\n", -1, &error);
  g_assert_no_error (error);
  rig->refusing = http_stub_new ();
  http_stub_push_answer (rig->refusing, 401, "WWW-Authenticate: Bearer\r\n", NULL);
  rig->fixture = resume_new (target, mode);
  g_object_set (rig->fixture->gateway, "token", NULL, "token-file", rig->token_file, NULL);
  tcp_tunnel_set_token (rig->fixture->tunnel, "alices-first");
}

static void
rig_clear (Rig *rig)
{
  fixture_free (rig->fixture);
  http_stub_free (rig->refusing);
  g_unlink (rig->token_file);
  g_free (rig->token_file);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Rig, rig_clear)

static void
expire (Rig *rig)
{
  g_autofree char *uri = http_stub_get_uri (rig->refusing, "/");
  g_autoptr (GUri) parsed = g_uri_parse (uri, G_URI_FLAGS_NONE, NULL);

  fault_proxy_set_gateway (rig->fixture->proxy, g_uri_get_port (parsed));
  fault_proxy_reset (rig->fixture->proxy);
}

static void
count_call (Rig *rig)
{
  rig->calls++;
}

static void
renew (Rig *rig,
       const char *token)
{
  fault_proxy_set_gateway (rig->fixture->proxy, fixture_get_gateway_port (rig->fixture));
  tcp_tunnel_set_token (rig->fixture->tunnel, token);
}

/* The session waits until the application has another token. */
static void
test_same_principal (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_manual ();
  g_auto (Rig) rig = { 0 };
  g_auto (Pair) pair = { -1, -1 };

  start (&rig, target, mode);
  g_signal_connect_swapped (rig.fixture->tunnel, "token-required", G_CALLBACK (count_call), &rig);
  fixture_start (rig.fixture);
  pair = pair_open (rig.fixture, target);
  client_send_stream (pair.client, 100000, 1, 0);
  client_send_stream (pair.target, 100000, 2, 0);
  expire (&rig);
  WAIT_UNTIL (rig.calls == 1);
  client_send_stream (pair.client, 50000, 1, 100000);
  g_assert_cmpuint (http_stub_get_requests (rig.refusing), ==, 1);
  g_assert_cmpuint (rig.fixture->recorder->closed, ==, 0);

  renew (&rig, "alices-second");
  client_read_stream (pair.client, 100000, 2, 0);
  client_read_stream (pair.target, 150000, 1, 0);
  resume_expect (rig.fixture, 1);
  pair_round_trip (&pair);
  g_assert_cmpuint (rig.fixture->recorder->failures, ==, 0);
}

/* The token of another principal does not give access to the session. */
static void
test_other_principal (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_manual ();
  g_auto (Rig) rig = { 0 };
  g_auto (Pair) pair = { -1, -1 };

  start (&rig, target, mode);
  g_signal_connect_swapped (rig.fixture->tunnel, "token-required", G_CALLBACK (count_call), &rig);
  fixture_start (rig.fixture);
  pair = pair_open (rig.fixture, target);
  pair_round_trip (&pair);
  expire (&rig);
  WAIT_UNTIL (rig.calls == 1);
  renew (&rig, "bobs");
  client_expect_reset (pair.client);
  WAIT_UNTIL (rig.fixture->recorder->failures == 1);
  g_assert_error (rig.fixture->recorder->failure, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_REJECTED);
  g_assert_nonnull (strstr (rig.fixture->recorder->failure->message, "403"));
  g_assert_null (strstr (rig.fixture->recorder->failure->message, "bobs"));
  /* The session still exists, and belongs to alice. */
  g_assert_cmpuint (test_figure (rig.fixture->gateway, open_connections), ==, 1);
}

static void
test_static_token (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = { 0 };
  int fd;

  start (&rig, target, mode);
  fixture_start (rig.fixture);
  fd = fixture_connect (rig.fixture);
  client_round_trip (fd, "before");
  expire (&rig);
  client_expect_reset (fd);
  client_close (fd);
  WAIT_UNTIL (rig.fixture->recorder->failures == 1);
  g_assert_error (rig.fixture->recorder->failure, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNAUTHORIZED);
  /* The tunnel does not repeat its goodbye either, since it would be refused as well. */
  tcp_endpoint_close (TCP_ENDPOINT (rig.fixture->tunnel));
  g_assert_cmpuint (http_stub_get_requests (rig.refusing), ==, 1);
}

/* A resumable session belongs to its principal, with or without a WebSocket. */
static void
test_whose_session (TcpTunnelMode mode)
{
  gboolean multiplexed = mode == TCP_TUNNEL_MODE_MULTIPLEXED;
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = { 0 };
  g_autoptr (ResumablePeer) alice = NULL;
  g_autoptr (ResumablePeer) bob = NULL;
  g_autofree char *body = NULL;

  start (&rig, target, mode);
  fixture_start_gateway (rig.fixture);
  alice = resumable_client_start (fixture_get_gateway_port (rig.fixture), "alices-first", multiplexed);
  resumable_send_text (alice, RESUMABLE_OPEN, 1, "");
  resumable_send_text (alice, RESUMABLE_DATA, 1, "one");
  resumable_expect (alice, RESUMABLE_OPENED, 1);
  resumable_expect_data (alice, 1, "one");

  bob = resumable_client_new (fixture_get_gateway_port (rig.fixture), "bobs", multiplexed);
  g_free (bob->query);
  bob->query = g_strdup (alice->query);
  g_assert_cmpuint (resumable_client_try (bob, &body), ==, 403);
  g_assert_cmpuint (strlen (body), >, 5);
  resumable_send_text (alice, RESUMABLE_DATA, 1, "two");
  resumable_expect_data (alice, 1, "two");

  resumable_expect_confirmed (alice);
  resumable_reset (alice);
  g_assert_cmpuint (resumable_client_try (bob, NULL), ==, 403);
  g_free (alice->token);
  alice->token = g_strdup ("alices-second");
  resumable_client_connect (alice);
  resumable_say_hello (alice);
  resumable_send_text (alice, RESUMABLE_DATA, 1, "three");
  resumable_expect_data (alice, 1, "three");
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 1);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_mode_test ("/resume-token/same-principal", test_same_principal);
  add_mode_test ("/resume-token/other-principal", test_other_principal);
  add_mode_test ("/resume-token/static", test_static_token);
  add_mode_test ("/resume-token/whose-session", test_whose_session);

  return g_test_run ();
}
