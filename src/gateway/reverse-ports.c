/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/reverse-ports.h"

#include <string.h>
#include "base/host-port.h"
#include "base/invalid.h"
#include "base/tsan.h"

/* Where a range does not say on which address. What listens there has no token to ask for. */
#define DEFAULT_ADDRESS "127.0.0.1"

typedef struct
{
  guint16 first;
  guint16 last;
  GInetAddress *address;
} Range;

struct _TcpReversePorts
{
  GArray *ranges; /* of Range, the lowest first; they do not overlap */
  TcpQuota quota;

  GMutex mutex;
  GHashTable *claims; /* under the mutex: port → GQueue of TcpReverseClaim, of which the first has it */
};

struct _TcpReverseClaim
{
  gatomicrefcount refs; /* one is that of a call that is on its way to its thread */
  TcpReversePorts *ports;
  guint16 port;
  TcpQuotaShare *owner;
  TcpIoThread *thread;
  TcpReverseClaimCallbacks callbacks;
  gpointer user_data;
  gboolean freed; /* only touched on its thread */
};

static void
range_clear (gpointer data)
{
  g_clear_object (&((Range *) data)->address);
}

static gboolean
range_parse_address (Range       *self,
                     const char  *text,
                     gsize        length,
                     GError     **error)
{
  g_autofree char *host = NULL;
  gboolean is_address = FALSE;

  host = tcp_host_parse (text, length, &is_address, error);
  if (host == NULL)
    return FALSE;
  if (is_address)
    self->address = g_inet_address_new_from_string (host);
  return self->address != NULL || tcp_invalid (error, "“%s” is not an address, such as 0.0.0.0 or [::]", host);
}

static gboolean
range_parse (Range       *self,
             const char  *pattern,
             GError     **error)
{
  const char *colon = strrchr (pattern, ':');
  const char *ports = colon != NULL ? colon + 1 : pattern;
  const char *dash = strchr (ports, '-');
  gsize length = dash != NULL ? (gsize) (dash - ports) : strlen (ports);

  if (colon != NULL && !range_parse_address (self, pattern, colon - pattern, error))
    return FALSE;
  if (colon == NULL)
    self->address = g_inet_address_new_from_string (DEFAULT_ADDRESS);
  if (!tcp_port_parse (ports, length, &self->first) ||
      (dash != NULL && !tcp_port_parse (dash + 1, strlen (dash + 1), &self->last)))
    return tcp_invalid (error, "“%s” is not a port or a range such as 57090-57099, with or without an address before it "
                        "such as 0.0.0.0:57090-57099", pattern);
  if (dash == NULL)
    self->last = self->first;
  return self->first <= self->last || tcp_invalid (error, "“%s” ends before it begins", pattern);
}

static int
compare_ranges (gconstpointer a,
                gconstpointer b)
{
  return ((const Range *) a)->first - ((const Range *) b)->first;
}

static guint
ports_count (TcpReversePorts *self)
{
  guint count = 0;

  for (guint i = 0; i < self->ranges->len; i++)
    count += g_array_index (self->ranges, Range, i).last - g_array_index (self->ranges, Range, i).first + 1;
  return count;
}

/* @patterns may be NULL, which allows nothing. */
TcpReversePorts *
tcp_reverse_ports_new (const char *const *patterns,
                       GError           **error)
{
  g_autoptr (TcpReversePorts) self = g_new0 (TcpReversePorts, 1);

  g_mutex_init (&self->mutex);
  tcp_quota_init (&self->quota, 0);
  self->claims = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) g_queue_free);
  self->ranges = g_array_new (FALSE, TRUE, sizeof (Range));
  g_array_set_clear_func (self->ranges, range_clear);
  for (; patterns != NULL && *patterns != NULL; patterns++)
    {
      Range range = { 0 };

      if (!range_parse (&range, *patterns, error))
        {
          range_clear (&range);
          return NULL;
        }
      g_array_append_val (self->ranges, range);
    }

  g_array_sort (self->ranges, compare_ranges);
  for (guint i = 1; i < self->ranges->len; i++)
    {
      guint16 first = g_array_index (self->ranges, Range, i).first;

      if (first <= g_array_index (self->ranges, Range, i - 1).last)
        {
          tcp_invalid (error, "the port %u is given twice", first);
          return NULL;
        }
    }
  tcp_quota_clear (&self->quota);
  tcp_quota_init (&self->quota, ports_count (self));
  return g_steal_pointer (&self);
}

/* No claim is left. */
void
tcp_reverse_ports_free (TcpReversePorts *self)
{
  g_assert (g_hash_table_size (self->claims) == 0);

  g_hash_table_unref (self->claims);
  g_array_unref (self->ranges);
  tcp_quota_clear (&self->quota);
  g_mutex_clear (&self->mutex);
  g_free (self);
}

gboolean
tcp_reverse_ports_is_empty (TcpReversePorts *self)
{
  return self->ranges->len == 0;
}

TcpQuota *
tcp_reverse_ports_get_quota (TcpReversePorts *self)
{
  return &self->quota;
}

static const Range *
ports_find (TcpReversePorts *self,
            guint16          port)
{
  for (guint i = 0; i < self->ranges->len; i++)
    {
      const Range *range = &g_array_index (self->ranges, Range, i);

      if (port >= range->first && port <= range->last)
        return range;
    }
  return NULL;
}

/* The lowest above @after, whoever has it; 0 if there is none. */
guint16
tcp_reverse_ports_get_next (TcpReversePorts *self,
                            guint16          after)
{
  for (guint i = 0; i < self->ranges->len; i++)
    {
      const Range *range = &g_array_index (self->ranges, Range, i);

      if (after < range->last)
        return MAX (range->first, after + 1);
    }
  return 0;
}

/* Of a port that may be used. */
GSocketAddress *
tcp_reverse_ports_get_address (TcpReversePorts *self,
                               guint16          port)
{
  return g_inet_socket_address_new (ports_find (self, port)->address, port);
}

/* Claims */

static void
claim_unref (gpointer data)
{
  TcpReverseClaim *self = data;

  tcp_tsan_release (self);
  if (!g_atomic_ref_count_dec (&self->refs))
    return;

  tcp_tsan_acquire (self);
  g_free (self);
}

/* With the mutex. */
static void
claim_invoke (TcpReverseClaim *self,
              TcpIoFunc        func)
{
  g_atomic_ref_count_inc (&self->refs);
  tcp_tsan_release (self);
  tcp_io_thread_invoke (self->thread, func, self, claim_unref);
}

static void
claim_do_grant (gpointer data)
{
  TcpReverseClaim *self = data;

  tcp_tsan_acquire (self);
  if (!self->freed)
    self->callbacks.granted (self, self->user_data);
}

static void
claim_do_want (gpointer data)
{
  TcpReverseClaim *self = data;

  tcp_tsan_acquire (self);
  if (!self->freed)
    self->callbacks.wanted (self, self->user_data);
}

static GQueue *
ports_get_queue (TcpReversePorts *self,
                 guint16          port)
{
  GQueue *queue = g_hash_table_lookup (self->claims, GUINT_TO_POINTER (port));

  if (queue == NULL)
    {
      queue = g_queue_new ();
      g_hash_table_insert (self->claims, GUINT_TO_POINTER (port), queue);
    }
  return queue;
}

/* With the mutex. */
static TcpReverseResult
ports_judge (TcpReversePorts *self,
             guint16          port,
             TcpQuotaShare   *owner,
             gboolean         waits)
{
  GQueue *queue = g_hash_table_lookup (self->claims, GUINT_TO_POINTER (port));

  if (queue != NULL)
    return waits && ((TcpReverseClaim *) g_queue_peek_head (queue))->owner == owner ? TCP_REVERSE_WAITING
                                                                                    : TCP_REVERSE_IN_USE;
  switch (tcp_quota_enter (&self->quota, owner))
    {
    case TCP_QUOTA_ENTERED:
      return TCP_REVERSE_GRANTED;
    case TCP_QUOTA_OWN_FULL:
      return TCP_REVERSE_OWN_FULL;
    default:
      return TCP_REVERSE_SET_ASIDE;
    }
}

/* What is claimed of a port that another session of @owner has is granted later, if it @waits, when that gives it up.
 * NULL if it is neither granted nor waits. @thread is the current one. */
TcpReverseClaim *
tcp_reverse_ports_claim (TcpReversePorts                *self,
                         guint16                         port,
                         TcpQuotaShare                  *owner,
                         gboolean                        waits,
                         TcpIoThread                    *thread,
                         const TcpReverseClaimCallbacks *callbacks,
                         gpointer                        user_data,
                         TcpReverseResult               *result)
{
  TcpReverseClaim *claim = NULL;
  GQueue *queue;

  *result = TCP_REVERSE_FORBIDDEN;
  if (ports_find (self, port) == NULL)
    return NULL;

  g_mutex_lock (&self->mutex);
  *result = ports_judge (self, port, owner, waits);
  if (*result == TCP_REVERSE_GRANTED || *result == TCP_REVERSE_WAITING)
    {
      queue = ports_get_queue (self, port);
      claim = g_new0 (TcpReverseClaim, 1);
      g_atomic_ref_count_init (&claim->refs);
      claim->ports = self;
      claim->port = port;
      claim->owner = owner;
      claim->thread = thread;
      claim->callbacks = *callbacks;
      claim->user_data = user_data;
      g_queue_push_tail (queue, claim);
      if (*result == TCP_REVERSE_WAITING)
        claim_invoke (g_queue_peek_head (queue), claim_do_want);
    }
  g_mutex_unlock (&self->mutex);
  return claim;
}

gboolean
tcp_reverse_claim_is_wanted (TcpReverseClaim *self)
{
  gboolean wanted;

  g_mutex_lock (&self->ports->mutex);
  wanted = g_queue_get_length (ports_get_queue (self->ports, self->port)) > 1;
  g_mutex_unlock (&self->ports->mutex);
  return wanted;
}

/* Gives the port up, or waits no more. */
void
tcp_reverse_claim_free (TcpReverseClaim *self)
{
  TcpReversePorts *ports = self->ports;
  TcpReverseClaim *next;
  GQueue *queue;

  self->freed = TRUE;
  g_mutex_lock (&ports->mutex);
  queue = ports_get_queue (ports, self->port);
  next = g_queue_peek_head (queue) == self ? g_queue_peek_nth (queue, 1) : NULL;
  g_queue_remove (queue, self);
  if (next != NULL)
    claim_invoke (next, claim_do_grant);
  /* That which waited is one of the same owner. */
  if (g_queue_is_empty (queue))
    {
      g_hash_table_remove (ports->claims, GUINT_TO_POINTER (self->port));
      tcp_quota_leave (&ports->quota, self->owner);
    }
  g_mutex_unlock (&ports->mutex);
  claim_unref (self);
}
