/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Clients that the application has to authenticate. */

#include "client.h"
#include "endpoint.h"
#include "fixture.h"
#include "log-tap.h"
#include "resumable-peer.h"

#include <glib/gstdio.h>
#include <string.h>

#define UNKNOWN "nobody-knows-this-one"
#define N_THREADS 4

typedef struct
{
  TcpGateway *gateway;
  Target *target;
  guint16 port;
  GPtrArray *asked; /* of TcpAuthentication, in the order of the requests; NULL to drop them */
  guint calls;
  const char *principal; /* as which to accept at once; nullable */
  GDateTime *expires;    /* until when to accept; nullable */
} Rig;

static void
on_authenticate (TcpGateway        *gateway,
                 TcpAuthentication *authentication,
                 Rig               *rig)
{
  rig->calls++;
  if (rig->principal != NULL)
    g_assert_true (tcp_authentication_accept (authentication, rig->principal, rig->expires));
  else if (rig->asked != NULL)
    g_ptr_array_add (rig->asked, g_object_ref (authentication));
}

/* The gateway is not started, and has no token. */
static void
rig_init (Rig *rig)
{
  g_autofree char *address = NULL;

  rig->target = target_new_echo ();
  address = target_get_address (rig->target);
  rig->gateway = tcp_gateway_new (address);
  rig->asked = g_ptr_array_new_with_free_func (g_object_unref);
  g_object_set (rig->gateway, "log-level", TCP_TUNNEL_LOG_LEVEL_DEBUG, NULL);
  g_signal_connect (rig->gateway, "authenticate", G_CALLBACK (on_authenticate), rig);
}

static void
rig_start (Rig *rig)
{
  g_autoptr (GError) error = NULL;

  tcp_endpoint_start (TCP_ENDPOINT (rig->gateway), NULL, &error);
  g_assert_no_error (error);
  rig->port = test_port_of (rig->gateway);
}

static void
rig_clear (Rig *rig)
{
  tcp_endpoint_close (TCP_ENDPOINT (rig->gateway));
  g_clear_pointer (&rig->asked, g_ptr_array_unref);
  g_object_unref (rig->gateway);
  target_free (rig->target);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Rig, rig_clear)

static TcpAuthentication *
rig_get (Rig   *rig,
         guint  i)
{
  WAIT_UNTIL (rig->asked->len > i);
  return rig->asked->pdata[i];
}

/* Sends the request without waiting for the answer. */
static int
request (Rig        *rig,
         const char *target,
         const char *headers)
{
  g_autofree char *text = g_strdup_printf ("GET %s HTTP/1.1\r\nHost: h\r\n" WS_UPGRADE "%s\r\n", target, headers);
  int fd = client_connect (rig->port);

  client_write (fd, text, strlen (text));
  return fd;
}

static int
request_with_token (Rig *rig)
{
  return request (rig, "/", "Authorization: Bearer " UNKNOWN "\r\n");
}

static guint
read_status (int fd)
{
  g_autofree char *head = http_read_head (fd);

  g_assert_nonnull (head);
  return http_head_get_status (head);
}

static void
expect_status (int   fd,
               guint status)
{
  g_assert_cmpuint (read_status (fd), ==, status);
  client_close (fd);
}

static void
expect_echo (int fd)
{
  ws_send (fd, WS_BINARY, "hello", 5);
  ws_expect (fd, "hello");
}

/* The application receives the properties of the request, and the name that it gives is the principal of the
 * connection. */
static void
test_accepted (void)
{
  g_auto (Rig) rig = { 0 };
  TcpAuthentication *authentication;
  TcpConnection *connection;
  g_autofree char *token = NULL;
  g_autofree char *path = NULL;
  g_autofree char *principal = NULL;
  GSocketAddress *address;
  GListModel *connections;
  int fd;

  rig_init (&rig);
  rig_start (&rig);
  connections = tcp_endpoint_get_connections (TCP_ENDPOINT (rig.gateway));
  fd = request_with_token (&rig);
  authentication = rig_get (&rig, 0);
  token = tcp_authentication_dup_token (authentication);
  g_assert_cmpstr (token, ==, UNKNOWN);
  path = tcp_authentication_dup_path (authentication);
  g_assert_cmpstr (path, ==, "/");
  address = tcp_authentication_get_client_address (authentication);
  g_assert_cmpuint (g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address)), >, 0);
  g_assert_null (tcp_authentication_get_proxy_address (authentication));
  g_assert_null (tcp_authentication_get_certificate (authentication));

  g_assert_true (tcp_authentication_accept (authentication, "alice", NULL));
  g_assert_false (tcp_authentication_accept (authentication, "bob", NULL));
  g_assert_false (tcp_authentication_reject (authentication, NULL));
  g_assert_cmpuint (read_status (fd), ==, 101);
  expect_echo (fd);
  WAIT_UNTIL (g_list_model_get_n_items (connections) == 1);
  connection = g_list_model_get_item (connections, 0);
  principal = test_dup_string (connection, "principal");
  g_assert_cmpstr (principal, ==, "alice");
  g_object_unref (connection);
  client_close (fd);
}

/* The properties of a request that came by way of a proxy and has no token. */
static void
test_behind_proxy (void)
{
  const char *proxies[] = { "127.0.0.1", NULL };
  g_auto (Rig) rig = { 0 };
  TcpAuthentication *authentication;
  g_autoptr (GSocketAddress) proxy = NULL;
  GInetSocketAddress *address;
  g_autofree char *text = NULL;
  g_autofree char *path = NULL;
  int fd;

  rig_init (&rig);
  g_object_set (rig.gateway, "trusted-proxies", proxies, NULL);
  rig_start (&rig);
  fd = request (&rig, "/a%20b?sessionId=x", "X-Forwarded-For: 192.0.2.7\r\n");
  authentication = rig_get (&rig, 0);
  g_assert_null (tcp_authentication_dup_token (authentication));
  address = G_INET_SOCKET_ADDRESS (tcp_authentication_get_client_address (authentication));
  text = g_inet_address_to_string (g_inet_socket_address_get_address (address));
  g_assert_cmpstr (text, ==, "192.0.2.7");
  g_assert_cmpuint (g_inet_socket_address_get_port (address), ==, 0);
  g_object_get (authentication, "proxy-address", &proxy, "path", &path, NULL);
  g_assert_true (g_inet_address_get_is_loopback (g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (proxy))));
  g_assert_cmpstr (path, ==, "/a%20b");
  /* No I/O thread holds a reference, since it would have to wait for data that a language binding attaches. */
  g_assert_cmpuint (g_atomic_int_get (&G_OBJECT (proxy)->ref_count), ==, 2);

  /* Only an authenticated client may find out which paths exist. */
  tcp_authentication_accept (authentication, "alice", NULL);
  expect_status (fd, 404);
}

static void
test_rejected (void)
{
  g_auto (Rig) rig = { 0 };
  g_autoptr (GDateTime) past = g_date_time_new_from_unix_utc (1);
  int fds[4];

  rig_init (&rig);
  rig_start (&rig);
  for (guint i = 0; i < 4; i++)
    {
      fds[i] = request_with_token (&rig);
      rig_get (&rig, i);
    }
  g_assert_true (tcp_authentication_reject (rig_get (&rig, 0), "the account is closed"));
  expect_status (fds[0], 401);
  LOG_TAP_EXPECT ("info", "The application rejected the client. (the account is closed)", 1);
  g_assert_true (tcp_authentication_accept (rig_get (&rig, 1), "alice", past));
  expect_status (fds[1], 401);
  LOG_TAP_EXPECT ("info", "(the application gave a time that is over)", 1);
  g_assert_false (tcp_authentication_accept (rig_get (&rig, 2), "al\nice", NULL));
  expect_status (fds[2], 401);
  LOG_TAP_EXPECT ("info", "name of the principal", 1);
  /* An authentication that is dropped without a decision. */
  g_ptr_array_set_size (rig.asked, 0);
  expect_status (fds[3], 401);
  LOG_TAP_EXPECT ("info", "(the application did not decide)", 1);

  /* A handler that keeps no reference. */
  g_clear_pointer (&rig.asked, g_ptr_array_unref);
  fds[0] = request_with_token (&rig);
  WAIT_UNTIL (rig.calls == 5);
  expect_status (fds[0], 401);
  g_assert_cmpuint (log_tap_count ("", UNKNOWN), ==, 0);
}

typedef struct
{
  TcpAuthentication *authentication;
  gint *counted;
  guint number;
} Answer;

static gpointer
answer (gpointer data)
{
  Answer *self = data;
  g_autofree char *token = tcp_authentication_dup_token (self->authentication);
  g_autofree char *name = g_strdup_printf ("thread %u", self->number);
  gboolean counts;

  g_assert_cmpstr (token, ==, UNKNOWN);
  counts = self->number % 2 == 0 ? tcp_authentication_accept (self->authentication, name, NULL)
                                 : tcp_authentication_reject (self->authentication, name);
  if (counts)
    g_atomic_int_inc (self->counted);
  g_object_unref (self->authentication);
  return GINT_TO_POINTER (counts && self->number % 2 == 0);
}

/* If several threads answer, the first answer counts, and only that. The last reference is dropped in one of the
 * threads. */
static void
test_threads (void)
{
  g_auto (Rig) rig = { 0 };

  rig_init (&rig);
  rig_start (&rig);
  for (guint round = 0; round < 20; round++)
    {
      int fd = request_with_token (&rig);
      Answer answers[N_THREADS];
      GThread *threads[N_THREADS];
      gboolean accepted = FALSE;
      gint counted = 0;

      rig_get (&rig, 0);
      for (guint i = 0; i < N_THREADS; i++)
        answers[i] = (Answer) { g_object_ref (rig_get (&rig, 0)), &counted, i };
      g_ptr_array_set_size (rig.asked, 0);
      for (guint i = 0; i < N_THREADS; i++)
        threads[i] = g_thread_new ("answer", answer, &answers[i]);
      for (guint i = 0; i < N_THREADS; i++)
        accepted |= g_thread_join (threads[i]) != NULL;
      g_assert_cmpint (counted, ==, 1);
      expect_status (fd, accepted ? 101 : 401);
    }
}

/* If the application does not answer in time, the client gets 503, and later answers have no effect. */
static void
test_late (void)
{
  g_auto (Rig) rig = { 0 };
  int fd;

  rig_init (&rig);
  g_object_set (rig.gateway, "connect-timeout", test_scaled_ms (500), NULL);
  rig_start (&rig);
  fd = request_with_token (&rig);
  rig_get (&rig, 0);
  expect_status (fd, 503);
  g_assert_false (tcp_authentication_accept (rig_get (&rig, 0), "alice", NULL));
  g_assert_false (tcp_authentication_reject (rig_get (&rig, 0), NULL));
}

/* If the client has left, an answer has no effect. The gateway has noticed that before it asks about the next
 * client. */
static void
test_leaves (void)
{
  g_auto (Rig) rig = { 0 };
  int fd;

  rig_init (&rig);
  rig_start (&rig);
  fd = request_with_token (&rig);
  rig_get (&rig, 0);
  client_close (fd);
  fd = request_with_token (&rig);
  rig_get (&rig, 1);
  g_assert_false (tcp_authentication_accept (rig_get (&rig, 0), "alice", NULL));
  g_assert_true (tcp_authentication_accept (rig_get (&rig, 1), "alice", NULL));
  expect_status (fd, 101);
}

/* A close ends pending requests; an answer has no effect any more. */
static void
test_closed (void)
{
  g_auto (Rig) rig = { 0 };
  int fd;

  rig_init (&rig);
  rig_start (&rig);
  fd = request_with_token (&rig);
  rig_get (&rig, 0);
  tcp_endpoint_close (TCP_ENDPOINT (rig.gateway));
  client_expect_end (fd);
  client_close (fd);
  g_assert_false (tcp_authentication_accept (rig_get (&rig, 0), "alice", NULL));

  /* Nor does the old authentication have an effect after the next start. */
  rig_start (&rig);
  fd = request_with_token (&rig);
  rig_get (&rig, 1);
  g_assert_false (tcp_authentication_accept (rig_get (&rig, 0), "alice", NULL));
  g_assert_true (tcp_authentication_accept (rig_get (&rig, 1), "alice", NULL));
  expect_status (fd, 101);
}

static void
on_drained (GObject      *object,
            GAsyncResult *result,
            gpointer      user_data)
{
  g_autoptr (GError) error = NULL;

  tcp_gateway_drain_finish (TCP_GATEWAY (object), result, &error);
  g_assert_no_error (error);
  *(gboolean *) user_data = TRUE;
}

/* During a drain, a client may return to its session, and a new client may not connect. */
static void
test_draining (void)
{
  g_auto (Rig) rig = { 0 };
  gboolean drained = FALSE;
  int open, late;

  rig_init (&rig);
  rig_start (&rig);
  open = request (&rig, "/?sessionId=one", "Authorization: Bearer " UNKNOWN "\r\n");
  tcp_authentication_accept (rig_get (&rig, 0), "alice", NULL);
  g_assert_cmpuint (read_status (open), ==, 101);
  expect_echo (open);
  late = request_with_token (&rig);
  rig_get (&rig, 1);
  tcp_gateway_drain_async (rig.gateway, 60000, NULL, on_drained, &drained);
  LOG_TAP_EXPECT ("info", "no new connections are taken", 1);
  g_assert_true (tcp_authentication_accept (rig_get (&rig, 1), "alice", NULL));
  expect_status (late, 503);

  client_close (open);
  open = request (&rig, "/?sessionId=one", "Authorization: Bearer " UNKNOWN "\r\n");
  tcp_authentication_accept (rig_get (&rig, 2), "alice", NULL);
  g_assert_cmpuint (read_status (open), ==, 101);
  ws_send_close (open, 1000);
  WAIT_UNTIL (drained);
  client_close (open);
}

/* The application is asked only about valid requests with a credential that the gateway does not know. */
static void
test_not_asked (void)
{
  g_auto (Rig) rig = { 0 };
  g_autofree char *file = NULL;
  g_autoptr (GError) error = NULL;
  int fd = g_file_open_tmp ("tcptunnel-test-XXXXXX", &file, &error);

  g_assert_no_error (error);
  client_close (fd);
  g_file_set_contents (file, "alice:hers\nbob:old expires=2001-01-01T00:00:00Z\n", -1, &error);
  g_assert_no_error (error);
  rig_init (&rig);
  g_object_set (rig.gateway, "token-file", file, NULL);
  rig_start (&rig);
  g_unlink (file);

  client_close (ws_connect (rig.port, "/", "hers"));
  g_assert_cmpuint (http_get (rig.port, "/", WS_UPGRADE "Authorization: Bearer old\r\n", NULL, NULL), ==, 401);
  g_assert_cmpuint (http_get (rig.port, "/", "", NULL, NULL), ==, 401);
  g_assert_cmpuint (http_get (rig.port, "/", "Authorization: Bearer " UNKNOWN "\r\n", NULL, NULL), ==, 401);
  g_assert_cmpuint (http_get (rig.port, "/", "Upgrade: websocket\r\nConnection: Upgrade\r\n", NULL, NULL), ==, 401);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (rig.calls, ==, 0);
}

/* A start and a reload fail without a handler and a token. A handler that is connected later counts from the next
 * reload. */
static void
test_handlers (void)
{
  g_auto (Rig) rig = { 0 };
  g_autoptr (GError) error = NULL;
  int fd;

  rig_init (&rig);
  g_signal_handlers_disconnect_by_data (rig.gateway, &rig);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (rig.gateway), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);

  tcp_gateway_set_token (rig.gateway, TEST_TOKEN);
  rig_start (&rig);
  g_assert_cmpuint (http_get (rig.port, "/", WS_UPGRADE, NULL, NULL), ==, 401);
  g_signal_connect (rig.gateway, "authenticate", G_CALLBACK (on_authenticate), &rig);
  g_assert_cmpuint (http_get (rig.port, "/", WS_UPGRADE, NULL, NULL), ==, 401);
  tcp_gateway_set_token (rig.gateway, NULL);
  test_reload_gateway (rig.gateway);
  fd = request_with_token (&rig);
  rig_get (&rig, 0);
  client_close (fd);

  g_signal_handlers_disconnect_by_data (rig.gateway, &rig);
  g_assert_false (tcp_gateway_reload (rig.gateway, NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  tcp_gateway_set_token (rig.gateway, TEST_TOKEN);
  test_reload_gateway (rig.gateway);
  g_assert_cmpuint (http_get (rig.port, "/", WS_UPGRADE, NULL, NULL), ==, 401);
}

static void
on_token_required (TcpTunnel *tunnel,
                   gpointer   user_data)
{
  tcp_tunnel_set_token (tunnel, UNKNOWN);
}

/* When the time that the application gave has passed, the client is asked for another credential, and the application
 * is asked again. The session continues without a loss. */
static void
test_expires (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_RESUMABLE);
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autoptr (GDateTime) soon = g_date_time_add (now, test_scaled_ms (1000) * G_TIME_SPAN_MILLISECOND);
  Rig rig = { .principal = "alice", .expires = soon };
  gboolean started;
  int fd;

  g_signal_connect (fixture->tunnel, "token-required", G_CALLBACK (on_token_required), NULL);
  g_object_set (fixture->gateway, "token", NULL, NULL);
  g_signal_connect (fixture->gateway, "authenticate", G_CALLBACK (on_authenticate), &rig);
  fixture_start_gateway (fixture);
  tcp_tunnel_set_token (fixture->tunnel, UNKNOWN);
  test_tunnel_begin_start (fixture->tunnel, &started);
  WAIT_UNTIL (started);
  g_assert_cmpuint (rig.calls, ==, 1);
  fd = client_connect (fixture_get_port (fixture));
  client_echo_stream (fd, 100000, 1);
  rig.expires = NULL;
  LOG_TAP_EXPECT ("info", "was asked for another credential: the time until which the application accepted it has passed", 1);
  WAIT_UNTIL (rig.calls == 2);
  WAIT_UNTIL (fixture->recorder->last_state == TCP_TUNNEL_STATE_CONNECTED);
  client_echo_stream (fd, 100000, 2);
  client_close (fd);
}

/* After a reload, a session that the application accepted continues, unless its principal has been removed. */
static void
test_reload (void)
{
  g_auto (Rig) rig = { 0 };
  g_autoptr (GListStore) principals = g_list_store_new (TCP_TYPE_PRINCIPAL);
  int fds[2];

  rig_init (&rig);
  test_add_principal (principals, "alice", NULL);
  g_object_set (rig.gateway, "principals", principals, NULL);
  rig_start (&rig);
  for (guint i = 0; i < 2; i++)
    {
      fds[i] = request_with_token (&rig);
      tcp_authentication_accept (rig_get (&rig, i), i == 0 ? "alice" : "guest", NULL);
      g_assert_cmpuint (read_status (fds[i]), ==, 101);
      expect_echo (fds[i]);
    }
  g_list_store_remove_all (principals);
  test_reload_gateway (rig.gateway);
  ws_expect_close (fds[0], 1008);
  expect_echo (fds[1]);
  for (guint i = 0; i < 2; i++)
    client_close (fds[i]);
}

/* Many clients with unknown tokens arrive while the application handles no events. A client with a known token is not
 * delayed, the application gets no more than 32 authentications at a time, and each client is answered. */
static void
test_flood (void)
{
  enum { N = 200 };
  g_auto (Rig) rig = { 0 };
  int fds[N];

  rig_init (&rig);
  tcp_gateway_set_token (rig.gateway, TEST_TOKEN);
  rig_start (&rig);
  for (guint i = 0; i < N; i++)
    fds[i] = request_with_token (&rig);
  for (guint i = 0; i < 3; i++)
    client_close (ws_connect (rig.port, "/", TEST_TOKEN));
  g_assert_cmpuint (rig.calls, ==, 0);

  WAIT_UNTIL (rig.calls == 32);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (rig.calls, ==, 32);
  /* The others follow as these are decided. */
  rig.principal = "alice";
  for (guint i = 0; i < 32; i++)
    tcp_authentication_accept (rig_get (&rig, i), "alice", NULL);
  WAIT_UNTIL (rig.calls == N);
  for (guint i = 0; i < N; i++)
    expect_status (fds[i], 101);
}

/* As many clients as may be pending at a time are accepted while the gateway is suspended. They are answered when it
 * resumes. */
static void
test_suspended (void)
{
  enum { N = 32 };
  g_auto (Rig) rig = { 0 };
  g_autoptr (TcpGatewayMetrics) metrics = NULL;
  int fds[N];
  int state;

  rig_init (&rig);
  rig_start (&rig);
  for (guint i = 0; i < N; i++)
    fds[i] = request_with_token (&rig);
  WAIT_UNTIL (rig.calls == N);
  state = test_suspend_gateway (rig.gateway);
  client_close (state);

  for (guint i = 0; i < N; i++)
    g_assert_true (tcp_authentication_accept (rig_get (&rig, i), "alice", NULL));
  g_assert_true (tcp_gateway_hand_over (rig.gateway, NULL));
  metrics = tcp_gateway_get_metrics (rig.gateway);
  g_assert_cmpuint (metrics->pending_connections, ==, 0);
  g_assert_cmpuint (metrics->open_sessions, ==, 0);
  tcp_gateway_resume (rig.gateway);
  for (guint i = 0; i < N; i++)
    expect_status (fds[i], 101);
}

int
main (int argc,
      char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  log_tap_install ();

  g_test_add_func ("/authenticate/accepted", test_accepted);
  g_test_add_func ("/authenticate/behind-proxy", test_behind_proxy);
  g_test_add_func ("/authenticate/rejected", test_rejected);
  g_test_add_func ("/authenticate/threads", test_threads);
  g_test_add_func ("/authenticate/late", test_late);
  g_test_add_func ("/authenticate/leaves", test_leaves);
  g_test_add_func ("/authenticate/closed", test_closed);
  g_test_add_func ("/authenticate/draining", test_draining);
  g_test_add_func ("/authenticate/not-asked", test_not_asked);
  g_test_add_func ("/authenticate/handlers", test_handlers);
  g_test_add_func ("/authenticate/expires", test_expires);
  g_test_add_func ("/authenticate/reload", test_reload);
  g_test_add_func ("/authenticate/flood", test_flood);
  g_test_add_func ("/authenticate/suspended", test_suspended);

  status = g_test_run ();
  log_tap_clear ();
  return status;
}
