/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/buffer.h"
#include "test-util.h"

#include <string.h>

static void
test_new (void)
{
  g_autoptr (TcpBuffer) buffer = tcp_buffer_new (100);

  g_assert_cmpuint (buffer->capacity, ==, 100);
  g_assert_cmpuint (buffer->length, ==, 0);
  g_assert_cmpint (buffer->payload - buffer->data, ==, TCP_BUFFER_HEADROOM);
  g_assert_false (buffer->started);
  g_assert_false (buffer->control);
  g_assert_false (buffer->masked);
  g_assert_cmpuint (buffer->sent, ==, 0);

  /* The whole capacity may be written. */
  memset (buffer->payload, 0xff, buffer->capacity);
}

/* Buffers that bulk data is read into are used again. */
static void
test_again (void)
{
  enum { N = 64 };
  TcpBuffer *buffers[N];

  for (guint round = 0; round < 3; round++)
    {
      for (guint i = 0; i < N; i++)
        {
          /* The sizes differ, and the whole capacity of each may be used. */
          buffers[i] = tcp_buffer_new (TCP_BUFFER_SIZE - i * 400);
          g_assert_cmpuint (buffers[i]->refs, ==, 1);
          g_assert_cmpuint (buffers[i]->length, ==, 0);
          g_assert_cmpuint (buffers[i]->sent, ==, 0);
          g_assert_cmpuint (buffers[i]->capacity, ==, TCP_BUFFER_SIZE - i * 400);
          g_assert_cmpint (buffers[i]->payload - buffers[i]->data, ==, TCP_BUFFER_HEADROOM);
          memset (buffers[i]->payload, i, buffers[i]->capacity);
          buffers[i]->length = i % 3 == 0 ? 10 : buffers[i]->capacity;
          buffers[i]->sent = 1;
          if (i % 2 == 0)
            buffers[i] = tcp_buffer_shrink (buffers[i]);
        }
      for (guint i = 0; i < N; i++)
        {
          g_assert_cmpuint (buffers[i]->payload[buffers[i]->length - 1], ==, i);
          g_assert_cmpuint (buffers[i]->capacity, ==,
                            i % 6 == 0 ? buffers[i]->length : TCP_BUFFER_SIZE - i * 400);
          tcp_buffer_unref (buffers[i]);
        }
    }
}

/* The buffer that was released last is reused next, without a call of the allocator. */
static void
test_spare (void)
{
#ifdef __SANITIZE_ADDRESS__
  g_test_skip ("none is kept where a sanitizer looks for their use after their end");
#else
  TcpBuffer *first = tcp_buffer_new (TCP_BUFFER_SIZE);
  TcpBuffer *second = tcp_buffer_new (TCP_BUFFER_SIZE);
  gpointer address = second;
  TcpBuffer *again;

  tcp_buffer_unref (first);
  tcp_buffer_unref (second);
  again = tcp_buffer_new (TCP_BUFFER_SIZE - 1000);
  g_assert_true (address == again);
  tcp_buffer_unref (again);
#endif
}

static void
test_push (void)
{
  g_autoptr (TcpBuffer) buffer = tcp_buffer_new (16);

  memcpy (buffer->payload, "payload", 7);
  buffer->length = 7;
  tcp_buffer_push (buffer, "inner ", 6);
  tcp_buffer_push (buffer, "outer ", 6);
  g_assert_cmpmem (buffer->payload, buffer->length, "outer inner payload", 19);
}

static void
test_push_all_of_the_room (void)
{
  g_autoptr (TcpBuffer) buffer = tcp_buffer_new (0);
  guint8 header[TCP_BUFFER_HEADROOM];

  memset (header, 'h', sizeof (header));
  tcp_buffer_push (buffer, header, sizeof (header));
  g_assert_true (buffer->payload == buffer->data);
  g_assert_cmpmem (buffer->payload, buffer->length, header, sizeof (header));
}

static void
check_shrink (gsize    capacity,
              gsize    length,
              gboolean smaller)
{
  g_autoptr (TcpBuffer) buffer = tcp_buffer_new (capacity);
  g_autofree guint8 *wanted = g_malloc (length + 4);

  test_fill (wanted, length + 4, 7, 0);
  memcpy (buffer->payload, wanted + 4, length);
  buffer->length = length;
  tcp_buffer_push (buffer, wanted, 4);
  buffer->header = 2;
  buffer->sent = 1;
  buffer->mask = 0x01020304;

  buffer = tcp_buffer_shrink (g_steal_pointer (&buffer));
  g_assert_cmpmem (buffer->payload, buffer->length, wanted, length + 4);
  g_assert_cmpuint (buffer->capacity, ==, smaller ? length + 4 : capacity);
  g_assert_cmpuint (buffer->header, ==, 2);
  g_assert_cmpuint (buffer->sent, ==, 1);
  g_assert_cmphex (buffer->mask, ==, 0x01020304);
  /* The room before the payload is kept too. */
  g_assert_cmpint (buffer->payload - buffer->data, ==, TCP_BUFFER_HEADROOM - 4);
  tcp_buffer_push (buffer, "again", 5);
  g_assert_cmpmem (buffer->payload + 5, buffer->length - 5, wanted, length + 4);
}

static void
test_shrink (void)
{
  check_shrink (TCP_BUFFER_SIZE, 0, TRUE);
  check_shrink (TCP_BUFFER_SIZE, 1, TRUE);
  check_shrink (TCP_BUFFER_SIZE, 1000, TRUE);
  /* The gain would not be worth a copy. */
  check_shrink (TCP_BUFFER_SIZE, TCP_BUFFER_SIZE - 100, FALSE);
  check_shrink (TCP_BUFFER_SIZE, TCP_BUFFER_SIZE, FALSE);
  check_shrink (0, 0, FALSE);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/buffer/again", test_again);
  g_test_add_func ("/buffer/spare", test_spare);
  g_test_add_func ("/buffer/new", test_new);
  g_test_add_func ("/buffer/push", test_push);
  g_test_add_func ("/buffer/push-all-of-the-room", test_push_all_of_the_room);
  g_test_add_func ("/buffer/shrink", test_shrink);
  return g_test_run ();
}
