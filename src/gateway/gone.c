/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/gone.h"

#include "base/secret-hash.h"

struct _TcpGone
{
  guint max;
  GHashTable *ids;    /* id → Gone */
  GHashTable *orders; /* owner → GQueue of Gone, the oldest first, none empty */
};

typedef struct
{
  GList link;    /* in the order, */
  GQueue *order; /* which is that of its owner */
  gconstpointer owner;
  char *id;
} Gone;

static void
gone_free (gpointer data)
{
  Gone *gone = data;

  g_free (gone->id);
  g_free (gone);
}

/* @max is not 0. */
TcpGone *
tcp_gone_new (guint max)
{
  TcpGone *self = g_new0 (TcpGone, 1);

  self->max = max;
  self->ids = g_hash_table_new_full (tcp_secret_hash, g_str_equal, NULL, gone_free);
  self->orders = g_hash_table_new_full (NULL, NULL, NULL, g_free);
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
  g_queue_unlink (gone->order, &gone->link);
  if (g_queue_is_empty (gone->order))
    g_hash_table_remove (self->orders, gone->owner);
  g_hash_table_remove (self->ids, gone->id);
}

/* There are as many owners as tokens at most. */
static GQueue *
gone_find_longest (TcpGone *self)
{
  GHashTableIter iter;
  gpointer order;
  GQueue *longest = NULL;

  g_hash_table_iter_init (&iter, self->orders);
  while (g_hash_table_iter_next (&iter, NULL, &order))
    if (longest == NULL || ((GQueue *) order)->length > longest->length)
      longest = order;
  return longest;
}

/* One that is there already becomes the newest. */
void
tcp_gone_add (TcpGone      *self,
              gconstpointer owner,
              const char   *id)
{
  Gone *gone = g_new0 (Gone, 1);
  Gone *former = g_hash_table_lookup (self->ids, id);

  gone->owner = owner;
  gone->id = g_strdup (id);
  gone->link.data = gone;
  if (former != NULL)
    gone_forget (self, former);
  if (g_hash_table_size (self->ids) >= self->max)
    gone_forget (self, gone_find_longest (self)->head->data);

  gone->order = g_hash_table_lookup (self->orders, owner);
  if (gone->order == NULL)
    {
      gone->order = g_new0 (GQueue, 1);
      g_hash_table_insert (self->orders, (gpointer) owner, gone->order);
    }
  g_queue_push_tail_link (gone->order, &gone->link);
  g_hash_table_insert (self->ids, gone->id, gone);
}

/* Of each owner the oldest first. */
void
tcp_gone_foreach (TcpGone     *self,
                  TcpGoneFunc  func,
                  gpointer     user_data)
{
  GHashTableIter iter;
  gpointer order;

  g_hash_table_iter_init (&iter, self->orders);
  while (g_hash_table_iter_next (&iter, NULL, &order))
    for (GList *l = ((GQueue *) order)->head; l != NULL; l = l->next)
      func (((Gone *) l->data)->owner, ((Gone *) l->data)->id, user_data);
}

gboolean
tcp_gone_contains (TcpGone    *self,
                   const char *id)
{
  return g_hash_table_contains (self->ids, id);
}
