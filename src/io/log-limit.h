/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/log.h"

G_BEGIN_DECLS

/* Limits log messages that any client on the network can cause. The first few of each period are written; the others
 * are counted, and at the end of the period one line has their number and the last of them. Belongs to the thread that
 * made it. */
typedef struct _TcpLogLimit TcpLogLimit;

/* in each period */
#define TCP_LOG_LIMIT_LINES 20
#define TCP_LOG_LIMIT_PERIOD (10 * G_TIME_SPAN_SECOND)

TcpLogLimit *tcp_log_limit_new (TcpLog            *log,
                                TcpTunnelLogLevel  level);
void tcp_log_limit_free (TcpLogLimit *self);
void tcp_log_limit_write (TcpLogLimit *self,
                          const char  *format,
                          ...) G_GNUC_PRINTF (2, 3);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpLogLimit, tcp_log_limit_free)

G_END_DECLS
