/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/commands.h"

#include <glib/gi18n.h>
#include "cli/config.h"
#include "cli/options.h"
#include "cli/supervise.h"

static struct
{
  char *config;
  char *log_level;
  char *wait;
  char *max_connections;
  gboolean json;
  gboolean quiet;
} options;

static const GOptionEntry entries[] = {
  { "config", 0, 0, G_OPTION_ARG_FILENAME, &options.config,
    N_("File of the tunnels"), "FILE" },
  { "wait", 0, 0, G_OPTION_ARG_STRING, &options.wait,
    N_("Try again at the start: yes or no"), "WHETHER" },
  { "max-connections", 0, 0, G_OPTION_ARG_STRING, &options.max_connections,
    N_("TCP connections at a time, of each tunnel"), "N" },
  { "log-level", 0, 0, G_OPTION_ARG_STRING, &options.log_level,
    N_("none, error, warn, info or debug"), "LEVEL" },
  { "json", 0, 0, G_OPTION_ARG_NONE, &options.json,
    N_("Print events as JSON, one a line"), NULL },
  { "quiet", 0, 0, G_OPTION_ARG_NONE, &options.quiet,
    N_("Print only addresses and errors"), NULL },
  G_OPTION_ENTRY_NULL,
};

static const char description[] =
    N_("Without a NAME these are all tunnels in the file. For each tunnel stdout has a\n"
    "line 'NAME: listening on HOST:PORT'. Logs go to stderr. On a terminal a table\n"
    "shows the status of each. A tunnel that ends on an error does not end the\n"
    "others; its line stays, with the reason.\n"
    "\n"
    "The file is tcp-tunnel/tunnels.conf in ~/.config ($XDG_CONFIG_HOME), or else\n"
    "in /etc/xdg ($XDG_CONFIG_DIRS) or /etc. Each tunnel is a group of it:\n"
    "\n"
    "  [phone]\n"
    "  remote-uri=wss://example.org/phone\n"
    "  token-file=phone.token\n"
    "  listen=5555\n"
    "  on-ready=adb connect \"$TCP_TUNNEL_HOST:$TCP_TUNNEL_PORT\"\n"
    "\n"
    "The keys are remote-uri; headers, forwards and reverse, which are lists with ;\n"
    "between their parts; and these options of 'tcp-tunnel connect': token-file,\n"
    "token-command, token, no-token (yes), client-cert, client-key, ca, connect-to,\n"
    "origin, subprotocol, listen, target, socks, http-proxy, mode, resumption, wait,\n"
    "max-connections, max-reconnect-attempts, reconnect-delay, max-reconnect-delay,\n"
    "log-level, on-ready. A tunnel with the key to, and perhaps remote-port, is a\n"
    "reverse tunnel, as of 'tcp-tunnel reverse'. The keys of the group [defaults]\n"
    "apply to every tunnel that does not set them itself. File names are\n"
    "relative to the directory of the config file. The file may hold a token only if\n"
    "no other user can read it.\n"
    "\n"
    "If a gateway cannot be reached, its tunnel tries again without limit, or as\n"
    "often as max-reconnect-attempts sets. A tunnel with mode=multiplexed, reverse\n"
    "or to connects at the start, and with --wait=no it ends if it cannot. Other\n"
    "tunnels connect to the gateway when the first client connects.\n"
    "\n"
    "Exit status:\n"
    "  0  closed by SIGINT, SIGTERM or SIGHUP, and no tunnel had ended before\n"
    "  1  a tunnel ended on an error\n"
    "  2  wrong usage, or a wrong config file\n");

static gboolean
add_settings (GPtrArray   *all,
              Config      *config,
              const char  *name,
              GError     **error)
{
  g_autoptr (Settings) settings = settings_new (name);

  for (guint i = 0; i < all->len; i++)
    if (g_str_equal (((Settings *) all->pdata[i])->name, name))
      {
        g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, _("'%s' is given twice"), name);
        return FALSE;
      }
  settings->values[SETTING_LOG_LEVEL] = g_strdup (options.log_level);
  settings->values[SETTING_WAIT] = g_strdup (options.wait);
  settings->values[SETTING_MAX_CONNECTIONS] = g_strdup (options.max_connections);
  if (!config_read (config, settings, error))
    return FALSE;
  g_ptr_array_add (all, g_steal_pointer (&settings));
  return TRUE;
}

static gboolean
read_config (GPtrArray   *all,
             char       **wanted,
             GError     **error)
{
  g_autoptr (Config) config = config_load (options.config, error);
  g_auto (GStrv) names = NULL;

  if (config == NULL)
    return FALSE;
  names = *wanted != NULL ? g_strdupv (wanted) : config_get_names (config);
  if (*names == NULL)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, _("%s has no tunnels in it"),
                   config_get_path (config));
      return FALSE;
    }
  for (char **name = names; *name != NULL; name++)
    if (!add_settings (all, config, *name, error))
      return FALSE;
  return TRUE;
}

int
up_main (char ***args)
{
  RunOptions how = { .command = "up", .several = TRUE };
  g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func ((GDestroyNotify) settings_free);
  g_autoptr (GError) error = NULL;

  if (!options_parse ("up", "[NAME…]", N_("Open the tunnels of the config file."), description, entries,
                      args, &error) ||
      !read_config (all, *args + 1, &error))
    return options_usage ("up", error);

  how.json = options.json;
  how.quiet = options.quiet;
  return supervise (&how, all);
}
