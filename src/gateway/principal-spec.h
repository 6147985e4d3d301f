/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "endpoint/setting.h"

G_BEGIN_DECLS

/* The settings of a TcpPrincipal at one time. They do not change while several references exist. principal-spec.c
 * describes the fields. */
typedef struct
{
  gatomicrefcount refs;
  char *name;
  char **allow;
  char **tokens;
  guint max_sessions;
  guint max_connections;
  guint max_dials;
  guint64 max_memory; /* in bytes */
  guint dial_rate;    /* per second, as the next two */
  guint64 upload_rate; /* in bytes */
  guint64 download_rate;
} TcpPrincipalSpec;

extern const TcpSettings tcp_principal_spec_settings;

TcpPrincipalSpec *tcp_principal_spec_new (void);
TcpPrincipalSpec *tcp_principal_spec_ref (TcpPrincipalSpec *self);
void tcp_principal_spec_unref (TcpPrincipalSpec *self);
TcpPrincipalSpec *tcp_principal_spec_make_own (TcpPrincipalSpec *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpPrincipalSpec, tcp_principal_spec_unref)

G_END_DECLS
