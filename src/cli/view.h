/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>
#include <stdio.h>

G_BEGIN_DECLS

/* All output of the command passes through here, so that the live lines, the results on stdout and the log on stderr
 * (from any thread) do not garble each other. A process has one terminal, so there is one view. */

/* A live line. The lines are below each other, the newest last. */
typedef struct _ViewRow ViewRow;

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
void view_end (void);
gboolean view_is_live (void);
gboolean view_is_unicode (void);
gsize view_width (const char *text);
gsize view_columns (void);
char *view_pad (const char *text,
                gsize       columns);
gsize view_fit (const char *text,
                gsize       columns);
char *view_shorten (const char *text,
                    gsize       columns);
char *view_shorten_start (const char *text,
                          gsize       columns);
const char *view_style (FILE      *stream,
                        ViewStyle  style);
void view_hold (void);
void view_release (void);
int view_print (FILE       *stream,
                const char *format,
                ...) G_GNUC_PRINTF (2, 3);

ViewRow *view_row_new (void);
void view_row_free (ViewRow *self);
void view_row_set (ViewRow    *self,
                   const char *before,
                   ViewStyle   style,
                   const char *lead,
                   const char *rest);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ViewRow, view_row_free)

G_END_DECLS
