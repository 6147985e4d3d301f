/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The TcpConnection objects of an endpoint: their properties, their signals, and closing them. */

#include "resume-rig.h"

typedef struct
{
  TcpConnection *first; /* the first one that was opened */
  guint opened;
  guint closed;
  guint notified;
  guint changes; /* of the list */
} Seen;

static void
on_notified (TcpConnection *connection,
             GParamSpec *pspec,
             Seen *seen)
{
  g_assert_true (tcp_connection_get_closed (connection));
  seen->notified++;
}

static gboolean
list_has (gpointer endpoint,
          TcpConnection *connection)
{
  GListModel *list = tcp_endpoint_get_connections (endpoint);
  gboolean found = FALSE;

  for (guint i = 0; i < g_list_model_get_n_items (list); i++)
    {
      g_autoptr (TcpConnection) item = g_list_model_get_item (list, i);

      found |= item == connection;
    }
  return found;
}

static guint
list_length (gpointer endpoint)
{
  return g_list_model_get_n_items (tcp_endpoint_get_connections (endpoint));
}

static void
on_opened (TcpEndpoint *endpoint,
           TcpConnection *connection,
           Seen *seen)
{
  g_assert_true (list_has (endpoint, connection));
  g_assert_false (tcp_connection_get_closed (connection));
  g_signal_connect (connection, "notify::closed", G_CALLBACK (on_notified), seen);
  if (seen->first == NULL)
    seen->first = g_object_ref (connection);
  seen->opened++;
}

static void
on_closed (TcpEndpoint *endpoint,
           TcpConnection *connection,
           Seen *seen)
{
  g_assert_false (list_has (endpoint, connection));
  g_assert_true (tcp_connection_get_closed (connection));
  seen->closed++;
  g_assert_cmpuint (seen->closed, ==, seen->notified);
}

static void
on_changed (GListModel *list,
            guint position,
            guint removed,
            guint added,
            Seen *seen)
{
  seen->changes++;
}

static void
watch (gpointer endpoint,
       Seen *seen)
{
  *seen = (Seen) { 0 };
  g_signal_connect (endpoint, "connection-opened", G_CALLBACK (on_opened), seen);
  g_signal_connect (endpoint, "connection-closed", G_CALLBACK (on_closed), seen);
  g_signal_connect (tcp_endpoint_get_connections (endpoint), "items-changed", G_CALLBACK (on_changed), seen);
}

static void
seen_clear (Seen *seen)
{
  g_clear_object (&seen->first);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Seen, seen_clear)

static guint64
get_bytes (TcpConnection *connection,
           const char *property)
{
  guint64 bytes;

  g_object_get (connection, property, &bytes, NULL);
  return bytes;
}

/* The properties of a connection at both ends. */
static void
test_properties (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, mode, FIXTURE_RESUMABLE);
  g_autofree char *address = target_get_address (target);
  g_auto (Seen) near = { 0 };
  g_auto (Seen) far = { 0 };
  g_autofree char *leads_to = NULL;
  g_autofree char *principal = NULL;
  g_autofree char *unnamed = NULL;
  g_autofree char *client = NULL;
  g_autoptr (GDateTime) before = g_date_time_new_now_utc ();
  g_autoptr (GDateTime) opened = NULL;
  g_autoptr (GError) error = NULL;
  int fd;

  watch (fixture->tunnel, &near);
  watch (fixture->gateway, &far);
  fixture_start (fixture);
  fd = client_connect (fixture_get_port (fixture));
  client_round_trip (fd, "hello");
  WAIT_UNTIL (near.opened == 1 && far.opened == 1);
  g_assert_cmpuint (list_length (fixture->tunnel), ==, 1);
  g_assert_cmpuint (list_length (fixture->gateway), ==, 1);

  g_assert_cmpuint (tcp_connection_get_id (near.first), ==, 1);
  g_assert_true (G_IS_INET_SOCKET_ADDRESS (tcp_connection_get_client_address (near.first)));
  unnamed = test_dup_string (near.first, "target");
  g_assert_null (unnamed);
  g_object_get (near.first, "opened", &opened, NULL);
  g_assert_cmpint (g_date_time_compare (before, opened), <=, 0);
  leads_to = test_dup_string (far.first, "target");
  g_assert_cmpstr (leads_to, ==, address);
  principal = test_dup_string (far.first, "principal");
  g_assert_cmpstr (principal, ==, "default");
  client = g_socket_connectable_to_string (G_SOCKET_CONNECTABLE (tcp_connection_get_client_address (far.first)));
  g_assert_true (g_str_has_prefix (client, "127.0.0.1:"));

  /* The counters change while it is open. */
  client_echo_stream (fd, MIB, 4);
  WAIT_UNTIL (get_bytes (near.first, "bytes-sent") == MIB + 5);
  WAIT_UNTIL (get_bytes (near.first, "bytes-received") == MIB + 5);
  WAIT_UNTIL (get_bytes (far.first, "bytes-sent") == MIB + 5);
  WAIT_UNTIL (get_bytes (far.first, "bytes-received") == MIB + 5);

  client_finish (fd);
  WAIT_UNTIL (near.closed == 1 && far.closed == 1);
  error = tcp_connection_dup_error (near.first);
  g_assert_no_error (error);
  g_assert_cmpuint (list_length (fixture->tunnel) + list_length (fixture->gateway), ==, 0);
  g_assert_cmpuint (near.changes, ==, 2);
}

static gpointer
close_connection (gpointer data)
{
  tcp_connection_close (data);
  return NULL;
}

/* The thread that drops the last reference frees the connection. */
static gpointer
use_connection (gpointer data)
{
  g_autoptr (TcpConnection) connection = data;
  g_autoptr (GError) error = NULL;
  g_autofree char *target G_GNUC_UNUSED = test_dup_string (connection, "target");

  g_assert_cmpuint (tcp_connection_get_id (connection), >, 0);
  g_assert_true (G_IS_SOCKET_ADDRESS (tcp_connection_get_client_address (connection)));
  g_assert_cmpuint (get_bytes (connection, "bytes-sent"), ==, 5);
  error = tcp_connection_dup_error (connection);
  if (error != NULL)
    g_assert_true (tcp_connection_get_closed (connection));
  if (tcp_connection_get_id (connection) % 2 == 0)
    tcp_connection_close (connection);
  return NULL;
}

/* Another thread uses the connection while it ends. */
static void
test_thread (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_RESUMABLE);
  guint many = test_count (50, 20);
  g_auto (Seen) seen = { 0 };

  watch (fixture->tunnel, &seen);
  fixture_start (fixture);
  for (guint i = 0; i < many; i++)
    {
      gpointer connection;
      GThread *thread;
      int fd = client_connect (fixture_get_port (fixture));

      client_round_trip (fd, "hello");
      WAIT_UNTIL (seen.opened == i + 1);
      connection = g_steal_pointer (&seen.first);
      thread = g_thread_new ("user", use_connection, g_object_ref (connection));
      if (i % 2 == 0)
        client_finish (fd);
      WAIT_UNTIL (seen.closed == i + 1);
      g_object_add_weak_pointer (connection, &connection);
      g_object_unref (connection);
      g_thread_join (thread);
      g_assert_null (connection);
      if (i % 2 != 0)
        client_close (fd);
    }
}

/* A connection may be closed from another thread, and after its end. Other connections continue. */
static void
check_close (gboolean at_gateway)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_RESUMABLE);
  gpointer endpoint = at_gateway ? (gpointer) fixture->gateway : fixture->tunnel;
  g_auto (Seen) seen = { 0 };
  g_autoptr (GError) error = NULL;
  int first, second;

  watch (endpoint, &seen);
  fixture_start (fixture);
  first = client_connect (fixture_get_port (fixture));
  client_round_trip (first, "one");
  second = client_connect (fixture_get_port (fixture));
  client_round_trip (second, "two");
  WAIT_UNTIL (seen.opened == 2);

  g_thread_join (g_thread_new ("closer", close_connection, seen.first));
  WAIT_UNTIL (seen.closed == 1);
  error = tcp_connection_dup_error (seen.first);
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED);
  client_expect_reset (first);
  client_close (first);
  g_assert_true (target_wait_open (target, 1));
  tcp_connection_close (seen.first);
  client_round_trip (second, "three");
  client_close (second);
  WAIT_UNTIL (seen.closed == 2);

  /* Nor does it matter that the endpoint is closed. */
  tcp_endpoint_close (endpoint);
  tcp_connection_close (seen.first);
}

static void
test_close (void)
{
  check_close (FALSE);
  check_close (TRUE);
}

/* When an endpoint is closed, its open connections end. The signals are emitted within the call. */
static void
test_close_endpoint (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_RESUMABLE);
  g_auto (Seen) seen = { 0 };
  g_autoptr (GError) error = NULL;
  int fds[5];

  watch (fixture->tunnel, &seen);
  fixture_start (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      fds[i] = client_connect (fixture_get_port (fixture));
      client_round_trip (fds[i], "hello");
    }
  WAIT_UNTIL (seen.opened == G_N_ELEMENTS (fds));
  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
  g_assert_cmpuint (seen.closed, ==, G_N_ELEMENTS (fds));
  g_assert_cmpuint (list_length (fixture->tunnel), ==, 0);
  error = tcp_connection_dup_error (seen.first);
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    client_close (fds[i]);
}

static int
open_one (TcpTunnel *tunnel,
          Seen *seen)
{
  int fd = client_connect (test_tunnel_get_port (tunnel));

  client_round_trip (fd, "hello");
  WAIT_UNTIL (seen->opened == 1);
  return fd;
}

/* Waits until at most @open connections are open, without iterating the main context. */
static void
wait_open (TcpTunnel *tunnel,
           guint open)
{
  gint64 deadline = test_deadline ();

  while (test_figure (tunnel, open_connections) > open || !g_main_context_pending (NULL))
    g_assert_cmpint (test_remaining_ms (deadline), >, 0);
}

/* Opens a connection that then ends in order. The event of its end is still pending. */
static void
open_and_finish (TcpTunnel *tunnel,
                 Seen *seen)
{
  int fd = open_one (tunnel, seen);

  WAIT_UNTIL (!g_main_context_pending (NULL));
  client_finish (fd);
  wait_open (tunnel, 0);
  g_assert_cmpuint (list_length (tunnel), ==, 1);
}

static gpointer
close_endpoint (gpointer data)
{
  tcp_endpoint_close (data);
  return NULL;
}

static gpointer
restart (gpointer data)
{
  g_autoptr (GError) error = NULL;

  tcp_endpoint_close (data);
  tcp_endpoint_start (data, NULL, &error);
  g_assert_no_error (error);
  return NULL;
}

/* A connection that has ended in order has no error after a close, whichever thread closes the tunnel. */
static void
test_close_late (void)
{
  for (guint i = 0; i < 4; i++)
    {
      g_autoptr (Target) target = target_new_echo ();
      g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_RESUMABLE);
      g_auto (Seen) seen = { 0 };
      g_autoptr (GError) error = NULL;

      watch (fixture->tunnel, &seen);
      fixture_start (fixture);
      open_and_finish (fixture->tunnel, &seen);
      if (i == 0)
        tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
      else
        g_thread_join (g_thread_new ("closer", i == 3 ? restart : close_endpoint, fixture->tunnel));
      if (i == 2)
        tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
      if (i == 0 || i == 2)
        g_assert_cmpuint (seen.closed, ==, 1);
      WAIT_UNTIL (seen.closed == 1);
      error = tcp_connection_dup_error (seen.first);
      g_assert_no_error (error);
    }
}

typedef struct
{
  Fixture *fixture;
  Seen *seen;
  int fd;
} Restarter;

/* Starts the tunnel again, and handles the events of this start. */
static void
on_active (TcpEndpoint *endpoint,
           GParamSpec *pspec,
           Restarter *restarter)
{
  if (tcp_endpoint_get_active (endpoint) || restarter->fd >= 0)
    return;

  test_tunnel_start (TCP_TUNNEL (endpoint));
  restarter->fd = client_connect (fixture_get_port (restarter->fixture));
  client_round_trip (restarter->fd, "again");
  WAIT_UNTIL (restarter->seen->opened == 4);
}

/* A handler starts the tunnel again during a close: the connections that were open before end as they would without
 * it. */
static void
test_restart_in_handler (void)
{
  Restarter restarter = { .fd = -1 }; /* outlives the tunnel */
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_RESUMABLE);
  g_auto (Seen) seen = { 0 };
  g_autoptr (GError) error = NULL;
  int fds[3];

  restarter.fixture = fixture;
  restarter.seen = &seen;
  watch (fixture->tunnel, &seen);
  fixture_start (fixture);
  g_signal_connect (fixture->tunnel, "notify::active", G_CALLBACK (on_active), &restarter);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      fds[i] = client_connect (fixture_get_port (fixture));
      client_round_trip (fds[i], "hello");
      WAIT_UNTIL (seen.opened == i + 1);
    }
  WAIT_UNTIL (!g_main_context_pending (NULL));
  client_finish (fds[0]);
  wait_open (fixture->tunnel, 2);

  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
  g_assert_cmpuint (seen.closed, ==, 3);
  error = tcp_connection_dup_error (seen.first);
  g_assert_no_error (error);
  g_assert_cmpuint (list_length (fixture->tunnel), ==, 1);
  g_assert_cmpint (fixture->recorder->last_state, ==, TCP_TUNNEL_STATE_CONNECTED);
  client_round_trip (restarter.fd, "still there");
  client_finish (restarter.fd);
  WAIT_UNTIL (seen.closed == 4);
  g_assert_cmpuint (list_length (fixture->tunnel), ==, 0);
  client_close (fds[1]);
  client_close (fds[2]);
}

/* Another thread closes and starts the tunnel, with the same context, before the context handles the close. */
static void
test_restart_elsewhere (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_RESUMABLE);
  g_auto (Seen) seen = { 0 };
  int fd;

  watch (fixture->tunnel, &seen);
  fixture_start (fixture);
  fd = client_connect (fixture_get_port (fixture));
  client_round_trip (fd, "before");
  WAIT_UNTIL (seen.opened == 1);
  g_thread_join (g_thread_new ("starter", restart, fixture->tunnel));
  client_close (fd);
  WAIT_UNTIL (seen.closed == 1);

  fd = client_connect (fixture_get_port (fixture));
  client_round_trip (fd, "after");
  WAIT_UNTIL (seen.opened == 2);
  g_assert_cmpuint (list_length (fixture->tunnel), ==, 1);
  client_close (fd);
  WAIT_UNTIL (seen.closed == 2);
}

/* An application that handles events late gets the open connections, and not all that came and went. */
static void
test_late (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_RESUMABLE);
  guint many = test_count (2000, 700);
  g_auto (Seen) seen = { 0 };
  int fds[10];

  watch (fixture->tunnel, &seen);
  fixture_start (fixture);
  for (guint i = 0; i < many; i++)
    {
      int fd = client_connect (fixture_get_port (fixture));

      client_round_trip (fd, "ping");
      if (i % (many / G_N_ELEMENTS (fds)) == 0)
        fds[i / (many / G_N_ELEMENTS (fds))] = fd;
      else
        {
          client_finish (fd);
          client_expect_eof (fd);
          client_close (fd);
        }
    }
  g_assert_cmpuint (seen.opened, ==, 0);
  WAIT_UNTIL (test_figure (fixture->tunnel, open_connections) == G_N_ELEMENTS (fds));
  WAIT_UNTIL (!g_main_context_pending (NULL));
  g_assert_cmpuint (seen.opened, <, many);
  g_assert_cmpuint (seen.opened - seen.closed, ==, G_N_ELEMENTS (fds));
  g_assert_cmpuint (list_length (fixture->tunnel), ==, G_N_ELEMENTS (fds));
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    client_finish (fds[i]);
  WAIT_UNTIL (seen.opened == seen.closed);
  g_assert_cmpuint (list_length (fixture->tunnel), ==, 0);
}

/* A connection and the list may outlive their endpoint. */
static void
check_outlive (gboolean is_over)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_RESUMABLE);
  g_autofree char *uri = NULL;
  g_autoptr (GListModel) list = NULL;
  g_auto (Seen) seen = { 0 };
  g_autoptr (GError) error = NULL;
  TcpTunnel *tunnel;
  int fd = -1;

  fixture_start_gateway (fixture);
  uri = test_dup_string (fixture->tunnel, "remote-uri");
  tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);
  watch (tunnel, &seen);
  test_tunnel_start (tunnel);
  if (is_over)
    open_and_finish (tunnel, &seen);
  else
    fd = open_one (tunnel, &seen);
  list = g_object_ref (tcp_endpoint_get_connections (TCP_ENDPOINT (tunnel)));
  g_signal_handlers_disconnect_by_data (list, &seen);
  test_assert_finalized (tunnel);
  g_assert_true (tcp_connection_get_closed (seen.first));
  g_assert_cmpuint (get_bytes (seen.first, "bytes-sent"), ==, 5);
  error = tcp_connection_dup_error (seen.first);
  if (is_over)
    g_assert_no_error (error);
  else
    g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED);
  tcp_connection_close (seen.first);
  if (fd >= 0)
    client_close (fd);
}

static void
test_outlive (void)
{
  check_outlive (FALSE);
  check_outlive (TRUE);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_mode_test ("/connections/properties", test_properties);
  g_test_add_func ("/connections/thread", test_thread);
  g_test_add_func ("/connections/close", test_close);
  g_test_add_func ("/connections/close-endpoint", test_close_endpoint);
  g_test_add_func ("/connections/close-late", test_close_late);
  g_test_add_func ("/connections/restart-in-handler", test_restart_in_handler);
  g_test_add_func ("/connections/restart-elsewhere", test_restart_elsewhere);
  g_test_add_func ("/connections/late", test_late);
  g_test_add_func ("/connections/outlive", test_outlive);

  return g_test_run ();
}
