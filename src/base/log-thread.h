/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The thread of the process that writes log lines. Other threads pass lines to it, and never wait for their reader,
 * which is a pipe or the log writer of the application. If the reader is slow, lines are dropped, and their number is
 * logged later. */

#define TCP_LOG_CAP 1024

typedef struct
{
  GLogLevelFlags flags;
  const char *nick;     /* static, as is the next */
  const char *priority;
  char *name;           /* nullable */
  char *message;
} TcpLogLine;

void tcp_log_thread_write (TcpLogLine *line);
void tcp_log_thread_flush (guint milliseconds);
void tcp_log_thread_settle (void);

G_END_DECLS
