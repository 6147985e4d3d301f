/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "endpoint/settings.h"

G_BEGIN_DECLS

/* What the application asked of a tunnel. See properties.c for what they mean. */
typedef struct
{
  TcpEndpointSettings common;
  char *remote_uri;
  char *token;         /* one of these three */
  char *authorization; /* the whole value of that header */
  gboolean anonymous;
  char **subprotocols;
  char *origin;
  char *connect_to;  /* HOST:PORT in place of that of the URI; nullable */
  char *target;      /* what the gateway is asked for; NULL for its own */
  gboolean reverse;  /* it has no TCP clients here, but a service for those of the gateway, */
  char *service;     /* which is this, */
  guint remote_port; /* on this port there; 0 for that in the URI, or any */
  char **reverses;   /* services for those: see tcp_service_parse (); with the above that one alone */
  guint max_pending_bytes; /* for each of these while its service is being connected */
  gboolean listens;  /* at the address of the common settings */
  TcpTunnelMode mode;
  int max_reconnect_attempts; /* or TCP_TUNNEL_UNLIMITED_ATTEMPTS */
  gboolean wait_for_gateway;
  guint reconnect_delay;     /* ms */
  guint max_reconnect_delay; /* ms */
  guint max_buffered_bytes;
  char **request_headers; /* "Name: value" */
  GProxyResolver *proxy_resolver;
  GTlsDatabase *tls_database;
  GTlsCertificate *client_certificate;
  gboolean asks_for_token; /* token-required had a handler at the start */

  /* From the above, by tcp_tunnel_settings_check() */
  GUri *uri;     /* with what the mode adds to the query */
  char *display; /* the URI as it may be shown: no query, no user */
  char *connect_host; /* of connect_to, */
  guint16 connect_port;
} TcpTunnelSettings;

extern const TcpSettings tcp_tunnel_settings;

TcpTunnelSettings *tcp_tunnel_settings_copy (const TcpTunnelSettings *self);
void tcp_tunnel_settings_free (TcpTunnelSettings *self);
gboolean tcp_tunnel_settings_check (TcpTunnelSettings  *self,
                                    GError            **error);
gboolean tcp_service_parse (const char  *text,
                            guint16     *port,
                            char       **target,
                            GError     **error);
gboolean tcp_header_split (const char  *header,
                           char       **name,
                           char       **value);
GUri *tcp_uri_add_query (GUri       *uri,
                         const char *name,
                         const char *value);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpTunnelSettings, tcp_tunnel_settings_free)

G_END_DECLS
