/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "endpoint/settings.h"

G_BEGIN_DECLS

/* in bytes; less would hardly suffice for one client */
#define TCP_GATEWAY_LEAST_MEMORY (8 * 1024 * 1024)
#define TCP_GATEWAY_LEAST_PRINCIPAL_MEMORY (4 * 1024 * 1024)

/* in bytes per second; a connection with less would hardly be usable */
#define TCP_GATEWAY_LEAST_RATE 1024

/* The memory that a client can always use, however much others use: for an incomplete message of some size, the initial
 * window of one connection, and a part of the data in the other direction. */
#define TCP_GATEWAY_MEMORY_OF_CLIENT (40 * 1024)

/* The settings of the application for a gateway. properties.c describes them. */
typedef struct
{
  TcpEndpointSettings common;
  char *target;
  char *path;
  char *route; /* nullable */
  char **targets; /* those with names; see targets.h */
  char **allow; /* patterns of targets; see target-rules.h */
  char **reverse_ports; /* on which it may listen for clients; see reverse-ports.h */
  char *token;
  char *token_file;
  GListModel *principals; /* of TcpPrincipal; NULL in copies, since it belongs to the application */
  GListModel *listeners; /* see places.h; likewise */
  char **trusted_proxies;
  TcpProxyProtocol proxy_protocol; /* towards targets */
  GTlsCertificate *tls_certificate;
  GTlsDatabase *client_ca;
  gboolean asks; /* whether the signal “authenticate” has a handler; not a property */
  guint session_timeout;    /* in ms */
  guint max_dials;
  guint64 max_memory;           /* in bytes; 0 for the default of tcp_gateway_settings_get_max_memory () */
  guint max_principal_sessions; /* this and the next two: 0 for the share that access.c computes */
  guint max_principal_connections;
  guint max_principal_dials;
  guint64 max_principal_memory; /* in bytes */
  guint max_principal_dial_rate; /* per second, as the next two; 0 for no limit */
  guint64 max_principal_upload_rate; /* in bytes */
  guint64 max_principal_download_rate;
} TcpGatewaySettings;

extern const TcpSettings tcp_gateway_settings;

TcpGatewaySettings *tcp_gateway_settings_copy (const TcpGatewaySettings *self);
guint64 tcp_gateway_settings_get_max_memory (const TcpGatewaySettings *self);
void tcp_gateway_settings_free (TcpGatewaySettings *self);
gboolean tcp_gateway_settings_check (const TcpGatewaySettings  *self,
                                     GError                   **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpGatewaySettings, tcp_gateway_settings_free)

G_END_DECLS
