/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/key-file.h"

#include <glib/gi18n.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/suggest.h"

#define DIRECTORY "tcp-tunnel"
#define SYSTEM_DIRECTORY "/etc"
#define BYTE_ORDER_MARK "\xef\xbb\xbf" /* some editors write it at the beginning of a file */

enum
{
  MAX_SIZE = 64 * 1024 * 1024, /* bytes; 100,000 principals take less than half of it */
};

struct _KeyFile
{
  char *path;
  GKeyFile *file;
  GHashTable *lines; /* of "[group]" and "[group]key", from 1 */
  guint mode;
};

/**
 * key_file_find:
 * @name: the name of the file
 *
 * Finds the first existing file, that of the user before those of the system. That there is none is a separate error,
 * since the user may not have meant a file.
 */
char *
key_file_find (const char  *name,
               GError     **error)
{
  g_autoptr (GString) tried = g_string_new (NULL);
  g_autoptr (GPtrArray) dirs = g_ptr_array_new ();

  g_ptr_array_add (dirs, (char *) g_get_user_config_dir ());
  for (const char *const *dir = g_get_system_config_dirs (); *dir != NULL; dir++)
    g_ptr_array_add (dirs, (char *) *dir);
  g_ptr_array_add (dirs, (char *) SYSTEM_DIRECTORY);
  for (guint i = 0; i < dirs->len; i++)
    {
      g_autofree char *path = g_build_filename (dirs->pdata[i], DIRECTORY, name, NULL);

      if (g_file_test (path, G_FILE_TEST_EXISTS))
        return g_steal_pointer (&path);
      g_string_append_printf (tried, "%s%s", tried->len > 0 ? " or " : "", path);
    }
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, _("there is no config file %s"), tried->str);
  return NULL;
}

static char *
read_text (const char  *path,
           guint       *mode,
           GError     **error)
{
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GFileInputStream) stream = g_file_read (file, NULL, error);
  g_autoptr (GFileInfo) info = NULL;
  g_autoptr (GByteArray) text = g_byte_array_new ();
  gsize n;

  if (stream == NULL)
    return NULL;
  info = g_file_input_stream_query_info (stream, G_FILE_ATTRIBUTE_UNIX_MODE, NULL, error);
  if (info == NULL)
    return NULL;
  *mode = g_file_info_get_attribute_uint32 (info, G_FILE_ATTRIBUTE_UNIX_MODE);

  do
    {
      guint8 block[64 * 1024];

      if (!g_input_stream_read_all (G_INPUT_STREAM (stream), block, sizeof block, &n, NULL, error))
        return NULL;
      g_byte_array_append (text, block, n);
      /* The file may be a device that never ends. */
      if (text->len > MAX_SIZE)
        {
          g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _("it has more than %d bytes"), MAX_SIZE);
          return NULL;
        }
    }
  while (n > 0);

  if (!g_utf8_validate ((char *) text->data, text->len, NULL))
    {
      g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _("it is not text in UTF-8"));
      return NULL;
    }
  g_byte_array_append (text, (const guint8 *) "", 1);
  return (char *) g_byte_array_free (g_steal_pointer (&text), FALSE);
}

/* Lines */

static char *
make_name (const char *group,
           const char *key)
{
  return g_strdup_printf ("[%s]%s", group, key != NULL ? key : "");
}

/* GLib would merge groups of the same name, and use the last of several values. The line is not repeated, here and
 * below, since it may contain a token. Returns whether it is the first of the name. */
static gboolean
note_line (KeyFile    *self,
           const char *group,
           const char *key,
           guint       line,
           Problems   *problems)
{
  g_autofree char *name = make_name (group, key);
  guint first = GPOINTER_TO_UINT (g_hash_table_lookup (self->lines, name));

  if (first == 0)
    {
      g_hash_table_insert (self->lines, g_steal_pointer (&name), GUINT_TO_POINTER (line));
      return TRUE;
    }
  if (key == NULL)
    problems_add (problems, (Place) { self->path, line }, _("the line repeats the [NAME] of line %u"), first);
  else
    problems_add (problems, (Place) { self->path, line },
                  _("the line repeats the KEY of line %u; a list has its values in one line, separated by ;"), first);
  return FALSE;
}

/* Whether GLib would accept the line in a group. */
static gboolean
is_valid_line (const char *line)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autofree char *text = g_strdup_printf ("[x]\n%s\n", line);

  return g_key_file_load_from_data (file, text, -1, G_KEY_FILE_NONE, NULL);
}

/* Records the line of each group and key, and finds all invalid lines. The others are added to @good. */
static void
scan (KeyFile    *self,
      const char *text,
      gboolean    is_valid,
      GString    *good,
      Problems   *problems)
{
  g_autofree char *group = NULL;
  const char *next;

  for (guint number = 1; text != NULL; number++, text = next)
    {
      const char *end = strchrnul (text, '\n');
      g_autofree char *whole = g_strndup (text, end - text);
      char *line = g_strstrip (whole);
      Place place = { self->path, number };

      next = *end != '\0' ? end + 1 : NULL;
      if (*line == '\0' || *line == '#')
        continue;
      if (!is_valid && !is_valid_line (line))
        {
          problems_add (problems, place, _("the line is not [NAME], KEY=VALUE or # comment"));
          continue;
        }
      if (*line != '[' && group == NULL)
        {
          problems_add (problems, place, _("the line stands before the first [NAME]"));
          continue;
        }
      if (!is_valid)
        g_string_append_printf (good, "%s\n", line);

      if (*line == '[')
        {
          *strchr (line, ']') = '\0';
          g_free (group);
          group = g_strdup (line + 1);
          note_line (self, group, NULL, number, problems);
        }
      else
        {
          *strchr (line, '=') = '\0';
          note_line (self, group, g_strchomp (line), number, problems);
        }
    }
}

/* GLib only reports the first invalid line, and repeats its content. */
static void
parse (KeyFile    *self,
       const char *text,
       Problems   *problems)
{
  g_autoptr (GString) good = g_string_new (NULL);
  gboolean is_valid = g_key_file_load_from_data (self->file, text, -1, G_KEY_FILE_NONE, NULL);

  scan (self, text, is_valid, good, problems);
  if (!is_valid)
    g_key_file_load_from_data (self->file, good->str, good->len, G_KEY_FILE_NONE, NULL);
}

/**
 * key_file_load:
 * @problems: all invalid lines are added here
 *
 * The path is made absolute, since the files that it names are relative to it.
 *
 * Returns: (nullable): what could be read
 */
KeyFile *
key_file_load (const char *path,
               Problems   *problems)
{
  g_autoptr (KeyFile) self = g_new0 (KeyFile, 1);
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;

  self->file = g_key_file_new ();
  self->lines = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->path = g_canonicalize_filename (path, NULL);
  text = read_text (self->path, &self->mode, &error);
  if (text == NULL)
    {
      problems_add (problems, (Place) { NULL, 0 }, _("the config file %s cannot be read: %s"), self->path, error->message);
      return NULL;
    }
  parse (self, text + (g_str_has_prefix (text, BYTE_ORDER_MARK) ? strlen (BYTE_ORDER_MARK) : 0), problems);
  return g_steal_pointer (&self);
}

void
key_file_free (KeyFile *self)
{
  g_clear_pointer (&self->file, g_key_file_unref);
  g_clear_pointer (&self->lines, g_hash_table_unref);
  g_free (self->path);
  g_free (self);
}

/* Contents */

const char *
key_file_get_path (KeyFile *self)
{
  return self->path;
}

/* Whether no other user may read it. */
gboolean
key_file_is_private (KeyFile *self)
{
  return (self->mode & (S_IRWXG | S_IRWXO)) == 0;
}

/* Whether every user may read it. */
gboolean
key_file_is_public (KeyFile *self)
{
  return (self->mode & S_IROTH) != 0;
}

/* In the order of the file. */
char **
key_file_get_groups (KeyFile *self)
{
  return g_key_file_get_groups (self->file, NULL);
}

/**
 * key_file_get_keys:
 *
 * Returns: (nullable): the keys of the group, in the order of the file and each once; %NULL if there is no such group
 */
char **
key_file_get_keys (KeyFile    *self,
                   const char *group)
{
  g_auto (GStrv) all = g_key_file_get_keys (self->file, group, NULL, NULL);
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GStrvBuilder) keys = g_strv_builder_new ();

  for (char **key = all; key != NULL && *key != NULL; key++)
    if (g_hash_table_add (seen, *key))
      g_strv_builder_add (keys, *key);
  return all != NULL ? g_strv_builder_end (keys) : NULL;
}

/**
 * key_file_get_place:
 * @key: (nullable): %NULL for the line of the group
 *
 * The place is valid as long as the file.
 */
Place
key_file_get_place (KeyFile    *self,
                    const char *group,
                    const char *key)
{
  g_autofree char *name = make_name (group, key);

  return (Place) { self->path, GPOINTER_TO_UINT (g_hash_table_lookup (self->lines, name)) };
}

/**
 * key_file_explain_key:
 * @known: the existing keys
 *
 * Returns: a message about a key that does not exist. A token that ends in = looks like a key, and is not repeated.
 */
char *
key_file_explain_key (const char        *group,
                      const char        *key,
                      const char *const *known)
{
  g_autofree char *hint = suggest (key, known, "");

  if (*hint != '\0' || key[strspn (key, "abcdefghijklmnopqrstuvwxyz-")] == '\0')
    return g_strdup_printf (_("[%s] has an unknown key '%s'%s"), group, key, hint);
  return g_strdup_printf (_("[%s] has a key with characters other than a to z and -"), group);
}

char *
key_file_get_string (KeyFile     *self,
                     const char  *group,
                     const char  *key,
                     GError     **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autofree char *value = g_key_file_get_string (self->file, group, key, &local_error);

  if (local_error == NULL)
    return g_strchomp (g_steal_pointer (&value));
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _("in a value, \\ stands only before s, n, t, r and \\"));
  return NULL;
}

/* With ; between its parts. */
char **
key_file_get_list (KeyFile     *self,
                   const char  *group,
                   const char  *key,
                   GError     **error)
{
  g_autoptr (GError) local_error = NULL;
  g_auto (GStrv) list = g_key_file_get_string_list (self->file, group, key, NULL, &local_error);

  if (local_error == NULL)
    return g_steal_pointer (&list);
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _("in a value, \\ stands only before s, n, t, r, ; and \\"));
  return NULL;
}

/* Relative names are relative to the directory of the file. */
char *
key_file_expand_path (KeyFile    *self,
                      const char *path)
{
  g_autofree char *directory = NULL;

  if (g_str_has_prefix (path, "~/"))
    return g_build_filename (g_get_home_dir (), path + 2, NULL);
  if (*path == '\0')
    return g_strdup ("");
  directory = g_path_get_dirname (self->path);
  return g_canonicalize_filename (path, directory);
}

/* HOST:PORT and other forms, or the path of a Unix socket. */
char *
key_file_expand_listen (KeyFile    *self,
                        const char *value)
{
  g_autofree char *path = NULL;

  if (!g_str_has_prefix (value, "unix:"))
    return g_strdup (value);
  path = key_file_expand_path (self, value + strlen ("unix:"));
  return g_strconcat ("unix:", path, NULL);
}
