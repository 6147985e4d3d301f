/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

char *format_size (double bytes);
char *format_time (gint64 microseconds);
char *format_short_time (gint64 microseconds);
char *format_address (GSocketAddress *address);
char *format_peer (TcpConnection *connection,
                   const char    *property);
const char *format_error_code (const GError *error);
char **format_listeners (TcpGateway *gateway);
char *format_uri (GUri *uri);
const char *format_state (TcpTunnelState state);
const char *format_state_name (const char *state);
guint split_address (GSocketAddress  *address,
                     char           **host);
char *format_place (TcpTunnel *tunnel,
                    char     **host,
                    guint     *port);
char *format_foreign (const char *text);

/* Bytes per second, from the last eight values of a counter that only increases. */
typedef struct
{
  guint64 bytes[8];
  gint64 times[8];
  guint n;
} Meter;

double meter_update (Meter   *meter,
                     guint64  bytes);

G_END_DECLS
