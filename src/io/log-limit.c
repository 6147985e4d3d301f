/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/log-limit.h"

#include "io/reactor.h"

struct _TcpLogLimit
{
  TcpLog *log;
  TcpTunnelLogLevel level;
  TcpTimer *period_end; /* set during a period */
  gboolean in_period;
  guint written;
  guint64 skipped;
  char *last; /* of those skipped */
};

static void
log_limit_summarize (TcpLogLimit *self)
{
  if (self->skipped > 0)
    tcp_log (self->log, self->level, "messages of this kind that were not logged: %" G_GUINT64_FORMAT "; the last of them: %s",
             self->skipped, self->last);
  self->skipped = 0;
  self->written = 0;
  g_clear_pointer (&self->last, g_free);
}

static void
on_period_end (gpointer user_data)
{
  TcpLogLimit *self = user_data;

  self->in_period = FALSE;
  log_limit_summarize (self);
}

TcpLogLimit *
tcp_log_limit_new (TcpLog            *log,
                   TcpTunnelLogLevel  level)
{
  TcpLogLimit *self = g_new0 (TcpLogLimit, 1);

  self->log = tcp_log_ref (log);
  self->level = level;
  self->period_end = tcp_timer_new (on_period_end, self);
  return self;
}

void
tcp_log_limit_free (TcpLogLimit *self)
{
  log_limit_summarize (self);
  tcp_timer_clear (&self->period_end);
  tcp_log_unref (self->log);
  g_free (self);
}

void
tcp_log_limit_write (TcpLogLimit *self,
                     const char  *format,
                     ...)
{
  g_autofree char *text = NULL;
  va_list args;

  if (self->level > tcp_log_get_level (self->log))
    return;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);

  if (!self->in_period)
    {
      self->in_period = TRUE;
      tcp_timer_set (self->period_end, tcp_now () + TCP_LOG_LIMIT_PERIOD);
    }
  if (self->written < TCP_LOG_LIMIT_LINES)
    {
      self->written++;
      tcp_log (self->log, self->level, "%s", text);
      return;
    }
  self->skipped++;
  g_free (self->last);
  self->last = g_steal_pointer (&text);
}
