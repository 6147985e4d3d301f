/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>
#include <stdio.h>

G_BEGIN_DECLS

/* All that the command writes passes here, so that the live line, the results
 * on stdout and the log on stderr (from any thread) do not garble each other.
 * A process has one terminal, so there is one view. */

typedef enum
{
  VIEW_PLAIN,
  VIEW_BOLD,
  VIEW_DIM,
  VIEW_RED,
  VIEW_GREEN,
  VIEW_YELLOW,
} ViewStyle;

void view_init (gboolean live);
gboolean view_is_live (void);
gboolean view_is_unicode (void);
const char *view_style (FILE      *stream,
                        ViewStyle  style);
void view_print (FILE       *stream,
                 const char *format,
                 ...) G_GNUC_PRINTF (2, 3);
void view_live (ViewStyle   style,
                const char *lead,
                const char *rest);
void view_clear (void);

G_END_DECLS
