/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Reports the state to the service manager, if there is one: sd_notify(3). */
void notify_init (void);
guint64 notify_get_watchdog (void);
void notify_send (const char *format,
                  ...) G_GNUC_PRINTF (1, 2);

G_END_DECLS
