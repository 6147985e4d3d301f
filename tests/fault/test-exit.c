/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A program exits while its tunnel and its gateway run and transfer data. Sanitizers must not report anything. */

#include "fixture.h"

#include <unistd.h>

static Fixture *fixture;
static Target *target;

static gpointer
send_on (gpointer data)
{
  guint8 block[4096] = { 0 };

  while (write (GPOINTER_TO_INT (data), block, sizeof block) > 0)
    ;
  return NULL;
}

static void
test_exit (void)
{
  int fds[8];

  target = target_new_echo ();
  fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  fixture_start (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      fds[i] = client_connect (fixture_get_port (fixture));
      client_round_trip (fds[i], "hello");
    }
  for (guint i = 0; i < G_N_ELEMENTS (fds); i += 2)
    g_thread_unref (g_thread_new ("sender", send_on, GINT_TO_POINTER (fds[i])));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/exit", test_exit);
  return g_test_run ();
}
