/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "cli/problems.h"

G_BEGIN_DECLS

/* A file of [GROUP]s with KEY=VALUE lines, as GKeyFile reads them, with the line number of each. */
typedef struct _KeyFile KeyFile;

char *key_file_find (const char  *name,
                     GError     **error);
KeyFile *key_file_load (const char  *path,
                        Problems    *problems);
void key_file_free (KeyFile *self);

const char *key_file_get_path (KeyFile *self);
gboolean key_file_is_private (KeyFile *self);
gboolean key_file_is_public (KeyFile *self);
char **key_file_get_groups (KeyFile *self);
char **key_file_get_keys (KeyFile    *self,
                          const char *group);
Place key_file_get_place (KeyFile    *self,
                          const char *group,
                          const char *key);
char *key_file_explain_key (const char        *group,
                            const char        *key,
                            const char *const *known);
char *key_file_get_string (KeyFile     *self,
                           const char  *group,
                           const char  *key,
                           GError     **error);
char **key_file_get_list (KeyFile     *self,
                          const char  *group,
                          const char  *key,
                          GError     **error);
char *key_file_expand_path (KeyFile    *self,
                            const char *path);
char *key_file_expand_listen (KeyFile    *self,
                              const char *value);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (KeyFile, key_file_free)

G_END_DECLS
