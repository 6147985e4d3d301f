/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "double-channel.h"

/* The two ends of a WebSocket, and what the model does to them. */

Link *
link_new (const LinkOptions *options,
          GRand             *rand)
{
  Link *self = g_new0 (Link, 1);

  self->options = *options;
  self->rand = rand;
  for (Side side = CLIENT; side <= GATEWAY; side++)
    self->ends[side] = channel_new (self, side);
  return self;
}

void
link_free (Link *self)
{
  for (Side side = CLIENT; side <= GATEWAY; side++)
    {
      g_assert_true (link_is_closed (self, side));
      tcp_channel_unref (self->ends[side]);
    }
  g_free (self);
}

TcpChannel *
link_get_channel (Link *self,
                  Side  side)
{
  return self->ends[side];
}

gboolean
link_push (Link *self,
           Side  side)
{
  TcpChannel *channel = self->ends[side];
  gboolean progress;

  if (channel->phase == CLOSED || g_queue_is_empty (&channel->queue))
    return FALSE;

  progress = channel_flush (channel);
  channel_flushed (channel);
  return progress;
}

gboolean
link_pull (Link *self,
           Side  side,
           gsize most)
{
  TcpChannel *channel = self->ends[side];

  if (channel->phase == CLOSED || channel->paused)
    return FALSE;
  if (channel_read (channel, most))
    return TRUE;
  if (self->cut || self->ends[OTHER (side)]->phase != CLOSED || channel->paused)
    return FALSE;

  channel_finish (channel);
  return TRUE;
}

gboolean
link_feed (Link         *self,
           Side          side,
           const guint8 *data,
           gsize         length,
           gboolean      first,
           gboolean      last)
{
  TcpChannel *channel = self->ends[side];

  if (channel->phase == CLOSED || channel->paused || channel->close_read)
    return FALSE;

  channel_deliver (channel, data, length, first, last);
  return TRUE;
}

void
link_cut (Link *self)
{
  self->cut = TRUE;
  for (Side side = CLIENT; side <= GATEWAY; side++)
    tcp_byte_queue_clear (&self->ends[side]->wire);
}

gboolean
link_cut_with_close (Link *self,
                     Side  side,
                     guint code)
{
  TcpChannel *far = self->ends[OTHER (side)];
  TcpBuffer *head = g_queue_peek_head (&far->queue);
  g_autoptr (TcpBuffer) frame = NULL;

  if (self->cut || far->close_queued || far->output_failed || (head != NULL && head->sent > 0))
    return FALSE;

  self->cut = TRUE;
  frame = close_frame (far, code, "something between");
  tcp_byte_queue_clear (&far->wire);
  tcp_byte_queue_append (&self->ends[side]->wire, frame->payload - frame->header, frame->header + frame->length);
  return TRUE;
}

gboolean
link_is_cut (Link *self)
{
  return self->cut;
}

void
link_break (Link *self,
            Side  side)
{
  channel_finish (self->ends[side]);
}

gboolean
link_is_closed (Link *self,
                Side  side)
{
  return self->ends[side]->phase == CLOSED;
}

/* Whether nothing is under way in either direction, complete or not. */
gboolean
link_is_empty (Link *self)
{
  for (Side side = CLIENT; side <= GATEWAY; side++)
    if (self->ends[side]->wire.length > 0 || self->ends[side]->input->len > self->ends[side]->start ||
        !g_queue_is_empty (&self->ends[side]->queue))
      return FALSE;

  return TRUE;
}
