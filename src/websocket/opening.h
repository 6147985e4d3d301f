/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io/buffered-connection.h"
#include "websocket/answer.h"
#include "websocket/group.h"

G_BEGIN_DECLS

/* Opens a WebSocket as a client: TCP, perhaps through a proxy, TLS, the request, and the head of the answer. */

/* The progress of an opening. */
typedef enum
{
  TCP_OPENING_RESOLVE,
  TCP_OPENING_CONNECT,
  TCP_OPENING_PROXY, /* waits for a proxy to connect */
  TCP_OPENING_TLS,
  TCP_OPENING_HTTP,
} TcpOpeningStage;

/* The number of bytes that are kept of an invalid answer. */
#define TCP_OPENING_MAX_SHOWN 64

typedef struct
{
  GUri *uri;                      /* ws or wss */
  const char *connect_host;       /* connect to this instead of its host and port; nullable */
  guint16 connect_port;
  const char *headers;            /* lines of the request, each with its CR and LF */
  const char *const *subprotocols; /* those that the headers offer; nullable */
  GProxyResolver *proxy_resolver; /* NULL for that of the system */
  GTlsDatabase *tls_database;     /* NULL for that of the system */
  GTlsCertificate *certificate;   /* of the client; nullable */
  guint timeout;                  /* in ms, 0 for none */
  gboolean direct;                /* it is known that no proxy is needed for this server */
  TcpChannelGroup *group;         /* the opening is a member until it ends, even if it is cancelled */
} TcpOpeningOptions;

/* Everything belongs to the opening. */
typedef struct
{
  /* for a WebSocket */
  GIOStream *stream;
  GSocket *socket;
  TcpBufferedConnection *buffered; /* below TLS to the server, or NULL */
  gboolean plain;                  /* the stream is plain TCP */
  GByteArray *early;               /* bytes that were read behind the head */

  GError *error; /* otherwise; NULL as well if the status of the answer is a refusal */
  gboolean timed_out;
  TcpOpeningStage stage;
  gboolean direct;          /* the server was reached without a proxy, after the proxy resolver was asked */
  const char *proxy;        /* its URL, without secrets; nullable */
  GTlsCertificate *refused; /* the server's certificate; nullable */
  GTlsCertificateFlags refused_for;
  char received[TCP_OPENING_MAX_SHOWN]; /* the first bytes received, if they are not an HTTP answer */
  gsize n_received;

  TcpAnswer *answer; /* its status is 0 if there was none */
} TcpOpeningResult;

/* Not called once the cancellable was cancelled. */
typedef void (*TcpOpeningFunc) (const TcpOpeningResult *result,
                                gpointer                user_data);

/* Called when the whole request was sent: from then on the server may act on it. Not called once the cancellable was
 * cancelled. */
typedef void (*TcpOpeningSentFunc) (gpointer user_data);

void tcp_open_websocket (const TcpOpeningOptions *options,
                         GCancellable            *cancellable,
                         TcpOpeningSentFunc       sent,
                         TcpOpeningFunc           func,
                         gpointer                 user_data,
                         GDestroyNotify           free_func);

G_END_DECLS
