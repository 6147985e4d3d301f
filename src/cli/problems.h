/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* All problems of some settings, so that the user need not find them one after the other. */
typedef struct _Problems Problems;

/* The place of a setting. */
typedef struct
{
  const char *path; /* of the file; NULL for the command line */
  guint line;       /* 0 for the file as a whole */
} Place;

Problems *problems_new (void);
void problems_free (Problems *self);
void problems_add (Problems   *self,
                   Place       place,
                   const char *format,
                   ...) G_GNUC_PRINTF (3, 4);
void problems_take (Problems *self,
                    Place     place,
                    GError   *error);
void problems_warn (Problems   *self,
                    Place       place,
                    const char *format,
                    ...) G_GNUC_PRINTF (3, 4);
guint problems_count (Problems *self);
guint problems_count_errors (Problems *self);
GError *problems_get_error (Problems *self);
void problems_foreach (Problems *self,
                       void    (*func) (const char *text,
                                        gboolean    is_warning,
                                        gpointer    user_data),
                       gpointer  user_data);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Problems, problems_free)

G_END_DECLS
