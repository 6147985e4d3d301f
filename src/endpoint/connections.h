/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>
#include "io/record.h"

G_BEGIN_DECLS

/* The open connections of an endpoint, as delivered to the application: those whose beginning was delivered and whose
 * end was not. A list model of TcpConnection, sorted by id. Only used in the context of the endpoint. */
GListStore *tcp_connections_new (void);
TcpConnection *tcp_connections_add (GListStore     *self,
                                    TcpRecord      *record,
                                    GSocketAddress *client_address,
                                    guint           run);
TcpConnection *tcp_connections_end (GListStore   *self,
                                    guint64       id,
                                    const GError *error);
TcpConnection *tcp_connections_end_first (GListStore   *self,
                                          guint         run,
                                          const GError *error);
void tcp_connections_settle (GListStore   *self,
                             guint64       id,
                             const GError *error);
void tcp_connections_settle_run (GListStore   *self,
                                 guint         run,
                                 const GError *error);

G_END_DECLS
