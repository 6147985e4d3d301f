/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A gateway that refuses the token, and the signal token-required. */

#include "client.h"
#include "monitor.h"
#include "socket-util.h"
#include "stub-rig.h"
#include "ws-client.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static Monitor monitor;
static guint refusals; /* protected by the monitor: how many times the I/O thread asked for another token */

/* While this is set, the I/O thread that accepts a client is blocked. */
static gboolean hold_accept; /* both protected by the monitor */
static gboolean is_held;

int
accept4 (int fd,
         struct sockaddr *address,
         socklen_t *length,
         int flags)
{
  int (*real) (int, struct sockaddr *, socklen_t *, int) = dlsym (RTLD_NEXT, "accept4");
  int result = real (fd, address, length, flags);

  monitor_enter (&monitor);
  is_held = hold_accept && result >= 0;
  monitor_changed (&monitor);
  while (is_held && hold_accept && monitor_wait (&monitor, test_deadline ()))
    ;
  monitor_leave (&monitor);
  return result;
}

/* The number of sources that this thread has attached. */
static __thread guint handed_over;

guint
g_source_attach (GSource *source,
                 GMainContext *context)
{
  guint (*real) (GSource *, GMainContext *) = dlsym (RTLD_NEXT, "g_source_attach");

  handed_over++;
  return real (source, context);
}

static GLogWriterOutput
count_refusals (GLogLevelFlags level,
                const GLogField *fields,
                gsize n_fields,
                gpointer user_data)
{
  for (gsize i = 0; i < n_fields; i++)
    if (strcmp (fields[i].key, "MESSAGE") == 0 && g_str_has_suffix (fields[i].value, "is there another?"))
      {
        monitor_enter (&monitor);
        refusals++;
        monitor_changed (&monitor);
        monitor_leave (&monitor);
      }
  return g_log_writer_default (level, fields, n_fields, user_data);
}

/* Does not iterate the main context, so that events of the I/O thread stay pending. */
static void
wait_for_refusals (guint count)
{
  g_assert_true (MONITOR_WAIT_FOR (&monitor, test_deadline (), refusals >= count));
}

static void
on_token_required (TcpTunnel *tunnel,
                   gpointer user_data)
{
  tcp_tunnel_set_token (tunnel, user_data);
}

static void
count_call (guint *calls)
{
  (*calls)++;
}

static void
test_new_token (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;
  int fd;

  g_signal_connect (rig.tunnel, "token-required", G_CALLBACK (on_token_required), (gpointer) "fresh");
  http_stub_push_answer (rig.stub, 401, "WWW-Authenticate: Bearer\r\n", NULL);
  http_stub_push_upgrade (rig.stub, NULL, NULL, 0, TRUE);
  fd = stub_rig_connect (&rig);
  WAIT_UNTIL (rig.recorder->last_state == TCP_TUNNEL_STATE_CONNECTED);

  g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 2);
  first = http_stub_get_header (rig.stub, 0, "Authorization");
  second = http_stub_get_header (rig.stub, 1, "Authorization");
  g_assert_cmpstr (first, ==, "Bearer " TEST_TOKEN);
  g_assert_cmpstr (second, ==, "Bearer fresh");
  g_assert_cmpuint (rig.recorder->failures, ==, 0);
  client_close (fd);
}

static void
test_without_handler (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  int fd;

  http_stub_push_answer (rig.stub, 401, "WWW-Authenticate: Bearer\r\n", NULL);
  fd = stub_rig_connect (&rig);
  stub_rig_expect_failure (&rig, TCP_TUNNEL_ERROR_UNAUTHORIZED);
  g_assert_nonnull (strstr (rig.recorder->failure->message, "401"));
  g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 1);
  client_expect_reset (fd);
  client_close (fd);
}

/* The application may set the token later than in the handler. */
static void
test_later (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  guint calls = 0;
  int fd;

  g_signal_connect_swapped (rig.tunnel, "token-required", G_CALLBACK (count_call), &calls);
  http_stub_push_answer (rig.stub, 401, NULL, NULL);
  http_stub_push_upgrade (rig.stub, NULL, NULL, 0, TRUE);
  fd = stub_rig_connect (&rig);
  WAIT_UNTIL (calls == 1);
  g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 1);
  tcp_tunnel_set_token (rig.tunnel, "fresh");
  WAIT_UNTIL (rig.recorder->last_state == TCP_TUNNEL_STATE_CONNECTED);
  client_close (fd);
}

static void
test_give_up (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  int fd;

  g_signal_connect (rig.tunnel, "token-required", G_CALLBACK (on_token_required), NULL);
  http_stub_push_answer (rig.stub, 401, NULL, NULL);
  fd = stub_rig_connect (&rig);
  stub_rig_expect_failure (&rig, TCP_TUNNEL_ERROR_UNAUTHORIZED);
  g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 1);
  client_expect_reset (fd);
  client_close (fd);
}

/* If every token is refused, the tunnel fails after the maximum number of attempts. */
static void
test_always_refused (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  int fd;

  g_object_set (rig.tunnel, "max-reconnect-attempts", 3, NULL);
  g_signal_connect (rig.tunnel, "token-required", G_CALLBACK (on_token_required), (gpointer) "wrong-too");
  http_stub_push_answer (rig.stub, 401, NULL, NULL);
  fd = stub_rig_connect (&rig);
  stub_rig_expect_failure (&rig, TCP_TUNNEL_ERROR_UNAUTHORIZED);
  g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 4);
  client_close (fd);
}

static void
test_close_while_asked (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  guint calls = 0;
  int fd;

  g_signal_connect_swapped (rig.tunnel, "token-required", G_CALLBACK (count_call), &calls);
  http_stub_push_answer (rig.stub, 401, NULL, NULL);
  fd = stub_rig_connect (&rig);
  WAIT_UNTIL (calls == 1);
  tcp_endpoint_close (TCP_ENDPOINT (rig.tunnel));
  client_expect_reset (fd);
  client_close (fd);
  g_assert_cmpuint (rig.recorder->failures, ==, 0);
}

static void
test_at_start (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_MULTIPLEXED, "/");
  g_autofree char *second = NULL;

  g_signal_connect (rig.tunnel, "token-required", G_CALLBACK (on_token_required), (gpointer) "fresh");
  http_stub_push_answer (rig.stub, 401, NULL, NULL);
  http_stub_push_upgrade (rig.stub, NULL, NULL, 0, TRUE);
  test_tunnel_start (rig.tunnel);
  second = http_stub_get_header (rig.stub, 1, "Authorization");
  g_assert_cmpstr (second, ==, "Bearer fresh");
}

/* An expired token is detected when the WebSocket is opened again. */
static void
test_on_reconnect (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  g_autofree char *last = NULL;
  int fd;

  g_signal_connect (rig.tunnel, "token-required", G_CALLBACK (on_token_required), (gpointer) "fresh");
  http_stub_push_upgrade (rig.stub, NULL, NULL, 0, TRUE);
  http_stub_push_answer (rig.stub, 401, NULL, NULL);
  http_stub_push_upgrade (rig.stub, NULL, NULL, 0, TRUE);
  fd = stub_rig_connect (&rig);
  g_assert_true (http_stub_wait_held (rig.stub, 1));
  WAIT_UNTIL (rig.recorder->last_state == TCP_TUNNEL_STATE_CONNECTED);
  http_stub_drop_held (rig.stub);
  WAIT_UNTIL (test_figure (rig.tunnel, reconnects) == 1);
  last = http_stub_get_header (rig.stub, 2, "Authorization");
  g_assert_cmpstr (last, ==, "Bearer fresh");
  g_assert_false (client_has_ended (fd));
  client_close (fd);
}

static char *
take_request (int  listener,
              int *fd)
{
  char *head;

  *fd = accept4 (listener, NULL, NULL, SOCK_CLOEXEC);
  g_assert_cmpint (*fd, >=, 0);
  head = http_read_head (*fd);
  g_assert_nonnull (head);
  return head;
}

static void
refuse (int fd)
{
  static const char answer[] = "HTTP/1.1 401 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

  client_write (fd, answer, strlen (answer));
  close (fd);
}

static void
handle_pending_events (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

/* A token that was set after the refused one was sent is tried without asking the application. With @asking, the I/O
 * thread has already emitted the signal when the token is set. */
static void
test_replaced_meanwhile (gconstpointer asking)
{
  guint16 port;
  int listener = socket_listen (0, &port);
  g_autofree char *uri = g_strdup_printf ("ws://127.0.0.1:%u/", port);
  g_autoptr (TcpTunnel) tunnel = tcp_tunnel_new (uri, "old");
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;
  guint calls = 0;
  int client, fd;

  monitor_enter (&monitor);
  refusals = 0;
  monitor_leave (&monitor);
  /* The application may be asked once, and a signal that is dropped does not count. */
  g_object_set (tunnel, "max-reconnect-attempts", 1, "log-level", TCP_TUNNEL_LOG_LEVEL_DEBUG, NULL);
  g_signal_connect_swapped (tunnel, "token-required", G_CALLBACK (count_call), &calls);
  test_tunnel_start (tunnel);
  client = client_connect (test_tunnel_get_port (tunnel));
  first = take_request (listener, &fd);
  g_assert_nonnull (strstr (first, "Bearer old"));
  if (asking != NULL)
    {
      refuse (fd);
      wait_for_refusals (1);
      tcp_tunnel_set_token (tunnel, "fresh");
    }
  else
    {
      tcp_tunnel_set_token (tunnel, "fresh");
      refuse (fd);
    }
  second = take_request (listener, &fd);
  g_assert_nonnull (strstr (second, "Bearer fresh"));
  handle_pending_events ();
  g_assert_cmpuint (calls, ==, 0);

  /* The application is asked when this token is refused as well. */
  refuse (fd);
  WAIT_UNTIL (calls > 0);
  handle_pending_events ();
  g_assert_cmpuint (calls, ==, 1);
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
  close (listener);
  client_close (client);
}

/* Tokens are not queued: the I/O thread receives one call, and uses the last token. */
static void
test_many (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  g_autofree char *sent = NULL;
  guint calls = 0, before;
  int fd;

  g_signal_connect_swapped (rig.tunnel, "token-required", G_CALLBACK (count_call), &calls);
  http_stub_push_answer (rig.stub, 401, NULL, NULL);
  http_stub_push_answer (rig.stub, 401, NULL, NULL);
  http_stub_push_upgrade (rig.stub, NULL, NULL, 0, TRUE);
  fd = stub_rig_connect (&rig);
  WAIT_UNTIL (calls == 1);

  monitor_enter (&monitor);
  hold_accept = TRUE;
  monitor_leave (&monitor);
  client_close (client_connect (test_tunnel_get_port (rig.tunnel)));
  g_assert_true (MONITOR_WAIT_FOR (&monitor, test_deadline (), is_held));
  before = handed_over;
  for (guint i = 1; i <= 100000; i++)
    {
      g_autofree char *token = g_strdup_printf ("token-%u", i);

      tcp_tunnel_set_token (rig.tunnel, token);
    }
  g_assert_cmpuint (handed_over - before, ==, 1);
  monitor_enter (&monitor);
  hold_accept = FALSE;
  monitor_changed (&monitor);
  monitor_leave (&monitor);

  /* The last token replaces the ones before: when it is refused, the application is asked. */
  WAIT_UNTIL (calls == 2);
  g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 2);
  sent = http_stub_get_header (rig.stub, 1, "Authorization");
  g_assert_cmpstr (sent, ==, "Bearer token-100000");
  tcp_tunnel_set_token (rig.tunnel, "fresh");
  WAIT_UNTIL (rig.recorder->last_state == TCP_TUNNEL_STATE_CONNECTED);
  client_close (fd);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  monitor_init (&monitor);
  g_log_set_writer_func (count_refusals, NULL, NULL);

  g_test_add_func ("/token/new-token", test_new_token);
  g_test_add_func ("/token/without-handler", test_without_handler);
  g_test_add_func ("/token/later", test_later);
  g_test_add_func ("/token/give-up", test_give_up);
  g_test_add_func ("/token/always-refused", test_always_refused);
  g_test_add_data_func ("/token/replaced-meanwhile", NULL, test_replaced_meanwhile);
  g_test_add_data_func ("/token/replaced-while-asking", "", test_replaced_meanwhile);
  g_test_add_func ("/token/many", test_many);
  g_test_add_func ("/token/close-while-asked", test_close_while_asked);
  g_test_add_func ("/token/at-start", test_at_start);
  g_test_add_func ("/token/on-reconnect", test_on_reconnect);

  return g_test_run ();
}
