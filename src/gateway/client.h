/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "gateway/client-state.h"
#include "gateway/dial-lane.h"
#include "gateway/request.h"
#include "gateway/shared.h"
#include "session/session.h"
#include "websocket/channel.h"

G_BEGIN_DECLS

/* A client of the gateway: its session, and the connections of that to targets. */
typedef struct _TcpClient TcpClient;

typedef struct
{
  /* @address is that of the client, or for a stream of a listener that of the TCP client; NULL if it is not known.
   * @target is the target of the stream; NULL for the service of a reverse tunnel. */
  void (*stream_opened) (TcpClient      *client,
                         TcpStream      *stream,
                         GSocketAddress *address,
                         const char     *target,
                         gpointer        user_data);
  void (*stream_closed) (TcpClient    *client,
                         TcpStream    *stream,
                         const GError *error,
                         gpointer      user_data);
  /* The client can be freed, but its session id must be remembered: a client that returns must not get a new target
   * connection in the middle of its stream. */
  void (*ended) (TcpClient *client,
                 gpointer  user_data);
} TcpClientCallbacks;

TcpClient *tcp_client_new (TcpShared                *shared,
                           TcpIoThread              *thread,
                           const TcpRequest         *request,
                           const TcpAccountPart     *part,
                           TcpDialLane              *lane,
                           TcpLogLimit              *warnings,
                           const TcpClientCallbacks *callbacks,
                           gpointer                  user_data);
void tcp_client_free (TcpClient *self);
const char *tcp_client_get_session_id (TcpClient *self);
TcpAccount *tcp_client_get_principal (TcpClient *self);
GSocketAddress *tcp_client_get_proxy (TcpClient *self);
const char *tcp_client_get_target (TcpClient *self);
gboolean tcp_client_is_resumable (TcpClient *self);
gboolean tcp_client_is_granted (TcpClient *self);
gboolean tcp_client_has_ended (TcpClient *self);
void tcp_client_attach (TcpClient        *self,
                        TcpChannel       *channel,
                        const TcpRequest *request);
void tcp_client_review (TcpClient *self,
                        TcpRoster *roster);
void tcp_client_expel (TcpClient *self);
void tcp_client_drain (TcpClient *self);
void tcp_client_close (TcpClient *self);
void tcp_client_suspend (TcpClient *self);
void tcp_client_resume (TcpClient *self);
void tcp_client_send_away (TcpClient *self);
GVariant *tcp_client_save (TcpClient *self);
void tcp_client_list_lost (TcpClient *self,
                           GArray    *descriptors);
void tcp_client_restore (TcpClient            *self,
                         const TcpClientState *state);

G_END_DECLS
