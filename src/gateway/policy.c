/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/policy.h"

#include "base/host-port.h"
#include "base/i18n.h"
#include "base/invalid.h"
#include "base/ref-count.h"

static TcpPolicy *
policy_new (void)
{
  TcpPolicy *self = g_new0 (TcpPolicy, 1);

  g_atomic_ref_count_init (&self->refs);
  return self;
}

/* @allow are patterns; a name of a target in it must exist. */
static TcpTargetRules *
make_rules (TcpTargets   *targets,
            char        **allow,
            GError      **error)
{
  for (char **pattern = allow; pattern != NULL && *pattern != NULL; pattern++)
    if (tcp_target_name_is_valid (*pattern) && tcp_targets_find (targets, *pattern) == NULL)
      {
        tcp_invalid (error, _("“%s” is neither of the form HOST:PORT nor the name of a target"), *pattern);
        return NULL;
      }
  return tcp_target_rules_new ((const char *const *) allow, error);
}

/* The policy for all principals that have no settings of their own. */
TcpPolicy *
tcp_policy_new (const TcpGatewaySettings *settings,
                GError                  **error)
{
  g_autoptr (TcpPolicy) self = policy_new ();

  self->targets = tcp_targets_new (settings->target, (const char *const *) settings->targets, error);
  if (self->targets == NULL)
    return NULL;
  self->rules = make_rules (self->targets, settings->allow, error);
  if (self->rules == NULL)
    {
      g_prefix_error (error, _("the targets to be allowed: "));
      return NULL;
    }
  self->allows_own = settings->target != NULL;
  self->max_sessions = settings->max_principal_sessions;
  self->max_connections = settings->max_principal_connections;
  self->max_dials = settings->max_principal_dials;
  self->max_memory = settings->max_principal_memory;
  self->dial_rate = settings->max_principal_dial_rate;
  self->upload_rate = settings->max_principal_upload_rate;
  self->download_rate = settings->max_principal_download_rate;
  return g_steal_pointer (&self);
}

/* Whether a list allows the gateway's own target, as if a client had requested it. */
static gboolean
rules_allow_own (TcpTargetRules *rules,
                 const char     *own)
{
  g_auto (TcpHostPort) parsed = { 0 };
  g_autoptr (GInetAddress) address = NULL;

  if (own == NULL || !tcp_target_rules_allow (rules, own))
    return FALSE;
  if (tcp_host_port_parse (own, &parsed, NULL) && parsed.address)
    address = g_inet_address_new_from_string (parsed.host);
  return address == NULL || tcp_target_rules_allow_address (rules, address, parsed.port);
}

/* Uses the settings of @spec, and those of @general where @spec has none. */
TcpPolicy *
tcp_policy_new_for (TcpPolicy               *general,
                    const TcpPrincipalSpec  *spec,
                    GError                 **error)
{
  g_autoptr (TcpPolicy) self = policy_new ();
  const char *own = tcp_targets_get_own (general->targets);

  self->targets = tcp_targets_ref (general->targets);
  self->rules = spec->allow != NULL ? make_rules (self->targets, spec->allow, error) : tcp_target_rules_ref (general->rules);
  if (self->rules == NULL)
    {
      g_prefix_error (error, _("the targets to be allowed to “%s”: "), spec->name);
      return NULL;
    }
  self->checks_own = spec->allow != NULL;
  self->allows_own = spec->allow != NULL ? rules_allow_own (self->rules, own) : general->allows_own;
  self->max_sessions = spec->max_sessions > 0 ? spec->max_sessions : general->max_sessions;
  self->max_connections = spec->max_connections > 0 ? spec->max_connections : general->max_connections;
  self->max_dials = spec->max_dials > 0 ? spec->max_dials : general->max_dials;
  self->max_memory = spec->max_memory > 0 ? spec->max_memory : general->max_memory;
  self->dial_rate = spec->dial_rate > 0 ? spec->dial_rate : general->dial_rate;
  self->upload_rate = spec->upload_rate > 0 ? spec->upload_rate : general->upload_rate;
  self->download_rate = spec->download_rate > 0 ? spec->download_rate : general->download_rate;
  return g_steal_pointer (&self);
}

/* Returns HOST:PORT for the target that a client requests, which may be NULL; NULL if it is not allowed.
 * @is_configured: the address comes from the configuration of the gateway; other addresses must be checked once they
 * are resolved. */
const char *
tcp_policy_find_target (const TcpPolicy *self,
                        const char      *asked,
                        gboolean        *is_configured)
{
  const char *own = tcp_targets_get_own (self->targets);
  const char *address = asked;

  *is_configured = TRUE;
  if (asked == NULL || g_strcmp0 (asked, own) == 0)
    {
      if (!self->allows_own)
        return NULL;
      address = own;
    }
  else if (!tcp_target_rules_allow (self->rules, asked))
    return NULL;

  if (tcp_target_name_is_valid (address))
    return tcp_targets_find (self->targets, address);
  *is_configured = address == own && !self->checks_own;
  return address;
}

/* Whether the same targets are allowed, with the same addresses. */
gboolean
tcp_policy_has_same_targets (const TcpPolicy *self,
                             const TcpPolicy *other)
{
  return self->allows_own == other->allows_own && self->checks_own == other->checks_own && tcp_target_rules_equal (self->rules, other->rules) &&
         tcp_targets_equal (self->targets, other->targets);
}

TcpPolicy *
tcp_policy_ref (TcpPolicy *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_policy_unref (TcpPolicy *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  g_clear_pointer (&self->targets, tcp_targets_unref);
  g_clear_pointer (&self->rules, tcp_target_rules_unref);
  g_free (self);
}
