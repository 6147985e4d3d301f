/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "protocol/unacknowledged.h"

static gsize
frame_size (TcpBuffer *frame)
{
  return sizeof (TcpBuffer) + TCP_BUFFER_HEADROOM + frame->capacity;
}

/* Takes ownership of the frame; returns its number. */
guint64
tcp_unacknowledged_add (TcpUnacknowledged *self,
                        TcpBuffer         *frame)
{
  g_queue_push_tail (&self->frames, frame);
  if (self->unsent == NULL)
    self->unsent = self->frames.tail;
  self->bytes += frame_size (frame);
  if (frame->dataless)
    self->dataless += frame_size (frame);

  return self->next++;
}

/* Returns the next frame to send, with a reference for the transport; NULL if there is none. */
TcpBuffer *
tcp_unacknowledged_send (TcpUnacknowledged *self)
{
  TcpBuffer *frame;

  if (self->unsent == NULL)
    return NULL;

  frame = self->unsent->data;
  self->unsent = self->unsent->next;
  self->sent++;
  self->carried = MAX (self->carried, self->sent);

  return tcp_buffer_ref (frame);
}

/* The peer has all frames below @received. FALSE if that is impossible. */
gboolean
tcp_unacknowledged_acknowledge (TcpUnacknowledged *self,
                                guint64            received)
{
  if (received < self->first || received > self->carried)
    return FALSE;

  while (self->first < received)
    {
      TcpBuffer *frame;

      /* A frame that a former transport has sent, and that need not be sent again. */
      if (self->unsent == self->frames.head)
        {
          self->unsent = self->unsent->next;
          self->sent++;
        }
      frame = g_queue_pop_head (&self->frames);
      self->bytes -= frame_size (frame);
      if (frame->dataless)
        self->dataless -= frame_size (frame);
      self->first++;
      tcp_buffer_unref (frame);
    }

  return TRUE;
}

/* There is another transport, and all frames are sent again. The former transport has returned those that it had
 * queued. */
void
tcp_unacknowledged_rewind (TcpUnacknowledged *self)
{
  self->unsent = self->frames.head;
  self->sent = self->first;
}

void
tcp_unacknowledged_clear (TcpUnacknowledged *self)
{
  g_queue_clear_full (&self->frames, (GDestroyNotify) tcp_buffer_unref);
  *self = (TcpUnacknowledged) { 0 };
}
