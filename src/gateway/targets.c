/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/targets.h"

#include <gio/gio.h>
#include <string.h>
#include "base/host-port.h"
#include "base/i18n.h"
#include "base/invalid.h"
#include "base/ref-count.h"
#include "base/secret-hash.h"

/* limrun's client requests reverse tunnels at this path, where a target of the name would be. */
#define RESERVED "reverse-tunnel"

struct _TcpTargets
{
  gatomicrefcount refs;
  char *own;         /* as configured; nullable */
  GHashTable *named; /* name → HOST:PORT */
};

/* Any host that can be resolved, and any address, also one with a zone. */
static gboolean
is_address (const char *text)
{
  g_autoptr (GSocketConnectable) parsed = g_network_address_parse (text, 0, NULL);

  return parsed != NULL && *g_network_address_get_hostname (G_NETWORK_ADDRESS (parsed)) != '\0' &&
         g_network_address_get_port (G_NETWORK_ADDRESS (parsed)) != 0;
}

static gboolean
targets_add (TcpTargets  *self,
             const char  *text,
             GError     **error)
{
  const char *equals = strchr (text, '=');
  g_autofree char *name = equals != NULL ? g_strndup (text, equals - text) : NULL;

  if (name == NULL || !is_address (equals + 1))
    return tcp_invalid (error, _("“%s” is not of the form NAME=HOST:PORT, such as db=10.0.0.5:5432"), text);
  if (!tcp_target_name_is_valid (name) || strcmp (name, RESERVED) == 0)
    return tcp_invalid (error, _("“%s” cannot be the name of a target: a name has at most %d letters, digits, dashes, dots and "
                                 "underscores, begins with a letter or a digit, and is not %s"),
                        name, TCP_TARGET_NAME_MAX_LENGTH, RESERVED);
  if (g_hash_table_contains (self->named, name))
    return tcp_invalid (error, _("two targets have the name “%s”"), name);

  g_hash_table_insert (self->named, g_steal_pointer (&name), g_strdup (equals + 1));
  return TRUE;
}

/* @own is HOST:PORT or one of the names, and may be NULL if there are names; each item of @named, which may be NULL, is
 * NAME=HOST:PORT. */
TcpTargets *
tcp_targets_new (const char         *own,
                 const char *const  *named,
                 GError            **error)
{
  g_autoptr (TcpTargets) self = g_new0 (TcpTargets, 1);

  g_atomic_ref_count_init (&self->refs);
  self->named = g_hash_table_new_full (tcp_secret_hash, g_str_equal, g_free, g_free);
  self->own = g_strdup (own);
  for (; named != NULL && *named != NULL; named++)
    if (!targets_add (self, *named, error))
      return NULL;
  if (own == NULL ? g_hash_table_size (self->named) == 0 : tcp_targets_find (self, own) == NULL && !is_address (own))
    {
      tcp_invalid (error, _("the target “%s” is not of the form HOST:PORT, such as 127.0.0.1:22 or [::1]:22"),
                   own != NULL ? own : "");
      return NULL;
    }
  return g_steal_pointer (&self);
}

TcpTargets *
tcp_targets_ref (TcpTargets *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_targets_unref (TcpTargets *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  g_hash_table_unref (self->named);
  g_free (self->own);
  g_free (self);
}

/* Returns the target for clients that request no other, as configured; NULL if there is none. */
const char *
tcp_targets_get_own (TcpTargets *self)
{
  return self->own;
}

/* Returns the HOST:PORT of that name, or NULL. */
const char *
tcp_targets_find (TcpTargets *self,
                  const char *name)
{
  return g_hash_table_lookup (self->named, name);
}

/* The names belong to @self. */
GPtrArray *
tcp_targets_get_names (TcpTargets *self)
{
  GPtrArray *names = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer name;

  g_hash_table_iter_init (&iter, self->named);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    g_ptr_array_add (names, name);
  return names;
}

gboolean
tcp_targets_equal (TcpTargets *self,
                   TcpTargets *other)
{
  GHashTableIter iter;
  gpointer name, address;

  if (g_strcmp0 (self->own, other->own) != 0 || g_hash_table_size (self->named) != g_hash_table_size (other->named))
    return FALSE;
  g_hash_table_iter_init (&iter, self->named);
  while (g_hash_table_iter_next (&iter, &name, &address))
    if (g_strcmp0 (tcp_targets_find (other, name), address) != 0)
      return FALSE;
  return TRUE;
}
