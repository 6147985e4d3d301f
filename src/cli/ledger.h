/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <json-glib/json-glib.h>
#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

/* The parts of the status page of a gateway that are not in its metrics: the principals with connections, these
 * connections, and the latest failures. */
typedef struct _Ledger Ledger;

Ledger *ledger_new (TcpGateway *gateway);
void ledger_free (Ledger *self);
void ledger_describe (Ledger      *self,
                      guint        max_connections,
                      JsonBuilder *builder);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Ledger, ledger_free)

G_END_DECLS
