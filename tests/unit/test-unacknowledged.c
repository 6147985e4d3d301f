/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "protocol/unacknowledged.h"

static TcpBuffer *
make_frame (guint8 content)
{
  TcpBuffer *frame = tcp_buffer_new (1);

  frame->payload[0] = content;
  frame->length = 1;
  return frame;
}

static void
add (TcpUnacknowledged *sent,
     guint        n)
{
  for (guint i = 0; i < n; i++)
    {
      guint64 number = sent->next;

      g_assert_cmpuint (tcp_unacknowledged_add (sent, make_frame (number)), ==, number);
    }
}

/* Checks that the frames with the numbers from @first up to, but without, @end are sent. */
static void
assert_sends (TcpUnacknowledged *sent,
              guint        first,
              guint        end)
{
  for (guint i = first; i < end; i++)
    {
      g_autoptr (TcpBuffer) frame = tcp_unacknowledged_send (sent);

      g_assert_nonnull (frame);
      g_assert_cmpuint (frame->payload[0], ==, i);
    }
}

static void
assert_all_sent (TcpUnacknowledged *sent)
{
  g_assert_null (tcp_unacknowledged_send (sent));
  g_assert_null (sent->unsent);
  g_assert_cmpuint (sent->sent, ==, sent->next);
}

static void
test_order (void)
{
  TcpUnacknowledged sent = { 0 };

  assert_all_sent (&sent);
  add (&sent, 3);
  assert_sends (&sent, 0, 3);
  assert_all_sent (&sent);
  add (&sent, 1);
  assert_sends (&sent, 3, 4);
  assert_all_sent (&sent);
  tcp_unacknowledged_clear (&sent);
}

static void
test_acknowledge (void)
{
  TcpUnacknowledged sent = { 0 };
  gsize each;

  add (&sent, 1);
  each = sent.bytes;
  g_assert_cmpuint (each, >, TCP_BUFFER_HEADROOM);
  add (&sent, 4);
  assert_sends (&sent, 0, 3);

  /* A frame that was not sent cannot be acknowledged. */
  g_assert_false (tcp_unacknowledged_acknowledge (&sent, 4));
  g_assert_true (tcp_unacknowledged_acknowledge (&sent, 0));
  g_assert_cmpuint (sent.bytes, ==, 5 * each);
  g_assert_true (tcp_unacknowledged_acknowledge (&sent, 2));
  g_assert_cmpuint (sent.bytes, ==, 3 * each);
  /* Nor do acknowledgements go backward. */
  g_assert_false (tcp_unacknowledged_acknowledge (&sent, 1));
  g_assert_true (tcp_unacknowledged_acknowledge (&sent, 2));
  g_assert_cmpuint (sent.first, ==, 2);

  assert_sends (&sent, 3, 5);
  g_assert_true (tcp_unacknowledged_acknowledge (&sent, 5));
  g_assert_cmpuint (sent.bytes, ==, 0);
  g_assert_true (g_queue_is_empty (&sent.frames));
  assert_all_sent (&sent);
  tcp_unacknowledged_clear (&sent);
}

static void
test_rewind (void)
{
  TcpUnacknowledged sent = { 0 };

  add (&sent, 5);
  assert_sends (&sent, 0, 4);
  g_assert_true (tcp_unacknowledged_acknowledge (&sent, 2));
  tcp_unacknowledged_rewind (&sent);
  g_assert_cmpuint (sent.sent, ==, 2);
  /* A frame that another channel has carried may be acknowledged, although it was not sent over this one. */
  g_assert_cmpuint (sent.carried, ==, 4);
  assert_sends (&sent, 2, 5);
  assert_all_sent (&sent);

  tcp_unacknowledged_rewind (&sent);
  assert_sends (&sent, 2, 3);
  /* A frame that was carried and acknowledged need not be sent again. */
  g_assert_true (tcp_unacknowledged_acknowledge (&sent, 4));
  g_assert_cmpuint (sent.sent, ==, 4);
  assert_sends (&sent, 4, 5);
  assert_all_sent (&sent);
  tcp_unacknowledged_clear (&sent);
  g_assert_cmpuint (sent.next, ==, 0);
}

/* A channel may hold a frame that was acknowledged. */
static void
test_reference (void)
{
  TcpUnacknowledged sent = { 0 };
  TcpBuffer *frame;

  add (&sent, 1);
  frame = tcp_unacknowledged_send (&sent);
  g_assert_cmpuint (frame->refs, ==, 2);
  g_assert_true (tcp_unacknowledged_acknowledge (&sent, 1));
  g_assert_cmpuint (frame->refs, ==, 1);
  tcp_buffer_unref (frame);
  tcp_unacknowledged_clear (&sent);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/unacknowledged/order", test_order);
  g_test_add_func ("/unacknowledged/acknowledge", test_acknowledge);
  g_test_add_func ("/unacknowledged/rewind", test_rewind);
  g_test_add_func ("/unacknowledged/reference", test_reference);
  return g_test_run ();
}
