/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tests of the tools that the other tests use: with a test double that does not work, a test shows nothing. */

#include "fixture.h"
#include "resumable-peer.h"

#include <errno.h>

typedef struct
{
  Target *target;
  FaultProxy *proxy;
  int fd;
} Rig;

static Rig
rig_new (Target *target)
{
  Rig rig = { .target = target, .proxy = fault_proxy_new () };

  fault_proxy_set_gateway (rig.proxy, target_get_port (target));
  rig.fd = client_connect (fault_proxy_get_port (rig.proxy));
  g_assert_true (fault_proxy_wait_accepted (rig.proxy, 1, TEST_DEADLINE_MS));
  return rig;
}

static void
rig_clear (Rig *rig)
{
  client_close (rig->fd);
  fault_proxy_free (rig->proxy);
  target_free (rig->target);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Rig, rig_clear)

static void
test_proxy_forwards (void)
{
  g_auto (Rig) rig = rig_new (target_new_echo ());
  FaultCounters counters;

  client_echo_stream (rig.fd, 4 << 20, 1);
  client_finish (rig.fd);
  client_expect_eof (rig.fd);
  g_assert_true (fault_proxy_wait_links (rig.proxy, 0, TEST_DEADLINE_MS));

  counters = fault_proxy_get_counters (rig.proxy);
  g_assert_cmpuint (counters.links_accepted, ==, 1);
  g_assert_cmpuint (counters.bytes[FAULT_UP], ==, 4 << 20);
  g_assert_cmpuint (counters.bytes[FAULT_DOWN], ==, 4 << 20);
}

static void
test_proxy_cut (void)
{
  g_auto (Rig) rig = rig_new (target_new_echo ());

  client_round_trip (rig.fd, "before");
  fault_proxy_cut (rig.proxy);
  g_assert_cmpuint (fault_proxy_get_counters (rig.proxy).links_open, ==, 0);
  client_expect_eof (rig.fd);
  g_assert_true (target_wait_open (rig.target, 0));
  g_assert_cmpuint (target_get_counters (rig.target).resets, ==, 0);
}

static void
test_proxy_reset (void)
{
  g_auto (Rig) rig = rig_new (target_new_echo ());

  client_round_trip (rig.fd, "before");
  fault_proxy_reset (rig.proxy);
  client_expect_reset (rig.fd);
  g_assert_true (target_wait_open (rig.target, 0));
  g_assert_cmpuint (target_get_counters (rig.target).resets, ==, 1);
}

static void
test_proxy_stall (void)
{
  g_auto (Rig) rig = rig_new (target_new_sink ());
  g_autofree char *digest = NULL;
  g_autofree char *expected = NULL;
  guint64 sent, size = 64 << 20;

  fault_proxy_stall (rig.proxy, FAULT_UP, TRUE);
  sent = client_blast (rig.fd, size, 300);
  g_assert_cmpuint (sent, <, size);
  g_assert_cmpuint (target_get_counters (rig.target).bytes_in, ==, 0);

  fault_proxy_stall (rig.proxy, FAULT_UP, FALSE);
  client_finish (rig.fd);
  client_expect_eof (rig.fd);
  digest = target_get_digest (rig.target);
  expected = test_digest (sent, 0);
  g_assert_cmpstr (digest, ==, expected);
}

static void
test_proxy_throttle (void)
{
  g_auto (Rig) rig = rig_new (target_new_echo ());
  gint64 began;

  fault_proxy_throttle (rig.proxy, FAULT_DOWN, 1000000);
  began = g_get_monotonic_time ();
  client_echo_stream (rig.fd, 300000, 2);
  /* A tenth of a second of the allowance may have accumulated. */
  g_assert_cmpint (g_get_monotonic_time () - began, >=, 190000);
}

static void
test_proxy_delay (void)
{
  g_auto (Rig) rig = rig_new (target_new_echo ());
  gint64 began = g_get_monotonic_time ();

  fault_proxy_delay (rig.proxy, FAULT_UP, 60);
  fault_proxy_delay (rig.proxy, FAULT_DOWN, 40);
  client_round_trip (rig.fd, "later");
  g_assert_cmpint (g_get_monotonic_time () - began, >=, 100000);
}

static void
test_proxy_black_hole (void)
{
  g_auto (Rig) rig = rig_new (target_new_echo ());
  int second;

  client_round_trip (rig.fd, "before");
  fault_proxy_black_hole (rig.proxy, TRUE);
  client_write (rig.fd, "gone", 4);
  second = client_connect (fault_proxy_get_port (rig.proxy));
  g_assert_true (fault_proxy_wait_bytes (rig.proxy, FAULT_UP, 10, TEST_DEADLINE_MS));
  g_assert_true (fault_proxy_wait_links (rig.proxy, 2, TEST_DEADLINE_MS));
  g_assert_false (client_has_ended (rig.fd));
  g_assert_cmpuint (target_get_counters (rig.target).bytes_in, ==, 6);
  g_assert_cmpuint (target_get_counters (rig.target).accepted, ==, 1);

  fault_proxy_black_hole (rig.proxy, FALSE);
  client_expect_reset (rig.fd);
  client_expect_reset (second);
  client_close (second);
}

static void
test_proxy_refuse (void)
{
  g_auto (Rig) rig = rig_new (target_new_echo ());
  int second;

  fault_proxy_refuse (rig.proxy, TRUE);
  g_assert_cmpint (client_try_connect (fault_proxy_get_port (rig.proxy), &second), ==, ECONNREFUSED);
  client_round_trip (rig.fd, "the first link stays");

  fault_proxy_refuse (rig.proxy, FALSE);
  second = client_connect (fault_proxy_get_port (rig.proxy));
  client_round_trip (second, "again");
  client_close (second);
}

static void
test_proxy_accept_then_close (void)
{
  g_auto (Rig) rig = rig_new (target_new_echo ());
  int second;

  fault_proxy_accept_then_close (rig.proxy, TRUE);
  second = client_connect (fault_proxy_get_port (rig.proxy));
  client_expect_end (second);
  client_close (second);
  client_round_trip (rig.fd, "the first link stays");
}

static void
test_proxy_half_open (void)
{
  g_auto (Rig) rig = rig_new (target_new_echo ());
  int second;

  client_round_trip (rig.fd, "before");
  fault_proxy_half_open (rig.proxy, FAULT_GATEWAY_SIDE);
  g_assert_true (target_wait_open (rig.target, 0));
  client_write (rig.fd, "gone", 4);
  g_assert_true (fault_proxy_wait_bytes (rig.proxy, FAULT_UP, 10, TEST_DEADLINE_MS));
  g_assert_false (client_has_ended (rig.fd));
  g_assert_cmpuint (fault_proxy_get_counters (rig.proxy).links_open, ==, 1);

  second = client_connect (fault_proxy_get_port (rig.proxy));
  client_round_trip (second, "a new link works");
  fault_proxy_half_open (rig.proxy, FAULT_TUNNEL_SIDE);
  client_expect_eof (second);
  g_assert_cmpuint (target_get_counters (rig.target).open, ==, 1);
  client_close (second);
}

static void
test_proxy_cut_after (void)
{
  g_auto (Rig) rig = rig_new (target_new_sink ());

  fault_proxy_cut_after (rig.proxy, FAULT_UP, 100000);
  client_blast (rig.fd, 300000, 100);
  g_assert_true (target_wait_bytes_in (rig.target, 100000));
  g_assert_true (target_wait_open (rig.target, 0));
  g_assert_cmpuint (target_get_counters (rig.target).bytes_in, ==, 100000);
  client_expect_eof (rig.fd);
}

static void
test_targets (void)
{
  g_autoptr (Target) source = target_new_source (3000000, 7);
  g_autoptr (Target) banner = target_new_banner ("hello");
  g_autoptr (Target) breaker = target_new_reset_after (5);
  g_autoptr (Target) mute = target_new_mute ();
  g_autoptr (Target) refusing = target_new_refusing ();
  char greeting[5];
  int fd;

  fd = client_connect (target_get_port (source));
  client_read_stream (fd, 3000000, 7, 0);
  client_expect_eof (fd);
  client_close (fd);

  fd = client_connect (target_get_port (banner));
  client_read (fd, greeting, sizeof greeting);
  g_assert_cmpmem (greeting, sizeof greeting, "hello", 5);
  client_round_trip (fd, "and an echo");
  target_reset_all (banner);
  client_expect_reset (fd);
  client_close (fd);

  fd = client_connect (target_get_port (breaker));
  client_write (fd, "12345", 5);
  client_expect_reset (fd);
  client_close (fd);

  fd = client_connect (target_get_port (mute));
  g_assert_cmpuint (client_blast (fd, 64 << 20, 300), <, 64 << 20);
  g_assert_true (target_wait_accepted (mute, 1));
  client_reset (fd);
  g_assert_true (target_wait_open (mute, 0));

  g_assert_cmpint (client_try_connect (target_get_port (refusing), &fd), ==, ECONNREFUSED);
}

static void
test_half_closing_targets (void)
{
  g_autoptr (Target) answer = target_new_answer (100000, 3);
  g_autoptr (Target) source = target_new_source (10, 1);
  g_autoptr (Target) manual = target_new_manual ();
  g_autofree char *expected = test_digest (50000, 2);
  g_autofree char *heard = NULL;
  g_autofree char *heard_by_source = NULL;
  int fd, far;

  fd = client_connect (target_get_port (answer));
  client_send_stream (fd, 50000, 2, 0);
  g_assert_true (target_wait_bytes_in (answer, 50000));
  g_assert_cmpuint (target_get_counters (answer).bytes_out, ==, 0);
  client_finish (fd);
  client_read_stream (fd, 100000, 3, 0);
  client_expect_eof (fd);
  client_close (fd);
  heard = target_get_digest (answer);
  g_assert_cmpstr (heard, ==, expected);

  fd = client_connect (target_get_port (source));
  client_expect_eof (fd);
  client_send_stream (fd, 50000, 2, 0);
  client_close (fd);
  g_assert_true (target_wait_bytes_in (source, 50000));
  g_assert_true (target_wait_open (source, 0));
  heard_by_source = target_get_digest (source);
  g_assert_cmpstr (heard_by_source, ==, expected);

  fd = client_connect (target_get_port (manual));
  far = target_accept (manual);
  client_pass_stream (fd, far, 8 << 20, 4, 0);
  client_pass_stream (far, fd, 8 << 20, 5, 0);
  client_close (far);
  client_expect_eof (fd);
  client_close (fd);
}

static void
test_silent_target (void)
{
  g_autoptr (Target) target = target_new_silent ();
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autofree char *address = target_get_address (target);
  g_autoptr (GError) error = NULL;

  g_socket_client_set_timeout (client, 1);
  g_assert_null (g_socket_client_connect_to_host (client, address, 0, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
}

static guint16
stub_port (HttpStub *stub)
{
  g_autofree char *uri = http_stub_get_uri (stub, "/");
  g_autoptr (GUri) parsed = g_uri_parse (uri, G_URI_FLAGS_NONE, NULL);

  return g_uri_get_port (parsed);
}

static void
test_http_stub (void)
{
  g_autoptr (HttpStub) stub = http_stub_new ();
  g_autoptr (GBytes) frame = ws_server_frame (WS_BINARY, "hi", 2);
  g_autofree char *body = NULL;
  g_autofree char *header = NULL;
  g_autofree char *parameter = NULL;
  guint16 port = stub_port (stub);
  int fd;

  http_stub_push_answer (stub, 429, "Retry-After: 1\r\n", "slowly");
  http_stub_push_answer (stub, 503, NULL, NULL);
  http_stub_push_upgrade (stub, NULL, g_bytes_get_data (frame, NULL), g_bytes_get_size (frame), TRUE);

  g_assert_cmpuint (http_get (port, "/a?b=c%20d", "X-Test: yes\r\n", &body, NULL), ==, 429);
  g_assert_cmpstr (body, ==, "slowly");
  g_assert_cmpuint (http_get (port, "/", "", NULL, NULL), ==, 503);

  /* The last entry serves all further requests. */
  for (guint i = 0; i < 2; i++)
    {
      fd = ws_connect (port, "/", NULL);
      ws_expect (fd, "hi");
      g_assert_true (http_stub_wait_held (stub, 1));
      http_stub_drop_held (stub);
      client_expect_end (fd);
      client_close (fd);
    }

  g_assert_true (http_stub_wait_requests (stub, 4));
  header = http_stub_get_header (stub, 0, "x-test");
  g_assert_cmpstr (header, ==, "yes");
  parameter = http_stub_get_parameter (stub, 0, "b");
  g_assert_cmpstr (parameter, ==, "c d");
}

static gpointer
welcome (gpointer user_data)
{
  resumable_server_welcome (user_data);
  return NULL;
}

/* Both ends of ResumablePeer connected to each other. */
static void
test_resumable_peers (void)
{
  g_autoptr (ResumablePeer) server = resumable_server_new ();
  g_autoptr (ResumablePeer) client = resumable_client_new (server->port, TEST_TOKEN, TRUE);
  ResumableFrame frame;
  GThread *thread;

  server->hello.instance = G_GUINT64_CONSTANT (0x0102030405060708);
  thread = g_thread_new ("server", welcome, server);
  resumable_client_connect (client);
  resumable_say_hello (client);
  g_thread_join (thread);
  g_assert_cmpuint (client->heard.instance, ==, server->hello.instance);
  g_assert_cmpuint (server->heard.instance, ==, 0);
  g_assert_cmpuint (server->heard.window, ==, client->hello.window);

  resumable_send (client, RESUMABLE_OPEN, 0xfffffffd, NULL, 0);
  resumable_expect (server, RESUMABLE_OPEN, 0xfffffffd);
  resumable_send_stream (server, 0xfffffffd, 60000, 1, 0);
  g_assert_cmpuint (resumable_expect (client, RESUMABLE_DATA, 0xfffffffd).length, ==, 60000);
  resumable_send_ack (client, client->taken);
  resumable_expect_confirmed (server);
  resumable_send_window (client, 0xfffffffd, 77);
  frame = resumable_expect (server, RESUMABLE_WINDOW, 0xfffffffd);
  g_assert_cmpuint (resumable_get_u32 (&frame), ==, 77);
  resumable_send_code (server, RESUMABLE_RESET, 0xfffffffd, RESUMABLE_RESET_LIMIT, "why");
  resumable_expect_reset (client, 0xfffffffd, RESUMABLE_RESET_LIMIT);
  g_assert_cmpuint (client->taken, ==, 2);
  g_assert_cmpuint (client->sent, ==, 2);
}

static void
test_certificates (void)
{
  g_assert_true (G_IS_TLS_CERTIFICATE (test_certificate ()));
  g_assert_true (G_IS_TLS_DATABASE (test_tls_database ()));
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/support/proxy/forwards", test_proxy_forwards);
  g_test_add_func ("/support/proxy/cut", test_proxy_cut);
  g_test_add_func ("/support/proxy/reset", test_proxy_reset);
  g_test_add_func ("/support/proxy/stall", test_proxy_stall);
  g_test_add_func ("/support/proxy/throttle", test_proxy_throttle);
  g_test_add_func ("/support/proxy/delay", test_proxy_delay);
  g_test_add_func ("/support/proxy/black-hole", test_proxy_black_hole);
  g_test_add_func ("/support/proxy/refuse", test_proxy_refuse);
  g_test_add_func ("/support/proxy/accept-then-close", test_proxy_accept_then_close);
  g_test_add_func ("/support/proxy/half-open", test_proxy_half_open);
  g_test_add_func ("/support/proxy/cut-after", test_proxy_cut_after);
  g_test_add_func ("/support/targets", test_targets);
  g_test_add_func ("/support/half-closing-targets", test_half_closing_targets);
  g_test_add_func ("/support/silent-target", test_silent_target);
  g_test_add_func ("/support/resumable-peers", test_resumable_peers);
  g_test_add_func ("/support/http-stub", test_http_stub);
  g_test_add_func ("/support/certificates", test_certificates);

  return g_test_run ();
}
