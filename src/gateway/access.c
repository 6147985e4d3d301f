/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/access.h"

#include "base/secret-hash.h"
#include "websocket/channel.h"

/* How many unused accounts of unlisted principals are kept, beyond as many accounts as are in use. */
#define SPARE_ACCOUNTS 64

/* The limit on WebSockets of one principal that are held without a target. A tunnel of limrun's has at most one. */
#define MAX_HELD 64

struct _TcpAccess
{
  TcpAccessLimits limits;
  TcpRoster *roster; /* NULL before the first */
  GHashTable *accounts; /* name → TcpAccount, of the principals that have connected */
  guint max_accounts; /* at this number, unused accounts of unlisted principals are removed */
};

/* Accounts */

/* The number of principals that share the limits. All unlisted ones together count as one, since their number is not
 * known in advance. */
static guint
access_count (TcpAccess *self)
{
  guint n = tcp_roster_count (self->roster);

  return tcp_roster_asks (self->roster) ? MAX (n + 1, 2) : n;
}

/* The share is a fraction of all memory, so that it applies to each kind of memory alike. */
static double
access_get_memory_share (TcpAccess       *self,
                         const TcpPolicy *policy)
{
  double all = tcp_gateway_settings_get_max_memory (self->limits.settings);

  if (policy->max_memory > 0)
    return MIN (policy->max_memory / all, 1);
  return access_count (self) > 1 ? 0.75 : 1;
}

/* The memory of a kind that a principal may use. A small share still has room for one message that must be complete. */
static gsize
access_get_memory_cap (TcpAccess     *self,
                       TcpMemoryKind  kind,
                       double         share)
{
  gsize cap = tcp_budget_pool_get_cap (self->limits.memory[kind]) * share;

  return kind == TCP_MEMORY_INPUT ? MAX (cap, TCP_CHANNEL_MIN_MEMORY) : cap;
}

/* Formats the property and its value, for messages about a part of all memory. */
static const char *
access_format_memory (TcpAccess  *self,
                      const char *property,
                      double      share)
{
  g_autofree char *text = g_strdup_printf ("%s: %.0f", property,
                                           tcp_gateway_settings_get_max_memory (self->limits.settings) * share);

  return g_intern_string (text);
}

/* The property that sets the limit of a principal: its own, if that differs from the general one. */
#define NAME(field, noun) \
  (policy->field != general->field ? "max-" noun " of the principal" : "max-principal-" noun)

/* Sets what a principal may do, and its limits, according to the roster. */
static void
access_limit (TcpAccess  *self,
              TcpAccount *account)
{
  const TcpAccessLimits *limits = &self->limits;
  TcpPolicy *policy = tcp_roster_get_policy (self->roster, account->name);
  TcpPolicy *general = tcp_roster_get_general_policy (self->roster);
  guint n = access_count (self);
  double share = access_get_memory_share (self, policy);
  TcpQuota *dials = tcp_dial_queue_get_quota (limits->dials);
  guint max_clients = limits->clients->max;
  const char *memory = access_format_memory (self, NAME (max_memory, "memory"), share);
  guint max_sessions = tcp_quota_get_share (max_clients, n, policy->max_sessions);

  tcp_account_set_policy (account, policy);
  for (guint i = 0; i < TCP_N_MEMORY_KINDS; i++)
    tcp_budget_pool_set_common (account->memory[i], !tcp_roster_has (self->roster, account->name));
  for (guint i = 0; i < TCP_N_MEMORY_KINDS; i++)
    {
      tcp_budget_pool_set_cap (account->memory[i], access_get_memory_cap (self, i, share));
      tcp_budget_pool_set_limit (account->memory[i], memory);
    }
  tcp_quota_share_limit (&account->held, MAX_HELD, NULL);
  if (max_clients * share < max_sessions)
    tcp_quota_share_limit (&account->clients, MAX (max_clients * share, 1), NAME (max_memory, "memory"));
  else
    tcp_quota_share_limit (&account->clients, max_sessions, NAME (max_sessions, "sessions"));
  tcp_quota_share_limit (&account->connections,
                         tcp_quota_get_share (limits->connections->max, n, policy->max_connections),
                         NAME (max_connections, "connections"));
  tcp_quota_share_limit (&account->reverse_ports, tcp_quota_get_share (limits->reverse_ports->max, n, 0), "reverse-ports");
  tcp_quota_share_limit (&account->listeners, tcp_quota_get_share (limits->listeners->max, n, 0), "ulimit -n");
  tcp_quota_share_limit (&account->dials.quota, tcp_quota_get_share (dials->max, n, policy->max_dials),
                         NAME (max_dials, "dials"));
  tcp_dial_queue_set_rate (limits->dials, &account->dials, policy->dial_rate,
                           policy->dial_rate != general->dial_rate ? "dial-rate of the principal" : "max-principal-dial-rate");
  tcp_rate_set (account->upload, policy->upload_rate);
  tcp_rate_set (account->download, policy->download_rate);
}

/* An account that is still in use is kept, even if it is no longer in the roster. */
static gboolean
is_over (gpointer key,
         gpointer value,
         gpointer user_data)
{
  TcpAccount *account = value;

  return !tcp_roster_has (user_data, account->name) && g_atomic_ref_count_compare (&account->refs, 1);
}

static void
access_forget (TcpAccess *self)
{
  g_hash_table_foreach_remove (self->accounts, is_over, self->roster);
  self->max_accounts = 2 * g_hash_table_size (self->accounts) + SPARE_ACCOUNTS;
}

static void
account_set_common (TcpAccount *self)
{
  TcpQuotaShare *shares[] = {
    &self->held, &self->clients, &self->connections, &self->reverse_ports, &self->listeners, &self->dials.quota,
  };

  for (guint i = 0; i < G_N_ELEMENTS (shares); i++)
    shares[i]->common = TRUE;
}

static TcpAccount *
access_add (TcpAccess  *self,
            const char *name)
{
  TcpAccount *account = tcp_account_new (name, tcp_roster_get_policy (self->roster, name));

  for (guint i = 0; i < TCP_N_MEMORY_KINDS; i++)
    account->memory[i] = tcp_budget_pool_new_child (self->limits.memory[i], 0);
  /* No other code refers to the account yet. */
  if (!tcp_roster_has (self->roster, name))
    account_set_common (account);
  access_limit (self, account);
  g_hash_table_insert (self->accounts, account->name, account);
  return account;
}

/* Returns a reference to the account of that name. If the name is not in the roster, nothing is set aside for it. */
TcpAccount *
tcp_access_get_account (TcpAccess  *self,
                        const char *name)
{
  TcpAccount *account = g_hash_table_lookup (self->accounts, name);
  gboolean is_unlisted = !tcp_roster_has (self->roster, name);

  if (account == NULL && g_hash_table_size (self->accounts) >= self->max_accounts)
    access_forget (self);
  if (account == NULL)
    account = access_add (self, name);
  else if (is_unlisted && !account->is_unlisted)
    access_limit (self, account);
  account->is_unlisted = is_unlisted;
  return tcp_account_ref (account);
}

/* The roster */

/* Sets aside the guaranteed part of each principal of the roster. @offset is the offset of the share in TcpAccount. */
static void
access_set_aside (TcpAccess *self,
                  TcpQuota  *quota,
                  gsize      offset)
{
  g_autoptr (GPtrArray) shares = g_ptr_array_new ();
  g_autoptr (GPtrArray) others = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer account;

  g_hash_table_iter_init (&iter, self->accounts);
  while (g_hash_table_iter_next (&iter, NULL, &account))
    g_ptr_array_add (tcp_roster_has (self->roster, ((TcpAccount *) account)->name) ? shares : others,
                     G_STRUCT_MEMBER_P (account, offset));
  g_ptr_array_extend (shares, others, NULL, NULL);
  tcp_quota_set_aside (quota, access_count (self), (TcpQuotaShare *const *) shares->pdata, shares->len, others->len);
}

/* A principal that is no longer in the roster loses its sessions, and cannot do anything else until then. */
static void
access_review (TcpAccess  *self,
               TcpAccount *account)
{
  gboolean known = tcp_roster_has (self->roster, account->name);

  if (known)
    account->is_unlisted = FALSE;
  if (known || account->is_unlisted)
    access_limit (self, account);
}

/* The roster replaces the former one. Clients that are connected are not affected here. */
void
tcp_access_set_roster (TcpAccess *self,
                       TcpRoster *roster)
{
  const TcpAccessLimits *limits = &self->limits;
  GHashTableIter iter;
  gpointer account;

  tcp_roster_ref (roster);
  g_clear_pointer (&self->roster, tcp_roster_unref);
  self->roster = roster;
  access_forget (self);

  for (guint i = 0; i < TCP_N_MEMORY_KINDS; i++)
    tcp_budget_pool_set_children (limits->memory[i], access_count (self));
  access_set_aside (self, limits->held, G_STRUCT_OFFSET (TcpAccount, held));
  access_set_aside (self, limits->clients, G_STRUCT_OFFSET (TcpAccount, clients));
  access_set_aside (self, limits->connections, G_STRUCT_OFFSET (TcpAccount, connections));
  access_set_aside (self, limits->reverse_ports, G_STRUCT_OFFSET (TcpAccount, reverse_ports));
  access_set_aside (self, limits->listeners, G_STRUCT_OFFSET (TcpAccount, listeners));
  access_set_aside (self, tcp_dial_queue_get_quota (limits->dials), G_STRUCT_OFFSET (TcpAccount, dials.quota));
  g_hash_table_iter_init (&iter, self->accounts);
  while (g_hash_table_iter_next (&iter, NULL, &account))
    access_review (self, account);
}

TcpRoster *
tcp_access_get_roster (TcpAccess *self)
{
  return self->roster;
}

/* Creation and destruction */

/* The objects that the limits refer to must outlive the access and its accounts. */
TcpAccess *
tcp_access_new (const TcpAccessLimits *limits)
{
  TcpAccess *self = g_new0 (TcpAccess, 1);

  self->limits = *limits;
  self->accounts = g_hash_table_new_full (tcp_secret_hash, g_str_equal, NULL, (GDestroyNotify) tcp_account_unref);
  return self;
}

void
tcp_access_free (TcpAccess *self)
{
  g_clear_pointer (&self->roster, tcp_roster_unref);
  g_hash_table_unref (self->accounts);
  g_free (self);
}
