/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel-end.h"

#include "client.h"
#include "socket-util.h"
#include "test-util.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void
ignore_log (const char     *domain,
            GLogLevelFlags  level,
            const char     *message,
            gpointer        user_data)
{
}

void
unit_test_init (int    *argc,
                char ***argv)
{
  /* The tests use loopback only and need no proxy resolver. libproxy throws exceptions in a thread, which some
   * sanitizers do not support. */
  g_setenv ("GIO_USE_PROXY_RESOLVER", "dummy", TRUE);
  g_test_init (argc, argv, NULL);
  g_log_set_handler ("libsoup", G_LOG_LEVEL_DEBUG, ignore_log, NULL);
}

void
loopback_pair (int fds[2],
               int buffer)
{
  guint16 port;
  int listener = socket_listen (0, &port);

  if (buffer > 0)
    g_assert_no_errno (setsockopt (listener, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof (buffer)));
  fds[0] = client_connect (port);
  fds[1] = accept4 (listener, NULL, NULL, SOCK_CLOEXEC);
  g_assert_cmpint (fds[1], >=, 0);
  close (listener);

  for (guint i = 0; i < 2 && buffer > 0; i++)
    {
      g_assert_no_errno (setsockopt (fds[i], SOL_SOCKET, SO_RCVBUF, &buffer, sizeof (buffer)));
      g_assert_no_errno (setsockopt (fds[i], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof (buffer)));
    }
}

void
unix_pair (int fds[2],
           int buffer)
{
  g_assert_no_errno (socketpair (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
  for (guint i = 0; i < 2; i++)
    g_assert_no_errno (setsockopt (fds[i], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof (buffer)));
}

GSocketConnection *
loopback_connection (int fd)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocket) socket = g_socket_new_from_fd (fd, &error);

  g_assert_no_error (error);
  return g_socket_connection_factory_create_connection (socket);
}

void
wait_for_hang_up (int fd)
{
  GPollFD poll_fd = { .fd = fd, .events = POLLRDHUP };

  WAIT_UNTIL (g_poll (&poll_fd, 1, 0) == 1);
}

static void
on_message (TcpChannel   *channel,
            const guint8 *data,
            gsize         length,
            gboolean      first,
            gboolean      last,
            gpointer      user_data)
{
  ChannelEnd *end = user_data;

  g_assert_cmpuint (end->closed, ==, 0);
  g_assert_cmpint (first, ==, !end->in_message);
  if (first)
    g_ptr_array_add (end->messages, g_byte_array_new ());
  g_byte_array_append (end->messages->pdata[end->messages->len - 1], data, length);
  g_array_append_val (end->pieces, length);
  end->in_message = !last;
  if (end->pauses)
    tcp_channel_pause (channel);
}

static void
on_drained (TcpChannel *channel,
            gpointer    user_data)
{
  ChannelEnd *end = user_data;

  g_assert_true (tcp_channel_can_send (channel));
  end->drained++;
}

static void
on_closed (TcpChannel   *channel,
           guint         code,
           const char   *reason,
           const GError *error,
           gpointer      user_data)
{
  ChannelEnd *end = user_data;

  g_assert_cmpint (error != NULL, ==, code == 0);
  end->closed++;
  end->code = code;
  end->reason = g_strdup (reason);
  end->error = error != NULL ? g_error_copy (error) : NULL;
}

static const TcpChannelCallbacks callbacks = {
  .message = on_message,
  .drained = on_drained,
  .closed = on_closed,
};

TcpChannel *
loopback_channel (int                      fd,
                  gboolean                 client,
                  const ChannelEndOptions *end_options,
                  TcpChannelGroup         *group)
{
  g_autoptr (GSocketConnection) connection = loopback_connection (fd);
  g_autoptr (GUri) uri = g_uri_parse ("ws://127.0.0.1/", SOUP_HTTP_URI_FLAGS, NULL);
  g_autoptr (TcpLog) log = tcp_log_new ("test", TCP_TUNNEL_LOG_LEVEL_DEBUG);
  TcpChannelOptions options = {
    .client = client,
    .uri = uri,
    .socket = g_socket_connection_get_socket (connection),
    .plain = TRUE,
    .log = log,
    .group = group,
  };

  if (end_options != NULL)
    {
      options.keepalive_interval = end_options->interval;
      options.keepalive_timeout = end_options->timeout;
      options.status = end_options->status;
      options.brief = end_options->brief;
      options.plain = !end_options->as_tls;
      options.budget = end_options->budget;
      options.message_timeout = end_options->message_timeout;
    }
  return tcp_channel_new (G_IO_STREAM (connection), &options);
}

ChannelEnd *
channel_end_new (int                      fd,
                 gboolean                 client,
                 const ChannelEndOptions *options)
{
  ChannelEnd *self = g_new0 (ChannelEnd, 1);

  self->group = tcp_channel_group_new ();
  self->messages = g_ptr_array_new_with_free_func ((GDestroyNotify) g_byte_array_unref);
  self->pieces = g_array_new (FALSE, FALSE, sizeof (gsize));
  self->channel = loopback_channel (fd, client, options, self->group);
  tcp_channel_set_callbacks (self->channel, &callbacks, self);
  tcp_channel_resume (self->channel);

  return self;
}

static void
on_gone (gpointer user_data)
{
  *(gboolean *) user_data = TRUE;
}

void
wait_for_group (TcpChannelGroup *group)
{
  gboolean gone = FALSE;

  tcp_channel_group_wait (group, on_gone, &gone);
  WAIT_UNTIL (gone);
}

void
channel_end_free (ChannelEnd *self)
{
  guint closed;

  tcp_channel_abort (self->channel, NULL);
  closed = self->closed;
  g_assert_cmpuint (closed, ==, 1);
  tcp_channel_unref (self->channel);
  wait_for_group (self->group);
  g_assert_cmpuint (self->closed, ==, closed);

  tcp_channel_group_unref (self->group);
  g_ptr_array_unref (self->messages);
  g_array_unref (self->pieces);
  g_free (self->reason);
  g_clear_error (&self->error);
  g_free (self);
}

TcpBuffer *
channel_end_make_message (guint32 seed,
                          gsize   length)
{
  TcpBuffer *buffer = tcp_buffer_new (length);

  test_fill (buffer->payload, length, seed, 0);
  buffer->length = length;
  return buffer;
}

void
channel_end_send (ChannelEnd *self,
                  guint32     seed,
                  gsize       length)
{
  tcp_channel_send (self->channel, channel_end_make_message (seed, length));
  tcp_channel_flush (self->channel);
}

void
channel_end_keep_alive (ChannelEnd *self)
{
  TcpTimer *keepalive = self->channel->keepalive.timer;
  gint64 before = g_get_monotonic_time ();

  tcp_timer_set (keepalive, 0);
  WAIT_UNTIL (tcp_timer_get (keepalive) != 0);
  g_assert_cmpint (tcp_timer_get (keepalive), >, before);
}

RawEnd *
raw_end_new (int fd)
{
  RawEnd *self = g_new0 (RawEnd, 1);

  self->fd = fd;
  self->in = g_byte_array_new ();
  socket_set_blocking (fd, FALSE);
  return self;
}

void
raw_end_free (RawEnd *self)
{
  close (self->fd);
  g_byte_array_unref (self->in);
  g_free (self);
}

static gssize
raw_end_try_write (RawEnd       *self,
                   gconstpointer data,
                   gsize         length)
{
  gssize n = send (self->fd, data, length, MSG_NOSIGNAL);

  if (n < 0 && errno == EAGAIN)
    return 0;
  g_assert_cmpint (n, >=, 0);
  return n;
}

void
raw_end_write (RawEnd       *self,
               gconstpointer data,
               gsize         length)
{
  const guint8 *next = data;
  gssize n = 0;

  WAIT_UNTIL ((n += raw_end_try_write (self, next + n, length - n)) == (gssize) length);
}

void
append_frame (GByteArray   *wire,
              guint8        first,
              gboolean      masked,
              gconstpointer data,
              gsize         length)
{
  g_autoptr (TcpBuffer) buffer = tcp_buffer_new (length);

  if (length > 0)
    memcpy (buffer->payload, data, length);
  buffer->length = length;
  tcp_frame_wrap (buffer, first & 0x0f, masked, 0x11223344);
  buffer->payload[-buffer->header] = first;
  g_byte_array_append (wire, buffer->payload - buffer->header, buffer->header + buffer->length);
}

void
raw_end_send (RawEnd       *self,
              guint8        first,
              gboolean      masked,
              gconstpointer data,
              gsize         length)
{
  g_autoptr (GByteArray) wire = g_byte_array_new ();

  append_frame (wire, first, masked, data, length);
  raw_end_write (self, wire->data, wire->len);
}

void
raw_end_read (RawEnd *self,
              gsize   limit)
{
  guint8 data[65536];

  while (!self->eof && self->in->len < limit)
    {
      gssize n = recv (self->fd, data, MIN (sizeof (data), limit - self->in->len), 0);

      if (n < 0 && errno == EAGAIN)
        return;
      if (n > 0)
        g_byte_array_append (self->in, data, n);
      self->eof = n <= 0;
      self->reset = n < 0;
    }
}

GBytes *
raw_end_take_frame (RawEnd *self,
                    guint  *opcode)
{
  TcpFrameHeader header;
  gssize length = tcp_frame_header_parse (&header, self->in->data, self->in->len, NULL);
  GBytes *frame;

  g_assert_cmpint (length, >=, 0);
  if (length == 0 || self->in->len < length + header.payload)
    return NULL;

  *opcode = header.opcode;
  if (header.masked)
    tcp_frame_mask (self->in->data + length, header.payload, header.mask);
  frame = g_bytes_new (self->in->data + length, header.payload);
  g_byte_array_remove_range (self->in, 0, length + header.payload);
  return frame;
}

static gboolean
raw_end_try_take (RawEnd   *self,
                  GBytes  **frame,
                  guint    *opcode)
{
  raw_end_read (self, G_MAXUINT);
  *frame = raw_end_take_frame (self, opcode);
  return *frame != NULL || self->eof;
}

GBytes *
raw_end_wait_frame (RawEnd   *self,
                    guint    *opcode,
                    gboolean  pongs)
{
  for (;;)
    {
      g_autoptr (GBytes) frame = NULL;

      WAIT_UNTIL (raw_end_try_take (self, &frame, opcode));
      if (frame == NULL || *opcode != TCP_FRAME_PONG || pongs)
        return g_steal_pointer (&frame);
    }
}

void
raw_end_wait_ping (RawEnd   *self,
                   GBytes  **ping)
{
  guint opcode;

  do
    {
      g_clear_pointer (ping, g_bytes_unref);
      *ping = raw_end_wait_frame (self, &opcode, FALSE);
      g_assert_nonnull (*ping);
    }
  while (opcode != TCP_FRAME_PING);
}

void
raw_end_answer_ping (RawEnd   *self,
                     gboolean  masked,
                     GBytes   *ping)
{
  raw_end_send (self, 0x8a, masked, g_bytes_get_data (ping, NULL), g_bytes_get_size (ping));
}
