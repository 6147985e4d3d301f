/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/log.h"
#include "tunnel/settings.h"
#include "websocket/channel.h"

G_BEGIN_DECLS

/* Opens WebSockets to the gateway, one attempt at a time for each call. */
typedef struct _TcpDialer TcpDialer;

typedef struct
{
  TcpChannel *channel; /* or NULL; then error, status and retry_after are set */
  gboolean resumable;  /* the gateway supports resumable/1 */
  gboolean unsuitable; /* the gateway does not, but it is required */
  gboolean untrusted;  /* a certificate was refused, or the server does not use TLS */
  gboolean foreign;    /* the gateway did not show that it uses this library */
  GError *error;
  guint status;        /* the HTTP status of a refusal, 0 if there was none */
  gint64 retry_after;  /* the delay that a refusal requested, in ms, -1 for none */
  const char *route;   /* resumable: the route to this gateway; nullable */
} TcpDialResult;

/* Takes parts of @result with g_steal_pointer (). Not called after the cancellable was cancelled. */
typedef void (*TcpDialFunc) (TcpDialResult *result,
                             gpointer       user_data);

/* The whole request was sent, so that the gateway may act on it. Not called after the cancellable was cancelled. */
typedef void (*TcpDialSentFunc) (gpointer user_data);

TcpDialer *tcp_dialer_new (const TcpTunnelSettings *settings,
                           TcpLog                  *log,
                           TcpStatus               *status,
                           TcpChannelGroup         *group);
void tcp_dialer_free (TcpDialer *self);
void tcp_dialer_set_token (TcpDialer  *self,
                           const char *token,
                           guint       serial);
void tcp_dialer_set_certificate (TcpDialer       *self,
                                 GTlsCertificate *certificate);
guint tcp_dialer_get_token_serial (TcpDialer *self);
guint tcp_dialer_count_failure (TcpDialer *self);
void tcp_dialer_restart_failures (TcpDialer *self);
void tcp_dialer_dial (TcpDialer       *self,
                      GUri            *uri,
                      GCancellable    *cancellable,
                      TcpDialSentFunc  sent,
                      TcpDialFunc      func,
                      gpointer         user_data);
gint64 tcp_dial_parse_retry_after (const char *text,
                                   GDateTime  *now);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpDialer, tcp_dialer_free)

G_END_DECLS
