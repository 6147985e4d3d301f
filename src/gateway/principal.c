/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/principal.h"

#include "base/ref-count.h"

/* Without limits yet. */
TcpPrincipal *
tcp_principal_new (const char *name)
{
  TcpPrincipal *self = g_new0 (TcpPrincipal, 1);

  g_atomic_ref_count_init (&self->refs);
  self->name = g_strdup (name);
  return self;
}

TcpPrincipal *
tcp_principal_ref (TcpPrincipal *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_principal_unref (TcpPrincipal *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  for (guint i = 0; i < TCP_N_MEMORY_KINDS; i++)
    g_clear_pointer (&self->memory[i], tcp_budget_pool_unref);
  g_free (self->name);
  g_free (self);
}
