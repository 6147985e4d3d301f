/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/token.h"

#include <gio/gio.h>
#include <glib/gi18n.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/log.h"

#define BYTE_ORDER_MARK "\xef\xbb\xbf" /* some editors write it at the beginning of a file */

enum
{
  MAX_FILE_SIZE = 64 * 1024, /* bytes */
};

/**
 * token_take_argv:
 *
 * Copies the arguments and overwrites the value of `--token` in the original,
 * which every user of the machine can read in /proc/PID/cmdline.
 */
char **
token_take_argv (int    argc,
                 char **argv)
{
  char **copy = g_new0 (char *, argc + 1);

  for (int i = 0; i < argc; i++)
    copy[i] = g_strdup (argv[i]);

  for (int i = 1; i < argc; i++)
    {
      char *value = NULL;

      if (strcmp (copy[i - 1], "--token") == 0)
        value = argv[i];
      else if (g_str_has_prefix (argv[i], "--token="))
        value = argv[i] + strlen ("--token=");
      if (value != NULL)
        memset (value, 0, strlen (value));
    }
  return copy;
}

/**
 * token_check:
 * @text: the token, optionally with the end of its line
 * @source: the source of the token
 *
 * The token becomes a part of an HTTP header, so a line break in it would be more than a typing error. Messages name
 * the source, never the token.
 */
char *
token_check (const char  *text,
             const char  *source,
             GError     **error)
{
  g_autofree char *token = g_strdup (text);
  gsize length = strlen (token);

  if (g_str_has_suffix (token, "\n"))
    token[--length] = '\0';
  if (g_str_has_suffix (token, "\r"))
    token[--length] = '\0';

  if (length == 0)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _("%s holds no token"), source);
      return NULL;
    }
  for (gsize i = 0; i < length; i++)
    if (!g_ascii_isgraph (token[i]))
      {
        gboolean is_list = strchr (token, '\n') != NULL && strchr (token, ':') != NULL;

        g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                     is_list ? _("%s: a token is one line of printable ASCII without spaces; is this the token file of a "
                                 "gateway?")
                             : _("%s: a token is one line of printable ASCII without spaces"),
                     source);
        return NULL;
      }
  return g_steal_pointer (&token);
}

/**
 * token_read_file:
 * @source: the name of the source, such as `--token-file`
 */
char *
token_read_file (const char  *source,
                 const char  *file,
                 GError     **error)
{
  g_autofree char *name = g_strdup_printf ("%s %s", source, file);
  g_autoptr (GFile) where = g_file_new_for_path (file);
  g_autoptr (GError) local_error = NULL;
  g_autoptr (GFileInputStream) stream = g_file_read (where, NULL, &local_error);
  g_autoptr (GFileInfo) info = NULL;
  char *token;
  char text[MAX_FILE_SIZE + 1];
  gsize length;

  if (stream == NULL || !g_input_stream_read_all (G_INPUT_STREAM (stream), text, sizeof text,
                                                  &length, NULL, &local_error))
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s: %s", name,
                   local_error->message);
      return NULL;
    }
  if (length > MAX_FILE_SIZE)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _("%s has more than %d bytes"),
                   name, MAX_FILE_SIZE);
      return NULL;
    }
  text[length] = '\0';
  if (strlen (text) != length)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _("%s is not a text file"), name);
      return NULL;
    }

  token = token_check (text + (g_str_has_prefix (text, BYTE_ORDER_MARK) ? strlen (BYTE_ORDER_MARK) : 0), name, error);
  info = g_file_input_stream_query_info (stream, G_FILE_ATTRIBUTE_UNIX_MODE, NULL, NULL);
  if (token != NULL && info != NULL &&
      (g_file_info_get_attribute_uint32 (info, G_FILE_ATTRIBUTE_UNIX_MODE) & S_IROTH) != 0)
    log_warn ("%s: every user of this machine may read the token; 'chmod o-r %s' prevents that", name, file);
  return token;
}

/**
 * token_hint:
 * @token: a token that a gateway has refused
 *
 * A line NAME:TOKEN of a gateway's token file is a valid token, but most likely not the intended one.
 *
 * Returns: (nullable): what may be wrong with the token
 */
const char *
token_hint (const char *token)
{
  return strchr (token, ':') != NULL
             ? _("there is a colon in the token: of a line NAME:TOKEN for a gateway, the tunnel needs the TOKEN alone")
             : NULL;
}
