/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/json.h"

#include <tcptunnel/tcptunnel.h>

#include "cli/format.h"
#include "cli/view.h"

JsonBuilder *
event_begin (const char *name)
{
  JsonBuilder *event = json_builder_new ();
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *time = g_date_time_format_iso8601 (now);

  json_builder_begin_object (event);
  event_add_string (event, "event", name);
  event_add_string (event, "time", time);
  return event;
}

void
event_add_string (JsonBuilder *event,
                  const char  *key,
                  const char  *value)
{
  json_builder_set_member_name (event, key);
  json_builder_add_string_value (event, value);
}

void
event_add_int (JsonBuilder *event,
               const char  *key,
               gint64       value)
{
  json_builder_set_member_name (event, key);
  json_builder_add_int_value (event, value);
}

void
event_add_double (JsonBuilder *event,
                  const char  *key,
                  double       value)
{
  json_builder_set_member_name (event, key);
  json_builder_add_double_value (event, value);
}

/* As "error": {"code": …, "message": …}, or null. */
void
event_add_error (JsonBuilder  *event,
                 const GError *error)
{
  json_builder_set_member_name (event, "error");
  if (error == NULL)
    {
      json_builder_add_null_value (event);
      return;
    }

  json_builder_begin_object (event);
  if (error->domain == TCP_TUNNEL_ERROR)
    event_add_string (event, "code", format_error_code (error));
  event_add_string (event, "message", error->message);
  json_builder_end_object (event);
}

/* Adds those statistics of a tunnel or gateway that count from its creation. */
void
event_add_statistics (JsonBuilder         *event,
                      const TcpStatistics *statistics)
{
  event_add_int (event, "bytes_sent", statistics->bytes_sent);
  event_add_int (event, "bytes_received", statistics->bytes_received);
  event_add_int (event, "open_connections", statistics->open_connections);
  event_add_int (event, "total_connections", statistics->total_connections);
  event_add_int (event, "reconnects", statistics->reconnects);
  event_add_int (event, "resumes", statistics->resumes);
  event_add_int (event, "bytes_replayed", statistics->bytes_replayed);
}

/* Ends the outermost object, which is released. */
char *
event_end_text (JsonBuilder *event)
{
  g_autoptr (JsonBuilder) builder = event;
  g_autoptr (JsonNode) root = NULL;

  json_builder_end_object (builder);
  root = json_builder_get_root (builder);
  return json_to_string (root, FALSE);
}

int
event_end (JsonBuilder *event)
{
  g_autofree char *line = event_end_text (event);

  return view_print (stdout, "%s\n", line);
}
