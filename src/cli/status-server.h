/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* The Unix socket of this process for `tcp-tunnel status`, in the user's runtime directory. Each client receives one
 * JSON object, and the end. */
typedef struct _StatusServer StatusServer;

/* Adds members to the open object of @builder. */
typedef void (*StatusFunc) (JsonBuilder *builder,
                            gpointer     data);

StatusServer *status_server_new (const char *command,
                                 StatusFunc  describe,
                                 gpointer    data);
void status_server_free (StatusServer *self);

GStrv status_server_list_directories (void);
gboolean status_server_parse_name (const char *name,
                                   int        *pid);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (StatusServer, status_server_free)

G_END_DECLS
