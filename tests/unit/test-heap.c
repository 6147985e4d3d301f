/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/heap.h"

#define N_NODES 200
#define N_STEPS 20000

/* The first node is always one with the smallest key, whatever nodes were added, moved and removed. */
static void
test_random (void)
{
  g_autoptr (GPtrArray) heap = g_ptr_array_new ();
  TcpHeapNode nodes[N_NODES] = { 0 };

  for (guint i = 0; i < N_STEPS; i++)
    {
      TcpHeapNode *node = &nodes[g_test_rand_int_range (0, N_NODES)];
      gint64 least = G_MAXINT64;
      guint n = 0;

      if (g_test_rand_bit ())
        {
          node->key = g_test_rand_int_range (-50, 50);
          tcp_heap_place (heap, node);
        }
      else
        {
          node->key = g_test_rand_int_range (-50, 50);
          tcp_heap_remove (heap, node);
          g_assert_cmpuint (node->index, ==, 0);
        }

      for (guint j = 0; j < N_NODES; j++)
        if (nodes[j].index > 0)
          {
            g_assert_true (heap->pdata[nodes[j].index - 1] == &nodes[j]);
            least = MIN (least, nodes[j].key);
            n++;
          }
      g_assert_cmpuint (heap->len, ==, n);
      if (n > 0)
        g_assert_cmpint (((TcpHeapNode *) heap->pdata[0])->key, ==, least);
    }
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/heap/random", test_random);
  return g_test_run ();
}
