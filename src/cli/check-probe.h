/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

#include "cli/check-report.h"

G_BEGIN_DECLS

/* Checks the path to a gateway below HTTP, one step after the other. Each call runs the main context until it has a
 * result. */
typedef struct _Probe Probe;

Probe *probe_new (GUri         *uri,
                  const char   *connect_to,
                  GTlsDatabase *database,
                  guint         timeout);
void probe_free (Probe *self);
void probe_stop (Probe *self);
void probe_find_proxy (Probe *self);
Finding *probe_name (Probe *self);
Finding *probe_proxy (Probe *self);
Finding *probe_tcp (Probe *self);
Finding *probe_tls (Probe *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Probe, probe_free)

G_END_DECLS
