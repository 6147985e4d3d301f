/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "session/stream.h"

G_BEGIN_DECLS

/* The part that requests a stream, such as for a TCP client, with the callbacks for its progress. Belongs to the I/O thread of the
 * engine. Each kind of opener begins with this. */
typedef struct _TcpOpener TcpOpener;

typedef struct
{
  /* A stream was opened for it, which it may reset. Nullable. */
  void (*opened) (TcpOpener *self,
                  TcpStream *stream);
  /* The gateway has connected, or does not report that and there is a WebSocket to it. May reset the stream. Nullable. */
  void (*connected) (TcpOpener *self,
                     TcpStream *stream);
  /* It is over, and the last call. @stream is NULL if there was none, as it could not be opened: @error is the reason. */
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
