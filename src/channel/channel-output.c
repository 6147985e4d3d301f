/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/channel-private.h"

/* What a queued message costs beside its bytes, so that many small ones count. */
#define MESSAGE_OVERHEAD sizeof (TcpBuffer)

/* How many frames leave in one system call. */
#define MAX_VECTORS 16

static void output_flush (TcpChannel *self);

static gsize
buffer_size (TcpBuffer *buffer)
{
  return buffer->header + buffer->length;
}

/* The socket takes more. */
void
tcp_channel_output_ready (TcpChannel *self)
{
  output_flush (self);
  tcp_channel_flushed (self);
}

/* Takes @n written bytes off the front of the queue. */
static void
output_advance (TcpChannel *self,
                gsize       n)
{
  self->last_progress = g_get_monotonic_time ();

  while (n > 0)
    {
      TcpBuffer *head = g_queue_peek_head (&self->queue);
      gsize step = MIN (n, buffer_size (head) - head->sent);

      head->sent += step;
      n -= step;
      if (head->sent < buffer_size (head))
        return;

      g_queue_pop_head (&self->queue);
      if (head->control)
        {
          self->controls--;
        }
      else
        {
          self->pending -= head->length + MESSAGE_OVERHEAD;
          self->sent += head->length;
          tcp_channel_keepalive_sent (self);
        }
      tcp_buffer_unref (head);
    }
}

static GPollableReturn
output_write (TcpChannel *self,
              gsize      *written,
              GError    **error)
{
  GOutputVector vectors[MAX_VECTORS];
  gsize n = 0;

  /* TLS insists that a write that would block is tried again unchanged, so
   * nothing may come in between. */
  for (GList *l = self->queue.head; l != NULL && n < (self->plain ? MAX_VECTORS : 1); l = l->next)
    {
      TcpBuffer *buffer = l->data;

      buffer->started = !self->plain;
      vectors[n].buffer = buffer->payload - buffer->header + buffer->sent;
      vectors[n].size = buffer_size (buffer) - buffer->sent;
      n++;
    }

  return g_pollable_output_stream_writev_nonblocking (self->output, vectors, n, written, NULL, error);
}

static void
output_flush (TcpChannel *self)
{
  while (!g_queue_is_empty (&self->queue) && !self->output_failed)
    {
      g_autoptr (GError) error = NULL;
      GPollableReturn result;
      gsize written = 0;

      result = output_write (self, &written, &error);
      output_advance (self, written);
      if (result == G_POLLABLE_RETURN_WOULD_BLOCK)
        {
          tcp_channel_set_interest (self, G_IO_OUT, TRUE);
          return;
        }
      if (result == G_POLLABLE_RETURN_FAILED)
        {
          /* The peer may have said why before it went: read on to the end. */
          tcp_log_debug (self->log, "writing to the WebSocket failed: %s", error->message);
          self->output_failed = TRUE;
          if (self->error == NULL)
            self->error = g_steal_pointer (&error);
          tcp_channel_flushed (self);
        }
    }

  tcp_channel_set_interest (self, G_IO_OUT, FALSE);
}

void
tcp_channel_output_stop (TcpChannel *self)
{
  tcp_channel_set_interest (self, G_IO_OUT, FALSE);
  self->output_failed = TRUE;
}

static gboolean
buffer_goes_first (TcpBuffer *buffer)
{
  return buffer->control || buffer->started || buffer->sent > 0;
}

/* Queues a control frame that is whole and ready to send: behind what is
 * under way and other control frames, before all data; a close goes last. */
void
tcp_channel_queue_control (TcpChannel   *self,
                           gconstpointer frame,
                           gsize         length)
{
  TcpBuffer *buffer;
  GList *before;

  if (self->output_failed || self->close_queued)
    return;

  buffer = tcp_buffer_new (length);
  buffer->control = TRUE;
  buffer->payload += length;
  tcp_buffer_push (buffer, frame, length);

  self->close_queued = (*(const guint8 *) frame & 0x0f) == TCP_FRAME_CLOSE;
  before = self->close_queued ? NULL : self->queue.head;
  while (before != NULL && buffer_goes_first (before->data))
    before = before->next;
  g_queue_insert_before (&self->queue, before, buffer);
  self->controls++;

  if (!(self->interest & G_IO_OUT))
    output_flush (self);
}

void
tcp_channel_send_control (TcpChannel    *self,
                          TcpFrameOpcode opcode,
                          gconstpointer  data,
                          gsize          length)
{
  g_autoptr (TcpBuffer) buffer = tcp_buffer_new (0);

  buffer->payload = buffer->data + TCP_FRAME_MAX_HEADER + length;
  tcp_buffer_push (buffer, data, length);
  tcp_frame_wrap (buffer, opcode, self->client, g_random_int ());
  tcp_channel_queue_control (self, buffer->payload - buffer->header, buffer_size (buffer));
}

/* Whether another message is welcome. If not, the drained callback says when. */
gboolean
tcp_channel_can_send (TcpChannel *self)
{
  if (self->phase != TCP_CHANNEL_OPEN || self->output_failed)
    return FALSE;

  self->full = self->pending >= TCP_CHANNEL_MAX_PENDING;
  return !self->full;
}

/* Sends a message, whose header of the dialect is already in place. Takes the
 * buffer. What is not on the wire when the channel ends can be had back. */
void
tcp_channel_send (TcpChannel *self,
                  TcpBuffer  *buffer)
{
  g_assert (buffer->length > 0);

  if (self->phase != TCP_CHANNEL_OPEN)
    {
      tcp_buffer_unref (buffer);
      return;
    }

  tcp_frame_wrap (buffer, TCP_FRAME_BINARY, self->client, g_random_int ());
  self->pending += buffer->length + MESSAGE_OVERHEAD;
  g_queue_push_tail (&self->queue, buffer);
  if (!(self->interest & G_IO_OUT) && !self->output_failed)
    output_flush (self);
  /* What has to wait should not hold more than it must; but TLS wants to see a buffer
   * again where it was. */
  if (!g_queue_is_empty (&self->queue) && !((TcpBuffer *) self->queue.tail->data)->started)
    self->queue.tail->data = tcp_buffer_shrink (self->queue.tail->data);
}

/* Bytes that wait here for the kernel. */
gsize
tcp_channel_get_pending (TcpChannel *self)
{
  return self->pending;
}

/* Moves the messages that did not leave whole to @unsent, as they were given.
 * A peer drops a message of which only a part arrived. */
void
tcp_channel_steal_unsent (TcpChannel *self,
                          GQueue     *unsent)
{
  GQueue kept = G_QUEUE_INIT;
  TcpBuffer *buffer;

  while ((buffer = g_queue_pop_head (&self->queue)) != NULL)
    {
      if (buffer->control)
        {
          g_queue_push_tail (&kept, buffer);
          continue;
        }
      /* The rest of the frame would arrive a second time, so nothing can follow; nor
       * can it after one that TLS may have taken in. */
      if (buffer->sent > 0 || buffer->started)
        tcp_channel_output_stop (self);
      tcp_frame_unwrap (buffer);
      g_queue_push_tail (unsent, buffer);
    }
  self->queue = kept;
  self->pending = 0;
}

/* Payload bytes that were sent and of which no pong says that they arrived. */
guint64
tcp_channel_get_unconfirmed (TcpChannel *self)
{
  return self->sent - self->confirmed;
}
