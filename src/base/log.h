/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>
#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

/* The log of one tunnel or gateway. The level and the name may change at any time, from any thread. */
typedef struct _TcpLog TcpLog;

TcpLog *tcp_log_new (const char        *kind,
                     TcpTunnelLogLevel  level);
TcpLog *tcp_log_new_collector (void);
char **tcp_log_end_collection (TcpLog *self);
TcpLog *tcp_log_ref (TcpLog *self);
void tcp_log_unref (TcpLog *self);
void tcp_log_set_name (TcpLog     *self,
                       const char *name);
void tcp_log_set_level (TcpLog            *self,
                        TcpTunnelLogLevel  level);
TcpTunnelLogLevel tcp_log_get_level (TcpLog *self);
void tcp_log_write (TcpLog            *self,
                    TcpTunnelLogLevel  level,
                    const char        *format,
                    ...) G_GNUC_PRINTF (3, 4);

/* The arguments are only evaluated if the message is logged. */
#define tcp_log(self, level, ...)                                               \
  G_STMT_START                                                                  \
  {                                                                             \
    if ((level) <= tcp_log_get_level (self))                                    \
      tcp_log_write (self, level, __VA_ARGS__);                                 \
  }                                                                             \
  G_STMT_END

#define tcp_log_error(self, ...) tcp_log (self, TCP_TUNNEL_LOG_LEVEL_ERROR, __VA_ARGS__)
#define tcp_log_warn(self, ...) tcp_log (self, TCP_TUNNEL_LOG_LEVEL_WARN, __VA_ARGS__)
#define tcp_log_info(self, ...) tcp_log (self, TCP_TUNNEL_LOG_LEVEL_INFO, __VA_ARGS__)
#define tcp_log_debug(self, ...) tcp_log (self, TCP_TUNNEL_LOG_LEVEL_DEBUG, __VA_ARGS__)

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpLog, tcp_log_unref)

G_END_DECLS
