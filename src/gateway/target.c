/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/target.h"

#include <string.h>
#include "base/secret-hash.h"
#include "base/tsan.h"
#include "gateway/addresses.h"
#include "io/connect.h"

/* For how long the addresses of a name are used, in microseconds. */
#define FRESH (5 * G_TIME_SPAN_SECOND)

/* How many lookups of a name there may be at once. There is more than one only if the others have taken longer than
 * anybody waits, so that they may never end. */
#define MAX_LOOKUPS 2

/* Of how many names that clients choose there may be lookups at once: each takes a thread of the pool that GIO also
 * uses for other things. Those of the gateway's own target come beside them. */
#define MAX_FOREIGN_LOOKUPS 16

/* How many targets are remembered. */
#define MAX_TARGETS 256

struct _TcpTargetBook
{
  gatomicrefcount refs; /* each target has one */
  gint64 timeout;       /* after which another lookup of a name may begin, in microseconds */
  TcpTarget *own;       /* that of the gateway, */
  char *own_name;       /* which is never forgotten */

  GMutex mutex;
  /* Under the mutex, as well as what its targets say of it */
  GHashTable *targets; /* host and port → TcpTarget, of the others */
  GQueue queued;       /* of TcpTarget, those that are to be looked up, the next first */
  guint n_lookups;     /* of others than its own */
};

struct _TcpTarget
{
  gatomicrefcount refs; /* each lookup has one */
  TcpTargetBook *book;
  gboolean is_own; /* of the gateway */
  char *hostname;
  guint16 port;
  GSocketConnectable *fixed;  /* if it is an address; else NULL */

  /* Under the mutex of the book */
  GQueue waits; /* of TcpTargetWait (owned by those who wait), the oldest first */
  GList link;   /* with data while it is among those that are to be looked up; then somebody waits for it */
  guint n_lookups;
  gint64 latest_lookup;      /* when it began, of those that are under way */
  GSocketConnectable *known; /* the result of the last, or NULL, */
  gint64 known_since;
};

struct _TcpTargetWait
{
  gatomicrefcount refs; /* one is that of a call that is on its way to its thread */
  TcpTarget *target;    /* only touched on the thread of whoever waits, like the rest but for the link */
  TcpIoThread *thread;
  TcpTargetFunc func;
  gpointer user_data;
  GSocketConnectable *where;
  GError *error;
  GList link; /* under the mutex of the book; with data while it is among those that wait */
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
  tcp_tsan_release (self);
  if (!g_atomic_ref_count_dec (&self->refs))
    return;

  tcp_tsan_acquire (self);
  g_assert (self->n_lookups == 0 && g_queue_is_empty (&self->queued));
  g_mutex_clear (&self->mutex);
  g_free (self->own_name);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpTargetBook, book_unref)

static TcpTarget *
target_new (TcpTargetBook *book,
            const char    *host_and_port)
{
  TcpTarget *self = g_new0 (TcpTarget, 1);
  g_autoptr (GSocketConnectable) parsed = g_network_address_parse (host_and_port, 0, NULL);

  g_atomic_ref_count_init (&self->refs);
  self->book = book_ref (book);
  self->hostname = g_strdup (g_network_address_get_hostname (G_NETWORK_ADDRESS (parsed)));
  self->port = g_network_address_get_port (G_NETWORK_ADDRESS (parsed));
  self->fixed = (GSocketConnectable *) tcp_connect_get_literal (self->hostname, self->port);
  /* An address with a zone, as in fe80::1%eth0. */
  if (self->fixed == NULL && strchr (self->hostname, ':') != NULL)
    self->fixed = g_object_ref (parsed);
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
  tcp_tsan_release (self);
  if (!g_atomic_ref_count_dec (&self->refs))
    return;

  tcp_tsan_acquire (self);
  g_assert (g_queue_is_empty (&self->waits));
  g_clear_object (&self->fixed);
  g_clear_object (&self->known);
  g_free (self->hostname);
  book_unref (self->book);
  g_free (self);
}

static void
wait_unref (gpointer data)
{
  TcpTargetWait *self = data;

  tcp_tsan_release (self);
  if (!g_atomic_ref_count_dec (&self->refs))
    return;

  tcp_tsan_acquire (self);
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

/* The following hold the mutex. */

static void
target_enqueue (TcpTarget *self)
{
  if (self->link.data != NULL)
    return;

  self->link.data = self;
  /* That of the gateway does not wait for others. */
  if (self->is_own)
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

/* All that wait have the result of whichever lookup ends first. */
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
        wait->where = g_object_ref (self->known);
      g_atomic_ref_count_inc (&wait->refs);
      tcp_tsan_release (wait);
      tcp_io_thread_invoke (wait->thread, wait_call, wait, wait_unref);
    }
  target_dequeue (self);
}

/* A reference to the next that may be looked up now, which is counted already; or NULL. */
static TcpTarget *
book_next (TcpTargetBook *self)
{
  TcpTarget *target = g_queue_peek_head (&self->queued);

  if (target == NULL || (!target->is_own && self->n_lookups >= MAX_FOREIGN_LOOKUPS))
    return NULL;

  target_dequeue (target);
  target->n_lookups++;
  target->latest_lookup = g_get_monotonic_time ();
  self->n_lookups += !target->is_own;
  return tcp_target_ref (target);
}

/* Without it. */

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
  book->n_lookups -= !self->is_own;
  if (addresses != NULL)
    {
      g_clear_object (&self->known);
      self->known = tcp_addresses_new (addresses, self->port);
      self->known_since = g_get_monotonic_time ();
    }
  target_answer (self, error);
  g_mutex_unlock (&book->mutex);

  g_resolver_free_addresses (addresses);
  tcp_target_unref (self);
  book_look_up (book);
}

/* Not cancelled: its thread goes on until the name server has answered, and is to be counted until then. */
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

/* The addresses, if they are known; else NULL. */
GSocketConnectable *
tcp_target_get (TcpTarget *self)
{
  GSocketConnectable *known = NULL;

  if (self->fixed != NULL)
    return g_object_ref (self->fixed);

  g_mutex_lock (&self->book->mutex);
  if (self->known != NULL && g_get_monotonic_time () < self->known_since + FRESH)
    known = g_object_ref (self->known);
  g_mutex_unlock (&self->book->mutex);
  return known;
}

/* Waits for a lookup. @thread is the current one. */
TcpTargetWait *
tcp_target_wait (TcpTarget     *self,
                 TcpIoThread   *thread,
                 TcpTargetFunc  func,
                 gpointer       user_data)
{
  TcpTargetWait *wait = g_new0 (TcpTargetWait, 1);

  g_atomic_ref_count_init (&wait->refs);
  wait->target = self;
  wait->thread = thread;
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

/* Also before it was called. */
void
tcp_target_wait_free (TcpTargetWait *self)
{
  TcpTarget *target = self->target;
  TcpTargetBook *book = target->book;

  self->func = NULL;
  g_mutex_lock (&book->mutex);
  if (self->link.data != NULL)
    g_queue_unlink (&target->waits, &self->link);
  /* What nobody waits for has not to be looked up. */
  if (g_queue_is_empty (&target->waits))
    target_dequeue (target);
  g_mutex_unlock (&book->mutex);
  wait_unref (self);
}

/* @own is the target of the gateway; @timeout is for how long anybody waits, in milliseconds, and 0 is for ever. */
TcpTargetBook *
tcp_target_book_new (const char *own,
                     guint       timeout)
{
  TcpTargetBook *self = g_new0 (TcpTargetBook, 1);

  g_atomic_ref_count_init (&self->refs);
  g_mutex_init (&self->mutex);
  self->timeout = timeout > 0 ? timeout * G_TIME_SPAN_MILLISECOND : G_MAXINT64;
  self->targets = g_hash_table_new_full (tcp_secret_hash, g_str_equal, g_free, (GDestroyNotify) tcp_target_unref);
  self->own_name = g_strdup (own);
  self->own = target_new (self, own);
  self->own->is_own = TRUE;
  return self;
}

/* Nobody waits any more; lookups may be under way. */
void
tcp_target_book_free (TcpTargetBook *self)
{
  g_clear_pointer (&self->own, tcp_target_unref);
  g_clear_pointer (&self->targets, g_hash_table_unref);
  book_unref (self);
}

/* A reference to it. */
TcpTarget *
tcp_target_book_get (TcpTargetBook *self,
                     const char    *host_and_port)
{
  TcpTarget *target;

  if (strcmp (host_and_port, self->own_name) == 0)
    return tcp_target_ref (self->own);

  g_mutex_lock (&self->mutex);
  target = g_hash_table_lookup (self->targets, host_and_port);
  if (target == NULL)
    {
      /* Those that are in use stay with those who use them. */
      if (g_hash_table_size (self->targets) >= MAX_TARGETS)
        g_hash_table_remove_all (self->targets);
      target = target_new (self, host_and_port);
      g_hash_table_insert (self->targets, g_strdup (host_and_port), target);
    }
  tcp_target_ref (target);
  g_mutex_unlock (&self->mutex);
  return target;
}
