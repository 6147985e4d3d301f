/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io/buffered-connection.h"
#include "websocket/answer.h"
#include "websocket/group.h"

G_BEGIN_DECLS

/* Opens a WebSocket as a client: TCP, perhaps through a proxy, TLS, the request, and the head
 * of the answer. */

/* How far it has come. */
typedef enum
{
  TCP_OPENING_RESOLVE,
  TCP_OPENING_CONNECT,
  TCP_OPENING_PROXY, /* waits for a proxy to connect */
  TCP_OPENING_TLS,
  TCP_OPENING_HTTP,
} TcpOpeningStage;

/* How much is known of an answer that is not understood. */
#define TCP_OPENING_MAX_SHOWN 64

typedef struct
{
  GUri *uri;                      /* ws or wss */
  const char *connect_host;       /* what to connect to in place of its host and port; nullable */
  guint16 connect_port;
  const char *headers;            /* lines of the request, each with its CR and LF */
  const char *const *subprotocols; /* those that are offered in them; nullable */
  GProxyResolver *proxy_resolver; /* NULL for that of the system */
  GTlsDatabase *tls_database;     /* NULL for that of the system */
  GTlsCertificate *certificate;   /* of the client; nullable */
  guint timeout;                  /* ms, 0 for none */
  gboolean direct;                /* it is known that no proxy leads to this server */
  TcpChannelGroup *group;         /* it is a member until it is over, also when cancelled */
} TcpOpeningOptions;

/* All of it is the opening's. */
typedef struct
{
  /* If it is a WebSocket. */
  GIOStream *stream;
  GSocket *socket;
  TcpBufferedConnection *buffered; /* beneath TLS to the server, or NULL */
  gboolean plain;                  /* nothing but TCP is beneath the stream */
  GByteArray *early;               /* what came behind the head */

  GError *error; /* if not; NULL too if it was refused by the status of the answer */
  gboolean timed_out;
  TcpOpeningStage stage;
  gboolean direct;          /* the server's address was reached without a proxy, after one was asked for */
  const char *proxy;        /* its URL, without what is secret; nullable */
  GTlsCertificate *refused; /* the server's, nullable, */
  GTlsCertificateFlags refused_for;
  char received[TCP_OPENING_MAX_SHOWN]; /* the first bytes of what came in place of an answer */
  gsize n_received;

  TcpAnswer *answer; /* its status is 0 if there was none */
} TcpOpeningResult;

/* Not called once the cancellable was cancelled. */
typedef void (*TcpOpeningFunc) (const TcpOpeningResult *result,
                                gpointer                user_data);

void tcp_open_websocket (const TcpOpeningOptions *options,
                         GCancellable            *cancellable,
                         TcpOpeningFunc           func,
                         gpointer                 user_data,
                         GDestroyNotify           free_func);

G_END_DECLS
