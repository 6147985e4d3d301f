/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The protocol that the two ends agree on, and the property resumption of each. */

#include "resume-rig.h"
#include "stub-rig.h"

#include "resumable-peer.h"

#include <stdlib.h>
#include <string.h>

#define OFFER RESUMABLE_HEADER ": " RESUMABLE_NAME "\r\n"
#define AUTHORIZED "Authorization: Bearer " TEST_TOKEN "\r\n"

/* The tunnel */

static void
expect_offer (HttpStub *stub,
              guint index,
              const char *offered)
{
  g_autofree char *offer = http_stub_get_header (stub, index, RESUMABLE_HEADER);
  g_autofree char *id = http_stub_get_parameter (stub, index, "sessionId");

  g_assert_cmpstr (offer, ==, offered);
  if (strcmp (offered, RESUMABLE_NAME) == 0)
    g_assert_true (id != NULL && g_uuid_string_is_valid (id));
}

static void
check_protocol (TcpTunnel *tunnel,
                const char *protocol)
{
  g_autoptr (TcpStatistics) statistics = tcp_endpoint_get_statistics (TCP_ENDPOINT (tunnel));

  g_assert_cmpstr (statistics->protocol, ==, protocol);
}

static void
push_text (HttpStub *stub,
           const char *headers,
           const char *text,
           gsize length)
{
  g_autoptr (GBytes) frame = ws_server_frame (WS_BINARY, text, length);

  http_stub_push_upgrade (stub, headers, g_bytes_get_data (frame, NULL), g_bytes_get_size (frame), TRUE);
}

/* Servers that do not know resumable/1, or answer with another value. */
static void
test_auto_falls_back_to_raw (void)
{
  const char *headers[] = {
    NULL,
    RESUMABLE_HEADER ": resumable/2\r\n",
    RESUMABLE_HEADER ": \r\n",
    RESUMABLE_HEADER ": raw, tagged\r\n",
    "Sec-WebSocket-Version: 13\r\n",
  };

  for (guint i = 0; i < G_N_ELEMENTS (headers); i++)
    {
      g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
      char data[3];
      int fd;

      push_text (rig.stub, headers[i], "raw", 3);
      check_protocol (rig.tunnel, NULL);
      fd = stub_rig_connect (&rig);
      client_read (fd, data, sizeof data);
      g_assert_cmpmem (data, sizeof data, "raw", 3);
      check_protocol (rig.tunnel, "raw");
      expect_offer (rig.stub, 0, RESUMABLE_NAME);
      client_close (fd);
    }
}

static void
test_auto_falls_back_to_tagged (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_MULTIPLEXED, "/");
  g_autofree char *mode = NULL;
  int fd;

  http_stub_push_upgrade (rig.stub, NULL, NULL, 0, TRUE);
  test_tunnel_start (rig.tunnel);
  expect_offer (rig.stub, 0, RESUMABLE_NAME);
  mode = http_stub_get_parameter (rig.stub, 0, "mode");
  g_assert_cmpstr (mode, ==, "multiplexed");
  check_protocol (rig.tunnel, "tagged");
  fd = client_connect (test_tunnel_get_port (rig.tunnel));
  client_write (fd, "hello", 5);
  http_stub_drop_held (rig.stub);
  /* A tagged connection does not outlive its WebSocket. */
  client_expect_reset (fd);
  client_close (fd);
}

/* The tunnel only sends the name of its protocol, by which a gateway of this library recognizes it. */
static void
test_off_does_not_offer (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  char data[3];
  int fd;

  g_object_set (rig.tunnel, "resumption", TCP_TUNNEL_RESUMPTION_OFF, NULL);
  /* The server accepts a protocol that was not offered. */
  push_text (rig.stub, OFFER, "raw", 3);
  fd = stub_rig_connect (&rig);
  client_read (fd, data, sizeof data);
  g_assert_cmpmem (data, sizeof data, "raw", 3);
  expect_offer (rig.stub, 0, "raw");
  client_close (fd);
}

static void
test_required_refuses_raw (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  int fd;

  g_object_set (rig.tunnel, "resumption", TCP_TUNNEL_RESUMPTION_REQUIRED, NULL);
  push_text (rig.stub, NULL, "raw", 3);
  fd = stub_rig_connect (&rig);
  stub_rig_expect_failure (&rig, TCP_TUNNEL_ERROR_PROTOCOL);
  client_expect_reset (fd);
  client_close (fd);
  g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 1);
  expect_offer (rig.stub, 0, RESUMABLE_NAME);
}

static void
test_required_refuses_tagged (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_MULTIPLEXED, "/");
  g_autoptr (GError) error = NULL;

  g_object_set (rig.tunnel, "resumption", TCP_TUNNEL_RESUMPTION_REQUIRED, NULL);
  http_stub_push_upgrade (rig.stub, NULL, NULL, 0, TRUE);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (rig.tunnel), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL);
  g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 1);
}

/* The gateway is replaced by an older one: a session cannot continue with another protocol. */
static void
test_protocol_changes (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (target, mode);
  g_autoptr (GError) error = NULL;
  int fd;

  g_object_set (fixture->tunnel, "resumption", TCP_TUNNEL_RESUMPTION_AUTO, NULL);
  fixture_start (fixture);
  fd = fixture_connect (fixture);
  client_round_trip (fd, "resumable");
  check_protocol (fixture->tunnel, "resumable/1");
  resume_go_away (fixture);
  tcp_endpoint_close (TCP_ENDPOINT (fixture->gateway));
  g_object_set (fixture->gateway, "resumption", TCP_TUNNEL_RESUMPTION_OFF, NULL);
  tcp_endpoint_start (TCP_ENDPOINT (fixture->gateway), NULL, &error);
  g_assert_no_error (error);
  fault_proxy_set_gateway (fixture->proxy, fixture_get_gateway_port (fixture));
  resume_come_back (fixture);
  client_expect_reset (fd);
  client_close (fd);
  WAIT_UNTIL (fixture->recorder->closed == 1);
  g_assert_nonnull (fixture->recorder->closed_error);
}

/* The gateway */

static guint16
start_gateway (Fixture *fixture)
{
  fixture_start_gateway (fixture);
  return fixture_get_gateway_port (fixture);
}

static guint
ask (guint16 port,
     const char *headers,
     char **body,
     char **offer)
{
  g_autofree char *id = g_uuid_string_random ();
  g_autofree char *request = g_strdup_printf ("GET /?sessionId=%s HTTP/1.1\r\nHost: gateway\r\n" WS_UPGRADE "%s\r\n", id, headers);
  g_autofree char *head = NULL;
  g_autofree char *length = NULL;
  int fd = client_connect (port);

  client_write (fd, request, strlen (request));
  head = http_read_head (fd);
  g_assert_nonnull (head);
  *offer = http_head_get (head, RESUMABLE_HEADER);
  length = http_head_get (head, "Content-Length");
  *body = g_malloc0 (length != NULL ? atoi (length) + 1 : 1);
  if (length != NULL)
    client_read (fd, *body, atoi (length));
  client_close (fd);

  return http_head_get_status (head);
}

static void
expect_answer (guint16 port,
               const char *headers,
               guint status,
               const char *offer)
{
  g_autofree char *body = NULL;
  g_autofree char *got = NULL;

  g_test_message ("%s → %u %s", headers, status, offer);
  g_assert_cmpuint (ask (port, headers, &body, &got), ==, status);
  g_assert_cmpstr (got, ==, offer);
  if (status != 101)
    {
      g_assert_cmpuint (strlen (body), >, 5);
      g_assert_true (g_utf8_validate (body, -1, NULL));
      g_assert_null (strstr (body, TEST_TOKEN));
    }
}

static void
test_gateway_auto (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PLAIN);
  guint16 port = start_gateway (fixture);

  expect_answer (port, AUTHORIZED OFFER, 101, RESUMABLE_NAME);
  expect_answer (port, AUTHORIZED, 101, NULL);
  /* The header is a list, which may contain later versions. */
  expect_answer (port, AUTHORIZED RESUMABLE_HEADER ": resumable/2, resumable/1\r\n", 101, RESUMABLE_NAME);
  expect_answer (port, AUTHORIZED RESUMABLE_HEADER ": resumable/2,resumable/1,x\r\n", 101, RESUMABLE_NAME);
  expect_answer (port, AUTHORIZED RESUMABLE_HEADER ": resumable/2\r\n", 101, "raw");
  expect_answer (port, AUTHORIZED RESUMABLE_HEADER ": resumable/11\r\n", 101, "raw");
  expect_answer (port, AUTHORIZED RESUMABLE_HEADER ": \r\n", 101, "raw");
  expect_answer (port, OFFER, 401, NULL);
}

static void
test_gateway_required (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PLAIN);
  guint16 port;
  int fd;

  g_object_set (fixture->gateway, "resumption", TCP_TUNNEL_RESUMPTION_REQUIRED, NULL);
  port = start_gateway (fixture);
  expect_answer (port, AUTHORIZED OFFER, 101, RESUMABLE_NAME);
  expect_answer (port, AUTHORIZED, 426, NULL);
  expect_answer (port, AUTHORIZED RESUMABLE_HEADER ": resumable/2\r\n", 426, NULL);
  /* Without a valid token, the answer does not name the protocol. */
  expect_answer (port, "", 401, NULL);

  /* The tunnel of the fixture does not offer it. */
  test_tunnel_start (fixture->tunnel);
  fd = client_connect (fixture_get_port (fixture));
  WAIT_UNTIL (fixture->recorder->failures == 1);
  g_assert_error (fixture->recorder->failure, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_REJECTED);
  g_assert_nonnull (strstr (fixture->recorder->failure->message, "426"));
  client_expect_reset (fd);
  client_close (fd);
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 0);
}

static void
test_gateway_off (TcpTunnelMode mode)
{
  const TcpTunnelResumption wishes[] = { TCP_TUNNEL_RESUMPTION_AUTO, TCP_TUNNEL_RESUMPTION_OFF };

  for (guint i = 0; i < G_N_ELEMENTS (wishes); i++)
    {
      g_autoptr (Target) target = target_new_echo ();
      g_autoptr (Fixture) fixture = fixture_new (target, mode, FIXTURE_PLAIN);
      int fd;

      g_object_set (fixture->gateway, "resumption", TCP_TUNNEL_RESUMPTION_OFF, NULL);
      g_object_set (fixture->tunnel, "resumption", wishes[i], NULL);
      fixture_start (fixture);
      expect_answer (fixture_get_gateway_port (fixture), AUTHORIZED OFFER, 101, "raw");
      fd = client_connect (fixture_get_port (fixture));
      client_echo_stream (fd, MIB, 1);
      client_close (fd);
    }
}

/* A resumable session needs an id. */
static void
test_gateway_without_session_id (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PLAIN);
  guint16 port = start_gateway (fixture);
  g_autofree char *body = NULL;

  g_assert_cmpuint (http_get (port, "/?mode=multiplexed", WS_UPGRADE AUTHORIZED OFFER, &body, NULL), ==, 400);
  g_assert_cmpuint (strlen (body), >, 5);
}

/* By default, both ends use resumable/1, over TLS as well. */
static void
test_by_default (TcpTunnelMode mode)
{
  const FixtureFlags flags[] = { FIXTURE_PROXY, FIXTURE_PROXY | FIXTURE_TLS };

  for (guint i = 0; i < G_N_ELEMENTS (flags); i++)
    {
      g_autoptr (Target) target = target_new_echo ();
      g_autoptr (Fixture) fixture = fixture_new (target, mode, flags[i]);
      int fd;

      g_object_set (fixture->tunnel, "resumption", TCP_TUNNEL_RESUMPTION_AUTO, NULL);
      fixture_start (fixture);
      fd = fixture_connect (fixture);
      client_round_trip (fd, "before");
      fault_proxy_cut_after (fixture->proxy, FAULT_UP, 100000);
      client_echo_stream (fd, 4 * MIB, 1);
      resume_expect (fixture, 1);
      client_finish (fd);
      client_expect_eof (fd);
      client_close (fd);
      expect_closed (fixture, 1, -1);
    }
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/resumption/auto-falls-back-to-raw", test_auto_falls_back_to_raw);
  g_test_add_func ("/resumption/auto-falls-back-to-tagged", test_auto_falls_back_to_tagged);
  g_test_add_func ("/resumption/off-does-not-offer", test_off_does_not_offer);
  g_test_add_func ("/resumption/required-refuses-raw", test_required_refuses_raw);
  g_test_add_func ("/resumption/required-refuses-tagged", test_required_refuses_tagged);
  add_mode_test ("/resumption/protocol-changes", test_protocol_changes);
  g_test_add_func ("/resumption/gateway-auto", test_gateway_auto);
  g_test_add_func ("/resumption/gateway-required", test_gateway_required);
  add_mode_test ("/resumption/gateway-off", test_gateway_off);
  g_test_add_func ("/resumption/gateway-without-session-id", test_gateway_without_session_id);
  add_mode_test ("/resumption/by-default", test_by_default);

  return g_test_run ();
}
