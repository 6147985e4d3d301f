/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/byte-queue.h"
#include "test-util.h"

static void
append (TcpByteQueue *queue,
        gsize         length,
        guint64       offset)
{
  g_autofree guint8 *data = g_malloc (length + 1);

  test_fill (data, length, 1, offset);
  tcp_byte_queue_append (queue, data, length);
}

/* Takes @length bytes in steps of at most @step, and checks that they are those of the stream. */
static void
take (TcpByteQueue *queue,
      gsize         length,
      gsize         step,
      guint64       offset)
{
  while (length > 0)
    {
      gsize available;
      const guint8 *data = tcp_byte_queue_peek (queue, &available);
      gsize n = MIN (MIN (available, step), length);
      g_autofree guint8 *wanted = g_malloc (n);

      g_assert_nonnull (data);
      g_assert_cmpuint (available, >, 0);
      test_fill (wanted, n, 1, offset);
      g_assert_cmpmem (data, n, wanted, n);
      tcp_byte_queue_drop (queue, n);
      offset += n;
      length -= n;
    }
}

static void
test_empty (void)
{
  TcpByteQueue queue = { 0 };
  gsize length;

  g_assert_null (tcp_byte_queue_peek (&queue, &length));
  append (&queue, 0, 0);
  g_assert_null (tcp_byte_queue_peek (&queue, &length));
  g_assert_cmpuint (queue.length, ==, 0);
  tcp_byte_queue_clear (&queue);
}

static void
test_sizes (void)
{
  static const gsize sizes[] = { 1, 2047, 2048, 2049, 32767, 32768, 32769, 200000 };
  static const gsize steps[] = { 1000, 4096, G_MAXSIZE };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    for (guint k = 0; k < G_N_ELEMENTS (steps); k++)
      {
        TcpByteQueue queue = { 0 };
        gsize length;

        append (&queue, sizes[i], 0);
        append (&queue, sizes[i], sizes[i]);
        g_assert_cmpuint (queue.length, ==, 2 * sizes[i]);
        take (&queue, 2 * sizes[i], steps[k], 0);
        g_assert_cmpuint (queue.length, ==, 0);
        g_assert_null (tcp_byte_queue_peek (&queue, &length));
      }
}

/* Both ends move, in steps that never match the size of the blocks. */
static void
test_interleaved (void)
{
  TcpByteQueue queue = { 0 };
  guint64 written = 0;
  guint64 taken = 0;

  for (guint i = 0; i < 2000; i++)
    {
      gsize in = i * 37 % 5000;
      gsize out = MIN (i * 53 % 5000, queue.length + in);

      append (&queue, in, written);
      written += in;
      take (&queue, out, 777, taken);
      taken += out;
      g_assert_cmpuint (queue.length, ==, written - taken);
    }
  take (&queue, queue.length, 777, taken);
  g_assert_cmpuint (queue.length, ==, 0);
}

static void
test_clear (void)
{
  TcpByteQueue queue = { 0 };
  gsize length;

  append (&queue, 100000, 0);
  take (&queue, 5, 5, 0);
  tcp_byte_queue_clear (&queue);
  g_assert_cmpuint (queue.length, ==, 0);
  g_assert_null (tcp_byte_queue_peek (&queue, &length));

  /* A cleared queue is as good as a new one. */
  append (&queue, 3000, 0);
  take (&queue, 3000, 100, 0);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/byte-queue/empty", test_empty);
  g_test_add_func ("/byte-queue/sizes", test_sizes);
  g_test_add_func ("/byte-queue/interleaved", test_interleaved);
  g_test_add_func ("/byte-queue/clear", test_clear);
  return g_test_run ();
}
