/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <json-glib/json-glib.h>
#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

/* One event: begin, add members, end. The end prints it as a line to stdout, and returns 0 or the errno of a failure.
 * Other objects have the same members, and end as a text. */
JsonBuilder *event_begin (const char *name);
void event_add_string (JsonBuilder *event,
                       const char  *key,
                       const char  *value);
void event_add_int (JsonBuilder *event,
                    const char  *key,
                    gint64       value);
void event_add_double (JsonBuilder *event,
                       const char  *key,
                       double       value);
void event_add_error (JsonBuilder  *event,
                      const GError *error);
void event_add_statistics (JsonBuilder         *event,
                           const TcpStatistics *statistics);
char *event_end_text (JsonBuilder *event);
int event_end (JsonBuilder *event);

G_END_DECLS
