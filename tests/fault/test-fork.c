/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Programs that fork: before they start anything, and while something runs. */

#include "fixture.h"

#include "socket-util.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_SECONDS 60

static gboolean is_child;

/* What only threads of the parent know of is no leak. */
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

static void
round_trip (Fixture *fixture)
{
  int fd = client_connect (fixture_get_port (fixture));

  client_round_trip (fd, "hello");
  client_close (fd);
}

/* As the workers of a server do: the objects are the parent's, and nothing has run yet. */
static void
start_here (gpointer data)
{
  Fixture *fixture = data;

  fixture_start (fixture);
  round_trip (fixture);
  tcp_tunnel_close (fixture->tunnel);
  tcp_gateway_close (fixture->gateway);
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
use_inherited (gpointer data)
{
  Fixture *fixture = data;
  g_autoptr (GError) start_error = NULL;
  g_autoptr (GError) gateway_error = NULL;
  g_autoptr (GError) drain_error = NULL;

  g_assert_false (tcp_tunnel_start (fixture->tunnel, NULL, &start_error));
  assert_forked (start_error);
  g_assert_false (tcp_gateway_start (fixture->gateway, NULL, &gateway_error));
  assert_forked (gateway_error);
  g_assert_false (tcp_gateway_drain (fixture->gateway, 10 * TEST_DEADLINE_MS, NULL, &drain_error));
  assert_forked (drain_error);

  tcp_tunnel_set_token (fixture->tunnel, "another");
  while (g_main_context_iteration (NULL, FALSE))
    ;
  tcp_tunnel_close (fixture->tunnel);
  g_assert_null (tcp_tunnel_get_local_address (fixture->tunnel));
  g_assert_cmpint (tcp_tunnel_get_state (fixture->tunnel), ==, TCP_TUNNEL_STATE_DISCONNECTED);
  g_assert_finalize_object (g_steal_pointer (&fixture->gateway));
}

/* The port of the parent can be used again although the child lives. */
static void
close_inherited (gpointer data)
{
  Fixture *fixture = data;
  guint16 port = fixture_get_port (fixture);

  tcp_tunnel_close (fixture->tunnel);
  tcp_gateway_close (fixture->gateway);
  g_assert_cmpint (kill (getppid (), 0), ==, 0);
  /* The parent listens there, and nobody else does. */
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
  int fd;

  fixture_start (fixture);
  fd = client_connect (fixture_get_port (fixture));
  client_round_trip (fd, "before");
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
  fixture_free (fixture);
}

/* A child that has closed what it inherited does not keep its port from the parent. */
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
      tcp_tunnel_close (tunnel);
      g_assert_cmpint (write (to_parent[1], &byte, 1), ==, 1);
      g_assert_cmpint (read (to_child[0], &byte, 1), ==, 0);
      _exit (0);
    }
  close (to_child[0]);
  g_assert_cmpint (read (to_parent[0], &byte, 1), ==, 1);
  tcp_tunnel_close (tunnel);
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

  /* First: a child cannot use the thread pools of GLib once the parent has. */
  g_test_add_func ("/fork/before", test_before);
  g_test_add_func ("/fork/meanwhile", test_meanwhile);
  g_test_add_func ("/fork/port", test_port);

  return g_test_run ();
}
