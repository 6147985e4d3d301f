/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/log.h"
#include "base/status.h"
#include "gateway/request.h"
#include "gateway/settings.h"
#include "session/session.h"
#include "websocket/channel.h"

G_BEGIN_DECLS

/* One client at the gateway: its session, and the target connections of that. */
typedef struct _TcpGuest TcpGuest;

typedef struct
{
  void (*stream_opened) (TcpGuest  *guest,
                         TcpStream *stream,
                         gpointer   user_data);
  void (*stream_closed) (TcpGuest     *guest,
                         TcpStream    *stream,
                         const GError *error,
                         gpointer      user_data);
  /* It can be forgotten, but for its id: a client that comes back for it must not
   * get a fresh target connection in the middle of its stream. */
  void (*ended) (TcpGuest *guest,
                 gpointer  user_data);
} TcpGuestCallbacks;

TcpGuest *tcp_guest_new (const TcpGatewaySettings *settings,
                         const TcpRequest         *request,
                         TcpBudget                *budget,
                         TcpLog                   *log,
                         TcpStatus                *status,
                         const TcpGuestCallbacks  *callbacks,
                         gpointer                  user_data);
void tcp_guest_free (TcpGuest *self);
const char *tcp_guest_get_session_id (TcpGuest *self);
const char *tcp_guest_get_principal (TcpGuest *self);
gboolean tcp_guest_is_resumable (TcpGuest *self);
gboolean tcp_guest_has_ended (TcpGuest *self);
void tcp_guest_attach (TcpGuest   *self,
                       TcpChannel *channel);
void tcp_guest_drain (TcpGuest *self);
void tcp_guest_close (TcpGuest *self);

G_END_DECLS
