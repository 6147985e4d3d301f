/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/gone.h"

#include "base/secret-hash.h"

struct _TcpGone
{
  guint max;
  GHashTable *ids;    /* id → Gone */
  GHashTable *orders; /* owner → Order, none of them empty */
};

typedef struct
{
  char *owner;
  GQueue queue; /* of Gone, oldest first */
} Order;

typedef struct
{
  GList link;   /* in the queue */
  Order *order; /* that of its owner */
  char *id;
} Gone;

static void
gone_free (gpointer data)
{
  Gone *gone = data;

  g_free (gone->id);
  g_free (gone);
}

static void
order_free (gpointer data)
{
  Order *order = data;

  g_free (order->owner);
  g_free (order);
}

/* @max is not 0. */
TcpGone *
tcp_gone_new (guint max)
{
  TcpGone *self = g_new0 (TcpGone, 1);

  self->max = max;
  self->ids = g_hash_table_new_full (tcp_secret_hash, g_str_equal, NULL, gone_free);
  self->orders = g_hash_table_new_full (tcp_secret_hash, g_str_equal, NULL, order_free);
  return self;
}

void
tcp_gone_free (TcpGone *self)
{
  g_hash_table_unref (self->ids);
  g_hash_table_unref (self->orders);
  g_free (self);
}

static void
gone_forget (TcpGone *self,
             Gone    *gone)
{
  g_queue_unlink (&gone->order->queue, &gone->link);
  if (g_queue_is_empty (&gone->order->queue))
    g_hash_table_remove (self->orders, gone->order->owner);
  g_hash_table_remove (self->ids, gone->id);
}

/* There are at most as many owners as principals, and as ids. */
static GQueue *
gone_find_longest (TcpGone *self)
{
  GHashTableIter iter;
  gpointer order;
  GQueue *longest = NULL;

  g_hash_table_iter_init (&iter, self->orders);
  while (g_hash_table_iter_next (&iter, NULL, &order))
    if (longest == NULL || ((Order *) order)->queue.length > longest->length)
      longest = &((Order *) order)->queue;
  return longest;
}

static Order *
gone_get_order (TcpGone    *self,
                const char *owner)
{
  Order *order = g_hash_table_lookup (self->orders, owner);

  if (order == NULL)
    {
      order = g_new0 (Order, 1);
      order->owner = g_strdup (owner);
      g_hash_table_insert (self->orders, order->owner, order);
    }
  return order;
}

/* An id that is already there becomes the newest. */
void
tcp_gone_add (TcpGone    *self,
              const char *owner,
              const char *id)
{
  Gone *gone = g_new0 (Gone, 1);
  Gone *former = g_hash_table_lookup (self->ids, id);

  gone->id = g_strdup (id);
  gone->link.data = gone;
  if (former != NULL)
    gone_forget (self, former);
  if (g_hash_table_size (self->ids) >= self->max)
    gone_forget (self, gone_find_longest (self)->head->data);

  gone->order = gone_get_order (self, owner);
  g_queue_push_tail_link (&gone->order->queue, &gone->link);
  g_hash_table_insert (self->ids, gone->id, gone);
}

/* Calls @func for the ids of each owner, oldest first. */
void
tcp_gone_foreach (TcpGone     *self,
                  TcpGoneFunc  func,
                  gpointer     user_data)
{
  GHashTableIter iter;
  gpointer order;

  g_hash_table_iter_init (&iter, self->orders);
  while (g_hash_table_iter_next (&iter, NULL, &order))
    for (GList *l = ((Order *) order)->queue.head; l != NULL; l = l->next)
      func (((Order *) order)->owner, ((Gone *) l->data)->id, user_data);
}

gboolean
tcp_gone_contains (TcpGone    *self,
                   const char *id)
{
  return g_hash_table_contains (self->ids, id);
}
