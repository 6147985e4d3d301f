/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Statuses of HTTP that libsoup does not define. */
#define TCP_STATUS_UPGRADE_REQUIRED 426
#define TCP_STATUS_HEAD_TOO_LARGE 431

/* The answer to a request that does not become a WebSocket. Its text repeats nothing of the request. */
typedef struct
{
  guint status;
  const char *phrase; /* instead of the usual one of the status; nullable, static. Tunnels show it */
  char *limit; /* the quota that was exceeded, as "PROPERTY: VALUE"; nullable. Tunnels show it too */
  char *text;
  const char *header; /* "Name: value", in addition to those that the status requires; nullable, static */
  char *detail;       /* for the log only; nullable */
  gboolean guessed;   /* the request had an invalid token */
  gboolean undecided; /* the client is not known here: the application may be asked */
} TcpRefusal;

void tcp_refusal_clear (TcpRefusal *self);
gboolean tcp_refuse (TcpRefusal *self,
                     guint       status,
                     const char *format,
                     ...) G_GNUC_PRINTF (3, 4);
char *tcp_refusal_format (const TcpRefusal *self);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TcpRefusal, tcp_refusal_clear)

G_END_DECLS
