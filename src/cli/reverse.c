/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/commands.h"

#include <glib/gi18n.h>
#include "cli/options.h"
#include "cli/supervise.h"
#include "cli/target.h"
#include "cli/token.h"

static struct
{
  gboolean json;
  gboolean quiet;
} options;

static const GOptionEntry entries[] = {
  { "to", 0, 0, G_OPTION_ARG_STRING, TARGET_VALUE (TO),
    N_("The service to connect to"), "HOST:PORT" },
  { "remote-port", 0, 0, G_OPTION_ARG_STRING, TARGET_VALUE (REMOTE_PORT),
    N_("Port of the gateway (that of the URL, or any)"), "PORT" },
  TARGET_TOKEN_OPTIONS,
  TARGET_RESUMPTION_OPTION,
  TARGET_WAIT_OPTION,
  { "max-connections", 0, 0, G_OPTION_ARG_STRING, TARGET_VALUE (MAX_CONNECTIONS),
    N_("TCP connections at a time (default 64)"), "N" },
  TARGET_RECONNECT_OPTIONS,
  TARGET_GATEWAY_OPTIONS,
  { "on-ready", 0, 0, G_OPTION_ARG_STRING, TARGET_VALUE (ON_READY),
    N_("Run this once the gateway listens"), "CMD" },
  TARGET_CONFIG_OPTION,
  { "log-level", 0, 0, G_OPTION_ARG_STRING, TARGET_VALUE (LOG_LEVEL),
    N_("none, error, warn, info (default) or debug"), "LEVEL" },
  { "json", 0, 0, G_OPTION_ARG_NONE, &options.json,
    N_("Print events as JSON, one a line"), NULL },
  { "quiet", 0, 0, G_OPTION_ARG_NONE, &options.quiet,
    N_("Print only the first line and errors"), NULL },
  G_OPTION_ENTRY_NULL,
};

static const char description[] =
    N_("The gateway listens on a port, and the connections of its clients lead to --to,\n"
    "which this machine can reach; a port alone means this machine. The first\n"
    "line on stdout is 'listening on HOST:PORT of the gateway'. Logs go to stderr.\n"
    "\n"
    "A gateway of this program has to allow the port: see --reverse-ports of\n"
    "'tcp-tunnel gateway'. The URL may be one of limrun's, with remotePort in it.\n"
    "\n"
    "A NAME is that of a tunnel in ~/.config/tcp-tunnel/tunnels.conf with a key 'to':\n"
    "see 'tcp-tunnel up --help'. Command-line options override the file.\n"
    "\n"
    "All other options, the reconnects after a break, and the exit status are those\n"
    "of 'tcp-tunnel connect'.\n"
    "\n"
    "Example:\n"
    "  tcp-tunnel reverse wss://example.org/t --token-file token --to 127.0.0.1:3000\n");

static gboolean
check_service (GError **error)
{
  if (settings_has (&target_settings, SETTING_TO))
    return TRUE;
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
               _("the service to connect to is missing: give --to HOST:PORT, such as --to 127.0.0.1:3000"));
  return FALSE;
}

int
reverse_main (char ***args)
{
  RunOptions how = { .command = "reverse" };
  g_autoptr (GPtrArray) all = g_ptr_array_new ();
  g_autoptr (GError) error = NULL;

  if (!options_parse ("reverse", "URL|NAME", N_("Make a TCP service of this machine available at the gateway."), description,
                      entries, args, &error) ||
      !target_check (*args, &error) || !target_read ((*args)[1], &error) ||
      !check_service (&error))
    return options_usage ("reverse", error);

  how.json = options.json;
  how.quiet = options.quiet;
  g_ptr_array_add (all, &target_settings);
  return supervise (&how, all);
}
