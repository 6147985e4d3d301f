/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/reverse-ports.h"

#include <string.h>
#include "base/host-port.h"
#include "base/i18n.h"
#include "base/invalid.h"
#include "base/ref-count.h"
#include "base/tsan.h"

/* The address for ranges that name none. Connections to it need no token. */
#define DEFAULT_ADDRESS "127.0.0.1"

/* The number of claims that may wait for one port. */
#define MAX_WAITING 8

/* The ports for one principal, or for all. */
typedef struct
{
  char *name;  /* of the principal, NULL for all */
  GQueue free; /* under the mutex: the ports that are not taken, of which the first is taken next */
  gint64 missed_at; /* under the mutex: when one of them was last requested but all were taken */
} Pool;

typedef struct
{
  guint16 first;
  guint16 last;
  GInetAddress *address;
  char *name;
  Pool *pool;
  GList *links; /* one for each port, in the pool while the port is not taken */
} Range;

struct _TcpReversePorts
{
  TcpQuota quota; /* of the ports for all principals */

  GMutex mutex;
  char **patterns;    /* under the mutex, as is everything below; nullable */
  GArray *ranges;     /* of Range, the lowest first; they do not overlap */
  GPtrArray *pools;
  GHashTable *claims; /* port → GQueue of TcpReverseClaim, of which the first has the port */
};

struct _TcpReverseClaim
{
  gatomicrefcount refs; /* a call that is being passed to its thread holds one */
  TcpReversePorts *ports;
  guint16 port;
  GInetAddress *address;
  Pool *pool; /* under the mutex; NULL if the port is no longer allowed */
  TcpReverseClaimant claimant;
  gboolean notifying;  /* under the mutex: a call that reports the wish of another session is being passed to its
                      * thread */
  gint64 missed_at;  /* under the mutex: when another owner requested its port, 0 if none did */
  gboolean freed; /* only used on its thread */
};

static void
range_clear (gpointer data)
{
  Range *self = data;

  g_clear_object (&self->address);
  g_free (self->name);
  g_free (self->links);
}

static void
pool_free (gpointer data)
{
  g_free (((Pool *) data)->name);
  g_free (data);
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
  return self->address != NULL || tcp_invalid (error, _("“%s” is not an address, such as 0.0.0.0 or [::]"), host);
}

static gboolean
range_parse (Range       *self,
             const char  *pattern,
             GError     **error)
{
  const char *at = strrchr (pattern, '@');
  const char *where = at != NULL ? at + 1 : pattern;
  const char *colon = strrchr (where, ':');
  const char *ports = colon != NULL ? colon + 1 : where;

  if (at == pattern)
    return tcp_invalid (error, _("“%s” has no name before the @"), pattern);
  if (at != NULL)
    self->name = g_strndup (pattern, at - pattern);
  if (colon != NULL && !range_parse_address (self, where, colon - where, error))
    return FALSE;
  if (colon == NULL)
    self->address = g_inet_address_new_from_string (DEFAULT_ADDRESS);
  if (!tcp_port_range_parse (ports, &self->first, &self->last))
    return tcp_invalid (error, _("“%s” is not a port or a range such as 57090-57099, perhaps after an address, as in "
                                 "0.0.0.0:57090-57099, or a name, as in alice@57090-57099"), pattern);
  return self->first <= self->last || tcp_invalid (error, _("the range “%s” ends before it begins"), pattern);
}

static int
compare_ranges (gconstpointer a,
                gconstpointer b)
{
  return ((const Range *) a)->first - ((const Range *) b)->first;
}

/* @name is NULL for the pool of all principals. NULL if there is no such pool. */
static Pool *
ports_find_pool (TcpReversePorts *self,
                 const char      *name)
{
  for (guint i = 0; i < self->pools->len; i++)
    if (g_strcmp0 (((Pool *) self->pools->pdata[i])->name, name) == 0)
      return self->pools->pdata[i];
  return NULL;
}

static void
ports_fill_pool (TcpReversePorts *self,
                 Range           *range)
{
  range->pool = ports_find_pool (self, range->name);
  if (range->pool == NULL)
    {
      range->pool = g_new0 (Pool, 1);
      range->pool->name = g_strdup (range->name);
      g_ptr_array_add (self->pools, range->pool);
    }
  range->links = g_new0 (GList, range->last - range->first + 1);
  for (guint i = 0; i <= (guint) range->last - range->first; i++)
    {
      range->links[i].data = GUINT_TO_POINTER (range->first + i);
      g_queue_push_tail_link (&range->pool->free, &range->links[i]);
    }
}

static guint
ports_count_for_all (TcpReversePorts *self)
{
  Pool *pool = ports_find_pool (self, NULL);

  return pool != NULL ? g_queue_get_length (&pool->free) : 0;
}

/* @patterns may be NULL, which allows nothing. */
TcpReversePorts *
tcp_reverse_ports_new (const char *const *patterns,
                       GError           **error)
{
  g_autoptr (TcpReversePorts) self = g_new0 (TcpReversePorts, 1);

  g_mutex_init (&self->mutex);
  tcp_quota_init (&self->quota, 0);
  self->patterns = g_strdupv ((char **) patterns);
  self->claims = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) g_queue_free);
  self->pools = g_ptr_array_new_with_free_func (pool_free);
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
          tcp_invalid (error, _("the port %u is given twice"), first);
          return NULL;
        }
    }
  for (guint i = 0; i < self->ranges->len; i++)
    ports_fill_pool (self, &g_array_index (self->ranges, Range, i));
  tcp_quota_clear (&self->quota);
  tcp_quota_init (&self->quota, ports_count_for_all (self));
  return g_steal_pointer (&self);
}

/* No claim must be left. */
void
tcp_reverse_ports_free (TcpReversePorts *self)
{
  g_assert (g_hash_table_size (self->claims) == 0);

  g_hash_table_unref (self->claims);
  g_strfreev (self->patterns);
  g_array_unref (self->ranges);
  g_ptr_array_unref (self->pools);
  tcp_quota_clear (&self->quota);
  g_mutex_clear (&self->mutex);
  g_free (self);
}

gboolean
tcp_reverse_ports_is_empty (TcpReversePorts *self)
{
  gboolean is_empty;

  g_mutex_lock (&self->mutex);
  is_empty = self->ranges->len == 0;
  g_mutex_unlock (&self->mutex);
  return is_empty;
}

TcpQuota *
tcp_reverse_ports_get_quota (TcpReversePorts *self)
{
  return &self->quota;
}

/* Called with the mutex held. */
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

/* Claims */

static void
claim_unref (gpointer data)
{
  TcpReverseClaim *self = data;

  if (!tcp_ref_count_dec (&self->refs))
    return;

  g_object_unref (self->address);
  g_free (self);
}

/* Called with the mutex held. */
static void
claim_invoke (TcpReverseClaim *self,
              TcpIoFunc        func)
{
  g_atomic_ref_count_inc (&self->refs);
  tcp_tsan_release (self);
  tcp_io_thread_invoke (self->claimant.thread, func, self, claim_unref);
}

static void
claim_do_grant (gpointer data)
{
  TcpReverseClaim *self = data;

  tcp_tsan_acquire (self);
  if (!self->freed)
    self->claimant.callbacks->granted (self, self->claimant.user_data);
}

static void
claim_do_want (gpointer data)
{
  TcpReverseClaim *self = data;

  tcp_tsan_acquire (self);
  if (self->freed)
    return;

  g_mutex_lock (&self->ports->mutex);
  self->notifying = FALSE;
  g_mutex_unlock (&self->ports->mutex);
  self->claimant.callbacks->wanted (self, self->claimant.user_data);
}

/* These functions are called with the mutex held. NULL if the port is not taken. */
static GQueue *
ports_get_queue (TcpReversePorts *self,
                 guint16          port)
{
  return g_hash_table_lookup (self->claims, GUINT_TO_POINTER (port));
}

static GList *
ports_get_link (TcpReversePorts *self,
                guint16          port)
{
  const Range *range = ports_find (self, port);

  return &range->links[port - range->first];
}

static TcpReverseClaim *
claim_new (TcpReversePorts          *self,
           guint16                   port,
           const TcpReverseClaimant *claimant)
{
  TcpReverseClaim *claim = g_new0 (TcpReverseClaim, 1);
  const Range *range = ports_find (self, port);
  GQueue *queue = ports_get_queue (self, port);

  g_atomic_ref_count_init (&claim->refs);
  claim->ports = self;
  claim->port = port;
  claim->address = g_object_ref (range->address);
  claim->pool = range->pool;
  claim->claimant = *claimant;
  if (queue == NULL)
    {
      queue = g_queue_new ();
      g_hash_table_insert (self->claims, GUINT_TO_POINTER (port), queue);
      g_queue_unlink (&claim->pool->free, ports_get_link (self, port));
    }
  g_queue_push_tail (queue, claim);
  return claim;
}

static gboolean
pool_is_for (Pool             *self,
             const TcpAccount *owner)
{
  return self->name == NULL || strcmp (self->name, owner->name) == 0;
}

/* Whether the owner may take another port of the pool. Ports in a pool of its own are not counted. */
static TcpReverseResult
pool_enter (Pool            *self,
            TcpReversePorts *ports,
            TcpAccount      *owner)
{
  if (self->name != NULL)
    return TCP_REVERSE_GRANTED;

  switch (tcp_quota_enter (&ports->quota, &owner->reverse_ports))
    {
    case TCP_QUOTA_ENTERED:
      return TCP_REVERSE_GRANTED;
    case TCP_QUOTA_OWN_FULL:
      return TCP_REVERSE_OWN_FULL;
    default:
      return TCP_REVERSE_SET_ASIDE;
    }
}

/* Whether the session may wait for this port: another session of the same owner has it, and only few wait. */
static gboolean
queue_takes (GQueue                   *self,
             const TcpReverseClaimant *claimant)
{
  TcpReverseClaim *holder = g_queue_peek_head (self);

  if (holder->pool == NULL || holder->claimant.owner != claimant->owner || g_queue_get_length (self) > MAX_WAITING)
    return FALSE;
  for (GList *l = self->head; l != NULL; l = l->next)
    if (((TcpReverseClaim *) l->data)->claimant.session == claimant->session)
      return FALSE;
  return TRUE;
}

/* Asks the session that has the port to give it up. */
static void
queue_want (GQueue *self)
{
  TcpReverseClaim *holder = g_queue_peek_head (self);

  if (holder->notifying)
    return;

  holder->notifying = TRUE;
  claim_invoke (holder, claim_do_want);
}

/* If another session of @owner has the port, the claim is granted later, when that session gives it up. NULL if the
 * claim is neither granted nor waits; a session does not wait for itself. */
TcpReverseClaim *
tcp_reverse_ports_claim (TcpReversePorts          *self,
                         guint16                   port,
                         const TcpReverseClaimant *claimant,
                         TcpReverseResult         *result)
{
  const Range *range;
  TcpReverseClaim *claim = NULL;
  GQueue *queue;

  g_mutex_lock (&self->mutex);
  range = ports_find (self, port);
  queue = ports_get_queue (self, port);
  if (range == NULL || !pool_is_for (range->pool, claimant->owner))
    {
      *result = TCP_REVERSE_FORBIDDEN;
      queue = NULL;
    }
  else if (queue == NULL)
    *result = pool_enter (range->pool, self, claimant->owner);
  else
    *result = queue_takes (queue, claimant) ? TCP_REVERSE_WAITING : TCP_REVERSE_IN_USE;

  if (*result == TCP_REVERSE_GRANTED || *result == TCP_REVERSE_WAITING)
    claim = claim_new (self, port, claimant);
  else if (queue != NULL && ((TcpReverseClaim *) g_queue_peek_head (queue))->claimant.owner != claimant->owner)
    ((TcpReverseClaim *) g_queue_peek_head (queue))->missed_at = g_get_monotonic_time ();
  if (*result == TCP_REVERSE_WAITING)
    queue_want (queue);
  g_mutex_unlock (&self->mutex);
  return claim;
}

/* Claims a port that is not taken, first one of the owner's own. NULL if there is none. */
TcpReverseClaim *
tcp_reverse_ports_claim_any (TcpReversePorts          *self,
                             const TcpReverseClaimant *claimant,
                             TcpReverseResult         *result)
{
  Pool *pools[2];
  TcpReverseClaim *claim = NULL;

  *result = TCP_REVERSE_IN_USE;
  g_mutex_lock (&self->mutex);
  pools[0] = ports_find_pool (self, claimant->owner->name);
  pools[1] = ports_find_pool (self, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (pools) && *result == TCP_REVERSE_IN_USE; i++)
    {
      if (pools[i] == NULL || g_queue_is_empty (&pools[i]->free))
        continue;
      *result = pool_enter (pools[i], self, claimant->owner);
      if (*result == TCP_REVERSE_GRANTED)
        claim = claim_new (self, GPOINTER_TO_UINT (g_queue_peek_head (&pools[i]->free)), claimant);
    }
  for (guint i = 0; i < G_N_ELEMENTS (pools) && *result == TCP_REVERSE_IN_USE; i++)
    if (pools[i] != NULL)
      pools[i]->missed_at = g_get_monotonic_time ();
  g_mutex_unlock (&self->mutex);
  return claim;
}

/* Claims a port that another session of the same owner has, and waits for it. NULL if there is none. */
TcpReverseClaim *
tcp_reverse_ports_await_any (TcpReversePorts          *self,
                             const TcpReverseClaimant *claimant)
{
  TcpReverseClaim *claim = NULL;
  GHashTableIter iter;
  gpointer port;
  gpointer queue;

  g_mutex_lock (&self->mutex);
  g_hash_table_iter_init (&iter, self->claims);
  while (claim == NULL && g_hash_table_iter_next (&iter, &port, &queue))
    if (queue_takes (queue, claimant))
      {
        claim = claim_new (self, GPOINTER_TO_UINT (port), claimant);
        queue_want (queue);
      }
  g_mutex_unlock (&self->mutex);
  return claim;
}

guint16
tcp_reverse_claim_get_port (TcpReverseClaim *self)
{
  return self->port;
}

/* The address on which to listen. */
GSocketAddress *
tcp_reverse_claim_get_address (TcpReverseClaim *self)
{
  return g_inet_socket_address_new (self->address, self->port);
}

/* Whether the port is no longer allowed for its owner. */
gboolean
tcp_reverse_claim_is_revoked (TcpReverseClaim *self)
{
  gboolean is_revoked;

  g_mutex_lock (&self->ports->mutex);
  is_revoked = self->pool == NULL;
  g_mutex_unlock (&self->ports->mutex);
  return is_revoked;
}

/* Whether another session of its owner waits for the port. */
gboolean
tcp_reverse_claim_is_wanted (TcpReverseClaim *self)
{
  gboolean wanted;

  g_mutex_lock (&self->ports->mutex);
  wanted = g_queue_get_length (ports_get_queue (self->ports, self->port)) > 1;
  g_mutex_unlock (&self->ports->mutex);
  return wanted;
}

/* Whether a request of another owner, or for any port, has failed since then for lack of this port. */
gboolean
tcp_reverse_claim_is_missed (TcpReverseClaim *self,
                             gint64           since)
{
  gboolean missed;

  g_mutex_lock (&self->ports->mutex);
  missed = MAX (self->missed_at, self->pool != NULL ? self->pool->missed_at : 0) >= since;
  g_mutex_unlock (&self->ports->mutex);
  return missed;
}

/* Gives the port up, or stops waiting for it. */
void
tcp_reverse_claim_free (TcpReverseClaim *self)
{
  TcpReversePorts *ports = self->ports;
  const Range *range;
  TcpReverseClaim *next;
  GQueue *queue;

  self->freed = TRUE;
  g_mutex_lock (&ports->mutex);
  queue = ports_get_queue (ports, self->port);
  next = g_queue_peek_head (queue) == self ? g_queue_peek_nth (queue, 1) : NULL;
  g_queue_remove (queue, self);
  if (next != NULL)
    claim_invoke (next, claim_do_grant);
  if (g_queue_is_empty (queue))
    {
      g_hash_table_remove (ports->claims, GUINT_TO_POINTER (self->port));
      /* The claims that waited have the same owner. */
      if (self->pool != NULL && self->pool->name == NULL)
        tcp_quota_leave (&ports->quota, &self->claimant.owner->reverse_ports);
      /* The port is appended, so that it is taken last: clients may still connect to it for the former service. */
      range = ports_find (ports, self->port);
      if (range != NULL)
        g_queue_push_tail_link (&range->pool->free, &range->links[self->port - range->first]);
    }
  g_mutex_unlock (&ports->mutex);
  claim_unref (self);
}

/* Replacing the ports */

/* Whether the port may stay with its owner, which is counted if so. It keeps its address. */
static gboolean
ports_keep (TcpReversePorts *self,
            TcpReverseClaim *claim,
            const Range     *range)
{
  TcpAccount *owner = claim->claimant.owner;
  gboolean was_counted = claim->pool != NULL && claim->pool->name == NULL;
  gboolean is_allowed = claim->pool != NULL && range != NULL && pool_is_for (range->pool, owner) &&
                        g_inet_address_equal (range->address, claim->address);

  if (was_counted && (!is_allowed || range->pool->name != NULL))
    tcp_quota_leave (&self->quota, &owner->reverse_ports);
  if (is_allowed && !was_counted && range->pool->name == NULL)
    is_allowed = tcp_quota_enter (&self->quota, &owner->reverse_ports) == TCP_QUOTA_ENTERED;
  return is_allowed;
}

/* All claims of one port have the same owner. */
static void
ports_rebind (TcpReversePorts *self,
              guint16          port,
              GQueue          *queue)
{
  const Range *range = ports_find (self, port);
  gboolean is_kept = ports_keep (self, g_queue_peek_head (queue), range);

  if (range != NULL)
    g_queue_unlink (&range->pool->free, &range->links[port - range->first]);
  for (GList *l = queue->head; l != NULL; l = l->next)
    ((TcpReverseClaim *) l->data)->pool = is_kept ? range->pool : NULL;
}

static gboolean
ports_equal (TcpReversePorts *self,
             TcpReversePorts *other)
{
  if (self->patterns == NULL || other->patterns == NULL)
    return self->patterns == other->patterns;
  return g_strv_equal ((const char *const *) self->patterns, (const char *const *) other->patterns);
}

#define SWAP(type, a, b) G_STMT_START { type swapped_ = a; a = b; b = swapped_; } G_STMT_END

/* Replaces the ports with those of @other, which is not in use, and receives the former ones. Claims to ports that are
 * no longer allowed are revoked: their owners must free them. */
void
tcp_reverse_ports_replace (TcpReversePorts *self,
                           TcpReversePorts *other)
{
  GHashTableIter iter;
  gpointer port, queue;

  g_mutex_lock (&self->mutex);
  if (!ports_equal (self, other))
    {
      SWAP (char **, self->patterns, other->patterns);
      SWAP (GArray *, self->ranges, other->ranges);
      SWAP (GPtrArray *, self->pools, other->pools);
      tcp_quota_set_max (&self->quota, other->quota.max);
      g_hash_table_iter_init (&iter, self->claims);
      while (g_hash_table_iter_next (&iter, &port, &queue))
        ports_rebind (self, GPOINTER_TO_UINT (port), queue);
    }
  g_mutex_unlock (&self->mutex);
}
