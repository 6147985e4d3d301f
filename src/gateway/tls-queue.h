/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "gateway/client-certificate.h"
#include "gateway/origin.h"
#include "io/buffered-connection.h"
#include "websocket/group.h"

G_BEGIN_DECLS

/* The TLS handshakes of a gateway. Each blocks a thread of GTask's pool, which the application and the resolver use as
 * well, even while its peer is silent. So there are few slots; when all are taken, and other handshakes wait, one that
 * has waited long for its peer, or has lasted long, is ended. The certificate of a client is verified in the slot as
 * well. */
typedef struct _TcpTlsQueue TcpTlsQueue;
typedef struct _TcpTlsEntry TcpTlsEntry;

/* @stream, and @buffered below it, are NULL if the handshake failed; @certificate is NULL if the client has sent none.
 * The entry has been freed. */
typedef void (*TcpTlsFunc) (GIOStream             *stream,
                            TcpBufferedConnection *buffered,
                            TcpClientCertificate  *certificate,
                            const GError          *error,
                            gpointer               user_data);

TcpTlsQueue *tcp_tls_queue_new (GTlsCertificate *certificate,
                                GTlsDatabase    *client_ca,
                                TcpChannelGroup *group);
void tcp_tls_queue_set_certificates (TcpTlsQueue     *self,
                                     GTlsCertificate *certificate,
                                     GTlsDatabase    *client_ca);
void tcp_tls_queue_free (TcpTlsQueue *self);
TcpTlsEntry *tcp_tls_queue_add (TcpTlsQueue       *self,
                                GSocketConnection *connection,
                                TcpOrigin         *origin,
                                TcpTlsFunc         func,
                                gpointer           user_data);
gboolean tcp_tls_entry_is_running (TcpTlsEntry *self);
void tcp_tls_entry_cancel (TcpTlsEntry *self);

G_END_DECLS
