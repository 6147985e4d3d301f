/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tokens and certificates that change during sessions. */

#include "resume-rig.h"

#include "endpoint.h"
#include "resumable-peer.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct
{
  Fixture *fixture;
  char *token_file;
  const char *next; /* the token that the application sets when it is asked; nullable */
  guint calls;
} Rig;

static void
write_tokens (Rig *rig,
              const char *text)
{
  g_autoptr (GError) error = NULL;

  g_file_set_contents_full (rig->token_file, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &error);
  g_assert_no_error (error);
}

static void
on_token_required (TcpTunnel *tunnel,
                   Rig *rig)
{
  rig->calls++;
  if (rig->next != NULL)
    tcp_tunnel_set_token (tunnel, rig->next);
}

/* A gateway with @tokens, and a tunnel with the token "first". */
static void
rig_init (Rig *rig,
          Target *target,
          TcpTunnelMode mode,
          const char *tokens)
{
  g_autoptr (GError) error = NULL;
  int fd = g_file_open_tmp ("tcptunnel-test-XXXXXX", &rig->token_file, &error);

  g_assert_no_error (error);
  client_close (fd);
  write_tokens (rig, tokens);
  rig->fixture = resume_new (target, mode);
  g_object_set (rig->fixture->gateway, "token", NULL, "token-file", rig->token_file, NULL);
  tcp_tunnel_set_token (rig->fixture->tunnel, "first");
}

static void
rig_clear (Rig *rig)
{
  fixture_free (rig->fixture);
  g_unlink (rig->token_file);
  g_free (rig->token_file);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Rig, rig_clear)

static void
reload (Rig *rig,
        const char *tokens)
{
  write_tokens (rig, tokens);
  test_reload_gateway (rig->fixture->gateway);
}

static guint
try_token (Rig *rig,
           const char *token)
{
  g_autofree char *headers = g_strdup_printf (WS_UPGRADE "Authorization: Bearer %s\r\n", token);

  return http_get (fixture_get_gateway_port (rig->fixture), "/elsewhere", headers, NULL, NULL);
}

/* A reload does not affect the session of a token that is still valid. New tokens are accepted, and removed ones are
 * not. */
static void
test_goes_on (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_manual ();
  g_auto (Rig) rig = { 0 };
  g_auto (Pair) pair = { -1, -1 };

  rig_init (&rig, target, mode, "alice:first\nbob:bobs\n");
  g_signal_connect (rig.fixture->tunnel, "token-required", G_CALLBACK (on_token_required), &rig);
  fixture_start (rig.fixture);
  pair = pair_open (rig.fixture, target);
  pair_round_trip (&pair);
  g_assert_cmpuint (try_token (&rig, "bobs"), ==, 404);
  g_assert_cmpuint (try_token (&rig, "carols"), ==, 401);

  reload (&rig, "carol:carols\nalice:second\nalice:first\n");
  g_assert_cmpuint (try_token (&rig, "bobs"), ==, 401);
  g_assert_cmpuint (try_token (&rig, "carols"), ==, 404);
  g_assert_cmpuint (try_token (&rig, "second"), ==, 404);
  pair_round_trip (&pair);
  g_assert_cmpuint (test_figure (rig.fixture->tunnel, reconnects), ==, 0);
  fault_proxy_reset (rig.fixture->proxy);
  resume_expect (rig.fixture, 1);
  pair_round_trip (&pair);
  g_assert_cmpuint (rig.calls, ==, 0);
}

/* An invalid file changes nothing, and the error names the line. */
static void
test_bad (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = { 0 };
  g_autoptr (GError) error = NULL;

  rig_init (&rig, target, TCP_TUNNEL_MODE_SINGLETON, "alice:first\n");
  g_assert_false (tcp_gateway_reload (rig.fixture->gateway, NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE);
  g_clear_error (&error);

  fixture_start_gateway (rig.fixture);
  write_tokens (&rig, "carol:carols\n\nalice:first expires=soon\n");
  g_assert_false (tcp_gateway_reload (rig.fixture->gateway, NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, ":3: "));
  g_clear_error (&error);
  write_tokens (&rig, "# nobody\n");
  g_assert_false (tcp_gateway_reload (rig.fixture->gateway, NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  g_object_set (rig.fixture->gateway, "tls-certificate", test_certificate (), NULL);
  write_tokens (&rig, "carol:carols\n");
  g_assert_false (tcp_gateway_reload (rig.fixture->gateway, NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_assert_cmpuint (try_token (&rig, "first"), ==, 404);
  g_assert_cmpuint (try_token (&rig, "carols"), ==, 401);
}

/* The sessions of a principal that was removed end, and no others. */
static void
test_removed (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_manual ();
  g_auto (Rig) rig = { 0 };
  g_auto (Pair) pair = { -1, -1 };
  g_autoptr (ResumablePeer) bob = NULL;
  g_autoptr (ResumablePeer) mallory = NULL;
  ResumableFrame frame;
  int fd;

  rig_init (&rig, target, mode, "alice:first\nbob:bobs\nmallory:mallorys\n");
  fixture_start (rig.fixture);
  pair = pair_open (rig.fixture, target);
  pair_round_trip (&pair);
  mallory = resumable_client_start (fixture_get_gateway_port (rig.fixture), "mallorys", TRUE);
  bob = resumable_client_start (fixture_get_gateway_port (rig.fixture), "bobs", TRUE);
  resumable_open (bob, 1);
  fd = target_accept (target);

  reload (&rig, "bob:bobs\n");
  client_expect_reset (pair.client);
  client_expect_reset (pair.target);
  expect_closed (rig.fixture, 1, TCP_TUNNEL_ERROR_UNAUTHORIZED);
  frame = resumable_expect (mallory, RESUMABLE_GOAWAY, 0);
  g_assert_cmpuint (resumable_get_u32 (&frame), ==, RESUMABLE_GOAWAY_UNAUTHORISED);
  while (resumable_receive (mallory, &frame))
    ;
  g_assert_cmpuint (mallory->close_code, ==, 1008);

  resumable_send_text (bob, RESUMABLE_DATA, 1, "still");
  client_read (fd, (char[5]) { 0 }, 5);
  client_close (fd);
}

/* A client whose token is not valid any more is asked for another, and continues without a loss if it has one. */
static void
check_renewed (TcpTunnelMode mode,
               gboolean      expires)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autoptr (GDateTime) soon = g_date_time_add (now, test_scaled_ms (800) * G_TIME_SPAN_MILLISECOND);
  g_autofree char *time = g_date_time_format_iso8601 (soon);
  g_autofree char *tokens = g_strdup_printf ("alice:first%s%s\nalice:second\n", expires ? " expires=" : "", expires ? time : "");
  g_auto (Rig) rig = { .next = "second" };
  g_auto (Pair) pair = { -1, -1 };

  rig_init (&rig, target, mode, tokens);
  g_signal_connect (rig.fixture->tunnel, "token-required", G_CALLBACK (on_token_required), &rig);
  fixture_start (rig.fixture);
  pair = pair_open (rig.fixture, target);
  client_send_stream (pair.client, 400000, 1, 0);
  client_send_stream (pair.target, 400000, 2, 0);
  if (!expires)
    reload (&rig, "alice:second\n");
  WAIT_UNTIL (rig.calls == 1);
  client_send_stream (pair.client, 100000, 1, 400000);
  client_read_stream (pair.client, 400000, 2, 0);
  client_read_stream (pair.target, 500000, 1, 0);
  resume_expect (rig.fixture, 1);
  pair_round_trip (&pair);
  g_assert_cmpuint (rig.calls, ==, 1);
  g_assert_cmpuint (rig.fixture->recorder->failures, ==, 0);
  g_assert_cmpuint (rig.fixture->recorder->closed, ==, 0);
}

static void
test_revoked (TcpTunnelMode mode)
{
  check_renewed (mode, FALSE);
}

static void
test_expired (TcpTunnelMode mode)
{
  check_renewed (mode, TRUE);
}

/* A client that does not renew its token loses its session after the session timeout. */
static void
test_never_renewed (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_auto (Rig) rig = { 0 };
  g_autoptr (ResumablePeer) alice = NULL;
  ResumableFrame frame;
  int fd;

  rig_init (&rig, target, TCP_TUNNEL_MODE_MULTIPLEXED, "alice:first\n");
  g_object_set (rig.fixture->gateway, "session-timeout", 1000, NULL);
  fixture_start_gateway (rig.fixture);
  alice = resumable_client_start (fixture_get_gateway_port (rig.fixture), "first", TRUE);
  resumable_open (alice, 1);
  fd = target_accept (target);
  reload (&rig, "alice:second\n");
  frame = resumable_expect (alice, RESUMABLE_GOAWAY, 0);
  g_assert_cmpuint (resumable_get_u32 (&frame), ==, RESUMABLE_GOAWAY_RENEW);
  while (resumable_receive (alice, &frame))
    ;
  g_assert_cmpuint (alice->close_code, ==, 1008);
  resumable_drop (alice);
  g_assert_cmpuint (resumable_client_try (alice, NULL), ==, 401);
  client_expect_reset (fd);
  client_close (fd);
}

/* A client that cannot be asked for another token loses its WebSocket, and its session unless it can return to it. */
static void
test_foreign (const char *query,
              gboolean comes_back)
{
  g_autoptr (Target) target = target_new_manual ();
  g_auto (Rig) rig = { 0 };
  int fd, served;
  guint16 port;

  rig_init (&rig, target, TCP_TUNNEL_MODE_SINGLETON, "alice:first\n");
  fixture_start_gateway (rig.fixture);
  port = fixture_get_gateway_port (rig.fixture);
  fd = ws_connect (port, query, "first");
  ws_send (fd, WS_BINARY, "\0\0\0\1one", 7);
  served = target_accept (target);
  client_read (served, (char[3]) { 0 }, 3);
  reload (&rig, "alice:second\n");
  ws_expect_close (fd, 1008);
  client_close (fd);
  if (comes_back)
    {
      fd = ws_connect (port, query, "second");
      ws_send (fd, WS_BINARY, "more", 4);
      client_read (served, (char[8]) { 0 }, 8);
      client_close (fd);
    }
  else
    {
      client_expect_reset (served);
    }
  client_close (served);
}

static void
test_raw (void)
{
  test_foreign ("/?sessionId=0a2f2b5e-5d0f-4a57-9c3e-7f1f0a7c9d11", TRUE);
}

static void
test_nameless (void)
{
  test_foreign ("/", FALSE);
}

static void
test_tagged (void)
{
  test_foreign ("/?mode=multiplexed", FALSE);
}

/* Several threads reload the gateway, with contexts of their own, while it is closed and started again. */

#define N_THREADS 4

static void
on_result (GObject *object,
           GAsyncResult *result,
           gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

static gboolean
reload_elsewhere (TcpGateway *gateway,
                  GMainContext *context,
                  GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  tcp_gateway_reload_async (gateway, NULL, on_result, &result);
  while (result == NULL)
    g_main_context_iteration (context, TRUE);
  return tcp_gateway_reload_finish (gateway, result, error);
}

static gpointer
run_reloads (gpointer gateway)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  guint rounds = test_count (200, 50);

  g_main_context_push_thread_default (context);
  for (guint i = 0; i < rounds; i++)
    {
      g_autoptr (GError) error = NULL;
      gboolean done = i % 2 == 0 ? tcp_gateway_reload (gateway, NULL, &error) : reload_elsewhere (gateway, context, &error);

      if (!done)
        g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE);
    }
  g_main_context_pop_thread_default (context);
  return NULL;
}

static void
test_threads (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = { 0 };
  GThread *threads[N_THREADS];

  rig_init (&rig, target, TCP_TUNNEL_MODE_SINGLETON, "alice:first\n");
  fixture_start_gateway (rig.fixture);
  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("reloads", run_reloads, rig.fixture->gateway);
  for (guint i = 0; i < 20; i++)
    {
      tcp_endpoint_close (TCP_ENDPOINT (rig.fixture->gateway));
      fixture_start_gateway (rig.fixture);
    }
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  reload (&rig, "carol:carols\n");
  g_assert_cmpuint (try_token (&rig, "first"), ==, 401);
  g_assert_cmpuint (try_token (&rig, "carols"), ==, 404);
}

static void
on_reloaded (GObject *object,
             GAsyncResult *result,
             gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (tcp_gateway_reload_finish (TCP_GATEWAY (object), result, &error));
  g_assert_no_error (error);
  *(gboolean *) user_data = TRUE;
}

static void
on_reload_failed (GObject *object,
                  GAsyncResult *result,
                  gpointer user_data)
{
  g_assert_false (tcp_gateway_reload_finish (TCP_GATEWAY (object), result, user_data));
}

/* The gateway is closed while the tokens are read: the reload fails. */
static void
test_closed (void)
{
  static const char tokens[] = "alice:second\n";
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = { 0 };
  g_autofree char *fifo = NULL;
  g_autoptr (GError) error = NULL;
  int fd;

  rig_init (&rig, target, TCP_TUNNEL_MODE_SINGLETON, "alice:first\n");
  fixture_start_gateway (rig.fixture);
  fifo = g_strconcat (rig.token_file, ".fifo", NULL);
  g_assert_no_errno (mkfifo (fifo, 0600));
  g_object_set (rig.fixture->gateway, "token-file", fifo, NULL);
  tcp_gateway_reload_async (rig.fixture->gateway, NULL, on_reload_failed, &error);
  tcp_endpoint_close (TCP_ENDPOINT (rig.fixture->gateway));

  fd = open (fifo, O_WRONLY | O_CLOEXEC);
  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (write (fd, tokens, strlen (tokens)), ==, strlen (tokens));
  close (fd);
  WAIT_UNTIL (error != NULL);
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE);
  g_unlink (fifo);
}

/* A reload that was called earlier and takes longer does not restore what a later one has removed. */
static void
test_overtaken (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = { 0 };
  g_autofree char *fifo = NULL;
  g_autofree char *file = NULL;
  gboolean done = FALSE;
  int fd, writer;

  rig_init (&rig, target, TCP_TUNNEL_MODE_MULTIPLEXED, "alice:first\nbob:other\n");
  fixture_start (rig.fixture);
  fd = fixture_connect (rig.fixture);
  client_round_trip (fd, "before");
  file = g_strdup (rig.token_file);
  fifo = g_strconcat (rig.token_file, ".fifo", NULL);
  g_assert_no_errno (mkfifo (fifo, 0600));
  g_object_set (rig.fixture->gateway, "token-file", fifo, NULL);
  tcp_gateway_reload_async (rig.fixture->gateway, NULL, on_reloaded, &done);
  /* This returns when the reload has opened the file. */
  writer = open (fifo, O_WRONLY | O_CLOEXEC);
  g_assert_cmpint (writer, >=, 0);

  g_object_set (rig.fixture->gateway, "token-file", file, NULL);
  test_reload_gateway (rig.fixture->gateway);
  g_assert_cmpint (write (writer, "bob:other\n", 10), ==, 10);
  close (writer);
  WAIT_UNTIL (done);
  client_round_trip (fd, "after");
  client_close (fd);
  g_unlink (fifo);
}

static GTlsCertificate *
get_certificate (guint16 port)
{
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GSocketConnection) connection = g_socket_client_connect_to_host (client, "127.0.0.1", port, NULL, NULL);
  g_autoptr (GSocketAddress) remote = g_socket_connection_get_remote_address (connection, NULL);
  g_autoptr (GIOStream) tls = g_tls_client_connection_new (G_IO_STREAM (connection), G_SOCKET_CONNECTABLE (remote), NULL);
  g_autoptr (GError) error = NULL;

  g_tls_connection_set_database (G_TLS_CONNECTION (tls), test_tls_database ());
  g_tls_connection_handshake (G_TLS_CONNECTION (tls), NULL, &error);
  g_assert_no_error (error);
  return g_object_ref (g_tls_connection_get_peer_certificate (G_TLS_CONNECTION (tls)));
}

/* New handshakes use the new certificate, and open connections continue. */
static void
test_certificates (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_TLS | FIXTURE_RESUMABLE);
  g_autoptr (GTlsCertificate) next = test_certificate_issue ("IP:127.0.0.1", "20200101000000Z", "29990101000000Z");
  g_autoptr (GTlsCertificate) before = NULL;
  g_autoptr (GTlsCertificate) after = NULL;
  gboolean done = FALSE;
  int fd;

  fixture_start (fixture);
  fd = fixture_connect (fixture);
  client_round_trip (fd, "before");
  before = get_certificate (fixture_get_gateway_port (fixture));
  g_assert_true (g_tls_certificate_is_same (before, test_certificate ()));

  g_object_set (fixture->gateway, "tls-certificate", next, NULL);
  tcp_gateway_reload_async (fixture->gateway, NULL, on_reloaded, &done);
  WAIT_UNTIL (done);
  after = get_certificate (fixture_get_gateway_port (fixture));
  g_assert_true (g_tls_certificate_is_same (after, next));
  client_round_trip (fd, "after");
  client_close (fd);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  add_mode_test ("/reload/goes-on", test_goes_on);
  add_mode_test ("/reload/removed", test_removed);
  add_mode_test ("/reload/revoked", test_revoked);
  add_mode_test ("/reload/expired", test_expired);
  g_test_add_func ("/reload/bad", test_bad);
  g_test_add_func ("/reload/never-renewed", test_never_renewed);
  g_test_add_func ("/reload/raw", test_raw);
  g_test_add_func ("/reload/nameless", test_nameless);
  g_test_add_func ("/reload/tagged", test_tagged);
  g_test_add_func ("/reload/threads", test_threads);
  g_test_add_func ("/reload/certificates", test_certificates);
  g_test_add_func ("/reload/closed", test_closed);
  g_test_add_func ("/reload/overtaken", test_overtaken);
  return g_test_run ();
}
