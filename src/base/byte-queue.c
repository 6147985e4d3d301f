/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/byte-queue.h"

#include <string.h>

/* Small blocks are possible, so that small amounts of many connections do not hold a large block each. */
#define MIN_BLOCK 2048
#define MAX_BLOCK (32 * 1024)

typedef struct
{
  gsize used;
  gsize size;
  guint8 data[];
} Block;

void
tcp_byte_queue_append (TcpByteQueue *self,
                       const guint8 *data,
                       gsize         length)
{
  Block *tail = g_queue_peek_tail (&self->blocks);

  self->length += length;
  while (length > 0)
    {
      gsize n;

      if (tail == NULL || tail->used == tail->size)
        {
          gsize size = CLAMP (length, MIN_BLOCK, MAX_BLOCK);

          tail = g_malloc (sizeof (Block) + size);
          tail->used = 0;
          tail->size = size;
          g_queue_push_tail (&self->blocks, tail);
        }
      n = MIN (length, tail->size - tail->used);
      memcpy (tail->data + tail->used, data, n);
      tail->used += n;
      data += n;
      length -= n;
    }
}

/* Returns the first contiguous run, or NULL if the queue is empty. */
const guint8 *
tcp_byte_queue_peek (TcpByteQueue *self,
                     gsize        *length)
{
  Block *head = g_queue_peek_head (&self->blocks);

  if (head == NULL)
    return NULL;

  *length = head->used - self->head;
  return head->data + self->head;
}

/* @length is at most that of tcp_byte_queue_peek (). */
void
tcp_byte_queue_drop (TcpByteQueue *self,
                     gsize         length)
{
  Block *head = g_queue_peek_head (&self->blocks);

  g_assert (head != NULL && self->head + length <= head->used);

  self->head += length;
  self->length -= length;
  if (self->head == head->used)
    {
      g_free (g_queue_pop_head (&self->blocks));
      self->head = 0;
    }
}

/* Appends the whole content to @copy. */
void
tcp_byte_queue_copy (TcpByteQueue *self,
                     GByteArray   *copy)
{
  gsize skipped = self->head;

  for (GList *l = self->blocks.head; l != NULL; l = l->next)
    {
      Block *block = l->data;

      g_byte_array_append (copy, block->data + skipped, block->used - skipped);
      skipped = 0;
    }
}

void
tcp_byte_queue_clear (TcpByteQueue *self)
{
  g_queue_clear_full (&self->blocks, g_free);
  self->head = 0;
  self->length = 0;
}
