/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

/* The output about a tunnel on stdout: lines, or events in JSON. */
typedef struct _Report Report;

/* Called once, with the errno, if stdout cannot be written to. */
typedef void (*ReportFunc) (int      code,
                            gpointer data);

Report *report_new (TcpTunnel  *tunnel,
                    const char *name,
                    gboolean    prefixed,
                    gboolean    json,
                    ReportFunc  broken,
                    gpointer    data);
void report_free (Report *self);
void report_listening (Report *self);
void report_retry (Report       *self,
                   const GError *error,
                   guint         attempt,
                   guint         delay);
void report_failed (Report       *self,
                    const GError *error);
void report_closed (Report *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Report, report_free)

G_END_DECLS
