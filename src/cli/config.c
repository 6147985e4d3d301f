/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/config.h"

#include <glib/gi18n.h>
#include <string.h>

#include "cli/key-file.h"
#include "cli/suggest.h"

#define FILE_NAME "tunnels.conf"

struct _Config
{
  KeyFile *file;
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

/**
 * config_load:
 * @path: (nullable): the file, %NULL for the default one
 */
Config *
config_load (const char  *path,
             GError     **error)
{
  g_autoptr (Problems) problems = problems_new ();
  g_autofree char *found = path != NULL ? g_strdup (path) : key_file_find (FILE_NAME, error);
  g_autoptr (KeyFile) file = found != NULL ? key_file_load (found, problems) : NULL;
  Config *self;

  if (found == NULL)
    return NULL;
  if (problems_count_errors (problems) > 0)
    {
      g_propagate_error (error, problems_get_error (problems));
      return NULL;
    }
  self = g_new0 (Config, 1);
  self->file = g_steal_pointer (&file);
  return self;
}

void
config_free (Config *self)
{
  key_file_free (self->file);
  g_free (self);
}

const char *
config_get_path (Config *self)
{
  return key_file_get_path (self->file);
}

/* Returns the names of the tunnels, in the order of the file. */
char **
config_get_names (Config *self)
{
  g_auto (GStrv) groups = key_file_get_groups (self->file);
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();

  for (char **group = groups; *group != NULL; group++)
    if (strcmp (*group, CONFIG_DEFAULTS) != 0)
      g_strv_builder_add (names, *group);
  return g_strv_builder_end (names);
}

static char *
expand (Config     *self,
        Setting     setting,
        const char *value)
{
  if (settings_is_file (setting))
    return key_file_expand_path (self->file, value);
  if (setting == SETTING_LISTEN || setting == SETTING_SOCKS || setting == SETTING_HTTP_PROXY)
    return key_file_expand_listen (self->file, value);
  return g_strdup (value);
}

static gboolean
check_value (Config     *self,
             Setting     setting,
             const char *value,
             const char *source,
             GError    **error)
{
  /* The value may contain a secret. */
  if (setting == SETTING_REMOTE_URI && !g_str_has_prefix (value, "ws://") &&
      !g_str_has_prefix (value, "wss://"))
    return fail (error, _("%s must begin with ws:// or wss://"), source);
  if (setting == SETTING_TOKEN && !key_file_is_private (self->file))
    return fail (error,
                 _("%s: others may read the file; use token-file or token-command, "
                   "or 'chmod 600 %s'"),
                 source, config_get_path (self));
  return TRUE;
}

/* Reads a list with ; between its parts. */
static char **
read_list (Config      *self,
           const char  *group,
           Setting      setting,
           const char  *source,
           GError     **error)
{
  char **list = key_file_get_list (self->file, group, settings_keys ()[setting], error);

  if (list == NULL)
    g_prefix_error (error, "%s: ", source);
  return list;
}

/* Errors do not repeat any header, since it may contain a secret. */
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
      return fail (error, _("%s: each must be of the form 'Name: value', and a ; in it be written \\;"),
                   source);
  for (char **header = headers; *header != NULL; header++)
    if (!key_file_is_private (self->file) && g_ascii_strncasecmp (*header, "Authorization:", strlen ("Authorization:")) == 0)
      return fail (error, _("%s: others may read the file, and it holds credentials; 'chmod 600 %s'"), source, config_get_path (self));
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
      char *expanded = key_file_expand_listen (self->file, g_strstrip (*forward));

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
  g_autofree char *value = key_file_get_string (self->file, group, settings_keys ()[setting], error);

  if (value == NULL)
    {
      g_prefix_error (error, "%s: ", source);
      return FALSE;
    }
  /* An empty name means no file. */
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

/* Returns N_SETTINGS, with an error, if there is no such setting. */
static Setting
find_key (Config      *self,
          const char  *group,
          const char  *key,
          GError     **error)
{
  const char *const *keys = settings_keys ();
  Place place = key_file_get_place (self->file, group, key);
  g_autofree char *problem = NULL;

  for (guint i = 0; i < N_SETTINGS; i++)
    if (strcmp (keys[i], key) == 0)
      return i;
  problem = key_file_explain_key (group, key, keys);
  fail (error, "%s:%u: %s", place.path, place.line, problem);
  return N_SETTINGS;
}

static gboolean
is_token_source (Setting setting)
{
  return setting == SETTING_TOKEN_FILE || setting == SETTING_TOKEN ||
         setting == SETTING_TOKEN_COMMAND || setting == SETTING_NO_TOKEN;
}

/* A value that is set already has come from a source with precedence. A token is set as soon as there is one source of
 * it. */
static gboolean
read_group (Config      *self,
            const char  *group,
            Settings    *settings,
            GError     **error)
{
  g_auto (GStrv) keys = key_file_get_keys (self->file, group);
  gboolean has_token = settings_find_credentials (settings) != NULL;

  for (char **key = keys; key != NULL && *key != NULL; key++)
    {
      Setting setting = find_key (self, group, *key, error);
      Place place = key_file_get_place (self->file, group, *key);
      g_autofree char *source = NULL;

      if (setting == N_SETTINGS)
        return FALSE;
      if (settings_has (settings, setting) || (has_token && is_token_source (setting)))
        continue;
      source = g_strdup_printf ("%s:%u: [%s] %s", place.path, place.line, group, *key);
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
    return fail (error, _("%s has no tunnel '%s', nor any other"), config_get_path (self), name);
  hint = suggest (name, (const char *const *) names, "");
  if (*hint != '\0')
    return fail (error, _("%s has no tunnel '%s'%s"), config_get_path (self), name, hint);
  list = g_strjoinv (", ", names);
  return fail (error, _("%s has no tunnel '%s', only %s"), config_get_path (self), name, list);
}

/**
 * config_read:
 * @settings: those of a named tunnel
 *
 * Sets the values that are not set yet, from the tunnel's group and from the defaults.
 */
gboolean
config_read (Config    *self,
             Settings  *settings,
             GError   **error)
{
  Place place;

  if (!check_name (self, settings->name, error) ||
      !read_group (self, settings->name, settings, error) ||
      !read_group (self, CONFIG_DEFAULTS, settings, error))
    return FALSE;
  place = key_file_get_place (self->file, settings->name, NULL);
  settings->place = g_strdup_printf ("%s:%u: [%s]", place.path, place.line, settings->name);
  if (!settings_has (settings, SETTING_REMOTE_URI))
    return fail (error, _("%s has no remote-uri, the URL of the gateway"), settings->place);
  return TRUE;
}
