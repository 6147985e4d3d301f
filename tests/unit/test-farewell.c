/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/farewell.h"

/* Adds two more farewells than the maximum, each of which keeps a reference to its frame. The clock stands still:
 * nothing is dialled. */
static void
test_maximum (void)
{
  TcpChannelGroup *group = tcp_channel_group_new ();
  g_autoptr (TcpLog) log = tcp_log_new ("test", TCP_TUNNEL_LOG_LEVEL_NONE);
  TcpFarewells *farewells = tcp_farewells_new (NULL, group, log);
  g_autoptr (GUri) uri = g_uri_parse ("ws://gateway.example/", G_URI_FLAGS_NONE, NULL);
  TcpBuffer *frames[TCP_FAREWELLS_MAX + 2];

  for (guint i = 0; i < G_N_ELEMENTS (frames); i++)
    {
      GQueue queue = G_QUEUE_INIT;

      frames[i] = tcp_buffer_new (10);
      g_queue_push_tail (&queue, tcp_buffer_ref (frames[i]));
      tcp_farewells_add (farewells, uri, &queue, NULL, 3600);
      g_assert_true (g_queue_is_empty (&queue));
      /* The oldest are dropped first. */
      for (guint j = 0; j <= i; j++)
        g_assert_cmpuint (frames[j]->refs, ==, j + TCP_FAREWELLS_MAX > i ? 2 : 1);
    }

  tcp_farewells_free (farewells);
  for (guint i = 0; i < G_N_ELEMENTS (frames); i++)
    {
      g_assert_cmpuint (frames[i]->refs, ==, 1);
      tcp_buffer_unref (frames[i]);
    }
  tcp_channel_group_unref (group);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/farewell/maximum", test_maximum);
  return g_test_run ();
}
