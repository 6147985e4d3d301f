/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The credentials that a tunnel sends to a server, and that they appear nowhere else. */

#include "log-tap.h"
#include "stub-rig.h"

#include <string.h>

#define SECRET "dXNlcjpwYXNzd29yZA=="

static void
expect_header (StubRig *rig,
               const char *name,
               const char *value)
{
  g_autofree char *shown = http_stub_get_header (rig->stub, 0, name);

  g_assert_cmpstr (shown, ==, value);
}

/* Starts the tunnel and connects its only client. */
static int
connect_with (StubRig *rig,
              const char *answer)
{
  int fd;

  http_stub_push_upgrade (rig->stub, answer, NULL, 0, TRUE);
  fd = stub_rig_connect (rig);
  WAIT_UNTIL (rig->recorder->last_state == TCP_TUNNEL_STATE_CONNECTED);
  return fd;
}

static void
test_authorization (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");

  g_object_set (rig.tunnel, "token", NULL, "authorization", "Basic " SECRET, NULL);
  g_assert_false (g_object_class_find_property (G_OBJECT_GET_CLASS (rig.tunnel), "authorization")->flags & G_PARAM_READABLE);
  client_close (connect_with (&rig, NULL));
  expect_header (&rig, "Authorization", "Basic " SECRET);
}

static void
test_anonymous (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  const char *headers[] = { "CF-Access-Client-Id: 1234.access", "CF-Access-Client-Secret: " SECRET, NULL };

  g_object_set (rig.tunnel, "token", NULL, "anonymous", TRUE, "request-headers", headers, NULL);
  client_close (connect_with (&rig, NULL));
  expect_header (&rig, "Authorization", NULL);
  expect_header (&rig, "CF-Access-Client-Id", "1234.access");
  expect_header (&rig, "CF-Access-Client-Secret", SECRET);
}

static void
test_exactly_one (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  g_autoptr (GError) both = NULL;
  g_autoptr (GError) none = NULL;

  g_object_set (rig.tunnel, "authorization", "Basic " SECRET, NULL);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (rig.tunnel), NULL, &both));
  g_assert_error (both, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_object_set (rig.tunnel, "authorization", NULL, "token", NULL, NULL);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (rig.tunnel), NULL, &none));
  g_assert_error (none, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
}

/* A refused credential is final: token-required is not emitted, since another token would not help. */
static void
check_refused (const char *authorization,
               const char *message)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  const char *headers[] = { "X-Api-Key: " SECRET, NULL };

  log_tap_clear ();
  g_object_set (rig.tunnel, "token", NULL, "anonymous", authorization == NULL, "authorization", authorization,
                "request-headers", headers, NULL);
  http_stub_push_answer (rig.stub, 401, "Server: " SECRET "\r\nWWW-Authenticate: Basic realm=\"" SECRET "\"\r\n", SECRET);
  client_close (stub_rig_connect (&rig));
  stub_rig_expect_failure (&rig, TCP_TUNNEL_ERROR_UNAUTHORIZED);
  g_assert_nonnull (strstr (rig.recorder->failure->message, message));
  g_assert_null (strstr (rig.recorder->failure->message, SECRET));
  g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 1);
  LOG_TAP_EXPECT ("error", message, 1);
  g_assert_cmpuint (log_tap_count ("", SECRET), ==, 0);
}

static void
test_refused (void)
{
  check_refused ("Basic " SECRET, "refused the credentials");
  check_refused (NULL, "requires credentials");
}

/* A malformed answer may contain the credentials as well. */
static void
test_echo (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");

  log_tap_clear ();
  g_object_set (rig.tunnel, "token", NULL, "authorization", "token " SECRET, "max-reconnect-attempts", 0, NULL);
  http_stub_push_raw (rig.stub, "you said " SECRET "\r\n\r\n");
  client_close (stub_rig_connect (&rig));
  WAIT_UNTIL (rig.recorder->failures > 0);
  g_assert_null (strstr (rig.recorder->failure->message, SECRET));
  g_assert_cmpuint (log_tap_count ("", SECRET), ==, 0);
}

static void
test_subprotocols (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  const char *subprotocols[] = { "binary", "base64", NULL };

  g_object_set (rig.tunnel, "subprotocols", subprotocols, "origin", "https://example.com", NULL);
  client_close (connect_with (&rig, "Sec-WebSocket-Protocol: base64\r\n"));
  expect_header (&rig, "Sec-WebSocket-Protocol", "binary, base64");
  expect_header (&rig, "Origin", "https://example.com");
  expect_header (&rig, "Authorization", "Bearer " TEST_TOKEN);
}

static void
test_wrong_subprotocol (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  const char *subprotocols[] = { "binary", NULL };

  g_object_set (rig.tunnel, "subprotocols", subprotocols, "max-reconnect-attempts", 0, NULL);
  http_stub_push_upgrade (rig.stub, "Sec-WebSocket-Protocol: text\r\n", NULL, 0, TRUE);
  client_close (stub_rig_connect (&rig));
  stub_rig_expect_failure (&rig, TCP_TUNNEL_ERROR_PROTOCOL);
  g_assert_nonnull (strstr (rig.recorder->failure->message, "a subprotocol that was not offered"));
}

/* With connect-to, the tunnel connects to another server than that of the URL, and the request does not mention
 * it. */
static void
test_connect_to (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  g_autofree char *uri = http_stub_get_uri (rig.stub, "/");
  g_autoptr (GUri) parsed = g_uri_parse (uri, G_URI_FLAGS_NONE, NULL);
  g_autofree char *connect_to = g_strdup_printf ("127.0.0.1:%d", g_uri_get_port (parsed));

  g_object_set (rig.tunnel, "remote-uri", "ws://gateway.invalid:8080/", "connect-to", connect_to, NULL);
  client_close (connect_with (&rig, NULL));
  expect_header (&rig, "Host", "gateway.invalid:8080");

  /* For the second, it is known that there is no proxy, and another code path connects. */
  WAIT_UNTIL (rig.recorder->closed == 1);
  client_close (client_connect (test_tunnel_get_port (rig.tunnel)));
  g_assert_true (http_stub_wait_requests (rig.stub, 2));
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  log_tap_install ();

  g_test_add_func ("/credentials/authorization", test_authorization);
  g_test_add_func ("/credentials/anonymous", test_anonymous);
  g_test_add_func ("/credentials/exactly-one", test_exactly_one);
  g_test_add_func ("/credentials/refused", test_refused);
  g_test_add_func ("/credentials/echo", test_echo);
  g_test_add_func ("/credentials/subprotocols", test_subprotocols);
  g_test_add_func ("/credentials/wrong-subprotocol", test_wrong_subprotocol);
  g_test_add_func ("/credentials/connect-to", test_connect_to);

  return g_test_run ();
}
