/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "gateway/authentication.h"
#include "gateway/client-certificate.h"
#include "gateway/counters.h"
#include "gateway/networks.h"
#include "gateway/request.h"
#include "gateway/transport.h"
#include "gateway/upgrade.h"
#include "io/buffered-connection.h"
#include "io/log-limit.h"
#include "io/port.h"
#include "websocket/group.h"

G_BEGIN_DECLS

/* The ports of a gateway. It accepts their connections, handles TLS if there is a certificate, reads the head of the
 * request and answers it. A pending connection, one that is not a WebSocket yet, has a deadline, and their number is
 * limited: beyond that, each new one evicts another. So silent connections do not make others wait. */
typedef struct _TcpListener TcpListener;

typedef struct
{
  /* Examines a well-formed request. Returns what it requests, or NULL and @refusal. @certificate is that of the client,
   * or NULL. @answer is NULL, unless this was called before for the same request, left it undecided, and the
   * application has now answered. */
  TcpRequest *(*examine) (TcpUpgrade           *upgrade,
                          TcpClientCertificate *certificate,
                          const TcpAnswer      *answer,
                          TcpRefusal           *refusal,
                          gpointer              user_data);
  /* Asks the application. Takes ownership of @authentication. */
  void (*ask) (TcpAuthentication *authentication,
               gpointer           user_data);
  /* The connection is passed on: with @answer, which was not sent yet, it is a WebSocket. Data behind the request is
   * not waited for. Takes ownership of @request and of the contents of @transport. */
  void (*accepted) (TcpRequest   *request,
                    const char   *answer,
                    TcpTransport *transport,
                    gpointer      user_data);
} TcpListenerCallbacks;

typedef struct
{
  GTlsCertificate *certificate; /* nullable */
  GTlsDatabase *client_ca; /* verifies the certificates of clients; nullable */
  guint timeout;  /* in ms, 0 for the default */
  gsize memory;   /* in bytes, that pending connections may use */
  TcpNetworks *proxies; /* the trusted proxies; the listener takes ownership */
  TcpIoThread *thread;  /* the current one */
  TcpChannelGroup *group;
  TcpLog *log;
  TcpCounters *counters;
} TcpListenerOptions;

TcpListener *tcp_listener_new (const TcpListenerOptions   *options,
                               const TcpListenerCallbacks *callbacks,
                               gpointer                    user_data);
void tcp_listener_accept (TcpListener *self,
                          TcpPort     *port);
void tcp_listener_set_certificates (TcpListener     *self,
                                    GTlsCertificate *certificate,
                                    GTlsDatabase    *client_ca);
gboolean tcp_listener_has_pending (TcpListener *self);
void tcp_listener_free (TcpListener *self);

G_END_DECLS
