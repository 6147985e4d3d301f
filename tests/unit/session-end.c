/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session-end.h"

#include "test-util.h"

/* Makes a new connection of a stream, and returns its far end. */
static RawEnd *
session_end_make_peer (SessionEnd         *self,
                       GSocketConnection **connection)
{
  int fds[2];

  loopback_pair (fds, self->buffer);
  *connection = loopback_connection (fds[0]);
  return raw_end_new (fds[1]);
}

static void
on_opened (TcpSession *session,
           TcpStream  *stream,
           const char *target,
           gpointer    user_data)
{
  SessionEnd *self = user_data;
  g_autoptr (GSocketConnection) connection = NULL;

  g_ptr_array_add (self->peers, session_end_make_peer (self, &connection));
  g_ptr_array_add (self->opened, tcp_stream_ref (stream));
  tcp_stream_attach (stream, connection);
}

static void
on_stream_closed (TcpSession   *session,
                  TcpStream    *stream,
                  const GError *error,
                  gpointer      user_data)
{
  SessionEnd *self = user_data;

  self->streams_closed++;
  g_clear_error (&self->stream_error);
  if (error != NULL)
    self->stream_error = g_error_copy (error);
}

static void
on_channel_closed (TcpSession   *session,
                   const GError *error,
                   gpointer      user_data)
{
  SessionEnd *self = user_data;

  g_assert_nonnull (error);
  self->channels_closed++;
  g_clear_error (&self->channel_error);
  self->channel_error = g_error_copy (error);
}

SessionEnd *
session_end_new (const SessionEndOptions *end_options)
{
  SessionEnd *self = g_new0 (SessionEnd, 1);
  g_autoptr (TcpLog) log = tcp_log_new ("test", TCP_TUNNEL_LOG_LEVEL_DEBUG);
  TcpSessionCallbacks callbacks = {
    .opened = end_options->accepts ? on_opened : NULL,
    .stream_closed = on_stream_closed,
    .channel_closed = on_channel_closed,
  };
  TcpSessionOptions options = {
    .protocol = end_options->protocol,
    .client = end_options->client,
    .single = end_options->protocol == &tcp_protocol_raw,
    .max_buffered_bytes = end_options->max_buffered_bytes,
    .max_unacknowledged_bytes = end_options->max_buffered_bytes,
    .max_streams = end_options->max_streams,
    .reset_on_loss = end_options->reset_on_loss,
    .budget = end_options->budget,
    .peer = "the peer",
    .target = "of the test",
    .log = log,
  };

  self->client = end_options->client;
  self->buffer = end_options->buffer;
  self->is_unix = end_options->is_unix;
  self->group = tcp_channel_group_new ();
  self->status = options.status = tcp_status_new ();
  self->opened = g_ptr_array_new_with_free_func ((GDestroyNotify) tcp_stream_unref);
  self->peers = g_ptr_array_new_with_free_func ((GDestroyNotify) raw_end_free);
  self->session = tcp_session_new (&options, &callbacks, self);

  return self;
}

/* The other end of the channel has to be closed already, else this waits until it is. */
void
session_end_free (SessionEnd *self)
{
  tcp_session_close (self->session, TCP_CLOSE_NORMAL, NULL, NULL);
  g_assert_true (tcp_session_is_idle (self->session));
  g_assert_cmpuint (self->session->queued, ==, 0);
  g_assert_cmpuint (tcp_status_get (self->status, open_connections), ==, 0);
  wait_for_group (self->group);

  tcp_session_unref (self->session);
  tcp_channel_group_unref (self->group);
  tcp_status_unref (self->status);
  g_ptr_array_unref (self->opened);
  g_ptr_array_unref (self->peers);
  g_clear_error (&self->stream_error);
  g_clear_error (&self->channel_error);
  g_free (self);
}

void
session_end_attach (SessionEnd *self,
                    int         fd)
{
  g_autoptr (TcpChannel) channel = loopback_channel (fd, self->client, NULL, self->group);

  tcp_session_attach (self->session, channel);
}

RawEnd *
session_end_connect (SessionEnd *self)
{
  int fds[2];

  if (self->is_unix)
    unix_pair (fds, self->buffer);
  else
    loopback_pair (fds, self->buffer);
  session_end_attach (self, fds[0]);
  return raw_end_new (fds[1]);
}

RawEnd *
session_end_open (SessionEnd *self,
                  TcpStream **stream)
{
  g_autoptr (GSocketConnection) connection = NULL;
  RawEnd *peer = session_end_make_peer (self, &connection);
  TcpStream *opened = tcp_session_open (self->session, NULL, connection);

  g_assert_nonnull (opened);
  if (stream != NULL)
    *stream = opened;
  return peer;
}
