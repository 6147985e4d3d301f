/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/log.h"
#include "base/status.h"
#include "io/log-limit.h"
#include "session/session.h"
#include "tunnel/dialer.h"
#include "tunnel/farewell.h"
#include "tunnel/opener.h"

G_BEGIN_DECLS

/* Keeps one session supplied with a WebSocket: connects, and after a break waits and connects again. A singleton or
 * parallel tunnel has a link for each TCP connection; a multiplexed one has a single link as long as it runs. */
typedef struct _TcpLink TcpLink;

/* The number of TCP connections of a link. */
typedef enum
{
  TCP_LINK_UNDECIDED, /* one, until it is known whether the gateway supports many */
  TCP_LINK_ONE,
  TCP_LINK_MANY,
} TcpLinkCapacity;

typedef struct
{
  void (*state_changed) (TcpLink        *link,
                         TcpTunnelState  state,
                         gpointer        user_data);
  /* There is no WebSocket, because of @error; the next attempt follows in @delay ms. */
  void (*retry_scheduled) (TcpLink      *link,
                           const GError *error,
                           guint         attempt,
                           guint         delay,
                           gpointer      user_data);
  /* The gateway has connected a stream that the link opened: see TcpSessionCallbacks. */
  void (*stream_connected) (TcpLink   *link,
                            TcpStream *stream,
                            gpointer   user_data);
  /* A TCP client has connected to the gateway for a service of this end; @from is NULL if it is not known. */
  void (*stream_arrived) (TcpLink        *link,
                          TcpStream      *stream,
                          GSocketAddress *from,
                          gpointer        user_data);
  /* The gateway listens for a service of this end. */
  void (*listening) (TcpLink    *link,
                     const char *host,
                     guint16     port,
                     gpointer    user_data);
  /* It is known now how many TCP connections the link can have. */
  void (*decided) (TcpLink  *link,
                   gpointer  user_data);
  /* A TCP connection of the link has ended. */
  void (*stream_closed) (TcpLink      *link,
                         TcpStream    *stream,
                         const GError *error,
                         gpointer      user_data);
  /* The gateway refused the token with this number: tcp_link_set_token () must follow, or tcp_link_await_token () if
   * the application is asked for another. */
  void (*token_required) (TcpLink  *link,
                          guint     serial,
                          gpointer  user_data);
  /* The gateway accepts no new TCP connections from this link: they require another link. This one ends with its last
   * connection. */
  void (*draining) (TcpLink  *link,
                    gpointer  user_data);
  /* The link is not needed any more. @error is NULL if it has finished its work, otherwise it ends the tunnel, if there
   * is no other link. */
  void (*ended) (TcpLink      *link,
                 const GError *error,
                 gpointer      user_data);
} TcpLinkCallbacks;

TcpLink *tcp_link_new (const TcpTunnelSettings *settings,
                       TcpDialer               *dialer,
                       TcpFarewells            *farewells,
                       TcpLog                  *log,
                       TcpLogLimit             *warnings,
                       TcpStatus               *status,
                       const TcpLinkCallbacks  *callbacks,
                       gpointer                 user_data);
void tcp_link_free (TcpLink *self);
void tcp_link_succeed (TcpLink *self,
                       TcpLink *former);
void tcp_link_start (TcpLink *self);
TcpStream *tcp_link_start_for (TcpLink   *self,
                               TcpOpener *opener);
TcpSession *tcp_link_get_session (TcpLink *self);
TcpLinkCapacity tcp_link_get_capacity (TcpLink *self);
TcpTunnelState tcp_link_get_state (TcpLink *self);
gboolean tcp_link_has_use (TcpLink *self);
gboolean tcp_link_is_leftover (TcpLink *self);
gboolean tcp_link_is_parting (TcpLink *self);
gboolean tcp_link_is_draining (TcpLink *self);
void tcp_link_stay_single (TcpLink *self);
gboolean tcp_link_waits_for_token (TcpLink *self);
TcpStream *tcp_link_open (TcpLink    *self,
                          TcpOpener  *opener,
                          GError    **error);
void tcp_link_await_token (TcpLink *self);
void tcp_link_set_token (TcpLink    *self,
                         const char *token);
void tcp_link_network_changed (TcpLink *self);
void tcp_link_close (TcpLink      *self,
                     const GError *error);

G_END_DECLS
