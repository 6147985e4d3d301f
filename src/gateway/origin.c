/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/origin.h"

#include <string.h>
#include "base/secret-hash.h"

/* The number of failures of an origin for which the answers are not delayed. Each one beyond them adds a step to the
 * delay. One failure is forgiven in each period. */
#define FREE_FAILURES 20
#define DELAY_STEP (50 * G_TIME_SPAN_MILLISECOND)
#define MAX_DELAY G_TIME_SPAN_SECOND
#define FORGIVE_TIME G_TIME_SPAN_SECOND
#define MAX_FAILURES (FREE_FAILURES + MAX_DELAY / DELAY_STEP)

/* How many origins without a connection are remembered, of each kind. */
#define MAX_REMEMBERED 1024

struct _TcpOrigins
{
  GHashTable *table; /* name → TcpOrigin */
  GQueue known;      /* without a connection; the head is removed first */
  GQueue failed;
};

/* The name is the /64 network for an IPv6 address that is not @trusted, since a host may have all of its addresses.
 * Other addresses in the network of a trusted proxy are not trusted. */
static char *
make_name (GInetAddress *address,
           gboolean      trusted)
{
  guint8 network[16] = { 0 };
  g_autoptr (GInetAddress) prefix = NULL;
  g_autofree char *text = NULL;

  if (address == NULL)
    return g_strdup (trusted ? "the Unix socket" : "");
  if (trusted || g_inet_address_get_family (address) == G_SOCKET_FAMILY_IPV4)
    return g_inet_address_to_string (address);

  memcpy (network, g_inet_address_to_bytes (address), 8);
  prefix = g_inet_address_new_from_bytes (network, G_SOCKET_FAMILY_IPV6);
  text = g_inet_address_to_string (prefix);
  return g_strconcat (text, "/64", NULL);
}

static void
origin_free (gpointer data)
{
  TcpOrigin *self = data;

  g_free (self->name);
  g_free (self);
}

TcpOrigins *
tcp_origins_new (void)
{
  TcpOrigins *self = g_new0 (TcpOrigins, 1);

  self->table = g_hash_table_new_full (tcp_secret_hash, g_str_equal, NULL, origin_free);
  return self;
}

void
tcp_origins_free (TcpOrigins *self)
{
  g_hash_table_unref (self->table);
  g_free (self);
}

/* Returns the origin for one more connection. @address is a result of tcp_address_normalize (), or NULL. @trusted is
 * always the same for one address. */
TcpOrigin *
tcp_origins_get (TcpOrigins   *self,
                 GInetAddress *address,
                 gboolean      trusted)
{
  g_autofree char *name = make_name (address, trusted);
  TcpOrigin *origin = g_hash_table_lookup (self->table, name);

  if (origin == NULL)
    {
      origin = g_new0 (TcpOrigin, 1);
      origin->name = g_steal_pointer (&name);
      origin->trusted = trusted;
      origin->link.data = origin;
      g_hash_table_insert (self->table, origin->name, origin);
    }
  if (origin->remembered != NULL)
    g_queue_unlink (g_steal_pointer (&origin->remembered), &origin->link);
  origin->pending++;
  return origin;
}

static void
origins_forget_first (TcpOrigins *self,
                      GQueue     *queue)
{
  TcpOrigin *origin = g_queue_pop_head_link (queue)->data;

  g_hash_table_remove (self->table, origin->name);
}

/* The origin has one connection less. */
void
tcp_origins_release (TcpOrigins *self,
                     TcpOrigin  *origin,
                     gint64      now)
{
  if (--origin->pending > 0)
    return;

  if (origin->known || origin->forgiven_at > now)
    {
      origin->remembered = origin->known ? &self->known : &self->failed;
      g_queue_push_tail_link (origin->remembered, &origin->link);
    }
  else
    {
      g_hash_table_remove (self->table, origin->name);
    }
  while (self->failed.length > 0 && ((TcpOrigin *) self->failed.head->data)->forgiven_at <= now)
    origins_forget_first (self, &self->failed);
  if (self->failed.length > MAX_REMEMBERED)
    origins_forget_first (self, &self->failed);
  if (self->known.length > MAX_REMEMBERED)
    origins_forget_first (self, &self->known);
}

guint
tcp_origins_get_size (TcpOrigins *self)
{
  return g_hash_table_size (self->table);
}

/* The origin has sent a wrong token. Returns how long to delay the answer, in µs. */
gint64
tcp_origin_fail (TcpOrigin *self,
                 gint64     now)
{
  gint64 failures;

  self->forgiven_at = MIN (MAX (self->forgiven_at, now) + FORGIVE_TIME, now + MAX_FAILURES * FORGIVE_TIME);
  failures = (self->forgiven_at - now) / FORGIVE_TIME;
  return MAX (failures - FREE_FAILURES, 0) * DELAY_STEP;
}
