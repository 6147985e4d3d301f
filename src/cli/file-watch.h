/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Detects that one of some files was replaced or written to, including if it was replaced by a new file of its name,
 * and if a symbolic link on its path has another target now. */
typedef struct _FileWatch FileWatch;

FileWatch *file_watch_new (void   (*changed) (gpointer user_data),
                           gpointer user_data);
void file_watch_free (FileWatch *self);
void file_watch_set_files (FileWatch         *self,
                           const char *const *files);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (FileWatch, file_watch_free)

G_END_DECLS
