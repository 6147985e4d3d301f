/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/log.h"
#include "base/status.h"
#include "endpoint/event-queue.h"
#include "gateway/counters.h"
#include "gateway/roster.h"
#include "gateway/snapshot.h"

G_BEGIN_DECLS

/* The part of a gateway on the I/O thread: the listener and the clients. The functions here are for the public object,
 * and may be called from its thread. */
typedef struct _TcpServer TcpServer;

typedef void (*TcpServerFunc) (int       fd,
                               GError   *error,
                               gpointer  user_data);

TcpServer *tcp_server_new (const TcpGatewaySettings *settings,
                           GPtrArray                *principals,
                           GArray                   *places,
                           TcpLog                   *log,
                           TcpStatus                *status,
                           TcpCounters              *counters,
                           TcpEventQueue            *events,
                           GError                  **error);
gboolean tcp_server_check (const TcpGatewaySettings  *settings,
                           GPtrArray                 *principals,
                           TcpLog                    *log,
                           GCancellable              *cancellable,
                           TcpRoster                **roster,
                           GError                   **error);
TcpServer *tcp_server_ref (TcpServer *self);
void tcp_server_unref (TcpServer *self);
gboolean tcp_server_prepare (TcpServer  *self,
                             GError    **error);
void tcp_server_inherit (TcpServer   *self,
                         TcpHeritage *heritage);
void tcp_server_start (TcpServer *self);
guint tcp_server_begin_reload (TcpServer *self);
gboolean tcp_server_reload (TcpServer                 *self,
                            guint                      number,
                            const TcpGatewaySettings  *settings,
                            GPtrArray                 *principals,
                            GCancellable              *cancellable,
                            GError                   **error);
void tcp_server_cancel (TcpServer *self);
void tcp_server_drain (TcpServer *self,
                       guint64    id,
                       guint      timeout);
void tcp_server_cancel_drain (TcpServer *self,
                              guint64    id);
void tcp_server_suspend (TcpServer     *self,
                         TcpServerFunc  func,
                         gpointer       user_data);
void tcp_server_resume (TcpServer *self);
gboolean tcp_server_hand_over (TcpServer *self);
void tcp_server_close (TcpServer *self);
GPtrArray *tcp_server_copy_addresses (TcpServer *self);
void tcp_server_measure (TcpServer         *self,
                         TcpGatewayMetrics *metrics);

G_END_DECLS
