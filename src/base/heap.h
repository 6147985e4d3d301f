/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The place of something in a binary heap, of which it is the first member. The heap is an array of such places, the one
 * with the least key first. */
typedef struct
{
  gint64 key;
  guint index; /* in the heap, from 1; 0 if it is not there */
} TcpHeapNode;

void tcp_heap_place (GPtrArray   *heap,
                     TcpHeapNode *node);
void tcp_heap_remove (GPtrArray   *heap,
                      TcpHeapNode *node);

G_END_DECLS
