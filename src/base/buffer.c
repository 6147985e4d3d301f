/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/buffer.h"

#include <string.h>

TcpBuffer *
tcp_buffer_new (gsize capacity)
{
  /* Not cleared: it is about to be overwritten. */
  TcpBuffer *self = g_malloc (sizeof (TcpBuffer) + TCP_BUFFER_HEADROOM + capacity);

  memset (self, 0, sizeof (TcpBuffer));
  self->refs = 1;
  self->payload = self->data + TCP_BUFFER_HEADROOM;
  self->capacity = capacity;
  return self;
}

TcpBuffer *
tcp_buffer_ref (TcpBuffer *self)
{
  self->refs++;
  return self;
}

void
tcp_buffer_unref (TcpBuffer *self)
{
  if (--self->refs == 0)
    g_free (self);
}

/* Puts a header of a protocol in front of the payload, of which it becomes part. */
void
tcp_buffer_push (TcpBuffer  *self,
                 const void *data,
                 gsize       length)
{
  g_assert (self->payload - self->data >= (gssize) length);

  self->payload -= length;
  self->length += length;
  memcpy (self->payload, data, length);
}

/* Gives back what a short read left unused: a queue of small messages must not
 * hold a whole read buffer for each. One that somebody else holds too stays. */
TcpBuffer *
tcp_buffer_shrink (TcpBuffer *self)
{
  gsize offset = self->payload - self->data;

  if (self->refs > 1 || self->length + 4096 > self->capacity)
    return self;

  self = g_realloc (self, sizeof (TcpBuffer) + offset + self->length);
  self->payload = self->data + offset;
  self->capacity = self->length;
  return self;
}
