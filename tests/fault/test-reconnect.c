/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* When a tunnel reconnects, which delays it chooses, and when it gives up, with an HttpStub as its gateway. */

#include "stub-rig.h"

#include <string.h>

static void
test_back_off (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  guint delay = 50, max_delay = 150, attempts = 4;
  g_auto (GStrv) states = NULL;
  guint reconnecting = 0;
  guint16 port;
  int fd, refused;

  g_object_set (rig.tunnel, "reconnect-delay", delay, "max-reconnect-delay", max_delay,
                "max-reconnect-attempts", attempts, NULL);
  http_stub_push_answer (rig.stub, 503, NULL, "not now");
  fd = stub_rig_connect (&rig);
  port = test_tunnel_get_port (rig.tunnel);
  stub_rig_expect_failure (&rig, TCP_TUNNEL_ERROR_UNREACHABLE);
  g_assert_true (g_str_has_prefix (rig.recorder->failure->message, "gave up after 4 attempts: the gateway "));
  g_assert_nonnull (strstr (rig.recorder->failure->message, "503"));

  /* The delay doubles up to its maximum, minus up to 20 % jitter. */
  g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 1 + attempts);
  for (guint i = 0; i < attempts; i++)
    {
      gint64 waited = http_stub_get_time (rig.stub, i + 1) - http_stub_get_time (rig.stub, i);

      g_assert_cmpint (waited, >=, MIN (delay << i, max_delay) * 1000 * 8 / 10);
    }

  g_assert_cmpuint (rig.recorder->delays->len, ==, attempts);
  g_assert_cmpuint (rig.recorder->last_attempt, ==, attempts);

  states = g_strsplit (rig.recorder->states->str, " ", -1);
  for (char **state = states; *state != NULL; state++)
    reconnecting += g_str_equal (*state, "reconnecting");
  g_assert_cmpuint (reconnecting, ==, attempts);
  g_assert_true (g_str_has_prefix (rig.recorder->states->str, "connecting disconnected reconnecting connecting "));

  /* The tunnel closes with its last attempt, and the client must not mistake that for an orderly end. */
  client_expect_reset (fd);
  client_close (fd);
  g_assert_cmpint (client_try_connect (port, &refused), !=, 0);
}

static void
test_no_attempts (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  int fd;

  g_object_set (rig.tunnel, "max-reconnect-attempts", 0, NULL);
  http_stub_push_answer (rig.stub, 500, NULL, NULL);
  fd = stub_rig_connect (&rig);
  stub_rig_expect_failure (&rig, TCP_TUNNEL_ERROR_UNREACHABLE);
  g_assert_true (g_str_has_prefix (rig.recorder->failure->message, "the gateway "));
  g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 1);
  client_expect_reset (fd);
  client_close (fd);
}

/* After an error that may be temporary, the next attempt succeeds. */
static void
expect_retried (HttpStub *stub,
                StubRig *rig)
{
  int fd;

  http_stub_push_upgrade (stub, NULL, NULL, 0, TRUE);
  fd = stub_rig_connect (rig);
  WAIT_UNTIL (rig->recorder->last_state == TCP_TUNNEL_STATE_CONNECTED);
  g_assert_cmpuint (http_stub_get_requests (stub), ==, 2);
  g_assert_cmpuint (rig->recorder->failures, ==, 0);
  g_assert_cmpstr (rig->recorder->states->str, ==, "connecting disconnected reconnecting connecting connected");
  client_close (fd);
}

static void
test_retried_statuses (void)
{
  const guint statuses[] = {
    200, 201, 204, 206, 300, 301, 302, 303, 304, 307, 308, 408, 425, 429, 500, 501, 502, 503, 504, 505, 507, 511, 599,
  };

  for (guint i = 0; i < G_N_ELEMENTS (statuses); i++)
    {
      g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");

      g_test_message ("status %u", statuses[i]);
      http_stub_push_answer (rig.stub, statuses[i], "Location: /elsewhere\r\n", NULL);
      expect_retried (rig.stub, &rig);
    }
}

static void
test_final_statuses (void)
{
  /* Except for 421, which libsoup itself retries on another connection. */
  const guint statuses[] = {
    400, 402, 403, 404, 405, 406, 407, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 422, 423, 424, 426, 428, 431, 451, 499,
  };

  for (guint i = 0; i < G_N_ELEMENTS (statuses); i++)
    {
      g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
      g_autofree char *number = g_strdup_printf ("%u", statuses[i]);
      int fd;

      g_test_message ("status %u", statuses[i]);
      http_stub_push_answer (rig.stub, statuses[i], NULL, "no");
      fd = stub_rig_connect (&rig);
      stub_rig_expect_failure (&rig, TCP_TUNNEL_ERROR_REJECTED);
      g_assert_nonnull (strstr (rig.recorder->failure->message, number));
      g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 1);
      g_assert_cmpstr (rig.recorder->states->str, ==, "connecting disconnected");
      client_expect_reset (fd);
      client_close (fd);
    }
}

/* Control characters in the answer of a server appear neither in the error nor in the log. */
static void
test_reason_phrase (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  int fd;

  http_stub_push_raw (rig.stub, "HTTP/1.1 403 No \033[31m\xff way\r\nContent-Length: 0\r\n\r\n");
  fd = stub_rig_connect (&rig);
  stub_rig_expect_failure (&rig, TCP_TUNNEL_ERROR_REJECTED);
  g_assert_nonnull (strstr (rig.recorder->failure->message, " (403 No \\x1b[31m\\xff way); "));
  client_close (fd);
}

static void
test_broken_answers (void)
{
  const char *answers[] = {
    "",
    "\r\n\r\n",
    "\x16\x03\x01 this is not HTTP\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConn",
    "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\ntoo little",
  };

  for (guint i = 0; i <= G_N_ELEMENTS (answers); i++)
    {
      g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");

      g_test_message ("answer %u", i);
      if (i < G_N_ELEMENTS (answers))
        http_stub_push_raw (rig.stub, answers[i]);
      else
        http_stub_push_wrong_accept (rig.stub);
      expect_retried (rig.stub, &rig);
    }
}

static void
test_silence (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");

  g_object_set (rig.tunnel, "connect-timeout", 100, NULL);
  http_stub_push_silence (rig.stub);
  expect_retried (rig.stub, &rig);
}

static void
test_only_silence (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  int fd;

  g_object_set (rig.tunnel, "connect-timeout", 50, "max-reconnect-attempts", 1, NULL);
  http_stub_push_silence (rig.stub);
  fd = stub_rig_connect (&rig);
  stub_rig_expect_failure (&rig, TCP_TUNNEL_ERROR_TIMED_OUT);
  client_close (fd);
}

static void
check_retry_after (guint status,
                   const char *value,
                   gint64 at_least)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  g_autofree char *header = g_strdup_printf ("Retry-After: %s\r\n", value);

  g_object_set (rig.tunnel, "max-reconnect-delay", 30000, NULL);
  http_stub_push_answer (rig.stub, status, header, NULL);
  expect_retried (rig.stub, &rig);
  g_assert_cmpint (http_stub_get_time (rig.stub, 1) - http_stub_get_time (rig.stub, 0), >=, at_least);
}

static void
check_retry_after_date (void)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autoptr (GDateTime) then = g_date_time_add_seconds (now, 3);
  g_autofree char *date = g_date_time_format (then, "%a, %d %b %Y %H:%M:%S GMT");

  /* A date has a resolution of one second, and some time may have passed. */
  check_retry_after (503, date, G_USEC_PER_SEC / 2);
}

static void
test_retry_after (void)
{
  check_retry_after (429, "1", G_USEC_PER_SEC);
  check_retry_after (503, "1", G_USEC_PER_SEC);
  check_retry_after_date ();
  /* Invalid values are ignored. */
  check_retry_after (503, "soon", 0);
  check_retry_after (503, "-5", 0);
}

static void
test_multiplexed_start_is_not_retried (void)
{
  const struct
  {
    guint status;
    TcpTunnelError code;
  } cases[] = {
    { 503, TCP_TUNNEL_ERROR_UNREACHABLE },
    { 429, TCP_TUNNEL_ERROR_UNREACHABLE },
    { 301, TCP_TUNNEL_ERROR_UNREACHABLE },
    { 403, TCP_TUNNEL_ERROR_REJECTED },
    { 401, TCP_TUNNEL_ERROR_UNAUTHORIZED },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_MULTIPLEXED, "/");
      g_autoptr (GError) error = NULL;

      g_test_message ("status %u", cases[i].status);
      http_stub_push_answer (rig.stub, cases[i].status, NULL, NULL);
      g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (rig.tunnel), NULL, &error));
      g_assert_error (error, TCP_TUNNEL_ERROR, (int) cases[i].code);
      g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 1);
      g_assert_null (tcp_endpoint_get_local_address (TCP_ENDPOINT (rig.tunnel)));
      g_assert_cmpint (tcp_tunnel_get_state (rig.tunnel), ==, TCP_TUNNEL_STATE_DISCONNECTED);
    }
}

static StubRig
waiting_rig_new (void)
{
  StubRig rig = stub_rig_new (TCP_TUNNEL_MODE_MULTIPLEXED, "/");

  g_object_set (rig.tunnel, "wait-for-gateway", TRUE, "reconnect-delay", 1, "max-reconnect-delay", 5, NULL);
  return rig;
}

/* The start waits for a gateway that is not available yet, and signals its attempts. */
static void
test_wait_for_gateway (void)
{
  g_auto (StubRig) rig = waiting_rig_new ();
  gboolean started;

  g_object_set (rig.tunnel, "max-reconnect-attempts", TCP_TUNNEL_UNLIMITED_ATTEMPTS, NULL);
  http_stub_push_answer (rig.stub, 503, NULL, NULL);
  http_stub_push_raw (rig.stub, "");
  for (guint i = 0; i < 10; i++)
    http_stub_push_answer (rig.stub, 502, NULL, NULL);
  http_stub_push_upgrade (rig.stub, NULL, NULL, 0, TRUE);
  test_tunnel_begin_start (rig.tunnel, &started);
  WAIT_UNTIL (rig.recorder->delays->len == 6);
  g_assert_false (started);
  g_assert_null (tcp_endpoint_get_local_address (TCP_ENDPOINT (rig.tunnel)));
  WAIT_UNTIL (started);
  g_assert_nonnull (tcp_endpoint_get_local_address (TCP_ENDPOINT (rig.tunnel)));
  g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 13);
  g_assert_cmpuint (rig.recorder->delays->len, ==, 12);
  g_assert_cmpuint (rig.recorder->last_attempt, ==, 12);
  g_assert_error (rig.recorder->retry_error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNREACHABLE);
  g_assert_nonnull (strstr (rig.recorder->retry_error->message, "502"));
  g_assert_true (g_str_has_prefix (rig.recorder->states->str, "connecting reconnecting connecting reconnecting "));
  g_assert_true (g_str_has_suffix (rig.recorder->states->str, " reconnecting connecting connected"));
  g_assert_cmpuint (rig.recorder->failures, ==, 0);
}

/* A blocking start signals its attempts as well. */
static void
test_wait_gives_up (void)
{
  g_auto (StubRig) rig = waiting_rig_new ();
  g_autoptr (GError) error = NULL;

  g_object_set (rig.tunnel, "max-reconnect-attempts", 3, NULL);
  http_stub_push_answer (rig.stub, 503, NULL, NULL);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (rig.tunnel), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNREACHABLE);
  g_assert_true (g_str_has_prefix (error->message, "gave up after 3 attempts: the gateway "));
  g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 4);
  g_assert_cmpuint (rig.recorder->delays->len, ==, 3);
  g_assert_cmpint (tcp_tunnel_get_state (rig.tunnel), ==, TCP_TUNNEL_STATE_DISCONNECTED);
}

/* An error that is not temporary ends the start at once. */
static void
test_no_wait_after_final_error (void)
{
  const struct
  {
    guint status;
    TcpTunnelError code;
  } cases[] = {
    { 400, TCP_TUNNEL_ERROR_REJECTED },    { 401, TCP_TUNNEL_ERROR_UNAUTHORIZED }, { 403, TCP_TUNNEL_ERROR_REJECTED },
    { 404, TCP_TUNNEL_ERROR_REJECTED },    { 200, TCP_TUNNEL_ERROR_PROTOCOL },     { 301, TCP_TUNNEL_ERROR_UNREACHABLE },
    { 0, TCP_TUNNEL_ERROR_PROTOCOL },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_auto (StubRig) rig = waiting_rig_new ();
      g_autoptr (GError) error = NULL;

      g_test_message ("status %u", cases[i].status);
      if (cases[i].status > 0)
        http_stub_push_answer (rig.stub, cases[i].status, NULL, NULL);
      else
        http_stub_push_wrong_accept (rig.stub);
      g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (rig.tunnel), NULL, &error));
      g_assert_error (error, TCP_TUNNEL_ERROR, (int) cases[i].code);
      g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 1);
      g_assert_cmpuint (rig.recorder->delays->len, ==, 0);
    }
}

typedef struct
{
  gboolean done;
  GError *error;
} Start;

static void
on_not_started (GObject *object,
                GAsyncResult *result,
                gpointer user_data)
{
  Start *start = user_data;

  g_assert_false (tcp_endpoint_start_finish (TCP_ENDPOINT (object), result, &start->error));
  start->done = TRUE;
}

/* A waiting start can be cancelled, and be ended by a close, even during a delay. */
static void
test_wait_is_ended (void)
{
  for (guint i = 0; i < 2; i++)
    {
      g_auto (StubRig) rig = waiting_rig_new ();
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      Start start = { FALSE, NULL };

      g_object_set (rig.tunnel, "reconnect-delay", G_MAXINT, "max-reconnect-delay", G_MAXINT, NULL);
      http_stub_push_answer (rig.stub, 503, NULL, NULL);
      tcp_endpoint_start_async (TCP_ENDPOINT (rig.tunnel), cancellable, on_not_started, &start);
      WAIT_UNTIL (rig.recorder->delays->len == 1);
      if (i == 0)
        g_cancellable_cancel (cancellable);
      else
        tcp_endpoint_close (TCP_ENDPOINT (rig.tunnel));
      WAIT_UNTIL (start.done);
      if (i == 0)
        g_assert_error (start.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      else
        g_assert_error (start.error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED);
      g_clear_error (&start.error);
      g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 1);
    }
}

static void
test_multiplexed_gives_up (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_MULTIPLEXED, "/");

  g_object_set (rig.tunnel, "max-reconnect-attempts", 3, NULL);
  http_stub_push_upgrade (rig.stub, NULL, NULL, 0, TRUE);
  http_stub_push_answer (rig.stub, 502, NULL, NULL);
  test_tunnel_start (rig.tunnel);
  http_stub_drop_held (rig.stub);
  stub_rig_expect_failure (&rig, TCP_TUNNEL_ERROR_UNREACHABLE);
  g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 4);
}

static void
test_multiplexed_query (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_MULTIPLEXED, "/a/b?project=x%2Fy&empty=&remotePort=80");
  g_autofree char *target = NULL;
  g_autofree char *mode = NULL;
  g_autofree char *project = NULL;

  http_stub_push_upgrade (rig.stub, NULL, NULL, 0, TRUE);
  test_tunnel_start (rig.tunnel);
  target = http_stub_get_target (rig.stub, 0);
  g_assert_true (g_str_has_prefix (target, "/a/b?project=x%2Fy&empty=&remotePort=80&"));
  mode = http_stub_get_parameter (rig.stub, 0, "mode");
  g_assert_cmpstr (mode, ==, "multiplexed");
  project = http_stub_get_parameter (rig.stub, 0, "project");
  g_assert_cmpstr (project, ==, "x/y");
}

static void
test_session_id (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/p?own=query");
  g_autoptr (GPtrArray) ids = g_ptr_array_new_with_free_func (g_free);
  int fd;

  http_stub_push_answer (rig.stub, 500, NULL, NULL);
  http_stub_push_upgrade (rig.stub, NULL, NULL, 0, TRUE);
  fd = stub_rig_connect (&rig);
  g_assert_true (http_stub_wait_held (rig.stub, 1));
  WAIT_UNTIL (rig.recorder->last_state == TCP_TUNNEL_STATE_CONNECTED);
  http_stub_drop_held (rig.stub);
  g_assert_true (http_stub_wait_requests (rig.stub, 3));
  WAIT_UNTIL (rig.recorder->last_state == TCP_TUNNEL_STATE_CONNECTED);
  client_close (fd);
  WAIT_UNTIL (rig.recorder->closed == 1);

  fd = client_connect (test_tunnel_get_port (rig.tunnel));
  g_assert_true (http_stub_wait_requests (rig.stub, 4));
  client_close (fd);

  for (guint i = 0; i < 4; i++)
    {
      char *id = http_stub_get_parameter (rig.stub, i, "sessionId");
      g_autofree char *own = http_stub_get_parameter (rig.stub, i, "own");
      g_autofree char *mode = http_stub_get_parameter (rig.stub, i, "mode");

      g_assert_cmpstr (own, ==, "query");
      g_assert_null (mode);
      g_assert_nonnull (id);
      g_ptr_array_add (ids, id);
      g_assert_true (g_regex_match_simple ("^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$", id, 0, 0));
    }
  g_assert_cmpstr (ids->pdata[0], ==, ids->pdata[1]);
  g_assert_cmpstr (ids->pdata[1], ==, ids->pdata[2]);
  g_assert_cmpstr (ids->pdata[2], !=, ids->pdata[3]);
}

static void
test_request_headers (void)
{
  const char *headers[] = { "X-Project: one", "X-Trace: 1:2", NULL };
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  g_autofree char *project = NULL;
  g_autofree char *trace = NULL;
  g_autofree char *protocol = NULL;
  g_autofree char *extensions = NULL;
  int fd;

  g_object_set (rig.tunnel, "request-headers", headers, NULL);
  http_stub_push_upgrade (rig.stub, NULL, NULL, 0, TRUE);
  fd = stub_rig_connect (&rig);
  g_assert_true (http_stub_wait_requests (rig.stub, 1));
  project = http_stub_get_header (rig.stub, 0, "X-Project");
  trace = http_stub_get_header (rig.stub, 0, "X-Trace");
  g_assert_cmpstr (project, ==, "one");
  g_assert_cmpstr (trace, ==, "1:2");
  protocol = http_stub_get_header (rig.stub, 0, "Sec-WebSocket-Protocol");
  extensions = http_stub_get_header (rig.stub, 0, "Sec-WebSocket-Extensions");
  g_assert_null (protocol);
  g_assert_null (extensions);
  client_close (fd);
}

/* A server that opens the WebSocket is available, so that the count of attempts begins again. If it ends the
 * WebSocket at once, the delays still grow. */
static void
test_flapping (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  int fd;

  g_object_set (rig.tunnel, "max-reconnect-attempts", 2, "reconnect-delay", 5, NULL);
  http_stub_push_upgrade (rig.stub, NULL, NULL, 0, FALSE);
  fd = stub_rig_connect (&rig);
  WAIT_UNTIL (rig.recorder->delays->len == 7);
  g_assert_cmpuint (rig.recorder->last_attempt, ==, 1);
  g_assert_cmpuint (rig.recorder->failures, ==, 0);
  g_assert_cmpuint (g_array_index (rig.recorder->delays, guint, 0), <=, 5);
  g_assert_cmpuint (g_array_index (rig.recorder->delays, guint, 6), >=, 80);
  client_close (fd);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/reconnect/back-off", test_back_off);
  g_test_add_func ("/reconnect/no-attempts", test_no_attempts);
  g_test_add_func ("/reconnect/retried-statuses", test_retried_statuses);
  g_test_add_func ("/reconnect/final-statuses", test_final_statuses);
  g_test_add_func ("/reconnect/reason-phrase", test_reason_phrase);
  g_test_add_func ("/reconnect/broken-answers", test_broken_answers);
  g_test_add_func ("/reconnect/silence", test_silence);
  g_test_add_func ("/reconnect/only-silence", test_only_silence);
  g_test_add_func ("/reconnect/retry-after", test_retry_after);
  g_test_add_func ("/reconnect/multiplexed-start-is-not-retried", test_multiplexed_start_is_not_retried);
  g_test_add_func ("/reconnect/wait-for-gateway", test_wait_for_gateway);
  g_test_add_func ("/reconnect/wait-gives-up", test_wait_gives_up);
  g_test_add_func ("/reconnect/no-wait-after-final-error", test_no_wait_after_final_error);
  g_test_add_func ("/reconnect/wait-is-ended", test_wait_is_ended);
  g_test_add_func ("/reconnect/multiplexed-gives-up", test_multiplexed_gives_up);
  g_test_add_func ("/reconnect/multiplexed-query", test_multiplexed_query);
  g_test_add_func ("/reconnect/session-id", test_session_id);
  g_test_add_func ("/reconnect/request-headers", test_request_headers);
  g_test_add_func ("/reconnect/flapping", test_flapping);

  return g_test_run ();
}
