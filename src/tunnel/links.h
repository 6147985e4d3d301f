/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io/log-limit.h"
#include "tunnel/link.h"
#include "tunnel/opener.h"

G_BEGIN_DECLS

/* All links of a tunnel: assigns TCP clients to them according to the mode, and decides when another is needed. While
 * it is unknown whether a link can have many, further clients wait. */
typedef struct _TcpLinks TcpLinks;

typedef struct
{
  void (*state_changed) (TcpTunnelState state,
                         gpointer       user_data);
  /* There is no WebSocket, because of @error; the next attempt follows in @delay ms. */
  void (*retry_scheduled) (const GError *error,
                           guint         attempt,
                           guint         delay,
                           gpointer      user_data);
  /* A stream was opened: see tcp_stream_get_opener (). */
  void (*stream_opened) (TcpStream *stream,
                         gpointer   user_data);
  /* A TCP client has connected to the gateway, with the address @from if it is known: there is no opener. */
  void (*stream_arrived) (TcpStream      *stream,
                          GSocketAddress *from,
                          gpointer        user_data);
  /* The gateway listens for a service of this end. */
  void (*listening) (const char *host,
                     guint16     port,
                     gpointer    user_data);
  /* The stream has ended. The opener, which may be gone already, is called next. */
  void (*stream_closed) (TcpStream    *stream,
                         const GError *error,
                         gpointer      user_data);
  /* As that of a link. */
  void (*token_required) (guint    serial,
                          gpointer user_data);
  /* The tunnel cannot continue: tcp_links_close () must follow. */
  void (*failed) (const GError *error,
                  gpointer      user_data);
} TcpLinksCallbacks;

TcpLinks *tcp_links_new (const TcpTunnelSettings *settings,
                         TcpChannelGroup         *channels,
                         TcpLog                  *log,
                         TcpStatus               *status,
                         const TcpLinksCallbacks *callbacks,
                         gpointer                 user_data);
TcpLogLimit *tcp_links_get_warnings (TcpLinks *self);
void tcp_links_free (TcpLinks *self);
void tcp_links_start (TcpLinks *self);
void tcp_links_serve (TcpLinks  *self,
                      TcpOpener *opener);
void tcp_links_await_token (TcpLinks *self);
void tcp_links_set_token (TcpLinks   *self,
                          const char *token,
                          guint       serial);
void tcp_links_set_certificate (TcpLinks        *self,
                                GTlsCertificate *certificate);
void tcp_links_network_changed (TcpLinks *self);
void tcp_links_close (TcpLinks     *self,
                      const GError *error);

G_END_DECLS
