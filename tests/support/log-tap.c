/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "log-tap.h"

#include "monitor.h"

#include <string.h>

static Monitor monitor;
static GPtrArray *lines; /* protected by the monitor */

static GLogWriterOutput
write_log (GLogLevelFlags flags,
           const GLogField *fields,
           gsize n_fields,
           gpointer user_data)
{
  const char *level = NULL, *message = NULL;

  for (gsize i = 0; i < n_fields; i++)
    {
      if (strcmp (fields[i].key, "TCP_TUNNEL_LEVEL") == 0)
        level = fields[i].value;
      else if (strcmp (fields[i].key, "MESSAGE") == 0)
        message = fields[i].value;
    }
  if (level == NULL)
    return g_log_writer_default (flags, fields, n_fields, user_data);

  monitor_enter (&monitor);
  g_ptr_array_add (lines, g_strdup_printf ("%s %s", level, message));
  monitor_leave (&monitor);
  return G_LOG_WRITER_HANDLED;
}

void
log_tap_install (void)
{
  monitor_init (&monitor);
  monitor_enter (&monitor);
  lines = g_ptr_array_new_with_free_func (g_free);
  monitor_leave (&monitor);
  g_log_set_writer_func (write_log, NULL, NULL);
}

void
log_tap_clear (void)
{
  monitor_enter (&monitor);
  g_ptr_array_set_size (lines, 0);
  monitor_leave (&monitor);
}

GStrv
log_tap_get (const char *begin)
{
  g_autoptr (GStrvBuilder) found = g_strv_builder_new ();

  monitor_enter (&monitor);
  for (guint i = 0; i < lines->len; i++)
    if (g_str_has_prefix (lines->pdata[i], begin))
      g_strv_builder_add (found, lines->pdata[i]);
  monitor_leave (&monitor);
  return g_strv_builder_end (found);
}

guint
log_tap_count (const char *begin,
               const char *text)
{
  g_auto (GStrv) found = log_tap_get (begin);
  guint n = 0;

  for (guint i = 0; found[i] != NULL; i++)
    n += strstr (found[i], text) != NULL;
  return n;
}
