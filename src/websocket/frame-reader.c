/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "websocket/frame-reader.h"

#include <string.h>
#include <tcptunnel/tcptunnel.h>
#include "base/i18n.h"

#define SMALL_SIZE (TCP_FRAME_SMALL + TCP_BUFFER_HEADROOM)

/* The large buffer of the last turn of this thread is kept for the next one: otherwise the allocator might return it to
 * the kernel in between. With a sanitizer it is not kept, so that a use after free is found. */
static GPrivate spare = G_PRIVATE_INIT (g_free);

static guint8 *
buffer_new (gsize capacity)
{
  guint8 *buffer = capacity > SMALL_SIZE ? g_private_get (&spare) : NULL;

  if (buffer == NULL)
    return g_malloc (capacity);
  g_private_set (&spare, NULL);
  return buffer;
}

static void
buffer_free (guint8 *buffer,
             gsize   capacity)
{
#ifndef __SANITIZE_ADDRESS__
  if (capacity > SMALL_SIZE && g_private_get (&spare) == NULL)
    {
      g_private_set (&spare, buffer);
      return;
    }
#endif
  g_free (buffer);
}

void
tcp_frame_reader_init (TcpFrameReader *self,
                       gboolean        masked)
{
  *self = (TcpFrameReader) { .masked = masked };
}

void
tcp_frame_reader_clear (TcpFrameReader *self)
{
  buffer_free (g_steal_pointer (&self->buffer), self->capacity);
  self->capacity = 0;
  self->start = self->end = 0;
}

/* Moves the data to the beginning of a buffer of this size. */
static void
reader_move (TcpFrameReader *self,
             gsize           capacity)
{
  gsize length = self->end - self->start;

  if (capacity != self->capacity)
    {
      guint8 *buffer = buffer_new (capacity);

      if (length > 0)
        memcpy (buffer, self->buffer + self->start, length);
      buffer_free (self->buffer, self->capacity);
      self->buffer = buffer;
      self->capacity = capacity;
    }
  else if (self->start > 0)
    {
      memmove (self->buffer, self->buffer + self->start, length);
    }
  self->start = 0;
  self->end = length;
}

/* The memory in addition to a small buffer. */
gsize
tcp_frame_reader_get_memory (TcpFrameReader *self)
{
  return self->capacity > SMALL_SIZE ? self->capacity : 0;
}

/* Returns where to put more bytes; tcp_frame_reader_add () must follow. There is always some room unless complete
 * frames wait, or, without @large, a part of one that does not fit into a small buffer. */
guint8 *
tcp_frame_reader_get_room (TcpFrameReader *self,
                           gboolean        large,
                           gsize          *size)
{
  reader_move (self, large || self->capacity > SMALL_SIZE ? TCP_FRAME_READER_SIZE : SMALL_SIZE);
  *size = self->capacity - self->end;
  return self->buffer + self->end;
}

void
tcp_frame_reader_add (TcpFrameReader *self,
                      gsize           length)
{
  g_assert (length <= self->capacity - self->end);

  self->end += length;
  if (self->start == self->end)
    tcp_frame_reader_clear (self);
}

/* Returned data is not used any more: frees an empty buffer, and replaces a large one that contains little. */
void
tcp_frame_reader_trim (TcpFrameReader *self)
{
  if (self->start == self->end)
    tcp_frame_reader_clear (self);
  else if (self->capacity > SMALL_SIZE && self->end - self->start <= SMALL_SIZE)
    reader_move (self, SMALL_SIZE);
}

/* Returns what has arrived of a frame that is larger than the buffer. */
static void
next_of_large_frame (TcpFrameReader *self,
                     TcpFrame       *frame)
{
  guint8 *data = self->buffer + self->start;
  gsize n = MIN (self->end - self->start, self->frame_left);

  if (self->frame_mask != 0)
    {
      tcp_frame_mask (data, n, self->frame_mask);
      /* The next part begins at this byte of the mask. */
      if (n % 4 != 0)
        {
          guint8 mask[8];

          memcpy (mask, &self->frame_mask, 4);
          memcpy (mask + 4, &self->frame_mask, 4);
          memcpy (&self->frame_mask, mask + n % 4, 4);
        }
    }
  self->start += n;
  self->frame_left -= n;

  frame->opcode = TCP_FRAME_CONTINUATION;
  frame->payload = data;
  frame->length = n;
  frame->first = FALSE;
  frame->last = self->frame_final && self->frame_left == 0;
}

static void
next_control (TcpFrameReader       *self,
              const TcpFrameHeader *header,
              TcpFrame             *frame)
{
  frame->frame = self->buffer + self->start;
  frame->frame_length = header->header + header->payload;
  self->start += frame->frame_length;

  memcpy (frame->control, frame->frame + header->header, header->payload);
  if (header->masked)
    tcp_frame_mask (frame->control, header->payload, header->mask);
  frame->control[header->payload] = '\0';
  frame->payload = frame->control;
  frame->length = header->payload;
}

static gboolean
next_data (TcpFrameReader       *self,
           const TcpFrameHeader *header,
           gsize                 available,
           TcpFrame             *frame)
{
  guint8 *data = self->buffer + self->start + header->header;
  gboolean large = header->payload > TCP_FRAME_MAX_WHOLE;
  gsize n = MIN (available - header->header, header->payload);

  /* Frames are returned whole if possible: a peer that lost the connection within a message sends all of it again. The
   * first part contains at least the header of the protocol. */
  if (large ? n < TCP_BUFFER_HEADROOM : n < header->payload)
    return FALSE;

  if (large)
    {
      n -= n % 4; /* keeps the mask aligned */
      self->frame_left = header->payload - n;
      self->frame_final = header->fin;
      self->frame_mask = header->mask;
    }
  if (header->masked)
    tcp_frame_mask (data, n, header->mask);
  self->in_message = !header->fin;
  self->start += header->header + n;

  frame->payload = data;
  frame->length = n;
  frame->first = header->opcode != TCP_FRAME_CONTINUATION;
  frame->last = header->fin && !large;
  return TRUE;
}

/* Returns the next frame, or the part of a large one that has arrived. FALSE without an error: more data is needed. */
gboolean
tcp_frame_reader_next (TcpFrameReader  *self,
                       TcpFrame        *frame,
                       GError         **error)
{
  gsize available = self->end - self->start;
  TcpFrameHeader header;
  gssize length;

  if (available == 0)
    return FALSE;
  if (self->frame_left > 0)
    {
      next_of_large_frame (self, frame);
      return TRUE;
    }

  length = tcp_frame_header_parse (&header, self->buffer + self->start, available, error);
  if (length <= 0)
    return FALSE;
  if (header.masked != self->masked)
    {
      g_set_error_literal (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL,
                           self->masked ? _("the peer sent an invalid WebSocket frame: a client must mask its frames")
                                        : _("the peer sent an invalid WebSocket frame: a server must not mask its frames"));
      return FALSE;
    }

  frame->opcode = header.opcode;
  if (tcp_frame_is_control (header.opcode))
    {
      if (available < length + header.payload)
        return FALSE;
      next_control (self, &header, frame);
      return TRUE;
    }
  if ((header.opcode == TCP_FRAME_CONTINUATION) != self->in_message)
    {
      g_set_error_literal (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL,
                           _("the peer sent the pieces of a WebSocket message out of order"));
      return FALSE;
    }
  return next_data (self, &header, available, frame);
}
