/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "endpoint/settings.h"

G_BEGIN_DECLS

/* The settings of the application for a tunnel. properties.c describes them. */
typedef struct
{
  TcpEndpointSettings common;
  char *remote_uri;
  char *token;         /* one of the next three */
  char *authorization; /* the whole value of that header */
  gboolean anonymous;
  char **subprotocols;
  char *origin;
  char *connect_to;  /* HOST:PORT instead of that of the URI; nullable */
  char *target;      /* the target to request; NULL for the gateway's own */
  gboolean reverse;  /* it has no TCP clients here, but a service for those of the gateway */
  char *service;     /* that service */
  guint remote_port; /* its port at the gateway; 0 for that in the URI, or any */
  char **reverses;   /* services for clients of the gateway: see tcp_service_parse (); of a reverse tunnel only that
                      * one */
  guint max_pending_bytes; /* for each of these connections while its service is being connected */
  gboolean listens;  /* at the address of the common settings */
  TcpTunnelMode mode;
  int max_reconnect_attempts; /* or TCP_TUNNEL_UNLIMITED_ATTEMPTS */
  gboolean wait_for_gateway;
  guint reconnect_delay;     /* in ms */
  guint max_reconnect_delay; /* in ms */
  guint max_buffered_bytes;
  char **request_headers; /* "Name: value" */
  GProxyResolver *proxy_resolver;
  GTlsDatabase *tls_database;
  GTlsCertificate *client_certificate;
  gboolean asks_for_token; /* token-required had a handler at the start */

  /* set by tcp_tunnel_settings_check () */
  GUri *uri;     /* with the parameters that the mode adds to the query */
  char *display; /* the URI for messages: without query and user */
  char *connect_host; /* of connect_to */
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
