/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/config.h"

#include <string.h>
#include <sys/stat.h>

#include "cli/suggest.h"

#define FILE_NAME "tcp-tunnel" G_DIR_SEPARATOR_S "tunnels.conf"
#define BYTE_ORDER_MARK "\xef\xbb\xbf" /* some editors begin a file so */

enum
{
  MAX_SIZE = 1024 * 1024, /* bytes */
};

struct _Config
{
  char *path;
  GKeyFile *file;
  gboolean is_private; /* nobody else may read it */
};

static gboolean G_GNUC_PRINTF (2, 3)
fail (GError    **error,
      const char *format,
      ...)
{
  va_list args;

  va_start (args, format);
  g_propagate_error (error, g_error_new_valist (G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, format,
                                                args));
  va_end (args);
  return FALSE;
}

/* The first there is, that of the user before those of the system. That there is
 * none is an error of its own, since then it may be that none was meant. */
static char *
find_file (GError **error)
{
  g_autoptr (GString) tried = g_string_new (NULL);
  const char *const *dirs = g_get_system_config_dirs ();
  const char *dir = g_get_user_config_dir ();

  for (; dir != NULL; dir = *dirs++)
    {
      g_autofree char *path = g_build_filename (dir, FILE_NAME, NULL);

      if (g_file_test (path, G_FILE_TEST_EXISTS))
        return g_steal_pointer (&path);
      g_string_append_printf (tried, "%s%s", tried->len > 0 ? " or " : "", path);
    }
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "there is no config file %s",
               tried->str);
  return NULL;
}

static char *
read_text (const char  *path,
           gboolean    *is_private,
           GError     **error)
{
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GFileInputStream) stream = g_file_read (file, NULL, error);
  g_autoptr (GFileInfo) info = NULL;
  g_autofree char *text = g_malloc (MAX_SIZE + 1);
  gsize length;

  if (stream == NULL)
    return NULL;
  info = g_file_input_stream_query_info (stream, G_FILE_ATTRIBUTE_UNIX_MODE, NULL, error);
  if (info == NULL || !g_input_stream_read_all (G_INPUT_STREAM (stream), text, MAX_SIZE + 1,
                                                &length, NULL, error))
    return NULL;
  *is_private = (g_file_info_get_attribute_uint32 (info, G_FILE_ATTRIBUTE_UNIX_MODE) &
                 (S_IRWXG | S_IRWXO)) == 0;
  if (length > MAX_SIZE)
    {
      fail (error, "it has more than %d bytes", MAX_SIZE);
      return NULL;
    }
  text[length] = '\0';
  if (!g_utf8_validate (text, length, NULL))
    {
      fail (error, "it is not text in UTF-8");
      return NULL;
    }
  return g_steal_pointer (&text);
}

/* GLib does not tell which line it does not understand, and repeats what is in
 * it, which may be a token. So this looks for the shortest beginning of the text
 * that it refuses. */
static guint
find_bad_line (const char *text)
{
  g_autoptr (GPtrArray) ends = g_ptr_array_new ();
  guint good = 0, bad;

  g_ptr_array_add (ends, (char *) text);
  for (const char *end = strchr (text, '\n'); end != NULL; end = strchr (end + 1, '\n'))
    g_ptr_array_add (ends, (char *) end + 1);
  g_ptr_array_add (ends, (char *) text + strlen (text));

  bad = ends->len - 1;
  while (bad - good > 1)
    {
      guint middle = (good + bad) / 2;
      g_autoptr (GKeyFile) file = g_key_file_new ();

      if (g_key_file_load_from_data (file, text, (char *) ends->pdata[middle] - text,
                                     G_KEY_FILE_NONE, NULL))
        good = middle;
      else
        bad = middle;
    }
  return bad;
}

/* GLib would join groups of one name, and take the last of several values. What is
 * in the line is not told: see above. */
static gboolean
check_repeats (Config      *self,
               const char  *text,
               GError     **error)
{
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  g_autofree char *group = g_strdup ("");

  for (guint i = 0; lines[i] != NULL; i++)
    {
      const char *line = g_strstrip (lines[i]);
      const char *equals = strchr (line, '=');
      gboolean is_group = *line == '[';
      g_autofree char *key = NULL;
      guint first;

      if (*line == '#' || (!is_group && equals == NULL))
        continue;
      if (is_group)
        {
          g_free (group);
          group = g_strdup (line);
          key = g_strdup (line);
        }
      else
        {
          g_autofree char *name = g_strchomp (g_strndup (line, equals - line));

          key = g_strconcat (group, name, NULL);
        }
      first = GPOINTER_TO_UINT (g_hash_table_lookup (seen, key));
      if (first > 0)
        return fail (error, "%s: line %u repeats the %s of line %u", self->path, i + 1,
                     is_group ? "[NAME]" : "KEY", first);
      g_hash_table_insert (seen, g_steal_pointer (&key), GUINT_TO_POINTER (i + 1));
    }
  return TRUE;
}

static gboolean
parse (Config     *self,
       const char *text,
       GError    **error)
{
  g_autoptr (GError) local_error = NULL;

  if (g_key_file_load_from_data (self->file, text, -1, G_KEY_FILE_NONE, &local_error))
    return check_repeats (self, text, error);
  if (g_error_matches (local_error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_GROUP_NOT_FOUND))
    return fail (error, "%s: line %u stands before the first [NAME]", self->path,
                 find_bad_line (text));
  return fail (error, "%s: line %u is none of [NAME], KEY=VALUE and # comment", self->path,
               find_bad_line (text));
}

/**
 * config_load:
 * @path: (nullable): the file, %NULL for the usual one
 *
 * Its path is made absolute, since the files that it names are meant from there.
 */
Config *
config_load (const char  *path,
             GError     **error)
{
  g_autoptr (Config) self = g_new0 (Config, 1);
  g_autoptr (GError) local_error = NULL;
  g_autofree char *found = path != NULL ? g_strdup (path) : find_file (error);
  g_autofree char *text = NULL;

  if (found == NULL)
    return NULL;
  self->file = g_key_file_new ();
  self->path = g_canonicalize_filename (found, NULL);
  text = read_text (self->path, &self->is_private, &local_error);
  if (text == NULL)
    {
      fail (error, "the config file %s cannot be read: %s", self->path, local_error->message);
      return NULL;
    }
  if (!parse (self, text + (g_str_has_prefix (text, BYTE_ORDER_MARK) ? strlen (BYTE_ORDER_MARK) : 0), error))
    return NULL;
  return g_steal_pointer (&self);
}

void
config_free (Config *self)
{
  g_clear_pointer (&self->file, g_key_file_unref);
  g_free (self->path);
  g_free (self);
}

const char *
config_get_path (Config *self)
{
  return self->path;
}

/* Those of the tunnels, as they follow each other in the file. */
char **
config_get_names (Config *self)
{
  g_auto (GStrv) groups = g_key_file_get_groups (self->file, NULL);
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();

  for (char **group = groups; *group != NULL; group++)
    if (strcmp (*group, CONFIG_DEFAULTS) != 0)
      g_strv_builder_add (names, *group);
  return g_strv_builder_end (names);
}

/* Relative names are meant from where the file is. */
static char *
expand_path (Config     *self,
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

/* HOST:PORT and what may follow it, or the path of a Unix socket. */
static char *
expand_listen (Config     *self,
               const char *value)
{
  g_autofree char *path = NULL;

  if (!g_str_has_prefix (value, "unix:"))
    return g_strdup (value);
  path = expand_path (self, value + strlen ("unix:"));
  return g_strconcat ("unix:", path, NULL);
}

static char *
expand (Config     *self,
        Setting     setting,
        const char *value)
{
  if (settings_is_file (setting))
    return expand_path (self, value);
  if (setting == SETTING_LISTEN || setting == SETTING_SOCKS || setting == SETTING_HTTP_PROXY)
    return expand_listen (self, value);
  return g_strdup (value);
}

static gboolean
check_value (Config     *self,
             Setting     setting,
             const char *value,
             const char *source,
             GError    **error)
{
  /* The value may hold a secret of its own. */
  if (setting == SETTING_REMOTE_URI && !g_str_has_prefix (value, "ws://") &&
      !g_str_has_prefix (value, "wss://"))
    return fail (error, "%s must begin with ws:// or wss://", source);
  if (setting == SETTING_TOKEN && !self->is_private)
    return fail (error,
                 "%s: others may read the file; use token-file or token-command, "
                 "or 'chmod 600 %s'",
                 source, self->path);
  return TRUE;
}

/* A list, with ; between its parts. */
static char **
read_list (Config      *self,
           const char  *group,
           Setting      setting,
           const char  *source,
           GError     **error)
{
  g_autoptr (GError) local_error = NULL;
  g_auto (GStrv) list =
      g_key_file_get_string_list (self->file, group, settings_keys ()[setting], NULL, &local_error);

  if (local_error == NULL)
    return g_steal_pointer (&list);
  fail (error, "%s: in a value, \\ stands only before s, n, t, r, ; and \\", source);
  return NULL;
}

/* None of them is repeated: it may be a secret, too. */
static gboolean
read_headers (Config      *self,
              const char  *group,
              const char  *source,
              Settings    *settings,
              GError     **error)
{
  g_auto (GStrv) headers = read_list (self, group, SETTING_HEADERS, source, error);

  if (headers == NULL)
    return FALSE;
  for (char **header = headers; *header != NULL; header++)
    if (strchr (*header, ':') == NULL)
      return fail (error, "%s: each must be of the form 'Name: value', and a ; in it be written \\;",
                   source);
  for (char **header = headers; *header != NULL; header++)
    if (!self->is_private && g_ascii_strncasecmp (*header, "Authorization:", strlen ("Authorization:")) == 0)
      return fail (error, "%s: others may read the file, and it holds credentials; 'chmod 600 %s'", source, self->path);
  settings->headers = g_steal_pointer (&headers);
  return TRUE;
}

static gboolean
read_forwards (Config      *self,
               const char  *group,
               const char  *source,
               Settings    *settings,
               GError     **error)
{
  g_auto (GStrv) forwards = read_list (self, group, SETTING_FORWARDS, source, error);

  if (forwards == NULL)
    return FALSE;
  for (char **forward = forwards; *forward != NULL; forward++)
    {
      char *expanded = expand_listen (self, g_strstrip (*forward));

      g_free (*forward);
      *forward = expanded;
    }
  if (*forwards != NULL)
    settings->forwards = g_steal_pointer (&forwards);
  return TRUE;
}

static gboolean
read_value (Config      *self,
            const char  *group,
            Setting      setting,
            const char  *source,
            Settings    *settings,
            GError     **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autofree char *value = g_key_file_get_string (self->file, group, settings_keys ()[setting], &local_error);

  if (local_error != NULL)
    return fail (error, "%s: in a value, \\ stands only before s, n, t, r and \\", source);
  g_strchomp (value);
  /* No file has no name. */
  if (*value == '\0' && settings_is_file (setting))
    return TRUE;
  if (!check_value (self, setting, value, source, error))
    return FALSE;
  settings->values[setting] = expand (self, setting, value);
  return TRUE;
}

static gboolean
read_setting (Config      *self,
              const char  *group,
              Setting      setting,
              const char  *source,
              Settings    *settings,
              GError     **error)
{
  if (setting == SETTING_HEADERS)
    return read_headers (self, group, source, settings, error);
  if (setting == SETTING_FORWARDS)
    return read_forwards (self, group, source, settings, error);
  if (setting == SETTING_REVERSE)
    return (settings->reverses = read_list (self, group, setting, source, error)) != NULL;
  return read_value (self, group, setting, source, settings, error);
}

/* N_SETTINGS, with an error, for one that there is not. */
static Setting
find_key (Config      *self,
          const char  *group,
          const char  *key,
          GError     **error)
{
  const char *const *keys = settings_keys ();
  g_autofree char *hint = NULL;

  for (guint i = 0; i < N_SETTINGS; i++)
    if (strcmp (keys[i], key) == 0)
      return i;
  /* A token that ends in = looks like a key, too. */
  hint = suggest (key, keys, "");
  if (*hint != '\0' || key[strspn (key, "abcdefghijklmnopqrstuvwxyz-")] == '\0')
    fail (error, "%s: [%s] has an unknown key '%s'%s", self->path, group, key, hint);
  else
    fail (error, "%s: [%s] has a key with others than a to z and - in it", self->path, group);
  return N_SETTINGS;
}

static gboolean
is_token_source (Setting setting)
{
  return setting == SETTING_TOKEN_FILE || setting == SETTING_TOKEN ||
         setting == SETTING_TOKEN_COMMAND || setting == SETTING_NO_TOKEN;
}

/* What is known already has come from a better place. A token is known as soon
 * as there is one source of it. */
static gboolean
read_group (Config      *self,
            const char  *group,
            Settings    *settings,
            GError     **error)
{
  g_auto (GStrv) keys = g_key_file_get_keys (self->file, group, NULL, NULL);
  gboolean has_token = settings_find_credentials (settings) != NULL;

  for (char **key = keys; key != NULL && *key != NULL; key++)
    {
      Setting setting = find_key (self, group, *key, error);
      g_autofree char *source = NULL;

      if (setting == N_SETTINGS)
        return FALSE;
      if (settings_has (settings, setting) || (has_token && is_token_source (setting)))
        continue;
      source = g_strdup_printf ("%s: [%s] %s", self->path, group, *key);
      if (!read_setting (self, group, setting, source, settings, error))
        return FALSE;
      if (settings_has (settings, setting))
        settings->sources[setting] = g_steal_pointer (&source);
    }
  return TRUE;
}

static gboolean
check_name (Config      *self,
            const char  *name,
            GError     **error)
{
  g_auto (GStrv) names = config_get_names (self);
  g_autofree char *hint = NULL;
  g_autofree char *list = NULL;

  if (g_strv_contains ((const char *const *) names, name))
    return TRUE;
  if (*names == NULL)
    return fail (error, "%s has no tunnel '%s', nor any other", self->path, name);
  hint = suggest (name, (const char *const *) names, "");
  if (*hint != '\0')
    return fail (error, "%s has no tunnel '%s'%s", self->path, name, hint);
  list = g_strjoinv (", ", names);
  return fail (error, "%s has no tunnel '%s', only %s", self->path, name, list);
}

/**
 * config_read:
 * @settings: those of a tunnel with a name
 *
 * Fills in what is not set yet, from the tunnel's group and from the defaults.
 */
gboolean
config_read (Config    *self,
             Settings  *settings,
             GError   **error)
{
  if (!check_name (self, settings->name, error) ||
      !read_group (self, settings->name, settings, error) ||
      !read_group (self, CONFIG_DEFAULTS, settings, error))
    return FALSE;
  if (!settings_has (settings, SETTING_REMOTE_URI))
    return fail (error, "%s: [%s] has no remote-uri, the URL of the gateway", self->path,
                 settings->name);
  settings->place = g_strdup_printf ("%s: [%s]", self->path, settings->name);
  return TRUE;
}
