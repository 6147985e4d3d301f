/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "session/stream.h"

G_BEGIN_DECLS

/* Whoever has a stream opened, such as a TCP client, and is told how that goes. Belongs to the I/O thread of the
 * engine. Each kind of opener begins with this. */
typedef struct _TcpOpener TcpOpener;

typedef struct
{
  /* A stream was opened for it, which it may reset. Nullable. */
  void (*opened) (TcpOpener *self,
                  TcpStream *stream);
  /* The gateway has connected, or cannot say so and there is a WebSocket to it. May reset the stream. Nullable. */
  void (*connected) (TcpOpener *self,
                     TcpStream *stream);
  /* It is over, and the last call. @stream is NULL if there was none, as it could not be opened: @error says why. */
  void (*closed) (TcpOpener    *self,
                  TcpStream    *stream,
                  const GError *error);
} TcpOpenerClass;

struct _TcpOpener
{
  const TcpOpenerClass *class;
  const char *target;            /* NULL for what the gateway leads to */
  GSocketConnection *connection; /* NULL if it attaches one when it is connected */
  GSocketAddress *peer;          /* NULL if there is no client */
};

G_END_DECLS
