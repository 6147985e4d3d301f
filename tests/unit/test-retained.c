/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session/retained.h"

#include "websocket/frame.h"

static TcpBuffer *
make_frame (guint8 content)
{
  TcpBuffer *frame = tcp_buffer_new (1);

  frame->payload[0] = content;
  frame->length = 1;
  return frame;
}

static void
add (TcpRetained *retained,
     guint        n)
{
  for (guint i = 0; i < n; i++)
    {
      guint64 number = retained->next;

      g_assert_cmpuint (tcp_retained_add (retained, make_frame (number)), ==, number);
    }
}

/* Sends those with the numbers from @first to before @end. */
static void
assert_sends (TcpRetained *retained,
              guint        first,
              guint        end)
{
  for (guint i = first; i < end; i++)
    {
      g_autoptr (TcpBuffer) frame = tcp_retained_send (retained);

      g_assert_nonnull (frame);
      g_assert_cmpuint (frame->payload[0], ==, i);
    }
}

static void
assert_all_sent (TcpRetained *retained)
{
  g_assert_null (tcp_retained_send (retained));
  g_assert_null (retained->unsent);
  g_assert_cmpuint (retained->sent, ==, retained->next);
}

static void
test_order (void)
{
  TcpRetained retained = { 0 };

  assert_all_sent (&retained);
  add (&retained, 3);
  assert_sends (&retained, 0, 3);
  assert_all_sent (&retained);
  add (&retained, 1);
  assert_sends (&retained, 3, 4);
  assert_all_sent (&retained);
  tcp_retained_clear (&retained);
}

static void
test_acknowledge (void)
{
  TcpRetained retained = { 0 };
  gsize each;

  add (&retained, 1);
  each = retained.bytes;
  g_assert_cmpuint (each, >, TCP_BUFFER_HEADROOM);
  add (&retained, 4);
  assert_sends (&retained, 0, 3);

  /* Nobody has what did not go out. */
  g_assert_false (tcp_retained_acknowledge (&retained, 4));
  g_assert_true (tcp_retained_acknowledge (&retained, 0));
  g_assert_cmpuint (retained.bytes, ==, 5 * each);
  g_assert_true (tcp_retained_acknowledge (&retained, 2));
  g_assert_cmpuint (retained.bytes, ==, 3 * each);
  /* Nor goes it backward. */
  g_assert_false (tcp_retained_acknowledge (&retained, 1));
  g_assert_true (tcp_retained_acknowledge (&retained, 2));
  g_assert_cmpuint (retained.first, ==, 2);

  assert_sends (&retained, 3, 5);
  g_assert_true (tcp_retained_acknowledge (&retained, 5));
  g_assert_cmpuint (retained.bytes, ==, 0);
  g_assert_true (g_queue_is_empty (&retained.frames));
  assert_all_sent (&retained);
  tcp_retained_clear (&retained);
}

static void
test_rewind (void)
{
  TcpRetained retained = { 0 };

  add (&retained, 5);
  assert_sends (&retained, 0, 4);
  g_assert_true (tcp_retained_acknowledge (&retained, 2));
  tcp_retained_rewind (&retained);
  g_assert_cmpuint (retained.sent, ==, 2);
  /* That which another channel has carried counts for more than it does for this one. */
  g_assert_cmpuint (retained.most, ==, 4);
  assert_sends (&retained, 2, 5);
  assert_all_sent (&retained);

  tcp_retained_rewind (&retained);
  assert_sends (&retained, 2, 3);
  /* What was carried before need not go out again. */
  g_assert_true (tcp_retained_acknowledge (&retained, 4));
  g_assert_cmpuint (retained.sent, ==, 4);
  assert_sends (&retained, 4, 5);
  assert_all_sent (&retained);
  tcp_retained_clear (&retained);
  g_assert_cmpuint (retained.next, ==, 0);
}

/* A WebSocket has put its header before a frame, and masked it. */
static void
test_unwrap (void)
{
  TcpRetained retained = { 0 };
  TcpBuffer *frame;

  add (&retained, 1);
  frame = tcp_retained_send (&retained);
  tcp_frame_wrap (frame, TCP_FRAME_BINARY, TRUE, 0x5a5a5a5a);
  frame->sent = 3;
  tcp_buffer_unref (frame);

  tcp_retained_rewind (&retained);
  frame = tcp_retained_send (&retained);
  g_assert_cmpuint (frame->header, ==, 0);
  g_assert_cmpuint (frame->sent, ==, 0);
  g_assert_cmpuint (frame->length, ==, 1);
  g_assert_cmpuint (frame->payload[0], ==, 0);
  tcp_buffer_unref (frame);
  tcp_retained_clear (&retained);
}

/* A channel may hold what was acknowledged. */
static void
test_reference (void)
{
  TcpRetained retained = { 0 };
  TcpBuffer *frame;

  add (&retained, 1);
  frame = tcp_retained_send (&retained);
  g_assert_cmpuint (frame->refs, ==, 2);
  g_assert_true (tcp_retained_acknowledge (&retained, 1));
  g_assert_cmpuint (frame->refs, ==, 1);
  tcp_buffer_unref (frame);
  tcp_retained_clear (&retained);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/retained/order", test_order);
  g_test_add_func ("/retained/acknowledge", test_acknowledge);
  g_test_add_func ("/retained/rewind", test_rewind);
  g_test_add_func ("/retained/unwrap", test_unwrap);
  g_test_add_func ("/retained/reference", test_reference);
  return g_test_run ();
}
