/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

void log_init (TcpTunnelLogLevel level);
void log_set_level (TcpTunnelLogLevel level);
const char *log_get_prefix (TcpTunnelLogLevel level);
void log_info (const char *format,
               ...) G_GNUC_PRINTF (1, 2);
void log_warn (const char *format,
               ...) G_GNUC_PRINTF (1, 2);

G_END_DECLS
