/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Where pending connections come from: an IPv4 address, an IPv6 network, or the IPv6 address of
 * a proxy that is trusted, and what is known of it. One is forgotten with its last connection, unless it has sent a good token, or wrong
 * ones that are not forgiven yet. Of either kind only so many are remembered. */
typedef struct _TcpOrigins TcpOrigins;

typedef struct
{
  char *name;
  guint pending;    /* its connections that are no WebSocket yet */
  guint handshakes; /* of them those that are in their TLS handshake */
  guint asked;      /* its requests about which the application is being asked */
  gboolean known;   /* it has sent a good token */
  gboolean trusted; /* it is a proxy's, by which many come */

  /* Private */
  GList link;         /* among those without a connection */
  GQueue *remembered; /* in which it is; nullable */
  gint64 forgiven_at; /* when all its failures are, in µs of tcp_now() */
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
