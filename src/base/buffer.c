/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/buffer.h"

#include <string.h>

/* Buffers for bulk data are allocated and freed frequently, a megabyte of them at a time if they wait for
 * acknowledgements. The allocator would return that memory to the kernel, and have it cleared again, each time. So
 * every thread keeps some buffers of one size, except with a sanitizer, which then finds a use after free. */
#ifdef __SANITIZE_ADDRESS__
#define MAX_SPARE 0
#else
#define MAX_SPARE 16
#endif

typedef struct
{
  guint n;
  gpointer blocks[MAX_SPARE + 1];
} Spare;

static void
spare_free (gpointer data)
{
  Spare *self = data;

  while (self->n > 0)
    g_free (self->blocks[--self->n]);
  g_free (self);
}

static GPrivate spare = G_PRIVATE_INIT (spare_free);

static TcpBuffer *
block_new (void)
{
  Spare *self = g_private_get (&spare);

  return self != NULL && self->n > 0 ? self->blocks[--self->n] : g_malloc (TCP_BUFFER_MEMORY);
}

static void
block_free (TcpBuffer *block)
{
  Spare *self = g_private_get (&spare);

  if (self == NULL)
    {
      self = g_new0 (Spare, 1);
      g_private_set (&spare, self);
    }
  if (self->n == MAX_SPARE)
    g_free (block);
  else
    self->blocks[self->n++] = block;
}

TcpBuffer *
tcp_buffer_new (gsize capacity)
{
  gboolean is_block = capacity > TCP_BUFFER_SIZE / 2 && capacity <= TCP_BUFFER_SIZE;
  /* Not cleared, since it is about to be overwritten. */
  TcpBuffer *self = is_block ? block_new () : g_malloc (sizeof (TcpBuffer) + TCP_BUFFER_HEADROOM + capacity);

  memset (self, 0, sizeof (TcpBuffer));
  self->refs = 1;
  self->is_block = is_block;
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
  if (--self->refs > 0)
    return;

  if (self->is_block)
    block_free (self);
  else
    g_free (self);
}

/* Puts a protocol header before the payload, and makes it a part of the payload. */
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

/* Frees memory that a short read left unused: a queue of small messages must not hold a whole read buffer for each. A
 * buffer with further references stays unchanged. */
TcpBuffer *
tcp_buffer_shrink (TcpBuffer *self)
{
  gsize offset = self->payload - self->data;
  TcpBuffer *small;

  if (self->refs > 1 || self->length + 4096 > self->capacity)
    return self;

  if (!self->is_block)
    {
      self = g_realloc (self, sizeof (TcpBuffer) + offset + self->length);
      self->payload = self->data + offset;
      self->capacity = self->length;
      return self;
    }

  small = g_malloc (sizeof (TcpBuffer) + offset + self->length);
  memcpy (small, self, sizeof (TcpBuffer) + offset + self->length);
  small->is_block = FALSE;
  small->payload = small->data + offset;
  small->capacity = small->length;
  block_free (self);
  return small;
}

/* Returns the payload, which is not copied, since it may be large. The result holds a reference, and must be freed in
 * the buffer's thread. */
GVariant *
tcp_buffer_save (TcpBuffer *self)
{
  g_autoptr (GBytes) bytes = g_bytes_new_with_free_func (self->payload, self->length,
                                                         (GDestroyNotify) tcp_buffer_unref, tcp_buffer_ref (self));

  return g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, bytes, TRUE);
}

/* Makes a buffer with that payload. */
TcpBuffer *
tcp_buffer_load (GVariant *bytes)
{
  gsize length = g_variant_get_size (bytes);
  TcpBuffer *self = tcp_buffer_new (length);

  memcpy (self->payload, g_variant_get_data (bytes), length);
  self->length = length;
  return self;
}
