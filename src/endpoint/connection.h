/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>
#include "io/record.h"

G_BEGIN_DECLS

TcpConnection *tcp_connection_new (TcpRecord      *record,
                                   GSocketAddress *client_address,
                                   guint           run);
guint tcp_connection_get_run (TcpConnection *self);
void tcp_connection_settle (TcpConnection *self,
                            const GError  *error);
void tcp_connection_end (TcpConnection *self,
                         const GError  *error);

G_END_DECLS
