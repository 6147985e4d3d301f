/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/view.h"

#include <sys/ioctl.h>
#include <unistd.h>

static struct
{
  GMutex mutex;
  FILE *stream; /* where the live line is, NULL without one */
  char *line;   /* what it shows, NULL for nothing */
} view;

static gboolean
is_terminal (FILE *stream)
{
  return isatty (fileno (stream)) && g_strcmp0 (g_getenv ("TERM"), "dumb") != 0;
}

/**
 * view_init:
 * @live: whether a live line is wanted, if there is a terminal for it
 *
 * Prefers stdout; stderr serves when stdout is read by a program.
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

static void
erase (void)
{
  if (view.line == NULL)
    return;
  fputs ("\r\033[K", view.stream);
  fflush (view.stream);
}

static void
draw (void)
{
  if (view.line == NULL)
    return;
  fputs (view.line, view.stream);
  fflush (view.stream);
}

/**
 * view_print:
 *
 * Prints whole lines, above the live line if there is one.
 */
void
view_print (FILE       *stream,
            const char *format,
            ...)
{
  va_list args;

  g_mutex_lock (&view.mutex);
  erase ();
  va_start (args, format);
  vfprintf (stream, format, args);
  va_end (args);
  fflush (stream);
  draw ();
  g_mutex_unlock (&view.mutex);
}

static gsize
terminal_columns (void)
{
  struct winsize size = { 0 };

  if (ioctl (fileno (view.stream), TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
    return 80;
  return size.ws_col;
}

/* The bytes of the first *columns characters; takes those off *columns. */
static int
fit (const char *text,
     gsize      *columns)
{
  gsize n = MIN ((gsize) g_utf8_strlen (text, -1), *columns);

  *columns -= n;
  return g_utf8_offset_to_pointer (text, n) - text;
}

/**
 * view_live:
 * @style: of @lead
 * @lead: how the line begins
 * @rest: how it goes on
 *
 * Replaces the live line. Called again with the same text it does nothing,
 * unless the terminal has another width by now.
 */
void
view_live (ViewStyle   style,
           const char *lead,
           const char *rest)
{
  g_autofree char *line = NULL;
  const char *on = "";
  const char *off = "";
  gsize columns;
  int n_lead, n_rest;

  if (view.stream == NULL)
    return;

  /* The last column stays free: a full line makes some terminals wrap. */
  columns = terminal_columns () - 1;
  n_lead = fit (lead, &columns);
  n_rest = fit (rest, &columns);
  if (style != VIEW_PLAIN)
    {
      on = view_style (view.stream, style);
      off = view_style (view.stream, VIEW_PLAIN);
    }
  line = g_strdup_printf ("%s%.*s%s%.*s", on, n_lead, lead, off, n_rest, rest);

  g_mutex_lock (&view.mutex);
  if (g_strcmp0 (line, view.line) != 0)
    {
      erase ();
      g_free (view.line);
      view.line = g_steal_pointer (&line);
      draw ();
    }
  g_mutex_unlock (&view.mutex);
}

/**
 * view_clear:
 *
 * Removes the live line.
 */
void
view_clear (void)
{
  g_mutex_lock (&view.mutex);
  erase ();
  g_clear_pointer (&view.line, g_free);
  g_mutex_unlock (&view.mutex);
}
