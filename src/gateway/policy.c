/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/policy.h"

#include "base/ref-count.h"

static TcpPolicy *
policy_new (void)
{
  TcpPolicy *self = g_new0 (TcpPolicy, 1);

  g_atomic_ref_count_init (&self->refs);
  return self;
}

/* That of all that have no other. */
TcpPolicy *
tcp_policy_new (const TcpGatewaySettings *settings,
                GError                  **error)
{
  g_autoptr (TcpPolicy) self = policy_new ();

  self->rules = tcp_target_rules_new ((const char *const *) settings->allow, error);
  if (self->rules == NULL)
    {
      g_prefix_error (error, "the targets to be allowed: ");
      return NULL;
    }
  self->allows_own = TRUE;
  self->max_sessions = settings->max_principal_sessions;
  self->max_connections = settings->max_principal_connections;
  self->max_dials = settings->max_principal_dials;
  self->max_memory = settings->max_principal_memory;
  self->dial_rate = settings->max_principal_dial_rate;
  self->upload_rate = settings->max_principal_upload_rate;
  self->download_rate = settings->max_principal_download_rate;
  return g_steal_pointer (&self);
}

/* What @spec says, and @general where it says nothing. */
TcpPolicy *
tcp_policy_new_for (TcpPolicy                *general,
                    const TcpGatewaySettings *settings,
                    const TcpPrincipalSpec   *spec,
                    GError                  **error)
{
  g_autoptr (TcpPolicy) self = policy_new ();

  if (spec->allow != NULL)
    self->rules = tcp_target_rules_new ((const char *const *) spec->allow, error);
  else
    self->rules = tcp_target_rules_ref (general->rules);
  if (self->rules == NULL)
    {
      g_prefix_error (error, "the targets to be allowed to “%s”: ", spec->name);
      return NULL;
    }
  self->allows_own = spec->allow != NULL ? tcp_target_rules_allow (self->rules, settings->target) : general->allows_own;
  self->max_sessions = spec->max_sessions > 0 ? spec->max_sessions : general->max_sessions;
  self->max_connections = spec->max_connections > 0 ? spec->max_connections : general->max_connections;
  self->max_dials = spec->max_dials > 0 ? spec->max_dials : general->max_dials;
  self->max_memory = spec->max_memory > 0 ? spec->max_memory : general->max_memory;
  self->dial_rate = spec->dial_rate > 0 ? spec->dial_rate : general->dial_rate;
  self->upload_rate = spec->upload_rate > 0 ? spec->upload_rate : general->upload_rate;
  self->download_rate = spec->download_rate > 0 ? spec->download_rate : general->download_rate;
  return g_steal_pointer (&self);
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

  g_clear_pointer (&self->rules, tcp_target_rules_unref);
  g_free (self);
}
