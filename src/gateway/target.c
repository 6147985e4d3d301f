/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/target.h"

#include <string.h>
#include "base/ref-count.h"
#include "base/secret-hash.h"
#include "base/tsan.h"
#include "gateway/addresses.h"
#include "io/connect.h"

/* How long the addresses of a name are used, in microseconds. */
#define FRESH (5 * G_TIME_SPAN_SECOND)

/* The number of lookups of one name at once. Another one begins only if the first has taken longer than any connection
 * waits, since it may never end. */
#define MAX_LOOKUPS 2

/* The number of names chosen by clients that are looked up at once: each lookup takes a thread of the pool that GIO
 * also uses for other things. Names of the configuration are not counted. */
#define MAX_FOREIGN_LOOKUPS 16

/* The number of names that are kept, in addition to those in use. */
#define MAX_TARGETS 256

struct _TcpTargetBook
{
  gatomicrefcount refs; /* each target holds one */
  gint64 timeout;       /* after which another lookup of a name may begin, in microseconds */

  GMutex mutex;
  /* under the mutex, as are the fields of its targets that say so */
  GHashTable *configured; /* host → TcpTarget, from the configuration of the gateway */
  GHashTable *targets;    /* likewise, requested by clients */
  GQueue recent;       /* of these, by their links: the least recently used is first */
  GQueue queued;       /* of TcpTarget, those that are to be looked up, the next first */
  guint n_lookups;     /* without those from the configuration */
};

struct _TcpTarget
{
  gatomicrefcount refs; /* each lookup holds one */
  TcpTargetBook *book;
  gboolean is_configured;
  char *hostname;  /* in lower case, if it is a name */
  GList recent;

  /* under the mutex of the book */
  GQueue waits; /* of TcpTargetWait (owned by the callers), oldest first */
  GList link;   /* has data while it is in the queue of the book; then there are waits */
  guint n_lookups;
  gint64 latest_lookup;      /* when the latest of the current lookups began */
  GList *known;              /* of GInetAddress: the latest result, or NULL */
  gint64 known_since;
};

struct _TcpTargetWait
{
  gatomicrefcount refs; /* a call that is being passed to its thread holds one */
  TcpTarget *target;    /* only used on the thread of the caller, as the rest except the link */
  TcpIoThread *thread;
  guint16 port;
  TcpTargetFunc func;
  gpointer user_data;
  GSocketConnectable *where;
  GError *error;
  GList link; /* under the mutex of the book; has data while it waits */
};

static TcpTargetBook *
book_ref (TcpTargetBook *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

static void
book_unref (TcpTargetBook *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  g_assert (self->n_lookups == 0 && g_queue_is_empty (&self->queued));
  g_mutex_clear (&self->mutex);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpTargetBook, book_unref)

static TcpTarget *
target_new (TcpTargetBook *book,
            const char    *host)
{
  TcpTarget *self = g_new0 (TcpTarget, 1);

  g_atomic_ref_count_init (&self->refs);
  self->book = book_ref (book);
  self->hostname = g_strdup (host);
  self->recent.data = self;
  return self;
}

TcpTarget *
tcp_target_ref (TcpTarget *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_target_unref (TcpTarget *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  g_assert (g_queue_is_empty (&self->waits));
  g_clear_pointer (&self->known, g_resolver_free_addresses);
  g_free (self->hostname);
  book_unref (self->book);
  g_free (self);
}

static void
wait_unref (gpointer data)
{
  TcpTargetWait *self = data;

  if (!tcp_ref_count_dec (&self->refs))
    return;

  g_clear_object (&self->where);
  g_clear_error (&self->error);
  g_free (self);
}

static void
wait_call (gpointer data)
{
  TcpTargetWait *self = data;

  tcp_tsan_acquire (self);
  /* It may have been freed meanwhile. */
  if (self->func != NULL)
    self->func (self->where, self->error, self->user_data);
}

/* These functions are called with the mutex held. */

static void
target_enqueue (TcpTarget *self)
{
  if (self->link.data != NULL)
    return;

  self->link.data = self;
  /* A configured target does not wait for others. */
  if (self->is_configured)
    g_queue_push_head_link (&self->book->queued, &self->link);
  else
    g_queue_push_tail_link (&self->book->queued, &self->link);
}

static void
target_dequeue (TcpTarget *self)
{
  if (self->link.data == NULL)
    return;

  g_queue_unlink (&self->book->queued, &self->link);
  self->link.data = NULL;
}

/* All waits get the result of the lookup that ends first. */
static void
target_answer (TcpTarget    *self,
               const GError *error)
{
  GList *link;

  while ((link = g_queue_pop_head_link (&self->waits)) != NULL)
    {
      TcpTargetWait *wait = link->data;

      link->data = NULL;
      if (error != NULL)
        wait->error = g_error_copy (error);
      else
        wait->where = tcp_addresses_new (self->known, wait->port);
      g_atomic_ref_count_inc (&wait->refs);
      tcp_tsan_release (wait);
      tcp_io_thread_invoke (wait->thread, wait_call, wait, wait_unref);
    }
  target_dequeue (self);
}

/* Returns a reference to the next target that may be looked up now, after counting the lookup; or NULL. */
static TcpTarget *
book_next (TcpTargetBook *self)
{
  TcpTarget *target = g_queue_peek_head (&self->queued);

  if (target == NULL || (!target->is_configured && self->n_lookups >= MAX_FOREIGN_LOOKUPS))
    return NULL;

  target_dequeue (target);
  target->n_lookups++;
  target->latest_lookup = g_get_monotonic_time ();
  self->n_lookups += !target->is_configured;
  return tcp_target_ref (target);
}

/* These functions are called without the mutex. */

static void book_look_up (TcpTargetBook *self);

static void
on_looked_up (GObject      *object,
              GAsyncResult *result,
              gpointer      user_data)
{
  TcpTarget *self = user_data;
  g_autoptr (TcpTargetBook) book = book_ref (self->book);
  g_autoptr (GError) error = NULL;
  GList *addresses = g_resolver_lookup_by_name_finish (G_RESOLVER (object), result, &error);

  g_mutex_lock (&book->mutex);
  self->n_lookups--;
  book->n_lookups -= !self->is_configured;
  if (addresses != NULL)
    {
      g_clear_pointer (&self->known, g_resolver_free_addresses);
      self->known = addresses;
      self->known_since = g_get_monotonic_time ();
    }
  target_answer (self, error);
  g_mutex_unlock (&book->mutex);

  tcp_target_unref (self);
  book_look_up (book);
}

/* The lookup is not cancelled: its thread continues until the name server has answered, and counts until then. */
static void
book_look_up (TcpTargetBook *self)
{
  g_autoptr (GResolver) resolver = g_resolver_get_default ();
  TcpTarget *target;

  do
    {
      g_mutex_lock (&self->mutex);
      target = book_next (self);
      g_mutex_unlock (&self->mutex);
      if (target != NULL)
        g_resolver_lookup_by_name_async (resolver, target->hostname, NULL, on_looked_up, target);
    }
  while (target != NULL);
}

/* Returns the addresses with this port, if they are known; otherwise NULL. */
GSocketConnectable *
tcp_target_get (TcpTarget *self,
                guint16    port)
{
  GSocketConnectable *known = (GSocketConnectable *) tcp_connect_get_literal (self->hostname, port);

  if (known != NULL)
    return known;
  /* An address with a zone, such as fe80::1%eth0. */
  if (strchr (self->hostname, ':') != NULL)
    return g_network_address_new (self->hostname, port);

  g_mutex_lock (&self->book->mutex);
  if (self->known != NULL && g_get_monotonic_time () < self->known_since + FRESH)
    known = tcp_addresses_new (self->known, port);
  g_mutex_unlock (&self->book->mutex);
  return known;
}

/* Waits for a lookup. @thread is the current one. */
TcpTargetWait *
tcp_target_wait (TcpTarget     *self,
                 guint16        port,
                 TcpIoThread   *thread,
                 TcpTargetFunc  func,
                 gpointer       user_data)
{
  TcpTargetWait *wait = g_new0 (TcpTargetWait, 1);

  g_atomic_ref_count_init (&wait->refs);
  wait->target = self;
  wait->thread = thread;
  wait->port = port;
  wait->func = func;
  wait->user_data = user_data;
  wait->link.data = wait;

  g_mutex_lock (&self->book->mutex);
  g_queue_push_tail_link (&self->waits, &wait->link);
  if (self->n_lookups == 0 ||
      (self->n_lookups < MAX_LOOKUPS && g_get_monotonic_time () - self->latest_lookup >= self->book->timeout))
    target_enqueue (self);
  g_mutex_unlock (&self->book->mutex);
  book_look_up (self->book);
  return wait;
}

/* May be called before the callback as well. */
void
tcp_target_wait_free (TcpTargetWait *self)
{
  TcpTarget *target = self->target;
  TcpTargetBook *book = target->book;

  self->func = NULL;
  g_mutex_lock (&book->mutex);
  if (self->link.data != NULL)
    g_queue_unlink (&target->waits, &self->link);
  /* A target without waits need not be looked up. */
  if (g_queue_is_empty (&target->waits))
    target_dequeue (target);
  g_mutex_unlock (&book->mutex);
  wait_unref (self);
}

/* A name is converted to lower case, so that it is looked up in one spelling only; the zone of an address is kept. */
static char *
parse_host (const char *host_and_port,
            guint16    *port)
{
  g_autoptr (GSocketConnectable) parsed = g_network_address_parse (host_and_port, 0, NULL);
  const char *host = g_network_address_get_hostname (G_NETWORK_ADDRESS (parsed));

  *port = g_network_address_get_port (G_NETWORK_ADDRESS (parsed));
  return strchr (host, ':') != NULL ? g_strdup (host) : g_ascii_strdown (host, -1);
}

/* @timeout is how long a caller waits, in milliseconds, 0 for no limit. */
TcpTargetBook *
tcp_target_book_new (guint timeout)
{
  TcpTargetBook *self = g_new0 (TcpTargetBook, 1);

  g_atomic_ref_count_init (&self->refs);
  g_mutex_init (&self->mutex);
  self->timeout = timeout > 0 ? timeout * G_TIME_SPAN_MILLISECOND : G_MAXINT64;
  self->configured = g_hash_table_new_full (tcp_secret_hash, g_str_equal, NULL, (GDestroyNotify) tcp_target_unref);
  self->targets = g_hash_table_new_full (tcp_secret_hash, g_str_equal, NULL, (GDestroyNotify) tcp_target_unref);
  return self;
}

/* There must be no waits; lookups may be in progress. */
void
tcp_target_book_free (TcpTargetBook *self)
{
  g_clear_pointer (&self->configured, g_hash_table_unref);
  g_clear_pointer (&self->targets, g_hash_table_unref);
  book_unref (self);
}

/* The configuration of the gateway has changed. */
void
tcp_target_book_forget (TcpTargetBook *self)
{
  GHashTable *former;

  g_mutex_lock (&self->mutex);
  former = self->configured;
  self->configured = g_hash_table_new_full (tcp_secret_hash, g_str_equal, NULL, (GDestroyNotify) tcp_target_unref);
  g_mutex_unlock (&self->mutex);
  g_hash_table_unref (former);
}

/* Called with the mutex held: makes room for one more. Targets in use are kept, or they would be looked up again beside
 * the current lookup; there are no more of these than connections that are being opened. */
static void
book_make_room (TcpTargetBook *self)
{
  for (guint i = 0; i < MAX_TARGETS && g_hash_table_size (self->targets) >= MAX_TARGETS; i++)
    {
      TcpTarget *oldest = g_queue_pop_head_link (&self->recent)->data;

      if (g_atomic_ref_count_compare (&oldest->refs, 1))
        g_hash_table_remove (self->targets, oldest->hostname);
      else
        g_queue_push_tail_link (&self->recent, &oldest->recent);
    }
}

/* Called with the mutex held. */
static TcpTarget *
book_get_configured (TcpTargetBook *self,
                     const char    *host,
                     gboolean       add)
{
  TcpTarget *target = g_hash_table_lookup (self->configured, host);

  if (target == NULL && add)
    {
      target = target_new (self, host);
      target->is_configured = TRUE;
      g_hash_table_insert (self->configured, target->hostname, target);
    }
  return target;
}

/* Likewise. */
static TcpTarget *
book_get_other (TcpTargetBook *self,
                const char    *host)
{
  TcpTarget *target = g_hash_table_lookup (self->targets, host);

  if (target == NULL)
    {
      book_make_room (self);
      target = target_new (self, host);
      g_hash_table_insert (self->targets, target->hostname, target);
    }
  else
    {
      g_queue_unlink (&self->recent, &target->recent);
    }
  g_queue_push_tail_link (&self->recent, &target->recent);
  return target;
}

/* Returns a reference to the target, and sets @port. A target from the configuration (@is_configured) is never removed,
 * and is the same for every request for its host. */
TcpTarget *
tcp_target_book_get (TcpTargetBook *self,
                     const char    *host_and_port,
                     gboolean       is_configured,
                     guint16       *port)
{
  g_autofree char *host = parse_host (host_and_port, port);
  TcpTarget *target;

  g_mutex_lock (&self->mutex);
  target = book_get_configured (self, host, is_configured);
  if (target == NULL)
    target = book_get_other (self, host);
  tcp_target_ref (target);
  g_mutex_unlock (&self->mutex);
  return target;
}
