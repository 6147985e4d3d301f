/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The thread of the process that writes log lines. Other threads pass lines to it, and never wait
 * for their reader, be it a pipe or the log writer of the application. If that is slow, lines are
 * dropped, and their number is logged when it goes on. */

#define TCP_LOG_CAP 1024

typedef struct
{
  GLogLevelFlags flags;
  const char *nick;     /* static, like the next */
  const char *priority;
  char *name;           /* or NULL */
  char *message;
} TcpLogLine;

void tcp_log_thread_write (TcpLogLine *line);
void tcp_log_thread_flush (guint milliseconds);
void tcp_log_thread_settle (void);

G_END_DECLS
