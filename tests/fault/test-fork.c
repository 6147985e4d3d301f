/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Programs that fork: before they start anything, and while endpoints run. */

#include "fixture.h"

#include "monitor.h"
#include "socket-util.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_SECONDS 60

static gboolean is_child;

/* Memory to which only threads of the parent refer is not a leak in the child. */
int __lsan_is_turned_off (void);
int
__lsan_is_turned_off (void)
{
  return is_child;
}

/* The children start threads. */
const char *__tsan_default_options (void);
const char *
__tsan_default_options (void)
{
  return "die_after_fork=0";
}

/* Runs @check in a child, which then exits as programs do. */
static void
in_child (void     (*check) (gpointer data),
          gpointer   data)
{
  int status;
  pid_t child = fork ();

  g_assert_cmpint (child, >=, 0);
  if (child == 0)
    {
      is_child = TRUE;
      alarm (CHILD_SECONDS);
      check (data);
      exit (0);
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);
}

/* The I/O thread that accepts a client is blocked while this is set. */
static Monitor monitor;
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

  if (is_child)
    return result;
  monitor_enter (&monitor);
  is_held = hold_accept && result >= 0;
  monitor_changed (&monitor);
  while (is_held && hold_accept && monitor_wait (&monitor, test_deadline ()))
    ;
  monitor_leave (&monitor);
  return result;
}

static void
set_hold_accept (gboolean hold)
{
  monitor_enter (&monitor);
  hold_accept = hold;
  monitor_changed (&monitor);
  monitor_leave (&monitor);
}

static void
round_trip (Fixture *fixture)
{
  int fd = client_connect (fixture_get_port (fixture));

  client_round_trip (fd, "hello");
  client_close (fd);
}

/* As in the workers of a server: the parent has created the objects, and nothing has been started yet. */
static void
start_here (gpointer data)
{
  Fixture *fixture = data;

  fixture_start (fixture);
  round_trip (fixture);
  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
  tcp_endpoint_close (TCP_ENDPOINT (fixture->gateway));
}

static void
test_before (void)
{
  g_autoptr (Target) target = target_new_echo ();
  Fixture *fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);

  for (guint i = 0; i < 3; i++)
    in_child (start_here, fixture);
  fixture_free (fixture);
}

static void
assert_forked (GError *error)
{
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE);
  g_assert_nonnull (strstr (error->message, "fork"));
}

static void
on_opened (GObject      *object,
           GAsyncResult *result,
           gpointer      user_data)
{
  g_assert_null (tcp_tunnel_open_finish (TCP_TUNNEL (object), result, user_data));
}

static void
on_reloaded (GObject      *object,
             GAsyncResult *result,
             gpointer      user_data)
{
  g_assert_false (tcp_gateway_reload_finish (TCP_GATEWAY (object), result, user_data));
}

static void
on_suspended (GObject      *object,
              GAsyncResult *result,
              gpointer      user_data)
{
  g_assert_cmpint (tcp_gateway_suspend_finish (TCP_GATEWAY (object), result, user_data), ==, -1);
}

/* The I/O threads of the parent continue there; the child can only read the statistics. */
static void
suspend_inherited (TcpGateway *gateway)
{
  g_autoptr (TcpGatewayMetrics) metrics = tcp_gateway_get_metrics (gateway);
  g_autoptr (GError) suspend_error = NULL;
  g_autoptr (GError) hand_over_error = NULL;

  g_assert_cmpuint (metrics->total_websockets, ==, 1);
  g_assert_cmpuint (metrics->dials_connected, ==, 1);
  tcp_gateway_suspend_async (gateway, NULL, on_suspended, &suspend_error);
  WAIT_UNTIL (suspend_error != NULL);
  assert_forked (suspend_error);
  g_assert_false (tcp_gateway_hand_over (gateway, &hand_over_error));
  assert_forked (hand_over_error);
  tcp_gateway_resume (gateway);
}

/* A principal belongs to the application, in the child as well. */
static void
change_principal (TcpGateway *gateway)
{
  g_autoptr (GListModel) principals = NULL;
  g_autoptr (TcpPrincipal) principal = NULL;
  guint max;

  g_object_get (gateway, "principals", &principals, NULL);
  principal = g_list_model_get_item (principals, 0);
  g_object_get (principal, "max-connections", &max, NULL);
  g_assert_cmpuint (max, ==, 5);
  g_object_set (principal, "max-connections", 6, NULL);
  g_object_get (principal, "max-connections", &max, NULL);
  g_assert_cmpuint (max, ==, 6);
}

/* Streams and tokens belong to the parent: these calls fail, and change nothing there. */
static void
ask_inherited (Fixture *fixture)
{
  g_autoptr (GError) open_error = NULL;
  g_autoptr (GError) reload_error = NULL;
  g_autoptr (GError) async_error = NULL;

  tcp_tunnel_open_async (fixture->tunnel, NULL, NULL, on_opened, &open_error);
  WAIT_UNTIL (open_error != NULL);
  assert_forked (open_error);
  g_assert_false (tcp_gateway_reload (fixture->gateway, NULL, &reload_error));
  assert_forked (reload_error);
  tcp_gateway_reload_async (fixture->gateway, NULL, on_reloaded, &async_error);
  WAIT_UNTIL (async_error != NULL);
  assert_forked (async_error);
}

static void
count_notify (guint *count)
{
  (*count)++;
}

/* The tunnel accepts forwards as a tunnel that is not active. */
static void
change_forwards (TcpTunnel *tunnel)
{
  g_autoptr (GPtrArray) forwards = tcp_tunnel_get_forwards (tunnel);
  g_autoptr (TcpForward) late = tcp_forward_new (0, NULL);
  g_autoptr (GError) error = NULL;
  guint notified = 0;

  g_assert_cmpuint (forwards->len, ==, 1);
  g_assert_null (tcp_forward_dup_local_address (forwards->pdata[0]));
  g_signal_connect_swapped (late, "notify::local-address", G_CALLBACK (count_notify), &notified);
  tcp_tunnel_add_forward (tunnel, late, &error);
  g_assert_no_error (error);
  g_assert_null (tcp_forward_dup_local_address (late));
  tcp_tunnel_remove_forward (tunnel, late);
  g_assert_cmpuint (notified, ==, 0);
  tcp_tunnel_remove_forward (tunnel, forwards->pdata[0]);
}

/* The connection continues in the parent; in the child, it ends with the tunnel. */
static void
close_connection (TcpTunnel *tunnel)
{
  GListModel *connections = tcp_endpoint_get_connections (TCP_ENDPOINT (tunnel));
  g_autoptr (TcpConnection) connection = g_list_model_get_item (connections, 0);
  g_autoptr (GError) error = NULL;

  g_assert_nonnull (connection);
  tcp_connection_close (connection);
  g_assert_false (tcp_connection_get_closed (connection));
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
  g_assert_cmpuint (g_list_model_get_n_items (connections), ==, 0);
  g_assert_true (tcp_connection_get_closed (connection));
  error = tcp_connection_dup_error (connection);
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED);
  tcp_connection_close (connection);
}

static void
use_inherited (gpointer data)
{
  Fixture *fixture = data;
  g_autoptr (GError) start_error = NULL;
  g_autoptr (GError) gateway_error = NULL;
  g_autoptr (GError) drain_error = NULL;

  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (fixture->tunnel), NULL, &start_error));
  assert_forked (start_error);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (fixture->gateway), NULL, &gateway_error));
  assert_forked (gateway_error);
  g_assert_false (tcp_endpoint_get_active (TCP_ENDPOINT (fixture->gateway)));
  g_assert_false (tcp_gateway_drain (fixture->gateway, 10 * TEST_DEADLINE_MS, NULL, &drain_error));
  assert_forked (drain_error);

  tcp_tunnel_set_token (fixture->tunnel, "another");
  ask_inherited (fixture);
  suspend_inherited (fixture->gateway);
  change_principal (fixture->gateway);
  change_forwards (fixture->tunnel);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  close_connection (fixture->tunnel);
  g_assert_null (tcp_endpoint_get_local_address (TCP_ENDPOINT (fixture->tunnel)));
  g_assert_false (tcp_endpoint_get_active (TCP_ENDPOINT (fixture->tunnel)));
  g_assert_cmpint (tcp_tunnel_get_state (fixture->tunnel), ==, TCP_TUNNEL_STATE_DISCONNECTED);
  g_assert_finalize_object (g_steal_pointer (&fixture->gateway));
}

/* The statistics of the present state are 0 after a close. */
static void
assert_at_rest (Fixture *fixture)
{
  g_assert_cmpint (tcp_tunnel_get_state (fixture->tunnel), ==, TCP_TUNNEL_STATE_DISCONNECTED);
  g_assert_cmpuint (test_figure (fixture->tunnel, open_connections), ==, 0);
  g_assert_cmpuint (test_figure (fixture->tunnel, unacknowledged_bytes), ==, 0);
  g_assert_cmpuint (test_figure (fixture->tunnel, receive_window), ==, 0);
  g_assert_cmpuint (test_figure (fixture->tunnel, send_window), ==, 0);
  g_assert_cmpuint (test_figure (fixture->gateway, open_connections), ==, 0);
  g_assert_cmpuint (test_figure (fixture->gateway, unacknowledged_bytes), ==, 0);
  g_assert_cmpuint (test_figure (fixture->gateway, receive_window), ==, 0);
  g_assert_cmpuint (test_figure (fixture->gateway, send_window), ==, 0);
}

static void
close_and_look (gpointer data)
{
  Fixture *fixture = data;

  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
  tcp_endpoint_close (TCP_ENDPOINT (fixture->gateway));
  assert_at_rest (fixture);
}

static gpointer
close_both (gpointer data)
{
  Fixture *fixture = data;

  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
  tcp_endpoint_close (TCP_ENDPOINT (fixture->gateway));
  return NULL;
}

/* A close in the child does not wait for the end of a close that another thread of the parent has begun. */
static void
test_closing (void)
{
  g_autoptr (Target) target = target_new_echo ();
  Fixture *fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_RESUMABLE);
  GThread *closer;
  int fd, held;

  fixture_start (fixture);
  fd = client_connect (fixture_get_port (fixture));
  client_round_trip (fd, "before");
  WAIT_UNTIL (test_figure (fixture->tunnel, receive_window) > 0 && test_figure (fixture->tunnel, send_window) > 0 &&
              test_figure (fixture->gateway, receive_window) > 0);
  in_child (close_and_look, fixture);

  set_hold_accept (TRUE);
  held = client_connect (fixture_get_port (fixture));
  g_assert_true (MONITOR_WAIT_FOR (&monitor, test_deadline (), is_held));
  closer = g_thread_new ("closer", close_both, fixture);
  WAIT_UNTIL (tcp_endpoint_get_local_address (TCP_ENDPOINT (fixture->tunnel)) == NULL);
  g_assert_cmpuint (test_figure (fixture->tunnel, open_connections), >, 0);
  in_child (close_and_look, fixture);
  set_hold_accept (FALSE);
  g_thread_join (closer);
  assert_at_rest (fixture);

  client_close (held);
  client_close (fd);
  fixture_free (fixture);
}

/* A start that is waiting when its process forks fails in the child, at its next step */
static void
step_on (gpointer data)
{
  TcpTunnel *tunnel = data;
  g_autoptr (GError) error = NULL;
  GCancellable *cancellable = g_object_get_data (G_OBJECT (tunnel), "cancellable");

  g_assert_false (tcp_endpoint_start_step (TCP_ENDPOINT (tunnel), G_MAXUINT, cancellable, &error));
  assert_forked (error);
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
}

static TcpTunnel *
tunnel_to_nowhere (int *listener)
{
  guint16 port;
  g_autofree char *uri = NULL;
  TcpTunnel *tunnel;

  *listener = socket_listen (0, &port);
  uri = g_strdup_printf ("ws://127.0.0.1:%u/", port);
  tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_object_set (tunnel, "connect-timeout", 0, NULL);
  return tunnel;
}

static void
test_step (void)
{
  int listener;
  g_autoptr (TcpTunnel) tunnel = tunnel_to_nowhere (&listener);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;

  g_object_set_data (G_OBJECT (tunnel), "cancellable", cancellable);
  g_assert_false (tcp_endpoint_start_step (TCP_ENDPOINT (tunnel), 0, cancellable, &error));
  g_assert_no_error (error);
  in_child (step_on, tunnel);
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
  g_assert_false (tcp_endpoint_start_step (TCP_ENDPOINT (tunnel), 0, cancellable, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED);
  close (listener);
}

/* or in the blocking call, if a signal handler has forked. */

static atomic_int forked; /* the child */

static void
on_signal (int number)
{
  pid_t child = fork ();

  forked = child;
  if (child == 0)
    {
      is_child = TRUE;
      alarm (CHILD_SECONDS);
    }
}

typedef struct
{
  TcpTunnel *tunnel;
  int listener;
  pthread_t starter;
  int status;
} Interruption;

/* Returns whether the first thread of this process sleeps. */
static gboolean
is_asleep (void)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/task/%d/stat", getpid ());
  g_autofree char *stat = NULL;
  const char *end;

  g_assert_true (g_file_get_contents (path, &stat, NULL, NULL));
  end = strrchr (stat, ')');
  return end != NULL && end[2] == 'S';
}

static gpointer
interrupt (gpointer data)
{
  Interruption *self = data;
  int fd = accept (self->listener, NULL, NULL);
  char byte;

  g_assert_cmpint (recv (fd, &byte, 1, 0), ==, 1);
  while (!is_asleep ())
    g_thread_yield ();
  pthread_kill (self->starter, SIGUSR1);
  while (forked == 0)
    g_thread_yield ();
  g_assert_cmpint (waitpid (forked, &self->status, 0), ==, forked);
  tcp_endpoint_close (TCP_ENDPOINT (self->tunnel));
  close (fd);
  return NULL;
}

static void
test_handler (void)
{
  Interruption self = { .starter = pthread_self () };
  struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART }, former;
  g_autoptr (GError) error = NULL;
  GThread *thread;

  self.tunnel = tunnel_to_nowhere (&self.listener);
  g_assert_no_errno (sigaction (SIGUSR1, &action, &former));
  thread = g_thread_new ("interrupt", interrupt, &self);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (self.tunnel), NULL, &error));
  if (is_child)
    {
      assert_forked (error);
      tcp_endpoint_close (TCP_ENDPOINT (self.tunnel));
      _exit (0);
    }
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED);
  g_thread_join (thread);
  g_assert_true (WIFEXITED (self.status));
  g_assert_cmpint (WEXITSTATUS (self.status), ==, 0);
  g_assert_no_errno (sigaction (SIGUSR1, &former, NULL));
  g_object_unref (self.tunnel);
  close (self.listener);
}

/* The child closes what it inherited; the parent still listens on its port. */
static void
close_inherited (gpointer data)
{
  Fixture *fixture = data;
  guint16 port = fixture_get_port (fixture);

  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
  tcp_endpoint_close (TCP_ENDPOINT (fixture->gateway));
  g_assert_cmpint (kill (getppid (), 0), ==, 0);
  /* Only the parent listens there. */
  client_close (client_connect (port));
}

static void
do_nothing (gpointer data)
{
}

static void
test_meanwhile (void)
{
  g_autoptr (Target) target = target_new_echo ();
  Fixture *fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  g_autoptr (TcpForward) forward = tcp_forward_new (0, NULL);
  g_autoptr (GListStore) principals = g_list_store_new (TCP_TYPE_PRINCIPAL);
  g_autoptr (TcpPrincipal) principal = tcp_principal_new ("default");
  g_autoptr (GSocketAddress) address = NULL;
  int fd;

  g_object_set (principal, "max-connections", 5, NULL);
  g_list_store_append (principals, principal);
  g_object_set (fixture->gateway, "principals", principals, NULL);
  g_assert_true (tcp_tunnel_add_forward (fixture->tunnel, forward, NULL));
  fixture_start (fixture);
  address = tcp_forward_dup_local_address (forward);
  fd = client_connect (fixture_get_port (fixture));
  client_round_trip (fd, "before");
  WAIT_UNTIL (g_list_model_get_n_items (tcp_endpoint_get_connections (TCP_ENDPOINT (fixture->tunnel))) == 1);
  for (guint i = 0; i < test_count (20, 5); i++)
    {
      in_child (use_inherited, fixture);
      client_round_trip (fd, "meanwhile");
      in_child (close_inherited, fixture);
      client_round_trip (fd, "meanwhile");
      in_child (do_nothing, fixture);
      client_round_trip (fd, "meanwhile");
    }
  client_close (fd);
  fd = client_connect (g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address)));
  client_round_trip (fd, "afterwards");
  client_close (fd);
  fixture_free (fixture);
}

static void
on_authenticate (TcpGateway         *gateway,
                 TcpAuthentication  *authentication,
                 TcpAuthentication **asked)
{
  g_set_object (asked, authentication);
}

/* An answer in the child has no effect, since the gateway belongs to the parent. */
static void
answer_inherited (gpointer data)
{
  g_autofree char *token = tcp_authentication_dup_token (data);

  g_assert_cmpstr (token, ==, TEST_TOKEN);
  g_assert_false (tcp_authentication_accept (data, "alice", NULL));
  g_assert_false (tcp_authentication_reject (data, NULL));
}

/* A client that waits for the application's answer belongs to the parent. */
static void
test_authentication (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_RESUMABLE);
  g_autoptr (TcpAuthentication) asked = NULL;
  gboolean started;

  tcp_gateway_set_token (fixture->gateway, NULL);
  g_signal_connect (fixture->gateway, "authenticate", G_CALLBACK (on_authenticate), &asked);
  fixture_start_gateway (fixture);
  test_tunnel_begin_start (fixture->tunnel, &started);
  WAIT_UNTIL (asked != NULL);
  in_child (answer_inherited, asked);
  g_assert_true (tcp_authentication_accept (asked, "alice", NULL));
  WAIT_UNTIL (started);
  round_trip (fixture);
}

static void
close_reverse (gpointer data)
{
  tcp_endpoint_close (data);
  g_assert_null (tcp_reverse_tunnel_dup_remote_address (data));
}

/* The gateway still listens for the parent when the child has closed the tunnel. */
static void
test_reverse (void)
{
  g_autoptr (Target) service = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (service, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_RESUMABLE);
  g_autoptr (TcpReverseTunnel) tunnel = NULL;
  g_autofree char *address = target_get_address (service);
  guint16 port = socket_find_port ();
  g_autofree char *ports = g_strdup_printf ("%u", port);
  g_autofree char *uri = NULL;
  int fd;

  g_object_set (fixture->gateway, "reverse-ports", (const char *[]) { ports, NULL }, NULL);
  fixture_start_gateway (fixture);
  uri = tcp_gateway_dup_uri (fixture->gateway);
  tunnel = tcp_reverse_tunnel_new (uri, TEST_TOKEN, address);
  test_tunnel_start (TCP_TUNNEL (tunnel));
  in_child (close_reverse, tunnel);
  fd = client_connect (port);
  client_round_trip (fd, "hello");
  client_close (fd);
}

/* A child that has closed what it inherited does not keep the port of the parent in use. */
static void
test_port (void)
{
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new ("ws://127.0.0.1:9/", TCP_TUNNEL_MODE_SINGLETON);
  int to_child[2], to_parent[2];
  guint16 port;
  pid_t child;
  char byte = 0;

  test_tunnel_start (tunnel);
  port = test_tunnel_get_port (tunnel);
  g_assert_cmpint (pipe (to_child), ==, 0);
  g_assert_cmpint (pipe (to_parent), ==, 0);
  child = fork ();
  if (child == 0)
    {
      alarm (CHILD_SECONDS);
      close (to_child[1]);
      tcp_endpoint_close (TCP_ENDPOINT (tunnel));
      g_assert_cmpint (write (to_parent[1], &byte, 1), ==, 1);
      g_assert_cmpint (read (to_child[0], &byte, 1), ==, 0);
      _exit (0);
    }
  close (to_child[0]);
  g_assert_cmpint (read (to_parent[0], &byte, 1), ==, 1);
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
  close (socket_listen (port, NULL));
  close (to_child[1]);
  g_assert_cmpint (waitpid (child, NULL, 0), ==, child);
  close (to_parent[0]);
  close (to_parent[1]);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  monitor_init (&monitor);

  /* This is the first test, since a child cannot use the thread pools of GLib once the parent has used them. */
  g_test_add_func ("/fork/before", test_before);
  g_test_add_func ("/fork/meanwhile", test_meanwhile);
  g_test_add_func ("/fork/authentication", test_authentication);
  g_test_add_func ("/fork/reverse", test_reverse);
  g_test_add_func ("/fork/port", test_port);
  g_test_add_func ("/fork/closing", test_closing);
  g_test_add_func ("/fork/step", test_step);
  g_test_add_func ("/fork/handler", test_handler);

  return g_test_run ();
}
