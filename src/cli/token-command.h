/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

void token_command_async (const char          *command,
                          const char          *source,
                          GCancellable        *cancellable,
                          GAsyncReadyCallback  callback,
                          gpointer             data);
char *token_command_finish (GAsyncResult  *result,
                            GError       **error);

G_END_DECLS
