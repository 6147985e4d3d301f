/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/log.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/view.h"

static int max_level = TCP_TUNNEL_LOG_LEVEL_INFO; /* atomic */

static const char *
find_field (const GLogField *fields,
            gsize            n_fields,
            const char      *key)
{
  for (gsize i = 0; i < n_fields; i++)
    if (strcmp (fields[i].key, key) == 0 && fields[i].length < 0)
      return fields[i].value;
  return NULL;
}

/* Errors and warnings have the same level in GLib; a field of the library distinguishes them. */
static TcpTunnelLogLevel
find_level (GLogLevelFlags   flags,
            const GLogField *fields,
            gsize            n_fields)
{
  const char *nick = find_field (fields, n_fields, "TCP_TUNNEL_LEVEL");
  g_autoptr (GEnumClass) levels = g_type_class_ref (TCP_TYPE_TUNNEL_LOG_LEVEL);
  GEnumValue *value = nick != NULL ? g_enum_get_value_by_nick (levels, nick) : NULL;

  if (value != NULL)
    return value->value;
  if (flags & G_LOG_LEVEL_DEBUG)
    return TCP_TUNNEL_LOG_LEVEL_DEBUG;
  if (flags & G_LOG_LEVEL_INFO)
    return TCP_TUNNEL_LOG_LEVEL_INFO;
  return TCP_TUNNEL_LOG_LEVEL_WARN;
}

static const struct
{
  const char *name;
  ViewStyle style;
  const char *prefix; /* for the journal; see sd-daemon(3) */
} levels[] = {
  [TCP_TUNNEL_LOG_LEVEL_ERROR] = { "error", VIEW_RED, "<3>" },
  [TCP_TUNNEL_LOG_LEVEL_WARN] = { "warn ", VIEW_YELLOW, "<4>" },
  [TCP_TUNNEL_LOG_LEVEL_INFO] = { "info ", VIEW_GREEN, "<6>" },
  [TCP_TUNNEL_LOG_LEVEL_DEBUG] = { "debug", VIEW_DIM, "<7>" },
};

/**
 * log_get_prefix:
 * @level: the level of a line
 *
 * Returns: (transfer none): what a line on stderr has to begin with, so that
 *   the journal records its priority; an empty string if stderr is not the
 *   journal's
 */
const char *
log_get_prefix (TcpTunnelLogLevel level)
{
  /* systemd sets it for the stream that is connected to the journal. */
  const char *stream = g_getenv ("JOURNAL_STREAM");
  g_autofree char *own = NULL;
  struct stat info;

  if (stream == NULL || fstat (STDERR_FILENO, &info) < 0)
    return "";

  own = g_strdup_printf ("%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT, (guint64) info.st_dev, (guint64) info.st_ino);
  return strcmp (stream, own) == 0 ? levels[level].prefix : "";
}

static void
print_message (TcpTunnelLogLevel  level,
               const char        *message)
{
  const char *prefix = log_get_prefix (level);
  g_autoptr (GDateTime) now = NULL;
  g_autofree char *time = NULL;

  /* The journal records the time itself. */
  if (*prefix != '\0')
    {
      view_print (stderr, "%s%s\n", prefix, message);
      return;
    }

  now = g_date_time_new_now_local ();
  time = g_date_time_format (now, "%H:%M:%S");
  view_print (stderr, "%s%s%s %s%s%s %s\n", view_style (stderr, VIEW_DIM), time,
              view_style (stderr, VIEW_PLAIN), view_style (stderr, levels[level].style),
              levels[level].name, view_style (stderr, VIEW_PLAIN), message);
}

static void G_GNUC_PRINTF (2, 0)
print (TcpTunnelLogLevel  level,
       const char        *format,
       va_list            args)
{
  g_autofree char *message = NULL;

  if (g_atomic_int_get (&max_level) < (int) level)
    return;
  message = g_strdup_vprintf (format, args);
  print_message (level, message);
}

/**
 * log_info:
 *
 * Logs a message of the command itself, among those of the library.
 */
void
log_info (const char *format,
          ...)
{
  va_list args;

  va_start (args, format);
  print (TCP_TUNNEL_LOG_LEVEL_INFO, format, args);
  va_end (args);
}

/**
 * log_warn:
 *
 * The same for a warning.
 */
void
log_warn (const char *format,
          ...)
{
  va_list args;

  va_start (args, format);
  print (TCP_TUNNEL_LOG_LEVEL_WARN, format, args);
  va_end (args);
}

static GLogWriterOutput
write_log (GLogLevelFlags   flags,
           const GLogField *fields,
           gsize            n_fields,
           gpointer         data)
{
  const char *domain = find_field (fields, n_fields, "GLIB_DOMAIN");
  const char *message = find_field (fields, n_fields, "MESSAGE");
  TcpTunnelLogLevel level;

  if (message == NULL || g_strcmp0 (domain, "TcpTunnel") != 0)
    return g_log_writer_default (flags, fields, n_fields, data);

  level = find_level (flags, fields, n_fields);
  if ((int) level <= g_atomic_int_get (&max_level))
    print_message (level, message);
  return G_LOG_WRITER_HANDLED;
}

/**
 * log_set_level:
 * @level: the highest level that is shown, also after log_init ()
 */
void
log_set_level (TcpTunnelLogLevel level)
{
  g_atomic_int_set (&max_level, level);
}

/**
 * log_init:
 * @level: the highest level that is shown
 *
 * Sends the library's messages to stderr. Those of other libraries are written where GLib sends them, but never to
 * stdout, which is for results.
 */
void
log_init (TcpTunnelLogLevel level)
{
  log_set_level (level);
  g_log_writer_default_set_use_stderr (TRUE);
  g_log_set_writer_func (write_log, NULL, NULL);
}
