/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Sends a line, waits for its echo, and so on, like a person who types. */
typedef struct _DemoTalk DemoTalk;

DemoTalk *demo_talk_start (guint16 port);
gboolean demo_talk_end (DemoTalk  *self,
                        gint64    *median,
                        gint64    *worst,
                        GError   **error);

G_END_DECLS
