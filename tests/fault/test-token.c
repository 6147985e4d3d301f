/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A gateway that refuses the token, and the application that is asked for another. */

#include "client.h"
#include "socket-util.h"
#include "stub-rig.h"
#include "ws-client.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

/* The application may take its time: what it says after the signal counts too. */
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

/* Nothing is ever good enough: it ends all the same. */
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
  tcp_tunnel_close (rig.tunnel);
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

/* A token that expired shows when the WebSocket is opened again. */
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
  WAIT_UNTIL (tcp_tunnel_get_reconnects (rig.tunnel) == 1);
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

/* One that was replaced while it was on its way is refused: the new one is tried, and nobody asked. */
static void
test_replaced_meanwhile (void)
{
  static const char answer[] = "HTTP/1.1 401 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  guint16 port;
  int listener = socket_listen (0, &port);
  g_autofree char *uri = g_strdup_printf ("ws://127.0.0.1:%u/", port);
  g_autoptr (TcpTunnel) tunnel = tcp_tunnel_new (uri, "old");
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;
  guint calls = 0;
  int client, fd;

  g_signal_connect_swapped (tunnel, "token-required", G_CALLBACK (count_call), &calls);
  test_tunnel_start (tunnel);
  client = client_connect (test_tunnel_get_port (tunnel));
  first = take_request (listener, &fd);
  g_assert_nonnull (strstr (first, "Bearer old"));
  tcp_tunnel_set_token (tunnel, "fresh");
  client_write (fd, answer, strlen (answer));
  close (fd);
  second = take_request (listener, &fd);
  g_assert_nonnull (strstr (second, "Bearer fresh"));
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (calls, ==, 0);
  tcp_tunnel_close (tunnel);
  close (fd);
  close (listener);
  client_close (client);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/token/new-token", test_new_token);
  g_test_add_func ("/token/without-handler", test_without_handler);
  g_test_add_func ("/token/later", test_later);
  g_test_add_func ("/token/give-up", test_give_up);
  g_test_add_func ("/token/always-refused", test_always_refused);
  g_test_add_func ("/token/replaced-meanwhile", test_replaced_meanwhile);
  g_test_add_func ("/token/close-while-asked", test_close_while_asked);
  g_test_add_func ("/token/at-start", test_at_start);
  g_test_add_func ("/token/on-reconnect", test_on_reconnect);

  return g_test_run ();
}
