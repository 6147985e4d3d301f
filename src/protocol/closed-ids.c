/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "protocol/closed-ids.h"

typedef struct
{
  guint32 id;
  gint64 time;
} ClosedId;

struct _TcpClosedIds
{
  GQueue queue; /* of ClosedId, oldest first */
  GHashTable *ids;
};

TcpClosedIds *
tcp_closed_ids_new (void)
{
  TcpClosedIds *self = g_new0 (TcpClosedIds, 1);

  self->ids = g_hash_table_new (NULL, NULL);
  return self;
}

void
tcp_closed_ids_free (TcpClosedIds *self)
{
  g_queue_clear_full (&self->queue, g_free);
  g_hash_table_unref (self->ids);
  g_free (self);
}

void
tcp_closed_ids_prune (TcpClosedIds *self,
                      gint64        now)
{
  ClosedId *oldest;

  while ((oldest = g_queue_peek_head (&self->queue)) != NULL &&
         (now - oldest->time >= TCP_CLOSED_IDS_SPAN ||
          g_queue_get_length (&self->queue) > TCP_CLOSED_IDS_CAP))
    {
      g_hash_table_remove (self->ids, GUINT_TO_POINTER (oldest->id));
      g_free (g_queue_pop_head (&self->queue));
    }
}

/* @now is monotonic, in microseconds. */
void
tcp_closed_ids_add (TcpClosedIds *self,
                    guint32       id,
                    gint64        now)
{
  ClosedId *closed;

  if (!g_hash_table_add (self->ids, GUINT_TO_POINTER (id)))
    return;

  closed = g_new (ClosedId, 1);
  closed->id = id;
  closed->time = now;
  g_queue_push_tail (&self->queue, closed);
  tcp_closed_ids_prune (self, now);
}

gboolean
tcp_closed_ids_contains (TcpClosedIds *self,
                         guint32       id,
                         gint64        now)
{
  tcp_closed_ids_prune (self, now);
  return g_hash_table_contains (self->ids, GUINT_TO_POINTER (id));
}

/* When the last id expires, if no other is added before; -1 if there is none. */
gint64
tcp_closed_ids_next_timeout (TcpClosedIds *self)
{
  ClosedId *newest = g_queue_peek_tail (&self->queue);

  return newest != NULL ? newest->time + TCP_CLOSED_IDS_SPAN : -1;
}

/* The approximate memory that the ids take, in bytes. */
gsize
tcp_closed_ids_get_size (TcpClosedIds *self)
{
  return g_queue_get_length (&self->queue) * (sizeof (ClosedId) + sizeof (GList) + 4 * sizeof (gpointer));
}
