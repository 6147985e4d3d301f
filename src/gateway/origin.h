/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The origins of pending connections: an IPv4 address, an IPv6 network, or the IPv6 address of a trusted proxy. An
 * origin is removed with its last connection, unless it has sent a valid token, or wrong tokens that are not forgiven
 * yet. Of either kind a limited number is remembered. */
typedef struct _TcpOrigins TcpOrigins;

typedef struct
{
  char *name;
  guint pending;    /* its connections that are not a WebSocket yet */
  guint handshakes; /* those of them that are in their TLS handshake */
  guint asked;      /* its requests about which the application is being asked */
  gboolean known;   /* it has sent a valid token */
  gboolean trusted; /* it is that of a proxy, which many clients use */

  /* private */
  GList link;         /* among those without a connection */
  GQueue *remembered; /* the queue that contains it; nullable */
  gint64 forgiven_at; /* when all its failures are forgiven, in µs of tcp_now () */
} TcpOrigin;

TcpOrigins *tcp_origins_new (void);
void tcp_origins_free (TcpOrigins *self);
TcpOrigin *tcp_origins_get (TcpOrigins   *self,
                            GInetAddress *address,
                            gboolean      trusted);
void tcp_origins_release (TcpOrigins *self,
                          TcpOrigin  *origin,
                          gint64      now);
guint tcp_origins_get_size (TcpOrigins *self);
gint64 tcp_origin_fail (TcpOrigin *self,
                        gint64     now);

G_END_DECLS
