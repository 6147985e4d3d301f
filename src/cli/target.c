/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The argument of a command that is about one tunnel. */

#include "cli/target.h"

#include <glib/gi18n.h>
#include <string.h>

#include "cli/config.h"

Settings target_settings;
char *target_config;

/* For the parser of options. */
gboolean
target_take_no_token (const char  *option,
                      const char  *value,
                      gpointer     data,
                      GError     **error)
{
  g_free (*TARGET_VALUE (NO_TOKEN));
  *TARGET_VALUE (NO_TOKEN) = g_strdup ("yes");
  return TRUE;
}

/* Whether it is HOST:PORT, optionally followed by a path. */
static gboolean
looks_like_address (const char *text)
{
  return g_regex_match_simple ("^([\\w.-]+|\\[[0-9a-fA-F:.]+\\]):[0-9]+(/[^?#]*)?$", text, 0, 0);
}

/* With a scheme it is a URL, although perhaps an invalid one. */
static gboolean
looks_like_url (const char *text)
{
  return strstr (text, "://") != NULL || g_regex_match_simple ("^\\W*(wss?|https?)[:/]", text, G_REGEX_CASELESS, 0);
}

/**
 * target_check:
 * @args: those that are not options, the command first
 *
 * Returns: whether there is one URL or NAME
 */
gboolean
target_check (char   **args,
              GError **error)
{
  guint n = g_strv_length (args);

  if (n < 2)
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                 _("the URL of the gateway is missing, such as wss://example.org/, or the NAME of a tunnel"));
  else if (n > 2)
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                 _("one URL or NAME is enough; '%s' is one too many"), args[2]);
  return n == 2;
}

/**
 * target_read:
 * @text: a URL, or the NAME of a tunnel in the config file
 *
 * Determines the tunnel, and completes its settings from the command line. The tunnel checks the URL.
 */
gboolean
target_read (const char  *text,
             GError     **error)
{
  g_autoptr (Config) file = NULL;

  if (looks_like_url (text))
    {
      *TARGET_VALUE (REMOTE_URI) = g_strdup (text);
      return TRUE;
    }
  target_settings.name = g_strdup (text);
  file = config_load (target_config, error);
  if (file != NULL && config_read (file, &target_settings, error))
    return TRUE;
  if (looks_like_address (text))
    g_prefix_error (error, _("'%s' is not a URL; did you mean %s://%s%s? And as a NAME: "), text,
                    g_str_has_suffix (text, ":443") ? "wss" : "ws", text, strchr (text, '/') == NULL ? "/" : "");
  else if (file == NULL && g_error_matches (*error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED))
    g_prefix_error (error, _("'%s' is neither a URL such as wss://example.org/ nor a NAME: "), text);
  return FALSE;
}
