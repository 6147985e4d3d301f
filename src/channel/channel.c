/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/channel-private.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

/* How long the output may make no progress while the channel is being closed. libsoup
 * gives the peer as long again to answer. */
#define CLOSE_TIMEOUT (5 * G_TIME_SPAN_SECOND)

/* Data beyond this that the kernel has not sent yet stays in our queue, where a
 * control frame can still overtake it. */
#define NOT_SENT_LOW_WATER (128 * 1024)

/* RFC 6455 allows 125 bytes, of which the code takes two. */
#define MAX_REASON 120

static void channel_finish (TcpChannel *self);

static void
on_control_write (gconstpointer frame,
                  gsize         length,
                  gpointer      user_data)
{
  tcp_channel_queue_control (user_data, frame, length);
}

static void
on_control_close_stream (gpointer user_data)
{
  TcpChannel *self = user_data;

  self->close_stream = TRUE;
  tcp_channel_flushed (self);
}

static void
on_control_closed (const GError *error,
                   gpointer      user_data)
{
  TcpChannel *self = user_data;

  if (self->error == NULL && error != NULL)
    self->error = g_error_copy (error);
  channel_finish (self);
}

static void
on_deadline (gpointer user_data)
{
  TcpChannel *self = user_data;
  gint64 due = self->last_progress + CLOSE_TIMEOUT;

  if (g_get_monotonic_time () < due)
    {
      tcp_timer_set (self->deadline, due);
      return;
    }

  tcp_channel_abort (self, NULL);
}

/* From here on the channel ends, if need be without its peer. */
void
tcp_channel_start_deadline (TcpChannel *self)
{
  if (self->deadline != NULL || self->phase == TCP_CHANNEL_CLOSED)
    return;

  self->last_progress = g_get_monotonic_time ();
  self->deadline = tcp_timer_new (on_deadline, self);
  tcp_timer_set (self->deadline, self->last_progress + CLOSE_TIMEOUT);
}

static void
on_ready (GIOCondition condition,
          gpointer     user_data)
{
  TcpChannel *self = tcp_channel_ref (user_data);

  /* An error or a hang-up is found by whatever is tried. */
  if (self->interest & G_IO_OUT && condition & ~G_IO_IN)
    tcp_channel_output_ready (self);
  if (self->interest & G_IO_IN && condition & ~G_IO_OUT)
    tcp_channel_input_ready (self);
  tcp_channel_unref (self);
}

/* TLS included: once the handshake is through, it has to wait for nothing but what the
 * socket waits for. */
void
tcp_channel_set_interest (TcpChannel   *self,
                          GIOCondition  condition,
                          gboolean      wanted)
{
  GIOCondition interest = wanted ? self->interest | condition : self->interest & ~condition;

  if (self->interest == interest)
    return;

  self->interest = interest;
  if (interest == 0)
    tcp_watch_rest (self->watch);
  else if (self->watch != NULL)
    tcp_watch_set (self->watch, interest);
  else
    self->watch = tcp_watch_new (g_socket_get_fd (self->socket), interest, on_ready, self);
}

static void
configure_socket (GSocket *socket)
{
  g_socket_set_option (socket, IPPROTO_TCP, TCP_NODELAY, TRUE, NULL);
  g_socket_set_option (socket, IPPROTO_TCP, TCP_NOTSENT_LOWAT, NOT_SENT_LOW_WATER, NULL);
}

/* Takes over @stream, on which the WebSocket handshake was completed. Messages
 * come after tcp_channel_resume(). The owner has to close or abort it. */
TcpChannel *
tcp_channel_new (GIOStream               *stream,
                 const TcpChannelOptions *options)
{
  static const TcpControlCallbacks control_callbacks = {
    .write = on_control_write,
    .close_stream = on_control_close_stream,
    .closed = on_control_closed,
  };
  TcpChannel *self = g_new0 (TcpChannel, 1);

  g_ref_count_init (&self->refs);
  self->client = options->client;
  self->plain = options->plain;
  self->log = tcp_log_ref (options->log);
  self->status = options->status != NULL ? tcp_status_ref (options->status) : NULL;
  self->group = tcp_channel_group_ref (options->group);
  tcp_channel_group_enter (self->group);
  self->stream = g_object_ref (stream);
  self->input = G_POLLABLE_INPUT_STREAM (g_io_stream_get_input_stream (stream));
  self->output = G_POLLABLE_OUTPUT_STREAM (g_io_stream_get_output_stream (stream));
  if (options->owner != NULL)
    self->owner = g_object_ref (options->owner);
  self->socket = g_object_ref (options->socket);
  configure_socket (self->socket);

  self->control = tcp_control_new (options->uri, self->client, &control_callbacks, self);

  tcp_channel_input_init (self);
  tcp_channel_keepalive_start (self, options->keepalive_interval, options->keepalive_timeout);

  /* Lives until it is closed, whoever still holds it. */
  return tcp_channel_ref (self);
}

TcpChannel *
tcp_channel_ref (TcpChannel *self)
{
  g_ref_count_inc (&self->refs);
  return self;
}

void
tcp_channel_unref (TcpChannel *self)
{
  if (!g_ref_count_dec (&self->refs))
    return;

  g_queue_clear_full (&self->queue, (GDestroyNotify) tcp_buffer_unref);
  g_free (self->buffer);
  g_free (self->close_reason);
  g_clear_error (&self->error);
  g_clear_pointer (&self->status, tcp_status_unref);
  tcp_channel_group_unref (self->group);
  tcp_log_unref (self->log);
  g_free (self);
}

void
tcp_channel_set_callbacks (TcpChannel                *self,
                           const TcpChannelCallbacks *callbacks,
                           gpointer                   user_data)
{
  if (callbacks != NULL)
    self->callbacks = *callbacks;
  else
    memset (&self->callbacks, 0, sizeof (self->callbacks));
  self->user_data = user_data;
}

static void
channel_report (TcpChannel   *self,
                guint         code,
                const char   *reason,
                const GError *error)
{
  TcpChannelCallbacks callbacks = self->callbacks;
  gpointer user_data = self->user_data;

  if (self->reported)
    return;

  self->reported = TRUE;
  tcp_channel_set_callbacks (self, NULL, NULL);
  if (callbacks.closed != NULL)
    callbacks.closed (self, code, reason, error, user_data);
}

static void
on_stream_closed (GObject      *stream,
                  GAsyncResult *result,
                  gpointer      user_data)
{
  TcpChannelGroup *group = user_data;

  g_io_stream_close_finish (G_IO_STREAM (stream), result, NULL);
  tcp_channel_group_leave (group);
  tcp_channel_group_unref (group);
}

/* The one end of every channel. */
static void
channel_finish (TcpChannel *self)
{
  if (self->phase == TCP_CHANNEL_CLOSED)
    return;

  self->phase = TCP_CHANNEL_CLOSED;
  tcp_channel_input_stop (self);
  tcp_channel_output_stop (self);
  tcp_watch_clear (&self->watch);
  tcp_timer_clear (&self->keepalive);
  tcp_timer_clear (&self->deadline);

  g_clear_pointer (&self->control, tcp_control_free);
  g_io_stream_close_async (self->stream, G_PRIORITY_DEFAULT, NULL, on_stream_closed,
                           tcp_channel_group_ref (self->group));
  g_clear_object (&self->owner);
  g_clear_object (&self->stream);
  g_clear_object (&self->socket);

  if (self->error == NULL)
    g_set_error_literal (&self->error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST,
                         "the WebSocket ended without a closing handshake");
  channel_report (self, 0, NULL, self->error);
  tcp_channel_unref (self);
}

/* Something left the queue, or never will: what was waiting for that? */
void
tcp_channel_flushed (TcpChannel *self)
{
  gboolean stuck = self->output_failed;

  if (stuck)
    tcp_channel_start_deadline (self);
  if (self->full && tcp_channel_can_send (self) && self->callbacks.drained != NULL)
    self->callbacks.drained (self, self->user_data);

  if (self->close_code != 0 && self->pending == 0 && self->control != NULL)
    {
      guint code = self->close_code;

      self->close_code = 0;
      tcp_control_close (self->control, code, self->close_reason);
    }
  if (self->close_stream && self->control != NULL && (stuck || g_queue_is_empty (&self->queue)))
    {
      self->close_stream = FALSE;
      tcp_control_stream_closed (self->control);
    }
}

/* Closes in order, behind all that was sent. The closed callback follows. */
void
tcp_channel_close (TcpChannel *self,
                   guint       code,
                   const char *reason)
{
  const char *end;

  if (self->phase != TCP_CHANNEL_OPEN)
    return;

  self->phase = TCP_CHANNEL_CLOSING;
  self->close_code = code;
  if (reason != NULL)
    {
      /* Not in the middle of a character. */
      end = reason + MIN (strlen (reason), MAX_REASON);
      if (*end != '\0')
        end = g_utf8_find_prev_char (reason, end);
      self->close_reason = end != NULL ? g_strndup (reason, end - reason) : NULL;
    }
  tcp_channel_start_deadline (self);
  tcp_channel_flushed (self);
}

/* Ends it at once, without a handshake. @error is what the closed callback gets,
 * or NULL for that which is known. */
void
tcp_channel_abort (TcpChannel   *self,
                   const GError *error)
{
  if (self->phase == TCP_CHANNEL_CLOSED)
    return;

  if (error != NULL && self->error == NULL)
    self->error = g_error_copy (error);
  g_socket_shutdown (self->socket, TRUE, TRUE, NULL);
  channel_finish (self);
}

/* The closing frame of the peer was read: no message follows. */
void
tcp_channel_peer_closed (TcpChannel *self,
                         guint       code,
                         const char *reason)
{
  if (self->phase == TCP_CHANNEL_OPEN)
    self->phase = TCP_CHANNEL_CLOSING;
  tcp_channel_start_deadline (self);
  channel_report (self, code, reason, NULL);
}

void
tcp_channel_protocol_error (TcpChannel   *self,
                            const GError *error)
{
  tcp_channel_input_stop (self);
  self->ignore_data = TRUE;
  if (self->control != NULL)
    tcp_control_close (self->control, TCP_CLOSE_PROTOCOL_ERROR, NULL);
  tcp_channel_abort (self, error);
}
