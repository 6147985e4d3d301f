/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/heap.h"

static TcpHeapNode *
heap_get (GPtrArray *heap,
          guint      index)
{
  return heap->pdata[index - 1];
}

static void
heap_put (GPtrArray   *heap,
          guint        index,
          TcpHeapNode *node)
{
  heap->pdata[index - 1] = node;
  node->index = index;
}

static void
heap_rise (GPtrArray   *heap,
           TcpHeapNode *node)
{
  guint index = node->index;

  for (; index > 1 && heap_get (heap, index / 2)->key > node->key; index /= 2)
    heap_put (heap, index, heap_get (heap, index / 2));
  heap_put (heap, index, node);
}

static void
heap_sink (GPtrArray   *heap,
           TcpHeapNode *node)
{
  guint index = node->index;

  while (index * 2 <= heap->len)
    {
      guint child = index * 2;

      if (child < heap->len && heap_get (heap, child + 1)->key < heap_get (heap, child)->key)
        child++;
      if (node->key <= heap_get (heap, child)->key)
        break;
      heap_put (heap, index, heap_get (heap, child));
      index = child;
    }
  heap_put (heap, index, node);
}

/* Moves the node to its place, according to its key, after adding it if it is not in the heap. */
void
tcp_heap_place (GPtrArray   *heap,
                TcpHeapNode *node)
{
  if (node->index == 0)
    {
      g_ptr_array_add (heap, node);
      node->index = heap->len;
    }
  heap_rise (heap, node);
  heap_sink (heap, node);
}

/* Does nothing if it is not in the heap. Its key may have changed. */
void
tcp_heap_remove (GPtrArray   *heap,
                 TcpHeapNode *node)
{
  guint index = node->index;
  TcpHeapNode *last;

  if (index == 0)
    return;

  last = heap_get (heap, heap->len);
  g_ptr_array_set_size (heap, heap->len - 1);
  node->index = 0;
  if (last == node)
    return;

  heap_put (heap, index, last);
  tcp_heap_place (heap, last);
}
