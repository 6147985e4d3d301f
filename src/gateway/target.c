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

/* How many targets are remembered. */
#define MAX_TARGETS 256

struct _TcpTargetBook
{
  GMutex mutex;
  guint timeout;
  GHashTable *targets; /* under the mutex: host and port → TcpTarget */
};

struct _TcpTarget
{
  gatomicrefcount refs; /* each lookup has one */
  char *hostname;
  guint16 port;
  gint64 timeout;             /* after which another lookup may begin, in microseconds */
  GSocketConnectable *fixed;  /* if it is an address; else NULL */

  GMutex mutex;
  /* Under the mutex */
  GQueue waits; /* of TcpTargetWait (owned by those who wait), the oldest first */
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
  GList link; /* under the mutex of the target; with data while it is among those that wait */
};

/* @timeout: for how long anybody waits, in milliseconds; 0 is for ever. */
TcpTarget *
tcp_target_new (const char *host_and_port,
                guint       timeout)
{
  TcpTarget *self = g_new0 (TcpTarget, 1);
  g_autoptr (GSocketConnectable) parsed = g_network_address_parse (host_and_port, 0, NULL);

  g_atomic_ref_count_init (&self->refs);
  g_mutex_init (&self->mutex);
  self->hostname = g_strdup (g_network_address_get_hostname (G_NETWORK_ADDRESS (parsed)));
  self->port = g_network_address_get_port (G_NETWORK_ADDRESS (parsed));
  self->timeout = timeout > 0 ? timeout * G_TIME_SPAN_MILLISECOND : G_MAXINT64;
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
  g_mutex_clear (&self->mutex);
  g_free (self->hostname);
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

/* With the mutex. All that wait have the result of whichever lookup ends first. */
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
}

static void
on_looked_up (GObject      *object,
              GAsyncResult *result,
              gpointer      user_data)
{
  TcpTarget *self = user_data;
  g_autoptr (GError) error = NULL;
  GList *addresses = g_resolver_lookup_by_name_finish (G_RESOLVER (object), result, &error);

  g_mutex_lock (&self->mutex);
  self->n_lookups--;
  if (addresses != NULL)
    {
      g_clear_object (&self->known);
      self->known = tcp_addresses_new (addresses, self->port);
      self->known_since = g_get_monotonic_time ();
    }
  target_answer (self, error);
  g_mutex_unlock (&self->mutex);

  g_resolver_free_addresses (addresses);
  tcp_target_unref (self);
}

/* Not cancelled: its thread goes on until the name server has answered, and is to be counted until then. */
static void
target_look_up (TcpTarget *self)
{
  g_autoptr (GResolver) resolver = g_resolver_get_default ();

  g_resolver_lookup_by_name_async (resolver, self->hostname, NULL, on_looked_up, tcp_target_ref (self));
}

/* The addresses, if they are known; else NULL. */
GSocketConnectable *
tcp_target_get (TcpTarget *self)
{
  GSocketConnectable *known = NULL;

  if (self->fixed != NULL)
    return g_object_ref (self->fixed);

  g_mutex_lock (&self->mutex);
  if (self->known != NULL && g_get_monotonic_time () < self->known_since + FRESH)
    known = g_object_ref (self->known);
  g_mutex_unlock (&self->mutex);
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
  gint64 now = g_get_monotonic_time ();
  gboolean look_up;

  g_atomic_ref_count_init (&wait->refs);
  wait->target = self;
  wait->thread = thread;
  wait->func = func;
  wait->user_data = user_data;
  wait->link.data = wait;

  g_mutex_lock (&self->mutex);
  g_queue_push_tail_link (&self->waits, &wait->link);
  look_up = self->n_lookups == 0 ||
            (self->n_lookups < MAX_LOOKUPS && now - self->latest_lookup >= self->timeout);
  if (look_up)
    {
      self->n_lookups++;
      self->latest_lookup = now;
    }
  g_mutex_unlock (&self->mutex);
  if (look_up)
    target_look_up (self);
  return wait;
}

/* Also before it was called. */
void
tcp_target_wait_free (TcpTargetWait *self)
{
  TcpTarget *target = self->target;

  self->func = NULL;
  g_mutex_lock (&target->mutex);
  if (self->link.data != NULL)
    g_queue_unlink (&target->waits, &self->link);
  g_mutex_unlock (&target->mutex);
  wait_unref (self);
}

/* @timeout: see tcp_target_new (). */
TcpTargetBook *
tcp_target_book_new (guint timeout)
{
  TcpTargetBook *self = g_new0 (TcpTargetBook, 1);

  g_mutex_init (&self->mutex);
  self->timeout = timeout;
  self->targets = g_hash_table_new_full (tcp_secret_hash, g_str_equal, g_free, (GDestroyNotify) tcp_target_unref);
  return self;
}

void
tcp_target_book_free (TcpTargetBook *self)
{
  g_hash_table_unref (self->targets);
  g_mutex_clear (&self->mutex);
  g_free (self);
}

/* A reference to it. */
TcpTarget *
tcp_target_book_get (TcpTargetBook *self,
                     const char    *host_and_port)
{
  TcpTarget *target;

  g_mutex_lock (&self->mutex);
  target = g_hash_table_lookup (self->targets, host_and_port);
  if (target == NULL)
    {
      /* Those that are in use stay with those who use them. */
      if (g_hash_table_size (self->targets) >= MAX_TARGETS)
        g_hash_table_remove_all (self->targets);
      target = tcp_target_new (host_and_port, self->timeout);
      g_hash_table_insert (self->targets, g_strdup (host_and_port), target);
    }
  tcp_target_ref (target);
  g_mutex_unlock (&self->mutex);
  return target;
}
