/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tunnels and gateways that several threads of the application use. */

#include "certificate.h"
#include "fixture.h"

#include <string.h>

#define SESSION "/?sessionId=0a2f2b5e-5d0f-4a57-9c3e-7f1f0a7c9d11"
#define LONG_MS (10 * TEST_DEADLINE_MS)

static TcpGateway *
start_gateway (Target  *target,
               guint16 *port)
{
  g_autofree char *address = target_get_address (target);
  TcpGateway *gateway = tcp_gateway_new (address);
  g_autoptr (GError) error = NULL;

  g_object_set (gateway, "token", TEST_TOKEN, NULL);
  tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error);
  g_assert_no_error (error);
  *port = test_port_of (gateway);
  return gateway;
}

/* Counts the signals emitted in this thread; one in another thread fails the test. */
typedef struct
{
  GThread *thread;
  guint count;
} Heard;

static void
on_heard (Heard *heard)
{
  g_assert_true (g_thread_self () == heard->thread);
  heard->count++;
}

static void
listen_to (gpointer    object,
           const char *signal,
           Heard      *heard)
{
  *heard = (Heard) { .thread = g_thread_self () };
  g_signal_connect_swapped (object, signal, G_CALLBACK (on_heard), heard);
}

static int drainers; /* atomic: how many have begun the drain */

static gpointer
drain_gateway (gpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;

  g_assert_false (tcp_gateway_drain_step (data, LONG_MS, 0, cancellable, &error));
  g_assert_no_error (error);
  g_atomic_int_inc (&drainers);
  g_assert_true (tcp_gateway_drain_step (data, LONG_MS, LONG_MS, cancellable, &error));
  g_assert_no_error (error);
  return NULL;
}

/* Drains in one call, with a deadline that cuts the connection. */
static gpointer
drain_gateway_at_once (gpointer data)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (tcp_gateway_drain (data, 0, NULL, &error));
  g_assert_no_error (error);
  return NULL;
}

static void
handle_all (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

/* No thread iterates the context of the gateway: both threads return, and no signal is emitted in them. The signals
 * are emitted once the context is iterated. */
static void
check_drain (GThreadFunc drain)
{
  g_autoptr (Target) target = target_new_echo ();
  Heard closed, address;
  GThread *threads[2];
  guint16 port;
  g_autoptr (TcpGateway) gateway = start_gateway (target, &port);
  int fd = ws_connect (port, SESSION, TEST_TOKEN);

  ws_send (fd, WS_BINARY, "hello", 5);
  ws_expect (fd, "hello");
  handle_all ();
  listen_to (gateway, "connection-closed", &closed);
  listen_to (gateway, "notify::local-address", &address);
  g_atomic_int_set (&drainers, 0);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("drainer", drain, gateway);
  if (drain == drain_gateway)
    {
      while (g_atomic_int_get (&drainers) < (int) G_N_ELEMENTS (threads))
        g_thread_yield ();
      ws_send_close (fd, 1000);
    }
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  g_assert_null (tcp_endpoint_get_local_address (TCP_ENDPOINT (gateway)));
  g_assert_cmpuint (closed.count + address.count, ==, 0);

  handle_all ();
  g_assert_cmpuint (closed.count, ==, 1);
  g_assert_cmpuint (address.count, ==, 1);
  client_close (fd);
}

static void
test_drain (void)
{
  check_drain (drain_gateway);
  check_drain (drain_gateway_at_once);
}

static gpointer
start_tunnel (gpointer data)
{
  test_tunnel_start (data);
  return NULL;
}

static gpointer
close_tunnel (gpointer data)
{
  tcp_endpoint_close (TCP_ENDPOINT (data));
  return NULL;
}

static gpointer
start_and_close_gateway (gpointer data)
{
  g_autoptr (GError) error = NULL;

  tcp_endpoint_start (TCP_ENDPOINT (data), NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (tcp_endpoint_get_local_address (TCP_ENDPOINT (data)));
  tcp_endpoint_close (TCP_ENDPOINT (data));
  return NULL;
}

static void
test_start_and_close (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  g_autofree char *uri = NULL;
  TcpTunnel *tunnel = fixture->tunnel;
  Heard address, states;

  fixture_start_gateway (fixture);
  uri = tcp_gateway_dup_uri (fixture->gateway);
  g_object_set (tunnel, "remote-uri", uri, NULL);
  handle_all ();
  listen_to (tunnel, "notify::local-address", &address);
  listen_to (tunnel, "state-changed", &states);
  g_thread_join (g_thread_new ("starter", start_tunnel, tunnel));
  g_assert_nonnull (tcp_endpoint_get_local_address (TCP_ENDPOINT (tunnel)));
  g_assert_cmpuint (address.count + states.count, ==, 0);
  handle_all ();
  g_assert_cmpuint (address.count, ==, 1);
  g_assert_cmpuint (states.count, ==, 2);

  g_thread_join (g_thread_new ("closer", close_tunnel, tunnel));
  g_assert_null (tcp_endpoint_get_local_address (TCP_ENDPOINT (tunnel)));
  g_assert_cmpuint (address.count + states.count, ==, 3);
  handle_all ();
  g_assert_cmpuint (address.count, ==, 2);
  g_assert_cmpuint (states.count, ==, 3);

  /* Signals of former starts that were not emitted do not accumulate. */
  for (guint i = 0; i < 3; i++)
    {
      g_thread_join (g_thread_new ("starter", start_tunnel, tunnel));
      g_thread_join (g_thread_new ("closer", close_tunnel, tunnel));
    }
  handle_all ();
  g_assert_cmpuint (address.count, <=, 4);
  g_assert_cmpint (tcp_tunnel_get_state (tunnel), ==, TCP_TUNNEL_STATE_DISCONNECTED);
}

static void
test_start_and_close_gateway (void)
{
  g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:9");
  Heard address;

  tcp_gateway_set_token (gateway, TEST_TOKEN);
  listen_to (gateway, "notify::local-address", &address);
  g_thread_join (g_thread_new ("starter", start_and_close_gateway, gateway));
  g_assert_cmpuint (address.count, ==, 0);
  handle_all ();
  g_assert_cmpuint (address.count, ==, 1);
}

typedef struct
{
  GObject *object;
  guint rounds;
  int done; /* atomic */
} Starter;

static void
on_started (GObject      *object,
            GAsyncResult *result,
            gpointer      user_data)
{
  g_autoptr (GError) error = NULL;

  tcp_endpoint_start_finish (TCP_ENDPOINT (object), result, &error);
  g_assert_no_error (error);
  g_atomic_int_inc ((int *) user_data);
}

static void
on_closed (GObject      *object,
           GAsyncResult *result,
           gpointer      user_data)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (tcp_endpoint_close_finish (TCP_ENDPOINT (object), result, &error));
  g_assert_no_error (error);
  g_assert_false (tcp_endpoint_get_active (TCP_ENDPOINT (object)));
  g_atomic_int_inc ((int *) user_data);
}

static void
wait_for (int *done)
{
  gint64 deadline = test_deadline ();

  while (g_atomic_int_get (done) == 0)
    {
      g_assert_cmpint (g_get_monotonic_time (), <, deadline);
      g_thread_yield ();
    }
}

/* The callbacks are called in the default context, which another thread iterates. */
static gpointer
start_async_and_close (gpointer data)
{
  Starter *starter = data;

  for (guint i = 0; i < starter->rounds; i++)
    {
      int started = 0, closed = 0;

      tcp_endpoint_start_async (TCP_ENDPOINT (starter->object), NULL, on_started, &started);
      wait_for (&started);
      if (i % 2 == 0)
        {
          tcp_endpoint_close (TCP_ENDPOINT (starter->object));
        }
      else
        {
          tcp_endpoint_close_async (TCP_ENDPOINT (starter->object), NULL, on_closed, &closed);
          wait_for (&closed);
        }
    }
  g_atomic_int_set (&starter->done, TRUE);
  return NULL;
}

static void
test_start_async (void)
{
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new ("ws://127.0.0.1:9/", TCP_TUNNEL_MODE_SINGLETON);
  g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:9");
  GObject *objects[] = { G_OBJECT (tunnel), G_OBJECT (gateway) };

  tcp_gateway_set_token (gateway, TEST_TOKEN);
  for (guint i = 0; i < G_N_ELEMENTS (objects); i++)
    {
      Starter starter = { .object = objects[i], .rounds = test_count (200, 50) };
      GThread *thread = g_thread_new ("starter", start_async_and_close, &starter);

      WAIT_UNTIL (g_atomic_int_get (&starter.done));
      g_thread_join (thread);
    }
}

/* One thread closes the tunnel while another handles token-required. */
typedef struct
{
  TcpTunnel *tunnel;
  int asked; /* atomic */
} Closer;

static void
on_token_required (TcpTunnel *tunnel,
                   Closer    *closer)
{
  g_atomic_int_set (&closer->asked, TRUE);
  tcp_tunnel_set_token (tunnel, "another");
}

static gpointer
close_when_asked (gpointer data)
{
  Closer *closer = data;

  while (!g_atomic_int_get (&closer->asked))
    g_thread_yield ();
  tcp_endpoint_close (TCP_ENDPOINT (closer->tunnel));
  return NULL;
}

static void
on_ended (GObject      *object,
          GAsyncResult *result,
          gpointer      user_data)
{
  gboolean *ended = user_data;

  tcp_endpoint_start_finish (TCP_ENDPOINT (object), result, NULL);
  *ended = TRUE;
}

static void
test_close_when_asked (void)
{
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new (NULL, TCP_TUNNEL_MODE_MULTIPLEXED);
  Closer closer = { .tunnel = tunnel };

  g_signal_connect (tunnel, "token-required", G_CALLBACK (on_token_required), &closer);
  for (guint i = 0; i < test_count (100, 30); i++)
    {
      g_autoptr (HttpStub) stub = http_stub_new ();
      g_autofree char *uri = http_stub_get_uri (stub, "/");
      gboolean ended = FALSE;
      GThread *thread;

      g_atomic_int_set (&closer.asked, FALSE);
      http_stub_push_answer (stub, 401, NULL, NULL);
      http_stub_push_answer (stub, 404, NULL, NULL);
      g_object_set (tunnel, "remote-uri", uri, NULL);
      thread = g_thread_new ("closer", close_when_asked, &closer);
      tcp_endpoint_start_async (TCP_ENDPOINT (tunnel), NULL, on_ended, &ended);
      WAIT_UNTIL (ended);
      g_thread_join (thread);
      tcp_endpoint_close (TCP_ENDPOINT (tunnel));
    }
}

typedef struct
{
  GObject *object;
  int heard; /* atomic */
} Dropper;

static void
on_event (Dropper *dropper)
{
  g_atomic_int_set (&dropper->heard, TRUE);
}

static gpointer
drop_when_heard (gpointer data)
{
  Dropper *dropper = data;

  while (!g_atomic_int_get (&dropper->heard))
    g_thread_yield ();
  g_object_unref (dropper->object);
  return NULL;
}

/* The last reference is dropped while many events are handled. */
static void
test_drop (void)
{
  g_autoptr (Target) target = target_new_echo ();

  for (guint i = 0; i < test_count (60, 20); i++)
    {
      Dropper dropper = { 0 };
      guint16 port;
      TcpGateway *gateway = start_gateway (target, &port);
      int fds[8];
      gpointer watched;
      GThread *thread;

      for (guint j = 0; j < G_N_ELEMENTS (fds); j++)
        {
          g_autofree char *session = g_strdup_printf ("/?sessionId=0a2f2b5e-5d0f-4a57-9c3e-7f1f0a7c9d%02u", j);

          fds[j] = ws_connect (port, session, TEST_TOKEN);
          ws_send (fds[j], WS_BINARY, "hello", 5);
          ws_expect (fds[j], "hello");
        }
      dropper.object = watched = G_OBJECT (gateway);
      g_object_add_weak_pointer (dropper.object, &watched);
      g_signal_connect_swapped (gateway, "connection-opened", G_CALLBACK (on_event), &dropper);
      thread = g_thread_new ("dropper", drop_when_heard, &dropper);
      WAIT_UNTIL (g_atomic_int_get (&dropper.heard));
      handle_all ();
      g_thread_join (thread);
      g_assert_null (watched);
      for (guint j = 0; j < G_N_ELEMENTS (fds); j++)
        client_close (fds[j]);
    }
}

static void
test_drop_tunnel (void)
{
  for (guint i = 0; i < test_count (60, 20); i++)
    {
      Dropper dropper = { 0 };
      TcpTunnel *tunnel = test_tunnel_new ("ws://127.0.0.1:9/", TCP_TUNNEL_MODE_SINGLETON);
      gpointer watched = tunnel;
      GThread *thread;
      int fd;

      g_object_set (tunnel, "reconnect-delay", 1, "max-reconnect-delay", 1, "max-reconnect-attempts", -1, NULL);
      test_tunnel_start (tunnel);
      fd = client_connect (test_tunnel_get_port (tunnel));
      dropper.object = G_OBJECT (tunnel);
      g_object_add_weak_pointer (dropper.object, &watched);
      g_signal_connect_swapped (tunnel, "retry-scheduled", G_CALLBACK (on_event), &dropper);
      thread = g_thread_new ("dropper", drop_when_heard, &dropper);
      WAIT_UNTIL (g_atomic_int_get (&dropper.heard));
      handle_all ();
      g_thread_join (thread);
      g_assert_null (watched);
      client_close (fd);
    }
}

/* Several threads start and close the tunnel at the same time. A start succeeds or fails with an error, and no thread
 * waits for ever. */
static gpointer
start_or_close (gpointer data)
{
  TcpTunnel *tunnel = data;

  for (guint i = 0; i < test_count (200, 50); i++)
    {
      g_autoptr (GError) error = NULL;

      if (!tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, &error))
        g_assert_true (g_error_matches (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE) ||
                       g_error_matches (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED));
      tcp_endpoint_close (TCP_ENDPOINT (tunnel));
    }
  return NULL;
}

static void
test_all_at_once (void)
{
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new ("ws://127.0.0.1:9/", TCP_TUNNEL_MODE_SINGLETON);
  GThread *threads[4];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("starter", start_or_close, tunnel);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  handle_all ();
  g_assert_null (tcp_endpoint_get_local_address (TCP_ENDPOINT (tunnel)));
}

/* One thread sets and gets properties while another starts the tunnel. */
static gpointer
set_and_get (gpointer data)
{
  Starter *starter = data;

  for (guint i = 0; !g_atomic_int_get (&starter->done); i++)
    {
      g_autofree char *name = g_strdup_printf ("name-%u", i);
      g_autofree char *got = NULL;
      g_autoptr (GSocketAddress) address = NULL;
      g_autoptr (TcpStatistics) statistics = tcp_endpoint_get_statistics (TCP_ENDPOINT (starter->object));
      g_autoptr (GError) last = tcp_tunnel_dup_last_error (TCP_TUNNEL (starter->object));

      g_assert_no_error (last);
      g_assert_cmpuint (statistics->total_connections, ==, 0);
      g_assert_cmpint (tcp_tunnel_get_state (TCP_TUNNEL (starter->object)), ==, TCP_TUNNEL_STATE_DISCONNECTED);
      tcp_endpoint_get_active (TCP_ENDPOINT (starter->object));
      g_object_set (starter->object, "name", name, "token", name, "remote-uri", "ws://127.0.0.1:9/", NULL);
      g_object_get (starter->object, "name", &got, "local-address", &address, NULL);
      g_assert_cmpstr (got, ==, name);
    }
  return NULL;
}

static void
test_properties (void)
{
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new ("ws://127.0.0.1:9/", TCP_TUNNEL_MODE_SINGLETON);
  Starter starter = { .object = G_OBJECT (tunnel) };
  GThread *thread = g_thread_new ("setter", set_and_get, &starter);

  for (guint i = 0; i < test_count (200, 50); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *name = test_dup_string (tunnel, "name");

      g_assert_true (name == NULL || g_str_has_prefix (name, "name-"));
      if (tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, &error))
        g_assert_nonnull (tcp_endpoint_get_local_address (TCP_ENDPOINT (tunnel)));
      else
        g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
      tcp_endpoint_close (TCP_ENDPOINT (tunnel));
    }
  g_atomic_int_set (&starter.done, TRUE);
  g_thread_join (thread);
}

static TcpGateway *
start_with_gateway (Target     *target,
                    TcpTunnel **tunnel)
{
  guint16 port;
  TcpGateway *gateway = start_gateway (target, &port);
  g_autofree char *uri = g_strdup_printf ("ws://127.0.0.1:%u/", port);

  *tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);
  return gateway;
}

/* A close after one in another thread emits the signals that the other close left to this thread, and afterwards
 * there are none. */
static void
test_close_after_another (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpTunnel) tunnel = NULL;
  g_autoptr (TcpGateway) gateway G_GNUC_UNUSED = start_with_gateway (target, &tunnel);
  Heard state, address, all;

  listen_to (tunnel, "state-changed", &state);
  listen_to (tunnel, "notify::local-address", &address);
  listen_to (tunnel, "notify", &all);
  for (gboolean is_handled = FALSE; is_handled <= TRUE; is_handled++)
    {
      test_tunnel_start (tunnel);
      handle_all ();
      state.count = address.count = all.count = 0;
      g_thread_join (g_thread_new ("closer", close_tunnel, tunnel));
      g_assert_cmpuint (state.count + all.count, ==, 0);
      if (is_handled)
        handle_all ();

      tcp_endpoint_close (TCP_ENDPOINT (tunnel));
      g_assert_cmpuint (state.count, ==, 1);
      g_assert_cmpuint (address.count, ==, 1);
      /* The notifications of local-address, state and active. */
      g_assert_cmpuint (all.count, ==, 3);
      handle_all ();
      tcp_endpoint_close (TCP_ENDPOINT (tunnel));
      g_assert_cmpuint (state.count, ==, 1);
      g_assert_cmpuint (all.count, ==, 3);
    }

  /* Nor is one emitted when the object is dropped. */
  test_tunnel_start (tunnel);
  handle_all ();
  state.count = all.count = 0;
  g_thread_join (g_thread_new ("closer", close_tunnel, tunnel));
  g_assert_finalize_object (g_steal_pointer (&tunnel));
  handle_all ();
  g_assert_cmpuint (state.count + all.count, ==, 0);
}

/* A close in this thread while the close in another thread is still in progress. */
static gpointer
close_when_told (gpointer data)
{
  Dropper *dropper = data;

  g_atomic_int_set (&dropper->heard, TRUE);
  tcp_endpoint_close (TCP_ENDPOINT (dropper->object));
  return NULL;
}

static void
test_close_during_another (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpTunnel) tunnel = NULL;
  g_autoptr (TcpGateway) gateway G_GNUC_UNUSED = start_with_gateway (target, &tunnel);
  Heard state, all;

  listen_to (tunnel, "state-changed", &state);
  listen_to (tunnel, "notify", &all);
  for (guint i = 0; i < test_count (200, 50); i++)
    {
      Dropper other = { .object = G_OBJECT (tunnel) };
      GThread *thread;

      test_tunnel_start (tunnel);
      handle_all ();
      state.count = 0;
      thread = g_thread_new ("closer", close_when_told, &other);
      while (!g_atomic_int_get (&other.heard))
        g_thread_yield ();
      tcp_endpoint_close (TCP_ENDPOINT (tunnel));
      g_assert_cmpuint (state.count, ==, 1);
      all.count = 0;
      g_thread_join (thread);
      handle_all ();
      g_assert_cmpuint (state.count, ==, 1);
      g_assert_cmpuint (all.count, ==, 0);
    }
}

/* An object that was given to an endpoint calls it when it is freed: this must not deadlock. */
static void
on_gone (gpointer data)
{
  Dropper *dropper = data;

  g_atomic_int_inc (&dropper->heard);
  tcp_endpoint_get_active (TCP_ENDPOINT (dropper->object));
}

static void
watch (Dropper  *dropper,
       gpointer  object)
{
  g_object_set_data_full (object, "gone", dropper, on_gone);
}

static void
check_replaced (GObject    *object,
                const char *property,
                gpointer    value)
{
  Dropper dropper = { .object = object };

  watch (&dropper, value);
  g_object_set (object, property, value, NULL);
  g_object_unref (value);
  g_assert_cmpint (dropper.heard, ==, 0);
  g_object_set (object, property, NULL, NULL);
  g_assert_cmpint (dropper.heard, ==, 1);
}

static GTlsCertificate *
new_certificate (void)
{
  return test_certificate_issue ("IP:127.0.0.1", "20200101000000Z", "20400101000000Z");
}

static void
test_replaced_objects (void)
{
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new ("ws://127.0.0.1:9/", TCP_TUNNEL_MODE_SINGLETON);
  g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:9");
  Dropper dropper = { .object = G_OBJECT (tunnel) };

  check_replaced (G_OBJECT (tunnel), "proxy-resolver", g_simple_proxy_resolver_new (NULL, NULL));
  check_replaced (G_OBJECT (tunnel), "client-certificate", new_certificate ());
  check_replaced (G_OBJECT (gateway), "tls-certificate", new_certificate ());

  /* The address is freed by the close that follows the one of its own start. */
  test_tunnel_start (tunnel);
  watch (&dropper, tcp_endpoint_get_local_address (TCP_ENDPOINT (tunnel)));
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
  test_tunnel_start (tunnel);
  g_assert_cmpint (dropper.heard, ==, 0);
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
  g_assert_cmpint (dropper.heard, ==, 1);
}

/* A value that was got belongs to the caller, and does not change with the property. */
static void
test_own_values (void)
{
  const char *const headers[] = { "A: 1", "B: 2", NULL };
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new ("ws://127.0.0.1:9/", TCP_TUNNEL_MODE_SINGLETON);
  g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:9");
  g_autofree char *name = NULL;
  g_autofree char *target = NULL;
  g_autofree char *uri = NULL;
  g_auto (GStrv) got = NULL;

  g_object_set (tunnel, "name", "one two", NULL);
  name = test_dup_string (tunnel, "name");
  g_object_set (tunnel, "name", name + 4, NULL);
  g_assert_cmpstr (name, ==, "one two");
  g_object_set (tunnel, "request-headers", headers, NULL);
  g_object_get (tunnel, "request-headers", &got, NULL);
  g_object_set (tunnel, "request-headers", NULL, NULL);
  g_assert_cmpstrv (got, headers);
  g_assert_null (test_dup_string (tunnel, "request-headers"));

  target = test_dup_string (gateway, "target");
  g_object_set (gateway, "target", "127.0.0.1:10", NULL);
  g_assert_cmpstr (target, ==, "127.0.0.1:9");
  tcp_gateway_set_token (gateway, "token");
  g_assert_true (tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, NULL));
  uri = tcp_gateway_dup_uri (gateway);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  g_assert_true (tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, NULL));
  g_assert_true (g_str_has_prefix (uri, "ws://127.0.0.1:"));
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  g_assert_null (tcp_gateway_dup_uri (gateway));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/callers/drain", test_drain);
  g_test_add_func ("/callers/start-and-close", test_start_and_close);
  g_test_add_func ("/callers/start-and-close-gateway", test_start_and_close_gateway);
  g_test_add_func ("/callers/start-async", test_start_async);
  g_test_add_func ("/callers/close-when-asked", test_close_when_asked);
  g_test_add_func ("/callers/drop", test_drop);
  g_test_add_func ("/callers/drop-tunnel", test_drop_tunnel);
  g_test_add_func ("/callers/all-at-once", test_all_at_once);
  g_test_add_func ("/callers/properties", test_properties);
  g_test_add_func ("/callers/close-after-another", test_close_after_another);
  g_test_add_func ("/callers/close-during-another", test_close_during_another);
  g_test_add_func ("/callers/replaced-objects", test_replaced_objects);
  g_test_add_func ("/callers/own-values", test_own_values);

  return g_test_run ();
}
