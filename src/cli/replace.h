/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Replaces the program with the one that is now in the file from which it was started, in the same process. */

void replace_init (char **args);
gboolean replace_take_arguments (char    ***args,
                                 int       *fd,
                                 gboolean  *dry_run,
                                 GError   **error);
void replace_try_async (int                  fd,
                        GCancellable        *cancellable,
                        GAsyncReadyCallback  callback,
                        gpointer             data);
gboolean replace_try_finish (GAsyncResult  *result,
                             gboolean      *changed,
                             GError       **error);
void replace_on_signal (GSourceFunc func,
                        gpointer    data);
void replace_hold_signals (void);
void replace_release_signals (void);
void replace_execute (int      fd,
                      GError **error);

G_END_DECLS
