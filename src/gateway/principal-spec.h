/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "endpoint/setting.h"

G_BEGIN_DECLS

/* What a TcpPrincipal says at some moment. It does not change while several have it. See principal-spec.c for what the
 * fields mean. */
typedef struct
{
  gatomicrefcount refs;
  char *name;
  char **allow;
  char **tokens;
  guint max_sessions;
  guint max_connections;
  guint max_dials;
  guint64 max_memory; /* bytes */
  guint dial_rate;    /* a second, as what follows */
  guint64 upload_rate; /* bytes */
  guint64 download_rate;
} TcpPrincipalSpec;

extern const TcpSettings tcp_principal_spec_settings;

TcpPrincipalSpec *tcp_principal_spec_new (void);
TcpPrincipalSpec *tcp_principal_spec_ref (TcpPrincipalSpec *self);
void tcp_principal_spec_unref (TcpPrincipalSpec *self);
TcpPrincipalSpec *tcp_principal_spec_make_own (TcpPrincipalSpec *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpPrincipalSpec, tcp_principal_spec_unref)

G_END_DECLS
