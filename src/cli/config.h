/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "cli/settings.h"

G_BEGIN_DECLS

#define CONFIG_DEFAULTS "defaults"

/* The file of named tunnels. */
typedef struct _Config Config;

Config *config_load (const char  *path,
                     GError     **error);
void config_free (Config *self);
char **config_get_names (Config *self);
const char *config_get_path (Config *self);
gboolean config_read (Config    *self,
                      Settings  *settings,
                      GError   **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Config, config_free)

G_END_DECLS
