/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "gateway/access.h"
#include "gateway/proof.h"
#include "gateway/refusal.h"
#include "protocol/plain.h"
#include "protocol/resumable.h"

G_BEGIN_DECLS

/* What a client requests in its query. */
typedef struct
{
  gboolean multiplexed;
  gboolean reverse;     /* requests the gateway to listen */
  guint16 remote_port;  /* on this port; 0 for any port */
  gboolean resumable; /* from its headers */
  gboolean foreign;   /* its headers do not show that it uses this library */
  gboolean held;      /* gets no session: that has ended */
  const char *route; /* the name of the gateway, if the client must return with it; otherwise NULL */
  gboolean restored;  /* the session comes from another process */
  char *session_id; /* NULL if it sent none */
  char *target;     /* the name of the target that its path selects; nullable */
  TcpAccount *principal;
  TcpProof proof; /* of its credentials */
  GUri *uri; /* that of the WebSocket */
  char *address; /* of the client, also behind a trusted proxy */
  guint16 port;  /* likewise; 0 if it is not known */
  GSocketAddress *local; /* the local address of the WebSocket */
  GSocketAddress *proxy; /* the proxy that has named the address; NULL for none */
  gint64 accepted; /* when its TCP connection was accepted */
} TcpRequest;

void tcp_request_free (TcpRequest *self);

const TcpProtocolClass *tcp_request_get_protocol (const TcpRequest *self);
const char *tcp_request_get_session (const TcpRequest *self);
TcpRequest *tcp_request_parse (const char *query,
                               TcpRefusal *refusal);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpRequest, tcp_request_free)

G_END_DECLS
