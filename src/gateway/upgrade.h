/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <libsoup/soup.h>
#include "gateway/refusal.h"

G_BEGIN_DECLS

/* A request for a WebSocket, parsed and answered according to RFC 6455 4.2. Uses no socket. */
typedef struct
{
  GUri *uri; /* with its path and query as received */
  SoupMessageHeaders *headers;
} TcpUpgrade;

TcpUpgrade *tcp_upgrade_parse (const char *head,
                               gsize       length,
                               TcpRefusal *refusal);
void tcp_upgrade_free (TcpUpgrade *self);
gboolean tcp_upgrade_is_wanted (const TcpUpgrade *self);
gboolean tcp_upgrade_check (const TcpUpgrade *self,
                            TcpRefusal       *refusal);
char *tcp_upgrade_accept (const TcpUpgrade *self,
                          const char       *protocol,
                          const char       *route);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpUpgrade, tcp_upgrade_free)

G_END_DECLS
