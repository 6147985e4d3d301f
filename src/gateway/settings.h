/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "endpoint/settings.h"

G_BEGIN_DECLS

/* In bytes. With less hardly a client could be served. */
#define TCP_GATEWAY_LEAST_MEMORY (8 * 1024 * 1024)
#define TCP_GATEWAY_LEAST_PRINCIPAL_MEMORY (4 * 1024 * 1024)

/* In bytes a second. With less a connection could hardly be used. */
#define TCP_GATEWAY_LEAST_RATE 1024

/* What a client may have of it however much others have: a message of some size that is not complete, what one
 * connection begins with, and a piece of what goes the other way. */
#define TCP_GATEWAY_MEMORY_OF_CLIENT (40 * 1024)

/* What the application asked of a gateway. See properties.c for what they mean. */
typedef struct
{
  TcpEndpointSettings common;
  char *target;
  char *path;
  char *route; /* nullable */
  char **targets; /* that have names; see targets.h */
  char **allow; /* patterns of targets; see target-rules.h */
  char **reverse_ports; /* on which it may listen for clients; see reverse-ports.h */
  char *token;
  char *token_file;
  GListModel *principals; /* of TcpPrincipal; NULL in copies, since it is the application's */
  char **trusted_proxies;
  TcpProxyProtocol proxy_protocol; /* towards targets */
  GTlsCertificate *tls_certificate;
  GTlsDatabase *client_ca;
  gboolean asks; /* the application; not a property, but whether “authenticate” has a handler */
  guint session_timeout;    /* ms */
  guint max_dials;
  guint64 max_memory;           /* bytes; 0 for what tcp_gateway_settings_get_max_memory () says */
  guint max_principal_sessions; /* of these, 0 is for what access.c gives each principal */
  guint max_principal_connections;
  guint max_principal_dials;
  guint64 max_principal_memory; /* bytes */
  guint max_principal_dial_rate; /* a second, as what follows; 0: without limit */
  guint64 max_principal_upload_rate; /* bytes */
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
