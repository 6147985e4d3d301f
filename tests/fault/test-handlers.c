/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Signal handlers may close the tunnel, drop its last reference, or start another tunnel. An application may also
 * never handle events. */

#include "fixture.h"

typedef enum
{
  DEED_CLOSE,
  DEED_DROP,
  DEED_RESTART,
  DEED_START_ANOTHER,
  DEED_START_ANOTHER_BLOCKING,
  N_DEEDS,
} Deed;

typedef struct
{
  TcpTunnel *tunnel; /* the only reference */
  TcpTunnel *other;
  Deed deed;
  guint calls;
  guint other_started;
  gpointer watched;
} Actor;

static void
on_other_started (GObject *source,
                  GAsyncResult *result,
                  gpointer user_data)
{
  Actor *actor = user_data;
  g_autoptr (GError) error = NULL;

  tcp_endpoint_start_finish (TCP_ENDPOINT (source), result, &error);
  g_assert_no_error (error);
  actor->other_started++;
}

static void
act (Actor *actor)
{
  g_autoptr (GError) error = NULL;

  if (actor->calls++ > 0)
    return;

  switch (actor->deed)
    {
    case DEED_CLOSE:
      tcp_endpoint_close (TCP_ENDPOINT (actor->tunnel));
      break;
    case DEED_DROP:
      g_clear_object (&actor->tunnel);
      break;
    case DEED_RESTART:
      tcp_endpoint_close (TCP_ENDPOINT (actor->tunnel));
      tcp_endpoint_start (TCP_ENDPOINT (actor->tunnel), NULL, &error);
      g_assert_no_error (error);
      break;
    case DEED_START_ANOTHER:
      tcp_endpoint_start_async (TCP_ENDPOINT (actor->other), NULL, on_other_started, actor);
      break;
    case DEED_START_ANOTHER_BLOCKING:
      tcp_endpoint_start (TCP_ENDPOINT (actor->other), NULL, &error);
      g_assert_no_error (error);
      actor->other_started++;
      break;
    case N_DEEDS:
    default:
      g_assert_not_reached ();
    }
}

static void
check_other (Actor *actor)
{
  int fd;

  WAIT_UNTIL (actor->other_started == 1);
  fd = client_connect (test_tunnel_get_port (actor->other));
  client_round_trip (fd, "the other works");
  client_close (fd);
}

static void
check_deed (const char *signal,
            TcpTunnelMode mode,
            Deed deed,
            const char *token)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, mode, FIXTURE_PLAIN);
  Actor actor = { .deed = deed };
  g_autofree char *uri = NULL;
  int fd;

  fixture_start_gateway (fixture);
  uri = test_dup_string (fixture->tunnel, "remote-uri");
  actor.other = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);
  actor.tunnel = test_tunnel_new (uri, mode);
  actor.watched = actor.tunnel;
  g_object_add_weak_pointer (G_OBJECT (actor.tunnel), &actor.watched);
  tcp_tunnel_set_token (actor.tunnel, token);
  test_tunnel_start (actor.tunnel);
  g_signal_connect_swapped (actor.tunnel, signal, G_CALLBACK (act), &actor);
  fd = client_connect (test_tunnel_get_port (actor.tunnel));
  client_blast (fd, 5, 1000);
  client_finish (fd);
  WAIT_UNTIL (actor.calls > 0);
  client_close (fd);

  if (deed == DEED_START_ANOTHER || deed == DEED_START_ANOTHER_BLOCKING)
    check_other (&actor);
  if (deed == DEED_RESTART)
    g_assert_nonnull (tcp_endpoint_get_local_address (TCP_ENDPOINT (actor.tunnel)));
  g_clear_object (&actor.tunnel);
  WAIT_UNTIL (actor.watched == NULL);
  g_object_unref (actor.other);
  tcp_endpoint_close (TCP_ENDPOINT (fixture->gateway));
  g_assert_true (target_wait_open (target, 0));
}

static void
test_actions (void)
{
  const struct
  {
    const char *signal;
    TcpTunnelMode mode;
    const char *token;
  } cases[] = {
    { "state-changed", TCP_TUNNEL_MODE_SINGLETON, TEST_TOKEN },
    { "notify::state", TCP_TUNNEL_MODE_SINGLETON, TEST_TOKEN },
    { "connection-opened", TCP_TUNNEL_MODE_SINGLETON, TEST_TOKEN },
    { "connection-closed", TCP_TUNNEL_MODE_SINGLETON, TEST_TOKEN },
    { "token-required", TCP_TUNNEL_MODE_SINGLETON, "wrong" },
    { "failed", TCP_TUNNEL_MODE_SINGLETON, "wrong" },
    { "connection-opened", TCP_TUNNEL_MODE_MULTIPLEXED, TEST_TOKEN },
    { "connection-closed", TCP_TUNNEL_MODE_MULTIPLEXED, TEST_TOKEN },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    for (Deed deed = 0; deed < N_DEEDS; deed++)
      {
        g_test_message ("%s, mode %d, deed %d", cases[i].signal, cases[i].mode, deed);
        check_deed (cases[i].signal, cases[i].mode, deed, cases[i].token);
      }
}

static void
drop_in_start (GObject *source,
               GAsyncResult *result,
               gpointer user_data)
{
  TcpTunnel **tunnel = user_data;
  g_autoptr (GError) error = NULL;

  tcp_endpoint_start_finish (TCP_ENDPOINT (source), result, &error);
  g_assert_no_error (error);
  g_clear_object (tunnel);
}

static void
test_drop_in_start_callback (void)
{
  TcpTunnel *tunnel = test_tunnel_new ("ws://127.0.0.1:9/", TCP_TUNNEL_MODE_SINGLETON);
  gpointer watched = tunnel;

  g_object_add_weak_pointer (G_OBJECT (tunnel), &watched);
  tcp_endpoint_start_async (TCP_ENDPOINT (tunnel), NULL, drop_in_start, &tunnel);
  WAIT_UNTIL (watched == NULL);
}

static gboolean
mark (gpointer user_data)
{
  *(gboolean *) user_data = TRUE;
  return G_SOURCE_REMOVE;
}

/* Signals are emitted only in the context that was the thread's default at the start. */
static void
test_context (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PLAIN);
  g_autoptr (GMainContext) context = g_main_context_new ();
  gboolean default_ran = FALSE;
  int fd;

  fixture_start_gateway (fixture);
  g_main_context_push_thread_default (context);
  test_tunnel_start (fixture->tunnel);
  g_main_context_pop_thread_default (context);

  fd = client_connect (fixture_get_port (fixture));
  client_round_trip (fd, "hello");
  g_idle_add_full (G_PRIORITY_LOW, mark, &default_ran, NULL);
  WAIT_UNTIL (default_ran);
  g_assert_cmpuint (fixture->recorder->opened, ==, 0);
  g_assert_cmpuint (fixture->recorder->states->len, ==, 0);

  while (fixture->recorder->opened == 0)
    g_main_context_iteration (context, TRUE);
  client_close (fd);
  while (fixture->recorder->closed == 0)
    g_main_context_iteration (context, TRUE);
}

static void
count_event (guint *events)
{
  (*events)++;
}

/* A tunnel works without a main loop, and pending events do not accumulate. */
static void
test_no_main_loop (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  guint connections = test_count (5000, 1500);
  guint64 before = 0, after;
  guint events = 0;

  g_signal_handlers_disconnect_by_data (fixture->tunnel, fixture->recorder);
  g_signal_connect_swapped (fixture->tunnel, "connection-opened", G_CALLBACK (count_event), &events);
  g_signal_connect_swapped (fixture->tunnel, "connection-closed", G_CALLBACK (count_event), &events);
  fixture_start (fixture);
  for (guint i = 0; i < connections; i++)
    {
      int fd = client_connect (fixture_get_port (fixture));

      client_round_trip (fd, "ping");
      client_close (fd);
      /* The first connections allocate what stays: threads, arenas, tables. */
      if (i == connections / 5)
        before = test_memory ("VmRSS");
    }
  after = test_memory ("VmRSS");
  if (test_memory_is_meaningful ())
    g_assert_cmpuint (after, <, before + (8 << 20));

  g_assert_cmpuint (test_figure (fixture->tunnel, total_connections), ==, connections);
  WAIT_UNTIL (!g_main_context_pending (NULL));
  g_assert_cmpuint (events, >, 0);
  g_assert_cmpuint (events, <, connections);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/handlers/actions", test_actions);
  g_test_add_func ("/handlers/drop-in-start-callback", test_drop_in_start_callback);
  g_test_add_func ("/handlers/context", test_context);
  g_test_add_func ("/handlers/no-main-loop", test_no_main_loop);

  return g_test_run ();
}
