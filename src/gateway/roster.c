/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/roster.h"

#include <string.h>

#include "base/i18n.h"
#include "base/invalid.h"
#include "base/ref-count.h"
#include "base/secret-hash.h"

struct _TcpRoster
{
  gatomicrefcount refs;
  TcpTokens *tokens;    /* and the names of all principals, including those without a token */
  TcpPolicy *general;   /* of the principals that have no other */
  GHashTable *policies; /* name → TcpPolicy */
  GTlsDatabase *client_ca; /* nullable */
  gboolean asks;
};

/* The number of names in a warning. */
#define MAX_NAMES 5

/* Adds the name to @bare if it has no token. */
static gboolean
roster_add (TcpRoster               *self,
            const TcpPrincipalSpec  *spec,
            GPtrArray               *bare,
            GError                 **error)
{
  TcpPolicy *policy;

  if (spec->name != NULL && !tcp_tokens_have_name (self->tokens, spec->name) && (spec->tokens == NULL || *spec->tokens == NULL))
    g_ptr_array_add (bare, spec->name);
  if (!tcp_tokens_add_name (self->tokens, spec->name != NULL ? spec->name : "", error))
    return FALSE;
  if (g_hash_table_contains (self->policies, spec->name))
    return tcp_invalid (error, _("two principals have the name “%s”"), spec->name);
  for (char **token = spec->tokens; token != NULL && *token != NULL; token++)
    if (!tcp_tokens_add_text (self->tokens, spec->name, *token, error))
      return FALSE;

  policy = tcp_policy_new_for (self->general, spec, error);
  if (policy == NULL)
    return FALSE;
  g_hash_table_insert (self->policies, g_strdup (spec->name), policy);
  return TRUE;
}

/* Warns about targets that no client may use: they may be missing in an allow list. */
static void
roster_warn_of_targets (TcpRoster *self,
                        TcpLog    *log)
{
  g_autoptr (GPtrArray) names = tcp_targets_get_names (self->general->targets);

  for (guint i = 0; i < names->len; i++)
    {
      GHashTableIter iter;
      gpointer policy = self->general;
      gboolean is_used = g_strcmp0 (tcp_targets_get_own (self->general->targets), names->pdata[i]) == 0;

      g_hash_table_iter_init (&iter, self->policies);
      do
        is_used = is_used || tcp_target_rules_allow (((TcpPolicy *) policy)->rules, names->pdata[i]);
      while (!is_used && g_hash_table_iter_next (&iter, NULL, &policy));
      if (!is_used)
        tcp_log_warn (log, "nobody may be connected to the target “%s”: no list of targets to be allowed has the name",
                      (const char *) names->pdata[i]);
    }
}

static char *
join_names (GPtrArray *names)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < names->len && i < MAX_NAMES; i++)
    g_string_append_printf (text, "%s“%s”", i > 0 ? ", " : "", (const char *) names->pdata[i]);
  if (names->len > MAX_NAMES)
    g_string_append_printf (text, " and %u more", names->len - MAX_NAMES);
  return g_string_free (text, FALSE);
}

/* The principals in @bare have no token. If the application is asked, it may admit clients with any name. */
static void
roster_warn_of_principals (TcpRoster *self,
                           GPtrArray *bare,
                           TcpLog    *log)
{
  g_autofree char *names = join_names (bare);

  if (bare->len > 0 && self->client_ca == NULL && !self->asks)
    tcp_log_warn (log, "no client can be %s: there is neither a token for that nor a client-ca", names);
}

/* @patterns have been checked. */
static void
roster_warn_of_ports (TcpRoster          *self,
                      const char *const  *patterns,
                      TcpLog             *log)
{
  g_autoptr (GHashTable) seen = g_hash_table_new_full (tcp_secret_hash, g_str_equal, g_free, NULL);
  g_autoptr (GPtrArray) unknown = g_ptr_array_new ();
  g_autofree char *names = NULL;

  for (; patterns != NULL && *patterns != NULL; patterns++)
    {
      const char *at = strrchr (*patterns, '@');
      g_autofree char *name = at != NULL ? g_strndup (*patterns, at - *patterns) : NULL;

      if (name == NULL || tcp_tokens_have_name (self->tokens, name) || g_hash_table_contains (seen, name))
        continue;
      g_ptr_array_add (unknown, name);
      g_hash_table_add (seen, g_steal_pointer (&name));
    }
  names = join_names (unknown);
  if (unknown->len > 0 && !self->asks)
    tcp_log_warn (log, "ports for reverse tunnels are reserved for %s, but there is no such principal", names);
}

/* @principals are TcpPrincipalSpec; @log may be NULL to omit warnings. Blocks. */
TcpRoster *
tcp_roster_load (const TcpGatewaySettings *settings,
                 GPtrArray                *principals,
                 TcpLog                   *log,
                 GError                  **error)
{
  g_autoptr (TcpRoster) self = g_new0 (TcpRoster, 1);
  g_autoptr (GPtrArray) bare = g_ptr_array_new ();

  g_atomic_ref_count_init (&self->refs);
  self->policies = g_hash_table_new_full (tcp_secret_hash, g_str_equal, g_free, (GDestroyNotify) tcp_policy_unref);
  self->general = tcp_policy_new (settings, error);
  if (self->general == NULL)
    return NULL;
  self->tokens = tcp_tokens_load (settings->token, settings->token_file, log, error);
  if (self->tokens == NULL)
    return NULL;
  for (guint i = 0; i < principals->len; i++)
    if (!roster_add (self, principals->pdata[i], bare, error))
      return NULL;
  g_set_object (&self->client_ca, settings->client_ca);
  self->asks = settings->asks;
  if (self->client_ca != NULL && settings->tls_certificate == NULL)
    {
      tcp_invalid (error, _("client-ca needs tls-certificate: clients send a certificate over TLS only"));
      return NULL;
    }
  if (tcp_tokens_count (self->tokens) == 0 && self->client_ca == NULL && !self->asks)
    {
      tcp_invalid (error, _("the gateway needs a token, a client-ca or a handler of “authenticate” to accept clients"));
      return NULL;
    }
  if (self->client_ca != NULL && tcp_tokens_count_names (self->tokens) == 0 && !self->asks)
    {
      tcp_invalid (error, _("client-ca is set, but no principal is known that a certificate could name"));
      return NULL;
    }
  roster_warn_of_targets (self, log);
  roster_warn_of_principals (self, bare, log);
  roster_warn_of_ports (self, (const char *const *) settings->reverse_ports, log);
  return g_steal_pointer (&self);
}

TcpRoster *
tcp_roster_ref (TcpRoster *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_roster_unref (TcpRoster *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  g_clear_pointer (&self->tokens, tcp_tokens_free);
  g_clear_pointer (&self->general, tcp_policy_unref);
  g_hash_table_unref (self->policies);
  g_clear_object (&self->client_ca);
  g_free (self);
}

TcpTokens *
tcp_roster_get_tokens (TcpRoster *self)
{
  return self->tokens;
}

/* The database that verifies the certificates of clients; NULL if no certificates are requested. */
GTlsDatabase *
tcp_roster_get_client_ca (TcpRoster *self)
{
  return self->client_ca;
}

/* Whether the application is asked about clients with unknown credentials, or none. */
gboolean
tcp_roster_asks (TcpRoster *self)
{
  return self->asks;
}

/* Whether there is a principal of that name, with or without a token. */
gboolean
tcp_roster_has (TcpRoster  *self,
                const char *name)
{
  return tcp_tokens_have_name (self->tokens, name);
}

TcpTargets *
tcp_roster_get_targets (TcpRoster *self)
{
  return self->general->targets;
}

guint
tcp_roster_count (TcpRoster *self)
{
  return tcp_tokens_count_names (self->tokens);
}

/* The policy of principals that have no other. */
TcpPolicy *
tcp_roster_get_general_policy (TcpRoster *self)
{
  return self->general;
}

TcpPolicy *
tcp_roster_get_policy (TcpRoster  *self,
                       const char *name)
{
  TcpPolicy *policy = g_hash_table_lookup (self->policies, name);

  return policy != NULL ? policy : self->general;
}
