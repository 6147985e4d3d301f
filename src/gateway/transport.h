/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io/buffered-connection.h"

G_BEGIN_DECLS

/* The connection of a client, from the first byte until it is a WebSocket. */
typedef struct
{
  GSocketConnection *connection;
  TcpBufferedConnection *buffered; /* with TLS: on the connection */
  GIOStream *stream;               /* TLS on that; without TLS, the connection */
  GByteArray *early;               /* bytes that were read together with the request; nullable */
} TcpTransport;

GSocket *tcp_transport_get_socket (const TcpTransport *self);
gboolean tcp_transport_write (const TcpTransport *self,
                              const char         *text);
void tcp_transport_clear (TcpTransport *self);

G_END_DECLS
