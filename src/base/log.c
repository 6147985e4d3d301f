/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/log.h"

#include <stdatomic.h>
#include <string.h>

#include "base/lock.h"
#include "base/log-thread.h"
#include "base/text.h"
#include "base/tsan.h"

struct _TcpLog
{
  const char *kind; /* static */
  atomic_int level;
  TcpLock lock;
  char *name; /* under the lock; NULL for none */
  GPtrArray *collected; /* the contents are under the lock; NULL if the lines are written */
};

TcpLog *
tcp_log_new (const char        *kind,
             TcpTunnelLogLevel  level)
{
  TcpLog *self = g_atomic_rc_box_new0 (TcpLog);

  self->kind = kind;
  tcp_lock_init (&self->lock);
  tcp_log_set_level (self, level);
  return self;
}

TcpLog *
tcp_log_ref (TcpLog *self)
{
  return g_atomic_rc_box_acquire (self);
}

/* Makes a log that writes nothing, but keeps warnings and errors. */
TcpLog *
tcp_log_new_collector (void)
{
  TcpLog *self = tcp_log_new (NULL, TCP_TUNNEL_LOG_LEVEL_WARN);

  self->collected = g_ptr_array_new_with_free_func (g_free);
  return self;
}

/* Returns the messages, without the name. */
char **
tcp_log_end_collection (TcpLog *self)
{
  char **lines;

  tcp_lock (&self->lock);
  g_ptr_array_add (self->collected, NULL);
  lines = (char **) g_ptr_array_steal (self->collected, NULL);
  tcp_unlock (&self->lock);
  return lines;
}

static void
log_collect (TcpLog *self,
             char   *text)
{
  tcp_lock (&self->lock);
  g_ptr_array_add (self->collected, text);
  tcp_unlock (&self->lock);
}

static void
log_clear (gpointer data)
{
  TcpLog *self = data;

  tcp_tsan_acquire (self);
  tcp_lock_clear (&self->lock);
  g_free (self->name);
  g_clear_pointer (&self->collected, g_ptr_array_unref);
}

void
tcp_log_unref (TcpLog *self)
{
  tcp_tsan_release (self);
  g_atomic_rc_box_release_full (self, log_clear);
}

/* Sets the prefix of further messages, instead of the kind; NULL for the kind. */
void
tcp_log_set_name (TcpLog     *self,
                  const char *name)
{
  tcp_lock (&self->lock);
  g_free (self->name);
  self->name = name != NULL ? tcp_text_from_peer (name, strlen (name)) : NULL;
  tcp_unlock (&self->lock);
}

static char *
log_dup_name (TcpLog *self)
{
  char *name;

  tcp_lock (&self->lock);
  name = g_strdup (self->name);
  tcp_unlock (&self->lock);
  return name;
}

void
tcp_log_set_level (TcpLog            *self,
                   TcpTunnelLogLevel  level)
{
  atomic_store_explicit (&self->level, level, memory_order_relaxed);
}

TcpTunnelLogLevel
tcp_log_get_level (TcpLog *self)
{
  return atomic_load_explicit (&self->level, memory_order_relaxed);
}

void
tcp_log_write (TcpLog            *self,
               TcpTunnelLogLevel  level,
               const char        *format,
               ...)
{
  /* Network failures are not faults of the program, so they are never logged as G_LOG_LEVEL_WARNING, which would be
   * fatal in some programs. */
  static const struct
  {
    GLogLevelFlags flags;
    const char *nick;
    const char *priority;
  } levels[] = {
    [TCP_TUNNEL_LOG_LEVEL_ERROR] = { G_LOG_LEVEL_MESSAGE, "error", "3" },
    [TCP_TUNNEL_LOG_LEVEL_WARN] = { G_LOG_LEVEL_MESSAGE, "warn", "4" },
    [TCP_TUNNEL_LOG_LEVEL_INFO] = { G_LOG_LEVEL_INFO, "info", "6" },
    [TCP_TUNNEL_LOG_LEVEL_DEBUG] = { G_LOG_LEVEL_DEBUG, "debug", "7" },
  };
  TcpLogLine *line;
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);

  if (self->collected != NULL)
    {
      log_collect (self, g_steal_pointer (&text));
      return;
    }
  line = g_new (TcpLogLine, 1);
  line->flags = levels[level].flags;
  line->nick = levels[level].nick;
  line->priority = levels[level].priority;
  line->name = log_dup_name (self);
  line->message = g_strdup_printf ("%s: %s", line->name != NULL ? line->name : self->kind, text);
  tcp_log_thread_write (line);
}
