/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

/* What the application asked for; see tunnel/settings.h. */
typedef struct
{
  char *target;
  char *hostname;
  guint port;
  char *path;
  char **allow; /* patterns of targets; see target-rules.h */
  char *token;
  char *token_file;
  char **trusted_proxies;
  GTlsCertificate *tls_certificate;
  TcpTunnelResumption resumption;
  guint connect_timeout;    /* ms */
  guint session_timeout;    /* ms */
  guint keepalive_interval; /* ms */
  guint keepalive_timeout;  /* ms */
  guint max_buffered_bytes;
  guint max_retained_bytes;
  guint max_window_bytes;
  guint max_connections;
  gboolean reset_on_loss;
} TcpGatewaySettings;

TcpGatewaySettings *tcp_gateway_settings_new (void);
TcpGatewaySettings *tcp_gateway_settings_copy (const TcpGatewaySettings *self);
void tcp_gateway_settings_free (TcpGatewaySettings *self);
gboolean tcp_gateway_settings_check (TcpGatewaySettings  *self,
                                     GError             **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpGatewaySettings, tcp_gateway_settings_free)

G_END_DECLS
