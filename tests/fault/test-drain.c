/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Draining a gateway: it closes when its connections have ended. */

#include "fixture.h"

#include "socket-util.h"

#include <string.h>
#include <unistd.h>

#define SESSION "/?sessionId=0a2f2b5e-5d0f-4a57-9c3e-7f1f0a7c9d11"
#define OTHER_SESSION "/?sessionId=1b2f2b5e-5d0f-4a57-9c3e-7f1f0a7c9d12"
#define MULTIPLEXED "/?mode=multiplexed"
#define AUTHORIZED "Authorization: Bearer " TEST_TOKEN "\r\n"

/* Longer than any test that does not fail. */
#define LONG_MS (10 * TEST_DEADLINE_MS)

typedef struct
{
  gboolean done;
  gboolean closed;
  GError *error;
} Drained;

static TcpGateway *
start_gateway (Target  *target,
               guint16 *port)
{
  g_autofree char *address = target_get_address (target);
  TcpGateway *gateway = tcp_gateway_new (address);
  g_autoptr (GError) error = NULL;

  g_object_set (gateway, "token", TEST_TOKEN, "log-level", TCP_TUNNEL_LOG_LEVEL_DEBUG, NULL);
  tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error);
  g_assert_no_error (error);
  *port = test_port_of (gateway);
  return gateway;
}

static void
round_trip (int         fd,
            const char *text)
{
  ws_send (fd, WS_BINARY, text, strlen (text));
  ws_expect (fd, text);
}

static void
on_drained (GObject      *object,
            GAsyncResult *result,
            gpointer      user_data)
{
  Drained *drained = user_data;

  drained->closed = tcp_gateway_drain_finish (TCP_GATEWAY (object), result, &drained->error);
  drained->done = TRUE;
}

static void
expect_drained (Drained *drained)
{
  WAIT_UNTIL (drained->done);
  g_assert_no_error (drained->error);
  g_assert_true (drained->closed);
}

static void
assert_closed (TcpGateway *gateway,
               guint16     port)
{
  g_assert_null (tcp_endpoint_get_local_address (TCP_ENDPOINT (gateway)));
  close (socket_listen (port, NULL));
}

/* Waits until new clients are refused. Those that are not refused leave no session behind. */
static void
wait_draining (guint16 port)
{
  gint64 deadline = test_deadline ();
  guint status;

  do
    {
      g_autofree char *body = NULL;

      status = http_get (port, MULTIPLEXED, WS_UPGRADE AUTHORIZED, &body, NULL);
      g_assert_cmpint (g_get_monotonic_time (), <, deadline);
    }
  while (status == 101);
  g_assert_cmpuint (status, ==, 503);
}

static void
count (TcpGateway    *gateway,
       TcpConnection *connection,
       guint         *counter)
{
  (*counter)++;
}

/* A client without a connection does not delay the drain, since it may stay for ever. */
static void
test_idle (void)
{
  g_autoptr (Target) target = target_new_echo ();
  Drained drained = { 0 };
  guint16 port;
  g_autoptr (TcpGateway) gateway = start_gateway (target, &port);
  int fd = ws_connect (port, MULTIPLEXED, TEST_TOKEN);

  tcp_gateway_drain_async (gateway, LONG_MS, NULL, on_drained, &drained);
  ws_expect_close (fd, 1001);
  client_close (fd);
  expect_drained (&drained);
  assert_closed (gateway, port);
}

static void
test_not_running (void)
{
  g_autoptr (Target) target = target_new_echo ();
  Drained drained = { 0 };
  guint16 port;
  g_autoptr (TcpGateway) gateway = start_gateway (target, &port);
  g_autoptr (GError) error = NULL;

  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  g_assert_true (tcp_gateway_drain (gateway, LONG_MS, NULL, &error));
  g_assert_no_error (error);
  tcp_gateway_drain_async (gateway, LONG_MS, NULL, on_drained, &drained);
  expect_drained (&drained);
}

/* The open connections continue until they end, also over another WebSocket. */
static void
test_connections_continue (void)
{
  g_autoptr (Target) target = target_new_echo ();
  Drained drained = { 0 };
  guint16 port;
  g_autoptr (TcpGateway) gateway = start_gateway (target, &port);
  g_autoptr (GError) error = NULL;
  int first = ws_connect (port, SESSION, TEST_TOKEN);
  int second;

  round_trip (first, "before");
  tcp_gateway_drain_async (gateway, LONG_MS, NULL, on_drained, &drained);
  wait_draining (port);
  round_trip (first, "while");
  second = ws_connect (port, SESSION, TEST_TOKEN);
  ws_expect_close (first, 4001);
  round_trip (second, "on another");
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 1);
  g_assert_false (drained.done);

  ws_send_close (second, 1000);
  expect_drained (&drained);
  assert_closed (gateway, port);
  client_close (first);
  client_close (second);

  /* The gateway can be started again. */
  tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error);
  g_assert_no_error (error);
  port = test_port_of (gateway);
  first = ws_connect (port, OTHER_SESSION, TEST_TOKEN);
  round_trip (first, "after");
  client_close (first);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

/* A tagged client learns of the drain only when it opens a connection, which is refused. */
static void
test_tagged (void)
{
  static const char old[] = { 0, 0, 0, 1, 'o', 'l', 'd' };
  static const char new[] = { 0, 0, 0, 2, 'n', 'e', 'w' };
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (GBytes) echo = NULL;
  g_autoptr (GBytes) end = NULL;
  g_autoptr (GBytes) again = NULL;
  Drained drained = { 0 };
  guint16 port;
  guint opcode;
  g_autoptr (TcpGateway) gateway = start_gateway (target, &port);
  int fd = ws_connect (port, MULTIPLEXED, TEST_TOKEN);

  ws_send (fd, WS_BINARY, old, sizeof old);
  echo = ws_receive (fd, &opcode);
  g_assert_cmpmem (g_bytes_get_data (echo, NULL), g_bytes_get_size (echo), old, sizeof old);
  tcp_gateway_drain_async (gateway, LONG_MS, NULL, on_drained, &drained);
  wait_draining (port);
  ws_send (fd, WS_BINARY, new, sizeof new);
  end = ws_receive (fd, &opcode);
  g_assert_cmpmem (g_bytes_get_data (end, NULL), g_bytes_get_size (end), new, 4);
  ws_send (fd, WS_BINARY, old, sizeof old);
  again = ws_receive (fd, &opcode);
  g_assert_cmpmem (g_bytes_get_data (again, NULL), g_bytes_get_size (again), old, sizeof old);
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 1);

  ws_send (fd, WS_BINARY, old, 4);
  ws_expect_close (fd, 1001);
  client_close (fd);
  expect_drained (&drained);
}

static void
test_answer (void)
{
  static const char request[] = "GET " MULTIPLEXED " HTTP/1.1\r\nHost: gateway\r\n" WS_UPGRADE AUTHORIZED "\r\n";
  g_autoptr (Target) target = target_new_echo ();
  Drained drained = { 0 };
  guint16 port;
  g_autoptr (TcpGateway) gateway = start_gateway (target, &port);
  int fd = ws_connect (port, SESSION, TEST_TOKEN);
  g_autofree char *head = NULL;
  g_autofree char *retry = NULL;
  int other;

  tcp_gateway_drain_async (gateway, LONG_MS, NULL, on_drained, &drained);
  wait_draining (port);
  other = client_connect (port);
  client_write (other, request, strlen (request));
  head = http_read_head (other);
  g_assert_true (g_str_has_prefix (head, "HTTP/1.1 503 "));
  retry = http_head_get (head, "Retry-After");
  g_assert_cmpint (atoi (retry), >, 0);
  client_close (other);

  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  WAIT_UNTIL (drained.done);
  client_close (fd);
  g_clear_error (&drained.error);
}

/* Connections that have not ended at the deadline are cut, even if no thread handles events, and this is
 * signalled. */
static void
test_deadline_passes (void)
{
  g_autoptr (Target) target = target_new_echo ();
  Drained drained = { 0 };
  guint closed = 0;
  guint16 port;
  g_autoptr (TcpGateway) gateway = start_gateway (target, &port);
  int fd = ws_connect (port, SESSION, TEST_TOKEN);

  g_signal_connect (gateway, "connection-closed", G_CALLBACK (count), &closed);
  round_trip (fd, "before");
  tcp_gateway_drain_async (gateway, 1, NULL, on_drained, &drained);
  ws_expect_close (fd, 1001);
  client_close (fd);
  g_assert_true (target_wait_open (target, 0));
  g_assert_cmpuint (target_get_counters (target).resets, ==, 1);
  expect_drained (&drained);
  g_assert_cmpuint (closed, ==, 1);
  assert_closed (gateway, port);
}

static void
test_twice (void)
{
  g_autoptr (Target) target = target_new_echo ();
  Drained first = { 0 };
  Drained second = { 0 };
  guint16 port;
  g_autoptr (TcpGateway) gateway = start_gateway (target, &port);
  int fd = ws_connect (port, SESSION, TEST_TOKEN);

  tcp_gateway_drain_async (gateway, LONG_MS, NULL, on_drained, &first);
  wait_draining (port);
  round_trip (fd, "while");
  tcp_gateway_drain_async (gateway, 0, NULL, on_drained, &second);
  expect_drained (&second);
  expect_drained (&first);
  assert_closed (gateway, port);
  client_close (fd);
}

/* The deadline of a drain that was cancelled closes nothing. */
static void
test_cancelled (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Drained first = { 0 };
  Drained second = { 0 };
  Drained never = { 0 };
  guint16 port;
  g_autoptr (TcpGateway) gateway = start_gateway (target, &port);
  int fd = ws_connect (port, SESSION, TEST_TOKEN);

  round_trip (fd, "before");
  tcp_gateway_drain_async (gateway, LONG_MS, cancellable, on_drained, &first);
  wait_draining (port);
  g_cancellable_cancel (cancellable);
  WAIT_UNTIL (first.done);
  g_assert_error (first.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  tcp_gateway_drain_async (gateway, LONG_MS, cancellable, on_drained, &never);
  WAIT_UNTIL (never.done);
  g_assert_error (never.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  wait_draining (port);
  round_trip (fd, "while");

  tcp_gateway_drain_async (gateway, LONG_MS, NULL, on_drained, &second);
  ws_send_close (fd, 1000);
  expect_drained (&second);
  client_close (fd);
  g_clear_error (&first.error);
  g_clear_error (&never.error);
}

static void
test_close_meanwhile (void)
{
  g_autoptr (Target) target = target_new_echo ();
  Drained drained = { 0 };
  guint16 port;
  TcpGateway *gateway = start_gateway (target, &port);
  int fd = ws_connect (port, SESSION, TEST_TOKEN);

  tcp_gateway_drain_async (gateway, LONG_MS, NULL, on_drained, &drained);
  wait_draining (port);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  assert_closed (gateway, port);
  WAIT_UNTIL (drained.done);
  g_assert_error (drained.error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED);
  g_clear_error (&drained.error);
  client_close (fd);
  test_assert_finalized (gateway);
}

typedef struct
{
  guint16 port;
  int fd;
  GCancellable *cancellable;
} Helper;

/* Waits until the gateway is draining; then ends the connection, or cancels the drain. */
static gpointer
help (gpointer data)
{
  Helper *helper = data;

  wait_draining (helper->port);
  round_trip (helper->fd, "while");
  if (helper->cancellable != NULL)
    g_cancellable_cancel (helper->cancellable);
  else
    ws_send_close (helper->fd, 1000);
  return NULL;
}

/* The blocking call emits the signals: there are none left after it. */
static void
test_blocking (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  Helper helper = { .cancellable = cancellable };
  guint closed = 0;
  g_autoptr (TcpGateway) gateway = start_gateway (target, &helper.port);
  GThread *thread;

  g_signal_connect (gateway, "connection-closed", G_CALLBACK (count), &closed);
  helper.fd = ws_connect (helper.port, SESSION, TEST_TOKEN);

  thread = g_thread_new ("helper", help, &helper);
  g_assert_false (tcp_gateway_drain (gateway, LONG_MS, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_thread_join (thread);
  g_assert_nonnull (tcp_endpoint_get_local_address (TCP_ENDPOINT (gateway)));

  helper.cancellable = NULL;
  thread = g_thread_new ("helper", help, &helper);
  tcp_gateway_drain (gateway, LONG_MS, NULL, &error);
  g_assert_no_error (error);
  g_thread_join (thread);
  g_assert_cmpuint (closed, ==, 1);
  assert_closed (gateway, helper.port);
  client_close (helper.fd);
}

/* A handler that the blocking call runs closes the gateway. */
static void
test_blocking_and_closed (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (GError) error = NULL;
  Helper helper = { 0 };
  g_autoptr (TcpGateway) gateway = start_gateway (target, &helper.port);
  int other = ws_connect (helper.port, OTHER_SESSION, TEST_TOKEN);
  GThread *thread;

  round_trip (other, "to stay");
  helper.fd = ws_connect (helper.port, SESSION, TEST_TOKEN);
  g_signal_connect (gateway, "connection-closed", G_CALLBACK (tcp_endpoint_close), NULL);
  thread = g_thread_new ("helper", help, &helper);
  g_assert_false (tcp_gateway_drain (gateway, LONG_MS, NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED);
  g_thread_join (thread);
  assert_closed (gateway, helper.port);
  client_close (helper.fd);
  client_close (other);
}

static gboolean
on_running (gpointer data)
{
  g_async_queue_push (data, data);
  return G_SOURCE_REMOVE;
}

static gpointer
run_loop (gpointer data)
{
  g_main_loop_run (data);
  return NULL;
}

/* The blocking call in a thread that does not run the main loop. */
static void
test_blocking_beside_a_loop (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  Helper helper = { .cancellable = cancellable };
  g_autoptr (TcpGateway) gateway = start_gateway (target, &helper.port);
  g_autoptr (GAsyncQueue) running = g_async_queue_new ();
  GThread *runner, *thread;

  g_idle_add (on_running, running);
  runner = g_thread_new ("loop", run_loop, loop);
  g_async_queue_pop (running);
  helper.fd = ws_connect (helper.port, SESSION, TEST_TOKEN);
  thread = g_thread_new ("helper", help, &helper);
  g_assert_false (tcp_gateway_drain (gateway, LONG_MS, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_thread_join (thread);

  g_assert_true (tcp_gateway_drain (gateway, 0, NULL, &error));
  g_assert_no_error (error);
  assert_closed (gateway, helper.port);
  g_main_loop_quit (loop);
  g_thread_join (runner);
  client_close (helper.fd);
}

/* Several short calls: a cancellation ends the drain; the gateway is freed while a further call is due. */
static void
test_steps (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (GCancellable) first = g_cancellable_new ();
  g_autoptr (GCancellable) second = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  guint16 port;
  g_autoptr (TcpGateway) gateway = start_gateway (target, &port);
  int fd = ws_connect (port, SESSION, TEST_TOKEN);
  gint64 deadline = test_deadline ();

  round_trip (fd, "before");
  g_assert_false (tcp_gateway_drain_step (gateway, LONG_MS, 0, first, &error));
  g_assert_no_error (error);
  wait_draining (port);
  round_trip (fd, "goes on");
  g_assert_false (tcp_gateway_drain_step (gateway, LONG_MS, 1, first, &error));
  g_assert_no_error (error);
  g_cancellable_cancel (first);
  while (!tcp_gateway_drain_step (gateway, LONG_MS, 1, first, &error) && error == NULL)
    g_assert_cmpint (g_get_monotonic_time (), <, deadline);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  round_trip (fd, "still goes on");

  g_assert_false (tcp_gateway_drain_step (gateway, LONG_MS, 0, second, &error));
  g_assert_no_error (error);
  ws_send_close (fd, 1000);
  while (!tcp_gateway_drain_step (gateway, LONG_MS, 1, second, &error))
    {
      g_assert_no_error (error);
      g_assert_cmpint (g_get_monotonic_time (), <, deadline);
    }
  assert_closed (gateway, port);
  client_close (fd);

  /* The same cancellable is used for another drain, which is abandoned. */
  tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error);
  g_assert_no_error (error);
  port = test_port_of (gateway);
  fd = ws_connect (port, SESSION, TEST_TOKEN);
  round_trip (fd, "again");
  g_assert_false (tcp_gateway_drain_step (gateway, LONG_MS, 0, second, &error));
  g_assert_no_error (error);
  g_assert_finalize_object (g_steal_pointer (&gateway));
  g_assert_finalize_object (g_steal_pointer (&second));
  close (socket_listen (port, NULL));
  client_close (fd);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/drain/idle", test_idle);
  g_test_add_func ("/drain/not-running", test_not_running);
  g_test_add_func ("/drain/connections-continue", test_connections_continue);
  g_test_add_func ("/drain/tagged", test_tagged);
  g_test_add_func ("/drain/answer", test_answer);
  g_test_add_func ("/drain/deadline-passes", test_deadline_passes);
  g_test_add_func ("/drain/twice", test_twice);
  g_test_add_func ("/drain/cancelled", test_cancelled);
  g_test_add_func ("/drain/close-meanwhile", test_close_meanwhile);
  g_test_add_func ("/drain/blocking", test_blocking);
  g_test_add_func ("/drain/blocking-and-closed", test_blocking_and_closed);
  g_test_add_func ("/drain/blocking-beside-a-loop", test_blocking_beside_a_loop);
  g_test_add_func ("/drain/steps", test_steps);

  return g_test_run ();
}
