/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "websocket/frame-queue.h"

/* The memory for a queued message in addition to its bytes, so that many small ones count. */
#define MESSAGE_OVERHEAD sizeof (TcpBuffer)

static gsize
frame_size (TcpBuffer *buffer)
{
  return buffer->header + buffer->length;
}

void
tcp_frame_queue_clear (TcpFrameQueue *self)
{
  g_queue_clear_full (&self->frames, (GDestroyNotify) tcp_buffer_unref);
  self->pending = 0;
  self->controls = 0;
}

gboolean
tcp_frame_queue_is_empty (TcpFrameQueue *self)
{
  return g_queue_is_empty (&self->frames);
}

/* Takes ownership of @buffer, a message in its frame. */
void
tcp_frame_queue_push (TcpFrameQueue *self,
                      TcpBuffer     *buffer)
{
  self->pending += buffer->length + MESSAGE_OVERHEAD;
  g_queue_push_tail (&self->frames, buffer);
}

static gboolean
goes_first (TcpBuffer *buffer)
{
  return buffer->control || buffer->started || buffer->sent > 0;
}

/* Queues a complete control frame: behind a frame that was sent in part and other control frames, before all data. A
 * close frame is the last. */
void
tcp_frame_queue_push_control (TcpFrameQueue *self,
                              gconstpointer  frame,
                              gsize          length)
{
  TcpBuffer *buffer;
  GList *before;

  if (self->close_queued)
    return;

  buffer = tcp_buffer_new (length);
  buffer->control = TRUE;
  buffer->payload += length;
  tcp_buffer_push (buffer, frame, length);

  self->close_queued = (*(const guint8 *) frame & 0x0f) == TCP_FRAME_CLOSE;
  before = self->close_queued ? NULL : self->frames.head;
  while (before != NULL && goes_first (before->data))
    before = before->next;
  g_queue_insert_before (&self->frames, before, buffer);
  self->controls++;
}

/* Drops unsent pings, which the next one supersedes. */
void
tcp_frame_queue_drop_pings (TcpFrameQueue *self)
{
  GList *next;

  for (GList *l = self->controls > 0 ? self->frames.head : NULL; l != NULL; l = next)
    {
      TcpBuffer *buffer = l->data;

      next = l->next;
      if (!buffer->control || buffer->started || buffer->sent > 0 ||
          (buffer->payload[-(gssize) buffer->header] & 0x0f) != TCP_FRAME_PING)
        continue;
      g_queue_delete_link (&self->frames, l);
      self->controls--;
      tcp_buffer_unref (buffer);
    }
}

/* The session is over: drops unsent messages, except those about the session. */
void
tcp_frame_queue_drop_unsent (TcpFrameQueue *self)
{
  GList *next;

  for (GList *l = self->frames.head; l != NULL; l = next)
    {
      TcpBuffer *buffer = l->data;

      next = l->next;
      if (goes_first (buffer) || buffer->unsequenced)
        continue;
      g_queue_delete_link (&self->frames, l);
      self->pending -= buffer->length + MESSAGE_OVERHEAD;
      tcp_buffer_unref (buffer);
    }
}

/* Sets the vectors to write next; returns their number. */
guint
tcp_frame_queue_get_vectors (TcpFrameQueue *self,
                             GOutputVector *vectors,
                             guint          max)
{
  guint n = 0;

  for (GList *l = self->frames.head; l != NULL && n < max; l = l->next)
    {
      TcpBuffer *buffer = l->data;

      vectors[n].buffer = buffer->payload - buffer->header + buffer->sent;
      vectors[n].size = frame_size (buffer) - buffer->sent;
      n++;
    }
  return n;
}

/* The first frame was passed to TLS, which requires that a write that would block is repeated unchanged: no frame may
 * be inserted before it, and it must not move. */
void
tcp_frame_queue_start (TcpFrameQueue *self)
{
  ((TcpBuffer *) self->frames.head->data)->started = TRUE;
}

/* @length bytes were written. Returns whether a message was sent completely. */
gboolean
tcp_frame_queue_advance (TcpFrameQueue *self,
                         gsize          length)
{
  gboolean sent = FALSE;

  while (length > 0)
    {
      TcpBuffer *head = g_queue_peek_head (&self->frames);
      gsize step = MIN (length, frame_size (head) - head->sent);

      head->sent += step;
      length -= step;
      if (head->sent < frame_size (head))
        break;

      g_queue_pop_head (&self->frames);
      if (head->control)
        {
          self->controls--;
        }
      else
        {
          self->pending -= head->length + MESSAGE_OVERHEAD;
          self->sent += head->length;
          sent = TRUE;
        }
      tcp_buffer_unref (head);
    }
  return sent;
}

/* Moves the messages that were not sent completely to @unsent, without their frames: a peer drops a message that
 * arrives in part. TRUE if one was sent in part, so that nothing can follow. */
gboolean
tcp_frame_queue_steal_unsent (TcpFrameQueue *self,
                              GQueue        *unsent)
{
  GQueue kept = G_QUEUE_INIT;
  gboolean cut = FALSE;
  TcpBuffer *buffer;

  while ((buffer = g_queue_pop_head (&self->frames)) != NULL)
    {
      if (buffer->control)
        {
          g_queue_push_tail (&kept, buffer);
          continue;
        }
      cut |= buffer->sent > 0 || buffer->started;
      tcp_frame_unwrap (buffer);
      g_queue_push_tail (unsent, buffer);
    }
  self->frames = kept;
  self->pending = 0;
  return cut;
}
