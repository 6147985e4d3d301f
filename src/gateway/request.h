/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "gateway/access.h"
#include "gateway/proof.h"
#include "gateway/refusal.h"
#include "protocol/plain.h"
#include "protocol/resumable.h"

G_BEGIN_DECLS

/* What a client asks for in its query. */
typedef struct
{
  gboolean multiplexed;
  gboolean reverse;     /* the gateway is to listen, */
  guint16 remote_port;  /* there; 0 for any port */
  gboolean resumable; /* of its headers, */
  gboolean foreign;   /* which do not show that it is of this library */
  gboolean held;      /* there will be no session: it has ended */
  const char *route; /* of the gateway, if it is to come back by that; else NULL */
  gboolean restored;  /* another process had the session */
  char *session_id; /* NULL if it gave none */
  char *target;     /* the name of one, at the path of which it came; nullable */
  TcpAccount *principal;
  TcpProof proof; /* that it has shown */
  GUri *uri; /* of the WebSocket */
  char *address; /* from where; of a proxy that is trusted that for which it sends the request */
  guint16 port;  /* likewise, 0 if it is not known */
  GSocketAddress *local; /* to where */
  GSocketAddress *proxy; /* that has named the address; NULL for none */
  gint64 accepted; /* when its TCP connection was */
} TcpRequest;

void tcp_request_free (TcpRequest *self);

const TcpProtocolClass *tcp_request_get_protocol (const TcpRequest *self);
const char *tcp_request_get_session (const TcpRequest *self);
TcpRequest *tcp_request_parse (const char *query,
                               TcpRefusal *refusal);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpRequest, tcp_request_free)

G_END_DECLS
