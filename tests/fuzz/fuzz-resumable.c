/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"
#include "protocol/resumable-frame.h"

/* A decoded frame means the same when it is encoded again; of a HELLO, only the decoded values are compared. */
static void
check_hello (const TcpResumableHello *hello)
{
  g_autoptr (TcpBuffer) again = tcp_resumable_encode_hello (hello);
  g_autoptr (TcpBuffer) third = NULL;
  TcpResumableFrame frame;
  TcpResumableHello second;

  g_assert_cmpuint (hello->max_payload, >=, TCP_RESUMABLE_MIN_PAYLOAD);
  g_assert_cmpuint (hello->session_timeout, <=, TCP_RESUMABLE_MAX_TIMEOUT);
  g_assert_cmpuint (hello->window, <=, TCP_RESUMABLE_MAX_CREDIT);
  g_assert_true (tcp_resumable_decode (again->payload, again->length, &frame, NULL));
  g_assert_true (tcp_resumable_decode_hello (&frame, &second, NULL));
  third = tcp_resumable_encode_hello (&second);
  g_assert_cmpmem (third->payload, third->length, again->payload, again->length);
}

static TcpBuffer *
encode_again (const TcpResumableFrame *frame)
{
  g_autofree char *text = NULL;

  switch (frame->type)
    {
    case TCP_RESUMABLE_RESET:
    case TCP_RESUMABLE_GOAWAY:
    case TCP_RESUMABLE_UNLISTEN:
      text = g_strndup ((const char *) frame->payload, frame->length);
      return tcp_resumable_encode_text (frame->type, frame->id, frame->number, text);
    case TCP_RESUMABLE_LISTEN:
    case TCP_RESUMABLE_LISTENING:
      text = g_strndup ((const char *) frame->payload, frame->length);
      return tcp_resumable_encode_port (frame->type, frame->id, frame->number, text);
    case TCP_RESUMABLE_WINDOW:
      return tcp_resumable_encode_window (frame->id, frame->number);
    case TCP_RESUMABLE_ACK:
      return tcp_resumable_encode_ack (frame->number);
    default:
      return tcp_resumable_encode (frame->type, frame->id, frame->payload, frame->length);
    }
}

static void
check_arrival (const TcpResumableFrame *frame)
{
  g_autofree char *client = NULL;
  g_autoptr (TcpBuffer) again = NULL;
  guint32 listener;

  if (!tcp_resumable_decode_arrival (frame, &listener, &client, NULL))
    return;
  again = tcp_resumable_encode_arrival (frame->id, listener, client != NULL ? client : "");
  g_assert_cmpmem (again->payload + TCP_RESUMABLE_HEADER_SIZE, again->length - TCP_RESUMABLE_HEADER_SIZE, frame->payload,
                   again->length - TCP_RESUMABLE_HEADER_SIZE);
}

static void
check_frame (const guint8            *data,
             gsize                    size,
             const TcpResumableFrame *frame)
{
  g_autoptr (TcpBuffer) again = NULL;
  TcpResumableHello hello;

  g_assert_true (frame->payload >= data + TCP_RESUMABLE_HEADER_SIZE && frame->payload + frame->length == data + size);
  g_assert_cmpint (frame->type, <, TCP_RESUMABLE_LATER_END);
  g_assert_cmpuint (frame->length, <=, TCP_RESUMABLE_MAX_PAYLOAD);
  if (frame->type == TCP_RESUMABLE_HELLO)
    {
      if (tcp_resumable_decode_hello (frame, &hello, NULL))
        check_hello (&hello);
      return;
    }
  if (frame->type >= TCP_RESUMABLE_LATER_SEQUENCED)
    return;
  g_assert_cmpint (frame->id != 0, ==, frame->type < TCP_RESUMABLE_HELLO || frame->type >= TCP_RESUMABLE_LISTEN);
  if (frame->type == TCP_RESUMABLE_OPEN)
    check_arrival (frame);
  /* A text is encoded up to the first NUL, and to the last complete character. */
  again = encode_again (frame);
  if (frame->type == TCP_RESUMABLE_RESET || frame->type == TCP_RESUMABLE_GOAWAY || frame->type >= TCP_RESUMABLE_LISTEN)
    g_assert_cmpmem (again->payload, again->length, data, again->length);
  else
    g_assert_cmpmem (again->payload, again->length, data, size);
}

int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize         size)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *header = g_strndup ((const char *) data, size);
  TcpResumableFrame frame;

  if (tcp_resumable_decode (data, size, &frame, &error))
    {
      g_assert_no_error (error);
      check_frame (data, size, &frame);
    }
  else
    {
      g_assert_nonnull (error);
    }
  (void) tcp_resumable_is_offered (header);

  return 0;
}
