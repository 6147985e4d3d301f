/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/access.h"

#include "base/secret-hash.h"
#include "websocket/channel.h"

/* How many WebSockets of one principal may be held without a target. A tunnel of limrun's
 * has at most one. */
#define MAX_HELD 64

struct _TcpAccess
{
  TcpAccessLimits limits;
  TcpTokens *tokens; /* NULL before there are any */
  GHashTable *principals; /* name → TcpPrincipal, of those that have shown a token */
};

/* Principals */

/* Of all memory, as a fraction of it, so that it is the same of each kind. */
static double
access_get_memory_share (TcpAccess *self,
                         guint      n_principals)
{
  const TcpGatewaySettings *settings = self->limits.settings;
  double all = tcp_gateway_settings_get_max_memory (settings);

  if (settings->max_principal_memory > 0)
    return MIN (settings->max_principal_memory / all, 1);
  return n_principals > 1 ? 0.75 : 1;
}

/* How much a principal may have of a kind. However small its part, a message that is to be whole has to fit into it. */
static gsize
access_get_memory_cap (TcpAccess     *self,
                       TcpMemoryKind  kind,
                       double         share)
{
  gsize cap = tcp_budget_pool_get_cap (self->limits.memory[kind]) * share;

  return kind == TCP_MEMORY_INPUT ? MAX (cap, TCP_CHANNEL_MIN_MEMORY) : cap;
}

/* How much of everything one principal may have, as long as the tokens are those. */
static void
access_limit (TcpAccess    *self,
              TcpPrincipal *principal)
{
  const TcpAccessLimits *limits = &self->limits;
  const TcpGatewaySettings *settings = limits->settings;
  guint n = tcp_tokens_count_names (self->tokens);
  double share = access_get_memory_share (self, n);
  guint max_clients = limits->clients->max;

  for (guint i = 0; i < TCP_N_MEMORY_KINDS; i++)
    tcp_budget_pool_set_cap (principal->memory[i], access_get_memory_cap (self, i, share));
  principal->held.max = MAX_HELD;
  principal->clients.max = MIN (tcp_quota_get_share (max_clients, n, settings->max_principal_sessions),
                                MAX (max_clients * share, 1));
  principal->connections.max = tcp_quota_get_share (settings->common.max_connections, n, settings->max_principal_connections);
  principal->reverse_ports.max = tcp_quota_get_share (limits->reverse_ports->max, n, 0);
  principal->listeners.max = tcp_quota_get_share (limits->listeners->max, n, 0);
  principal->dials.quota.max = tcp_quota_get_share (settings->max_dials, n, settings->max_principal_dials);
}

/* A reference to the one of that name, of which there is a token. */
TcpPrincipal *
tcp_access_get_principal (TcpAccess  *self,
                          const char *name)
{
  TcpPrincipal *principal = g_hash_table_lookup (self->principals, name);

  if (principal == NULL)
    {
      principal = tcp_principal_new (name);
      for (guint i = 0; i < TCP_N_MEMORY_KINDS; i++)
        principal->memory[i] = tcp_budget_pool_new_child (self->limits.memory[i], 0);
      access_limit (self, principal);
      g_hash_table_insert (self->principals, principal->name, principal);
    }
  return tcp_principal_ref (principal);
}

/* Tokens */

/* One that has something still stays, although no token is its own. */
static gboolean
is_over (gpointer key,
         gpointer value,
         gpointer user_data)
{
  TcpPrincipal *principal = value;

  return !tcp_tokens_have_name (user_data, principal->name) && g_atomic_ref_count_compare (&principal->refs, 1);
}

/* Sets aside what each principal of the tokens may have in any case. @offset is that of its share. */
static void
access_set_aside (TcpAccess *self,
                  TcpQuota  *quota,
                  gsize      offset)
{
  g_autoptr (GPtrArray) shares = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer principal;

  g_hash_table_iter_init (&iter, self->principals);
  while (g_hash_table_iter_next (&iter, NULL, &principal))
    g_ptr_array_add (shares, G_STRUCT_MEMBER_P (principal, offset));
  tcp_quota_set_aside (quota, tcp_tokens_count_names (self->tokens), (TcpQuotaShare *const *) shares->pdata, shares->len);
}

/* From now on these are valid, and no others. Whoever is here is not affected. */
void
tcp_access_set_tokens (TcpAccess *self,
                       TcpTokens *tokens)
{
  const TcpAccessLimits *limits = &self->limits;
  GHashTableIter iter;
  gpointer principal;

  tcp_tokens_ref (tokens);
  g_clear_pointer (&self->tokens, tcp_tokens_unref);
  self->tokens = tokens;
  g_hash_table_foreach_remove (self->principals, is_over, tokens);

  for (guint i = 0; i < TCP_N_MEMORY_KINDS; i++)
    tcp_budget_pool_set_children (limits->memory[i], tcp_tokens_count_names (tokens));
  access_set_aside (self, limits->held, G_STRUCT_OFFSET (TcpPrincipal, held));
  access_set_aside (self, limits->clients, G_STRUCT_OFFSET (TcpPrincipal, clients));
  access_set_aside (self, limits->connections, G_STRUCT_OFFSET (TcpPrincipal, connections));
  access_set_aside (self, limits->reverse_ports, G_STRUCT_OFFSET (TcpPrincipal, reverse_ports));
  access_set_aside (self, limits->listeners, G_STRUCT_OFFSET (TcpPrincipal, listeners));
  access_set_aside (self, limits->dials, G_STRUCT_OFFSET (TcpPrincipal, dials.quota));
  g_hash_table_iter_init (&iter, self->principals);
  while (g_hash_table_iter_next (&iter, NULL, &principal))
    access_limit (self, principal);
}

TcpTokens *
tcp_access_get_tokens (TcpAccess *self)
{
  return self->tokens;
}

/* Life */

/* What the limits refer to has to outlive it, and its principals. */
TcpAccess *
tcp_access_new (const TcpAccessLimits *limits)
{
  TcpAccess *self = g_new0 (TcpAccess, 1);

  self->limits = *limits;
  self->principals = g_hash_table_new_full (tcp_secret_hash, g_str_equal, NULL, (GDestroyNotify) tcp_principal_unref);
  return self;
}

void
tcp_access_free (TcpAccess *self)
{
  g_clear_pointer (&self->tokens, tcp_tokens_unref);
  g_hash_table_unref (self->principals);
  g_free (self);
}
