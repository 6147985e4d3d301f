/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "session/stream.h"

G_BEGIN_DECLS

/* Requests a stream, for example for a TCP client; its callbacks report the progress. Belongs to the I/O thread of the
 * engine. Each kind of opener begins with this struct. */
typedef struct _TcpOpener TcpOpener;

typedef struct
{
  /* A stream was opened for it, which it may reset. Nullable. */
  void (*opened) (TcpOpener *self,
                  TcpStream *stream);
  /* The gateway has connected; or it does not report that, and there is a WebSocket to it. May reset the stream.
   * Nullable. */
  void (*connected) (TcpOpener *self,
                     TcpStream *stream);
  /* The stream has ended; the last call. @stream is NULL if it could not be opened: @error is the reason. */
  void (*closed) (TcpOpener    *self,
                  TcpStream    *stream,
                  const GError *error);
} TcpOpenerClass;

struct _TcpOpener
{
  const TcpOpenerClass *class;
  const char *target;            /* NULL for the gateway's own target */
  GSocketConnection *connection; /* NULL if it is attached after connected () */
  GSocketAddress *peer;          /* NULL if there is no client */
};

G_END_DECLS
