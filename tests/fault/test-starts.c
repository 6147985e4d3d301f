/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Starts that are affected by the main loop of another thread, by a cancellation, or by a close in a handler. */

#include "fixture.h"

#include <stdlib.h>
#include <sys/socket.h>

#define N_IO_THREADS 2

typedef struct
{
  gboolean done;
  GError *error;
} Start;

static void
start_clear (Start *start)
{
  g_clear_error (&start->error);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Start, start_clear)

static void
on_tunnel_started (GObject *source,
                   GAsyncResult *result,
                   gpointer user_data)
{
  Start *start = user_data;

  tcp_endpoint_start_finish (TCP_ENDPOINT (source), result, &start->error);
  start->done = TRUE;
}

static void
on_gateway_started (GObject *source,
                    GAsyncResult *result,
                    gpointer user_data)
{
  Start *start = user_data;

  tcp_endpoint_start_finish (TCP_ENDPOINT (source), result, &start->error);
  start->done = TRUE;
}

/* The tunnel does not connect as long as it has no client. */
static TcpTunnel *
new_idle_tunnel (void)
{
  g_autofree char *address = test_own_address ();
  TcpTunnel *tunnel = test_tunnel_new ("ws://127.0.0.1:9/", TCP_TUNNEL_MODE_SINGLETON);

  g_object_set (tunnel, "hostname", address, NULL);
  return tunnel;
}

static gpointer
start_and_close (gpointer user_data)
{
  int *done = user_data;
  g_autoptr (TcpTunnel) tunnel = new_idle_tunnel ();

  for (guint i = 0; i < 200; i++)
    {
      test_tunnel_start (tunnel);
      g_assert_nonnull (tcp_endpoint_get_local_address (TCP_ENDPOINT (tunnel)));
      tcp_endpoint_close (TCP_ENDPOINT (tunnel));
    }
  g_atomic_int_set (done, TRUE);
  return NULL;
}

/* A thread without a context of its own starts endpoints in the default context while another thread iterates it,
 * which must not take the event that the first one waits for. */
static void
test_beside_main_loop (void)
{
  int done = FALSE;
  GThread *thread = g_thread_new ("starter", start_and_close, &done);

  WAIT_UNTIL (g_atomic_int_get (&done));
  g_thread_join (thread);
}

/* The application's handler of cancelled may run before that of the tunnel, or after it. */
static void
check_tunnel_cancelled (gboolean before)
{
  g_autoptr (HttpStub) stub = http_stub_new ();
  g_autofree char *uri = http_stub_get_uri (stub, "/");
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_auto (Start) start = { 0 };

  http_stub_push_silence (stub);
  if (before)
    g_signal_connect_swapped (cancellable, "cancelled", G_CALLBACK (tcp_endpoint_close), tunnel);
  tcp_endpoint_start_async (TCP_ENDPOINT (tunnel), cancellable, on_tunnel_started, &start);
  if (!before)
    g_signal_connect_swapped (cancellable, "cancelled", G_CALLBACK (tcp_endpoint_close), tunnel);
  g_assert_true (http_stub_wait_held (stub, 1));
  g_cancellable_cancel (cancellable);
  WAIT_UNTIL (start.done);
  g_assert_error (start.error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED);
  g_assert_true (http_stub_wait_held (stub, 0));
}

static void
check_gateway_cancelled (gboolean before)
{
  g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:9");
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_auto (Start) start = { 0 };

  tcp_gateway_set_token (gateway, TEST_TOKEN);
  if (before)
    g_signal_connect_swapped (cancellable, "cancelled", G_CALLBACK (tcp_endpoint_close), gateway);
  tcp_endpoint_start_async (TCP_ENDPOINT (gateway), cancellable, on_gateway_started, &start);
  if (!before)
    g_signal_connect_swapped (cancellable, "cancelled", G_CALLBACK (tcp_endpoint_close), gateway);
  g_cancellable_cancel (cancellable);
  WAIT_UNTIL (start.done);
  g_assert_error (start.error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED);
  g_assert_null (tcp_endpoint_get_local_address (TCP_ENDPOINT (gateway)));
}

static void
test_close_when_cancelled (void)
{
  for (gboolean before = FALSE; before <= TRUE; before++)
    {
      check_tunnel_cancelled (before);
      check_gateway_cancelled (before);
    }
}

/* The handler that is notified of the local address closes the endpoint before the start has returned. */
static void
test_close_in_notify (void)
{
  g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:9");
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new ("ws://127.0.0.1:9/", TCP_TUNNEL_MODE_SINGLETON);
  g_autoptr (GError) gateway_error = NULL;
  g_autoptr (GError) tunnel_error = NULL;

  tcp_gateway_set_token (gateway, TEST_TOKEN);
  g_signal_connect (gateway, "notify::local-address", G_CALLBACK (tcp_endpoint_close), NULL);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &gateway_error));
  g_assert_error (gateway_error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED);
  g_assert_null (tcp_endpoint_get_local_address (TCP_ENDPOINT (gateway)));

  g_signal_connect (tunnel, "notify::local-address", G_CALLBACK (tcp_endpoint_close), NULL);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, &tunnel_error));
  g_assert_error (tunnel_error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED);
  g_assert_null (tcp_endpoint_get_local_address (TCP_ENDPOINT (tunnel)));
}

typedef struct
{
  TcpTunnel *tunnel;
  gboolean started;
  GError *error;
} BlockingStart;

static gpointer
start_and_wait (gpointer user_data)
{
  BlockingStart *start = user_data;

  start->started = tcp_endpoint_start (TCP_ENDPOINT (start->tunnel), NULL, &start->error);
  return NULL;
}

static void
close_tunnel (TcpTunnel *tunnel,
              gboolean *closed)
{
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
  *closed = TRUE;
}

/* One thread waits for its start, and the handler that closes the tunnel runs in another thread, which iterates the
 * main context. */
static void
test_close_from_main_loop (void)
{
  g_autoptr (HttpStub) stub = http_stub_new ();
  g_autofree char *uri = http_stub_get_uri (stub, "/");
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);
  BlockingStart start = { .tunnel = tunnel };
  gboolean closed;

  g_signal_connect (tunnel, "token-required", G_CALLBACK (close_tunnel), &closed);
  g_assert_true (g_main_context_acquire (NULL));
  for (guint i = 0; i < 50; i++)
    {
      GThread *thread;

      closed = FALSE;
      http_stub_push_answer (stub, 401, NULL, NULL);
      thread = g_thread_new ("starter", start_and_wait, &start);
      WAIT_UNTIL (closed);
      g_thread_join (thread);
      g_assert_false (start.started);
      g_assert_error (start.error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED);
      g_clear_error (&start.error);
      g_assert_null (tcp_endpoint_get_local_address (TCP_ENDPOINT (tunnel)));
    }
  g_main_context_release (NULL);
}

/* Calls step after step until the start ends; each call waits for 1 ms only. */
static gboolean
take_steps (TcpTunnel *tunnel,
            GCancellable *cancellable,
            GError **error)
{
  gint64 deadline = test_deadline ();
  GError *local = NULL;

  while (!tcp_endpoint_start_step (TCP_ENDPOINT (tunnel), 1, cancellable, &local) && local == NULL)
    g_assert_cmpint (g_get_monotonic_time (), <, deadline);
  if (local == NULL)
    return TRUE;
  g_propagate_error (error, local);
  return FALSE;
}

static void
begin_in_steps (TcpTunnel *tunnel,
                HttpStub *stub,
                GCancellable *cancellable)
{
  g_autoptr (GError) error = NULL;

  http_stub_push_silence (stub);
  g_assert_false (tcp_endpoint_start_step (TCP_ENDPOINT (tunnel), 0, cancellable, &error));
  g_assert_no_error (error);
  g_assert_true (http_stub_wait_held (stub, 1));
  g_assert_false (tcp_endpoint_start_step (TCP_ENDPOINT (tunnel), 1, cancellable, &error));
  g_assert_no_error (error);
}

/* A start is cancelled, closed, or fails between two of its steps. */
static void
test_steps (void)
{
  g_autoptr (HttpStub) stub = http_stub_new ();
  g_autofree char *uri = http_stub_get_uri (stub, "/");
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autoptr (HttpStub) refusing = http_stub_new ();
  g_autofree char *refusing_uri = http_stub_get_uri (refusing, "/");
  g_autoptr (GCancellable) first = g_cancellable_new ();
  g_autoptr (GCancellable) second = g_cancellable_new ();
  g_autoptr (GError) error = NULL;

  begin_in_steps (tunnel, stub, first);
  /* A step with another cancellable is another start. */
  g_assert_false (tcp_endpoint_start_step (TCP_ENDPOINT (tunnel), 0, second, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE);
  g_clear_error (&error);
  g_cancellable_cancel (first);
  g_assert_false (take_steps (tunnel, first, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_true (http_stub_wait_held (stub, 0));

  begin_in_steps (tunnel, stub, second);
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
  g_assert_true (http_stub_wait_held (stub, 0));
  /* This step does not start the tunnel again, although it is not active. */
  g_assert_false (tcp_endpoint_start_step (TCP_ENDPOINT (tunnel), 0, second, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED);
  g_clear_error (&error);

  http_stub_push_answer (refusing, 404, NULL, NULL);
  g_object_set (tunnel, "remote-uri", refusing_uri, NULL);
  g_assert_false (take_steps (tunnel, second, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_REJECTED);
  g_clear_error (&error);

  g_object_set (tunnel, "mode", TCP_TUNNEL_MODE_SINGLETON, NULL);
  g_assert_true (take_steps (tunnel, second, &error));
  g_assert_no_error (error);
  g_assert_nonnull (tcp_endpoint_get_local_address (TCP_ENDPOINT (tunnel)));
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
}

/* A start is abandoned between two of its steps. */
static void
test_steps_abandoned (void)
{
  g_autoptr (HttpStub) stub = http_stub_new ();
  g_autofree char *uri = http_stub_get_uri (stub, "/");
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();

  begin_in_steps (tunnel, stub, cancellable);
  g_assert_finalize_object (g_steal_pointer (&tunnel));
  g_assert_true (http_stub_wait_held (stub, 0));
  g_assert_finalize_object (g_steal_pointer (&cancellable));
}

/* Returns the number of files in a directory of /proc/self for which @is_one returns TRUE. */
static guint
count_in_proc (const char *directory,
               gboolean (*is_one) (const char *name))
{
  g_autofree char *path = g_build_filename ("/proc/self", directory, NULL);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;
  guint n = 0;

  while ((name = g_dir_read_name (dir)) != NULL)
    n += is_one (name);
  return n;
}

static gboolean
is_io_thread (const char *name)
{
  g_autofree char *path = g_build_filename ("/proc/self/task", name, "comm", NULL);
  g_autofree char *comm = NULL;

  return g_file_get_contents (path, &comm, NULL, NULL) && g_str_equal (comm, "tcptunnel-io\n");
}

static gboolean
is_netlink (const char *name)
{
  int domain;
  socklen_t length = sizeof (domain);

  return getsockopt (atoi (name), SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_NETLINK;
}

/* All tunnels share the I/O threads of the process and one network monitor. */
static void
test_many (void)
{
  g_autoptr (GPtrArray) tunnels = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < 100; i++)
    {
      TcpTunnel *tunnel = new_idle_tunnel ();

      g_ptr_array_add (tunnels, tunnel);
      test_tunnel_start (tunnel);
    }
  g_assert_cmpuint (count_in_proc ("task", is_io_thread), ==, N_IO_THREADS);
  g_assert_cmpuint (count_in_proc ("fd", is_netlink), ==, 1);

  for (guint i = 0; i < tunnels->len; i++)
    tcp_endpoint_close (TCP_ENDPOINT (tunnels->pdata[i]));
  WAIT_UNTIL (count_in_proc ("fd", is_netlink) == 0);
}

static gboolean
is_any (const char *name)
{
  return name[0] != '.';
}

/* Starting and closing repeatedly leaks nothing. */
static void
test_again_and_again (void)
{
  g_autoptr (GPtrArray) tunnels = g_ptr_array_new_with_free_func (g_object_unref);
  guint rounds = test_count (1000, 20);
  guint descriptors = 0, threads = 0;
  guint64 memory = 0;

  for (guint i = 0; i < 100; i++)
    {
      g_ptr_array_add (tunnels, new_idle_tunnel ());
      g_object_set (tunnels->pdata[i], "log-level", TCP_TUNNEL_LOG_LEVEL_WARN, NULL);
    }
  for (guint round = 0; round < rounds; round++)
    {
      for (guint i = 0; i < tunnels->len; i++)
        test_tunnel_start (tunnels->pdata[i]);
      for (guint i = 0; i < tunnels->len; i++)
        tcp_endpoint_close (TCP_ENDPOINT (tunnels->pdata[i]));
      if (round != rounds / 10)
        continue;
      WAIT_UNTIL (count_in_proc ("fd", is_netlink) == 0);
      descriptors = count_in_proc ("fd", is_any);
      threads = count_in_proc ("task", is_any);
      memory = test_memory ("VmRSS");
    }
  /* The network monitor is not the only thing that is closed in the background. */
  WAIT_UNTIL (count_in_proc ("fd", is_any) <= descriptors);
  WAIT_UNTIL (count_in_proc ("task", is_any) <= threads);
  g_test_message ("memory: %" G_GUINT64_FORMAT " and %" G_GUINT64_FORMAT " bytes", memory, test_memory ("VmRSS"));
  if (test_memory_is_meaningful ())
    g_assert_cmpuint (test_memory ("VmRSS"), <, memory + 4 * 1024 * 1024);
}

int
main (int argc,
      char **argv)
{
  g_setenv ("TCP_TUNNEL_IO_THREADS", G_STRINGIFY (N_IO_THREADS), TRUE);
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/starts/many", test_many);
  g_test_add_func ("/starts/again-and-again", test_again_and_again);
  g_test_add_func ("/starts/beside-main-loop", test_beside_main_loop);
  g_test_add_func ("/starts/close-when-cancelled", test_close_when_cancelled);
  g_test_add_func ("/starts/close-in-notify", test_close_in_notify);
  g_test_add_func ("/starts/close-from-main-loop", test_close_from_main_loop);
  g_test_add_func ("/starts/steps", test_steps);
  g_test_add_func ("/starts/steps-abandoned", test_steps_abandoned);

  return g_test_run ();
}
