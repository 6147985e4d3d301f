/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A node of a binary heap, which is the first member of a struct. The heap is an array of nodes, the one with the
 * smallest key first. */
typedef struct
{
  gint64 key;
  guint index; /* in the heap, from 1; 0 if it is not in the heap */
} TcpHeapNode;

void tcp_heap_place (GPtrArray   *heap,
                     TcpHeapNode *node);
void tcp_heap_remove (GPtrArray   *heap,
                      TcpHeapNode *node);

G_END_DECLS
