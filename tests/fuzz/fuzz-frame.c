/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"
#include "websocket/channel.h"
#include "websocket/frame.h"

#include <sys/socket.h>
#include <unistd.h>

/* The bytes of a WebSocket, read once as a whole and once in small steps: the results have to be the same. */

/* A memory stream that returns at most @step bytes at a time. */
#define FUZZ_TYPE_INPUT (fuzz_input_get_type ())
G_DECLARE_FINAL_TYPE (FuzzInput, fuzz_input, FUZZ, INPUT, GMemoryInputStream)

struct _FuzzInput
{
  GMemoryInputStream parent_instance;
  gsize step;
};

static void fuzz_input_pollable_init (GPollableInputStreamInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (FuzzInput, fuzz_input, G_TYPE_MEMORY_INPUT_STREAM,
                               G_IMPLEMENT_INTERFACE (G_TYPE_POLLABLE_INPUT_STREAM, fuzz_input_pollable_init))

static gssize
fuzz_input_read_nonblocking (GPollableInputStream *stream,
                             void                 *buffer,
                             gsize                 count,
                             GError              **error)
{
  return g_input_stream_read (G_INPUT_STREAM (stream), buffer, MIN (count, FUZZ_INPUT (stream)->step), NULL, error);
}

static void
fuzz_input_pollable_init (GPollableInputStreamInterface *iface)
{
  iface->read_nonblocking = fuzz_input_read_nonblocking;
}

static void
fuzz_input_class_init (FuzzInputClass *klass)
{
}

static void
fuzz_input_init (FuzzInput *self)
{
}

/* The callbacks that a channel made. */
typedef struct
{
  GByteArray *data; /* all payloads */
  guint messages;
  gboolean in_message;
  guint closed;
  guint code;
  int error_code;
} Result;

static void
on_message (TcpChannel   *channel,
            const guint8 *data,
            gsize         length,
            gboolean      first,
            gboolean      last,
            gpointer      user_data)
{
  Result *self = user_data;

  g_assert_cmpuint (self->closed, ==, 0);
  g_assert_cmpint (first, ==, !self->in_message);
  g_byte_array_append (self->data, data, length);
  self->messages += first;
  self->in_message = !last;
}

static void
on_closed (TcpChannel   *channel,
           guint         code,
           const char   *reason,
           const GError *error,
           gpointer      user_data)
{
  Result *self = user_data;

  g_assert_cmpint (error != NULL, ==, code == 0);
  g_assert_true (reason == NULL || g_utf8_validate (reason, -1, NULL));
  self->closed++;
  self->code = code;
  self->error_code = error != NULL ? error->code : -1;
}

/* Makes a socket that is always readable, so that the channel reads its stream. */
static GSocket *
make_ready_socket (void)
{
  g_autoptr (GError) error = NULL;
  GSocket *socket;
  int fds[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
  close (fds[1]);
  socket = g_socket_new_from_fd (fds[0], &error);
  g_assert_no_error (error);
  return socket;
}

static void
on_gone (gpointer user_data)
{
  *(gboolean *) user_data = TRUE;
}

static void
run (Result       *result,
     const guint8 *data,
     gsize         size,
     gboolean      client,
     gsize         step)
{
  static const TcpChannelCallbacks callbacks = { .message = on_message, .closed = on_closed };
  TcpChannelGroup *group = tcp_channel_group_new ();
  g_autoptr (GInputStream) input = g_object_new (FUZZ_TYPE_INPUT, NULL);
  g_autoptr (GOutputStream) output = g_memory_output_stream_new_resizable ();
  g_autoptr (GIOStream) stream = g_simple_io_stream_new (input, output);
  g_autoptr (GUri) uri = g_uri_parse ("ws://127.0.0.1/", G_URI_FLAGS_NONE, NULL);
  g_autoptr (TcpLog) log = tcp_log_new ("fuzz", TCP_TUNNEL_LOG_LEVEL_NONE);
  g_autoptr (GSocket) socket = make_ready_socket ();
  TcpChannelOptions options = {
    .client = client,
    .uri = uri,
    .socket = socket,
    .plain = step != G_MAXSSIZE, /* with TLS the channel reads until nothing is left */
    .log = log,
    .group = group,
  };
  g_autoptr (TcpChannel) channel = NULL;
  gboolean gone = FALSE;
  gsize turns = 0;

  FUZZ_INPUT (input)->step = step;
  g_memory_input_stream_add_data (G_MEMORY_INPUT_STREAM (input), data, size, NULL);
  channel = tcp_channel_new (stream, &options);
  tcp_channel_set_callbacks (channel, &callbacks, result);
  tcp_channel_resume (channel);
  while (result->closed == 0)
    {
      g_main_context_iteration (NULL, TRUE);
      g_assert_cmpuint (++turns, <, 1000 + 10 * size);
    }

  tcp_channel_group_wait (group, on_gone, &gone);
  while (!gone)
    {
      g_main_context_iteration (NULL, TRUE);
      g_assert_cmpuint (++turns, <, 1000 + 20 * size);
    }
  tcp_channel_group_unref (group);

  g_assert_cmpuint (result->closed, ==, 1);
  g_assert_cmpuint (result->data->len, <=, size);
  /* An answer is not longer than the frame that it answers, except for a mask and our close frame. */
  g_assert_cmpuint (g_memory_output_stream_get_data_size (G_MEMORY_OUTPUT_STREAM (output)), <=, 3 * size + 200);
}

static void
fuzz_header (const guint8 *data,
             gsize         size)
{
  TcpFrameHeader header;
  g_autoptr (GError) error = NULL;
  gssize length = tcp_frame_header_parse (&header, data, size, &error);

  g_assert_cmpint (length < 0, ==, error != NULL);
  if (length <= 0)
    return;
  g_assert_cmpint (length, <=, (gssize) MIN (size, TCP_FRAME_MAX_HEADER));
  g_assert_cmpuint (header.header, ==, length);
  g_assert_cmpuint (header.payload, <=, G_MAXINT64);
  if (tcp_frame_is_control (header.opcode))
    g_assert_true (header.fin && header.payload <= TCP_FRAME_MAX_CONTROL);
}

/* The first byte contains the size of the steps, and which end reads. */
int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize         size)
{
  Result whole = { .data = g_byte_array_new () };
  Result steps = { .data = g_byte_array_new () };
  gboolean client;
  gsize step;

  fuzz_header (data, size);
  if (size > 0)
    {
      client = data[0] & 1;
      step = 1 + data[0] / 2;
      run (&whole, data + 1, size - 1, client, G_MAXSSIZE);
      run (&steps, data + 1, size - 1, client, step);
      g_assert_cmpmem (whole.data->data, whole.data->len, steps.data->data, steps.data->len);
      g_assert_cmpuint (whole.messages, ==, steps.messages);
      g_assert_cmpint (whole.in_message, ==, steps.in_message);
      g_assert_cmpuint (whole.code, ==, steps.code);
      g_assert_cmpint (whole.error_code, ==, steps.error_code);
    }
  g_byte_array_unref (whole.data);
  g_byte_array_unref (steps.data);

  return 0;
}
