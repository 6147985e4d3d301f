/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/view.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct _ViewRow
{
  char *line; /* the current text, NULL for none yet */
};

static struct
{
  GMutex mutex;
  FILE *stream; /* the stream of the live lines, NULL without them */
  GQueue rows;
  guint held; /* a count */
  guint drawn; /* the number of lines that are on the terminal */
} view;

static gboolean
is_terminal (FILE *stream)
{
  return isatty (fileno (stream)) && g_strcmp0 (g_getenv ("TERM"), "dumb") != 0;
}

/**
 * view_init:
 * @live: whether live lines are wanted, if there is a terminal for them
 *
 * Prefers stdout; stderr is used when stdout is read by a program.
 */
void
view_init (gboolean live)
{
  view.stream = NULL;
  if (live && is_terminal (stdout))
    view.stream = stdout;
  else if (live && is_terminal (stderr))
    view.stream = stderr;
}

gboolean
view_is_live (void)
{
  return view.stream != NULL;
}

gboolean
view_is_unicode (void)
{
  return g_get_charset (NULL);
}

const char *
view_style (FILE      *stream,
            ViewStyle  style)
{
  static const char *const codes[] = {
    [VIEW_PLAIN] = "\033[0m",  [VIEW_BOLD] = "\033[1m",   [VIEW_DIM] = "\033[2m",
    [VIEW_RED] = "\033[31m",   [VIEW_GREEN] = "\033[32m", [VIEW_YELLOW] = "\033[33m",
  };
  const char *no_color = g_getenv ("NO_COLOR");

  if ((no_color != NULL && *no_color != '\0') || !is_terminal (stream))
    return "";
  return codes[style];
}

static struct winsize
terminal_size (void)
{
  struct winsize size = { 0 };

  ioctl (fileno (view.stream), TIOCGWINSZ, &size);
  if (size.ws_col == 0)
    size.ws_col = 80;
  if (size.ws_row == 0)
    size.ws_row = 24;
  return size;
}

/* The cursor is behind the last of the lines. */
static void
erase (void)
{
  if (view.drawn == 0)
    return;
  fputs ("\r\033[K", view.stream);
  for (; view.drawn > 1; view.drawn--)
    fputs ("\033[A\033[K", view.stream);
  view.drawn = 0;
  fflush (view.stream);
}

/* Draws as many lines as the terminal has: lines that have scrolled out at the top could not be erased. */
static void
draw (void)
{
  g_autoptr (GString) text = NULL;
  guint most;

  if (view.stream == NULL || view.rows.length == 0 || view.held > 0)
    return;

  text = g_string_new (NULL);
  most = MAX (terminal_size ().ws_row, 2) - 1;
  for (GList *l = view.rows.head; l != NULL && view.drawn < most; l = l->next)
    {
      ViewRow *row = l->data;

      if (row->line == NULL)
        continue;
      g_string_append_printf (text, "%s%s", view.drawn > 0 ? "\n" : "", row->line);
      view.drawn++;
    }
  fputs (text->str, view.stream);
  fflush (view.stream);
}

/**
 * view_end:
 *
 * Removes the live lines permanently.
 */
void
view_end (void)
{
  g_mutex_lock (&view.mutex);
  erase ();
  view.stream = NULL;
  g_mutex_unlock (&view.mutex);
}

/**
 * view_hold:
 *
 * Shows no live lines until view_release(), so that another program can use the terminal.
 */
void
view_hold (void)
{
  g_mutex_lock (&view.mutex);
  erase ();
  view.held++;
  g_mutex_unlock (&view.mutex);
}

void
view_release (void)
{
  g_mutex_lock (&view.mutex);
  view.held--;
  draw ();
  g_mutex_unlock (&view.mutex);
}

/**
 * view_print:
 *
 * Prints whole lines, above the live lines if there are any.
 *
 * Returns: 0, or the errno of a failure
 */
int
view_print (FILE       *stream,
            const char *format,
            ...)
{
  va_list args;
  int code;

  g_mutex_lock (&view.mutex);
  erase ();
  va_start (args, format);
  code = vfprintf (stream, format, args) < 0 ? errno : 0;
  va_end (args);
  if (fflush (stream) != 0)
    code = errno;
  draw ();
  g_mutex_unlock (&view.mutex);
  return code;
}

static gsize
character_width (const char *c)
{
  gunichar code = g_utf8_get_char (c);

  return g_unichar_iszerowidth (code) ? 0 : g_unichar_iswide (code) ? 2 : 1;
}

/* In columns of the terminal. */
gsize
view_width (const char *text)
{
  gsize width = 0;

  for (; *text != '\0'; text = g_utf8_next_char (text))
    width += character_width (text);
  return width;
}

/* Appends spaces up to that width. */
char *
view_pad (const char *text,
          gsize       columns)
{
  gsize width = view_width (text);

  return g_strdup_printf ("%s%*s", text, (int) (columns - MIN (width, columns)), "");
}

/* The number of bytes at the beginning that fit. */
gsize
view_fit (const char *text,
          gsize       columns)
{
  const char *end = text;

  for (; *end != '\0' && character_width (end) <= columns; end = g_utf8_next_char (end))
    columns -= character_width (end);
  return end - text;
}

/* The number of bytes of complete fields that fit, with two spaces between them: a part of a number would be another
 * number. */
static gsize
fit_fields (const char *text,
            gsize       columns)
{
  gsize length = view_fit (text, columns);

  if (text[length] == '\0')
    return length;
  while (length > 0 && strncmp (text + length, "  ", 2) != 0)
    length--;
  return length;
}

/* Returns the beginning of the longest part at the end that fits. */
static const char *
fit_tail (const char *text,
          gsize       columns)
{
  const char *start = text + strlen (text);

  while (start > text)
    {
      const char *before = g_utf8_prev_char (start);

      if (character_width (before) > columns)
        break;
      columns -= character_width (before);
      start = before;
    }
  return start;
}

static const char *
ellipsis (void)
{
  return view_is_unicode () ? "…" : "...";
}

/**
 * view_shorten:
 * @columns: the maximum width of the text
 *
 * Returns: (transfer full): @text, with an ellipsis in its middle if it is too wide
 */
char *
view_shorten (const char *text,
              gsize       columns)
{
  gsize width = view_width (ellipsis ());
  gsize head;

  if (view_width (text) <= columns)
    return g_strdup (text);
  if (columns <= width)
    return g_strndup (text, view_fit (text, columns));
  head = (columns - width + 1) / 2;
  return g_strdup_printf ("%.*s%s%s", (int) view_fit (text, head), text, ellipsis (),
                          fit_tail (text, columns - width - head));
}

/**
 * view_shorten_start:
 *
 * Returns: (transfer full): @text, with an ellipsis at its beginning if it is too wide
 */
char *
view_shorten_start (const char *text,
                    gsize       columns)
{
  gsize width = view_width (ellipsis ());

  if (view_width (text) <= columns)
    return g_strdup (text);
  if (columns <= width)
    return g_strdup ("");
  return g_strconcat (ellipsis (), fit_tail (text, columns - width), NULL);
}

/* The maximum width of a live line. The last column of the terminal stays free, since a full line makes some terminals
 * wrap. */
gsize
view_columns (void)
{
  return view.stream != NULL ? terminal_size ().ws_col - 1 : 0;
}

ViewRow *
view_row_new (void)
{
  ViewRow *self = g_new0 (ViewRow, 1);

  g_mutex_lock (&view.mutex);
  g_queue_push_tail (&view.rows, self);
  g_mutex_unlock (&view.mutex);
  return self;
}

/* Removes the line. */
void
view_row_free (ViewRow *self)
{
  g_mutex_lock (&view.mutex);
  erase ();
  g_queue_remove (&view.rows, self);
  draw ();
  g_mutex_unlock (&view.mutex);
  g_free (self->line);
  g_free (self);
}

/**
 * view_row_set:
 * @before: the beginning of the line
 * @style: the style of @lead
 * @lead: the text after it
 * @rest: the rest, in fields with two spaces between them; those that do
 *   not fit are left out
 *
 * Replaces the line, which may have view_columns() columns. Does nothing if the text is the same, unless the width of
 * the terminal has changed.
 */
void
view_row_set (ViewRow    *self,
              const char *before,
              ViewStyle   style,
              const char *lead,
              const char *rest)
{
  gsize columns = view_columns ();
  g_autofree char *line = NULL;
  const char *on = "";
  const char *off = "";
  gsize n_before, n_lead, n_rest;

  if (view.stream == NULL)
    return;

  n_before = view_fit (before, columns);
  columns -= MIN (columns, view_width (before));
  n_lead = view_fit (lead, columns);
  columns -= MIN (columns, view_width (lead));
  n_rest = fit_fields (rest, columns);
  if (style != VIEW_PLAIN)
    {
      on = view_style (view.stream, style);
      off = view_style (view.stream, VIEW_PLAIN);
    }
  line = g_strdup_printf ("%.*s%s%.*s%s%.*s", (int) n_before, before, on, (int) n_lead, lead, off, (int) n_rest,
                          rest);

  g_mutex_lock (&view.mutex);
  if (g_strcmp0 (line, self->line) != 0)
    {
      erase ();
      g_free (self->line);
      self->line = g_steal_pointer (&line);
      draw ();
    }
  g_mutex_unlock (&view.mutex);
}
