/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

void process_open_standard_files (void);
void process_raise_file_limit (void);
gboolean process_has_terminal (void);
GSubprocessLauncher *process_launcher (GSubprocessFlags flags,
                                       gboolean         own_group);
GSubprocess *process_spawn (GSubprocessLauncher  *launcher,
                            const char           *command,
                            GError              **error);
char *process_describe_end (GSubprocess *process);

G_END_DECLS
