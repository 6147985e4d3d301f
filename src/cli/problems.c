/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/problems.h"

#include <glib/gi18n.h>

typedef struct
{
  guint file; /* in the order in which they were mentioned */
  guint line;
  gboolean is_warning;
  char *text;
} Problem;

struct _Problems
{
  GArray *problems;
  GPtrArray *files;
  guint n_errors;
};

static void
problem_clear (gpointer data)
{
  Problem *self = data;

  g_free (self->text);
}

Problems *
problems_new (void)
{
  Problems *self = g_new0 (Problems, 1);

  self->problems = g_array_new (FALSE, TRUE, sizeof (Problem));
  g_array_set_clear_func (self->problems, problem_clear);
  self->files = g_ptr_array_new_with_free_func (g_free);
  return self;
}

void
problems_free (Problems *self)
{
  g_array_unref (self->problems);
  g_ptr_array_unref (self->files);
  g_free (self);
}

static guint
find_file (Problems   *self,
           const char *path)
{
  guint i;

  if (g_ptr_array_find_with_equal_func (self->files, path, g_str_equal, &i))
    return i;
  g_ptr_array_add (self->files, g_strdup (path));
  return self->files->len - 1;
}

static void G_GNUC_PRINTF (4, 0)
add (Problems   *self,
     Place       place,
     gboolean    is_warning,
     const char *format,
     va_list     args)
{
  Problem problem = { .file = find_file (self, place.path != NULL ? place.path : ""), .line = place.line, .is_warning = is_warning };
  const char *kind = is_warning ? _("warning: ") : "";
  g_autofree char *message = g_strdup_vprintf (format, args);

  if (place.path == NULL)
    problem.text = g_strconcat (kind, message, NULL);
  else if (place.line == 0)
    problem.text = g_strdup_printf ("%s: %s%s", place.path, kind, message);
  else
    problem.text = g_strdup_printf ("%s:%u: %s%s", place.path, place.line, kind, message);
  g_array_append_val (self->problems, problem);
  self->n_errors += !is_warning;
}

void
problems_add (Problems   *self,
              Place       place,
              const char *format,
              ...)
{
  va_list args;

  va_start (args, format);
  add (self, place, FALSE, format, args);
  va_end (args);
}

/**
 * problems_take:
 * @error: (transfer full): the problem, perhaps in several lines
 */
void
problems_take (Problems *self,
               Place     place,
               GError   *error)
{
  g_auto (GStrv) messages = g_strsplit (error->message, "\n", -1);

  for (char **message = messages; *message != NULL; message++)
    problems_add (self, place, "%s", *message);
  g_error_free (error);
}

/* Adds a warning: the setting works, but most likely not as intended. */
void
problems_warn (Problems   *self,
               Place       place,
               const char *format,
               ...)
{
  va_list args;

  va_start (args, format);
  add (self, place, TRUE, format, args);
  va_end (args);
}

guint
problems_count (Problems *self)
{
  return self->problems->len;
}

/* Without warnings. */
guint
problems_count_errors (Problems *self)
{
  return self->n_errors;
}

static int
compare (gconstpointer a,
         gconstpointer b)
{
  const Problem *first = a;
  const Problem *second = b;

  if (first->file != second->file)
    return first->file < second->file ? -1 : 1;
  return first->line < second->line ? -1 : first->line > second->line;
}

/**
 * problems_foreach:
 * @func: called for each problem, by file and line
 */
void
problems_foreach (Problems *self,
                  void    (*func) (const char *text,
                                   gboolean    is_warning,
                                   gpointer    user_data),
                  gpointer  user_data)
{
  g_array_sort (self->problems, compare);
  for (guint i = 0; i < self->problems->len; i++)
    {
      Problem *problem = &g_array_index (self->problems, Problem, i);

      func (problem->text, problem->is_warning, user_data);
    }
}

/**
 * problems_get_error:
 *
 * Returns: (nullable): the first problem that is not a warning
 */
GError *
problems_get_error (Problems *self)
{
  g_array_sort (self->problems, compare);
  for (guint i = 0; i < self->problems->len; i++)
    {
      Problem *problem = &g_array_index (self->problems, Problem, i);

      if (!problem->is_warning)
        return g_error_new_literal (G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, problem->text);
    }
  return NULL;
}
