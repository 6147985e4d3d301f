/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/log.h"
#include "base/status.h"
#include "endpoint/event-queue.h"
#include "tunnel/forward-spec.h"
#include "tunnel/settings.h"

G_BEGIN_DECLS

/* The part of a tunnel on the I/O thread: the listener and the links. The functions here are for the public object, and
 * may be called from its thread. */
typedef struct _TcpEngine TcpEngine;

TcpEngine *tcp_engine_new (const TcpTunnelSettings *settings,
                           GPtrArray               *forwards,
                           TcpLog                  *log,
                           TcpStatus               *status,
                           TcpEventQueue           *events,
                           GError                 **error);
TcpEngine *tcp_engine_ref (TcpEngine *self);
void tcp_engine_unref (TcpEngine *self);
void tcp_engine_start (TcpEngine *self);
void tcp_engine_set_token (TcpEngine  *self,
                           const char *token);
void tcp_engine_set_certificate (TcpEngine       *self,
                                 GTlsCertificate *certificate);
guint tcp_engine_get_token_serial (TcpEngine *self);
void tcp_engine_await_token (TcpEngine *self);
void tcp_engine_cancel (TcpEngine *self);
gboolean tcp_engine_add_port (TcpEngine             *self,
                              const TcpForwardSpec  *spec,
                              GPtrArray             *addresses,
                              GError               **error);
void tcp_engine_remove_port (TcpEngine     *self,
                             gconstpointer  id);
void tcp_engine_open (TcpEngine  *self,
                      const char *target,
                      GTask      *task);
void tcp_engine_close (TcpEngine *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpEngine, tcp_engine_unref)

G_END_DECLS
