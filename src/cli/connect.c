/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/adb.h"

#include <glib/gi18n.h>
#include "cli/commands.h"
#include "cli/forwards.h"
#include "cli/options.h"
#include "cli/supervise.h"
#include "cli/target.h"
#include "cli/token.h"

static struct
{
  gboolean json;
  gboolean quiet;
  gboolean stdio;
  gboolean adb;
} options;

static const GOptionEntry entries[] = {
  TARGET_TOKEN_OPTIONS,
  { "listen", 0, 0, G_OPTION_ARG_STRING, TARGET_VALUE (LISTEN),
    N_("Where to listen, or unix:PATH (127.0.0.1:0)"), "HOST:PORT" },
  { "target", 0, 0, G_OPTION_ARG_STRING, TARGET_VALUE (TARGET),
    N_("Target to request (default the gateway's own)"), "HOST:PORT" },
  { "reverse", 0, 0, G_OPTION_ARG_STRING_ARRAY, &target_settings.reverses,
    N_("Offer a service at the gateway (repeatable)"), "PORT=HOST:PORT" },
  { "forward", 0, 0, G_OPTION_ARG_STRING_ARRAY, &target_settings.forwards,
    N_("Listen for another target (repeatable)"), "LISTEN=HOST:PORT" },
  { "socks", 0, 0, G_OPTION_ARG_STRING, TARGET_VALUE (SOCKS),
    N_("Listen as a SOCKS5 proxy"), "HOST:PORT" },
  { "http-proxy", 0, 0, G_OPTION_ARG_STRING, TARGET_VALUE (HTTP_PROXY),
    N_("Listen as an HTTP proxy (CONNECT)"), "HOST:PORT" },
  { "stdio", 0, 0, G_OPTION_ARG_NONE, &options.stdio,
    N_("Carry stdin and stdout instead of listening"), NULL },
  { "mode", 0, 0, G_OPTION_ARG_STRING, TARGET_VALUE (MODE),
    N_("auto (default) or another, see below"), "MODE" },
  TARGET_RESUMPTION_OPTION,
  TARGET_WAIT_OPTION,
  { "max-connections", 0, 0, G_OPTION_ARG_STRING, TARGET_VALUE (MAX_CONNECTIONS),
    N_("TCP connections at a time (default 20000)"), "N" },
  TARGET_RECONNECT_OPTIONS,
  TARGET_GATEWAY_OPTIONS,
  { "on-ready", 0, 0, G_OPTION_ARG_STRING, TARGET_VALUE (ON_READY),
    N_("Run this once the tunnel is ready"), "CMD" },
  { "adb", 0, 0, G_OPTION_ARG_NONE, &options.adb,
    N_("Keep adb connected to the tunnel"), NULL },
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
    N_("The first line on stdout is 'listening on HOST:PORT'. Logs go to stderr. On\n"
    "a terminal a status line follows what happens.\n"
    "\n"
    "--listen unix:PATH opens a Unix socket instead of a port, for this user alone.\n"
    "--listen systemd:NAME takes the socket of this name that systemd passes.\n"
    "--forward 5432=db.lab:5432 opens a further port, whose connections the gateway\n"
    "connects to that target; --socks 1080 and --http-proxy 3128 open proxies, whose\n"
    "clients name their target. With any of these there is no other port, unless\n"
    "--listen is given. The gateway decides what it allows (its option --allow).\n"
    "\n"
    "--stdio opens no port: stdin and stdout are one TCP connection, and each may end\n"
    "alone. The command ends when the other end has closed its direction. It still\n"
    "sends what stdin holds by then, and nothing that comes later. It does not try\n"
    "again once the reader of stdout is gone. Without --log-level it logs nothing,\n"
    "except for a line on stderr when the gateway cannot be reached, and the reason\n"
    "of a failure at the end.\n"
    "\n"
    "With --reverse 8080=127.0.0.1:3000 the gateway listens on port 8080 as well, and\n"
    "its connections lead to 127.0.0.1:3000, in the same session. The tunnel is\n"
    "then multiplexed; --mode singleton, --mode parallel and --resumption off are\n"
    "refused. Without other connections, use 'tcp-tunnel reverse'.\n"
    "\n"
    "A NAME is that of a tunnel in ~/.config/tcp-tunnel/tunnels.conf: see\n"
    "'tcp-tunnel up --help'. Command-line options override the file.\n"
    "\n"
    "If the gateway cannot be reached, the tunnel tries again without limit, or N\n"
    "times. In the default mode the port opens at once, and the tunnel connects to\n"
    "the gateway when the first client connects. With --mode multiplexed, --reverse\n"
    "or --stdio it connects at the start, and with --wait=no it ends if it cannot.\n"
    "A permanent error, such as a refused token, ends the tunnel at once.\n"
    "\n"
    "A TIME has a unit, as in 500ms, 10s, 2min or 1h; without one it is in seconds.\n"
    "\n"
    "The token comes from --token-file, from --token-command, from --token, which\n"
    "other users may see for a moment, or else from the environment variable\n"
    "TCP_TUNNEL_TOKEN. With --header 'Authorization: …' those credentials\n"
    "are sent in its place, and with --no-token none.\n"
    "\n"
    "Modes:\n"
    "  auto         many TCP connections over one WebSocket, which is opened when the\n"
    "               first client connects, if the gateway can do that; else one at a\n"
    "               time\n"
    "  singleton    one TCP connection at a time, with a WebSocket of its own\n"
    "  parallel     many TCP connections, each with a WebSocket of its own\n"
    "  multiplexed  many TCP connections over one WebSocket, opened at the start\n"
    "\n"
    "Resumption, which keeps connections when the WebSocket breaks, without loss:\n"
    "  auto         if the gateway supports it\n"
    "  required     always; end with an error if the gateway does not support it\n"
    "  off          never: connections may lose data in transit, and those in\n"
    "               multiplexed mode are reset\n"
    "\n"
    "The command of --on-ready is run by the shell, once, and finds the address in\n"
    "TCP_TUNNEL_HOST and TCP_TUNNEL_PORT. If it still runs when the tunnel ends, it\n"
    "receives SIGTERM, and the tunnel waits for it for up to 5 seconds.\n"
    "\n"
    "With --adb, 'adb connect' is run once the tunnel is ready, and again after its\n"
    "connection has ended; 'adb disconnect' is run at the end.\n"
    "\n"
    "Exit status:\n"
    "  0  closed by SIGINT, SIGTERM or SIGHUP; with --stdio: all that was there when\n"
    "     the other end closed the connection was carried, to both ends\n"
    "  1  the tunnel ended on an error\n"
    "  2  wrong usage\n"
    "\n"
    "Examples:\n"
    "  tcp-tunnel connect wss://example.org/t --token-file token --listen 2222\n"
    "  ssh -p 2222 localhost\n"
    "  ssh -o ProxyCommand='tcp-tunnel connect NAME --stdio' somewhere\n");

/* stdout is for the data. */
static gboolean
check_stdio (GError **error)
{
  const char *other = target_settings.values[SETTING_LISTEN] != NULL ? "--listen"
                      : options.json                                  ? "--json"
                      : options.adb                                   ? "--adb"
                                                                      : NULL;

  if (!options.stdio || other == NULL)
    return TRUE;
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _("--stdio and %s exclude each other"), other);
  return FALSE;
}

/* The command would find no address. A command in the config file is not ignored silently. */
static gboolean
check_hook (GError **error)
{
  if (!options.stdio || !settings_has (&target_settings, SETTING_ON_READY))
    return TRUE;
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _("--stdio and %s exclude each other"),
               settings_source (&target_settings, SETTING_ON_READY));
  return FALSE;
}

/* No port is opened in addition to stdin and stdout. */
static gboolean
check_forwards (GError **error)
{
  static const Setting settings[] = { SETTING_FORWARDS, SETTING_SOCKS, SETTING_HTTP_PROXY };

  for (guint i = 0; options.stdio && i < G_N_ELEMENTS (settings); i++)
    if (settings_has (&target_settings, settings[i]))
      {
        g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _("--stdio and %s exclude each other"),
                     settings_source (&target_settings, settings[i]));
        return FALSE;
      }
  if (!options.adb || !forwards_wanted (&target_settings) || settings_has (&target_settings, SETTING_LISTEN))
    return TRUE;
  g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                       _("--adb needs a port of the tunnel's own, which --listen opens beside others"));
  return FALSE;
}

/* adb does not support Unix sockets, and the socket of the service manager may be one. */
static gboolean
check_adb (GError **error)
{
  const char *listen = target_settings.values[SETTING_LISTEN];

  if (!options.adb || listen == NULL || (!g_str_has_prefix (listen, "unix:") && !options_is_activated (listen)))
    return TRUE;
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _("--adb needs a TCP port, which %s does not open"),
               settings_source (&target_settings, SETTING_LISTEN));
  return FALSE;
}

int
connect_main (char ***args)
{
  RunOptions how = { .command = "connect" };
  g_autoptr (GPtrArray) all = g_ptr_array_new ();
  g_autoptr (GError) error = NULL;

  if (!options_parse ("connect", "URL|NAME",
                      N_("Open a local TCP port, and carry its connections to the gateway at URL."), description,
                      entries, args, &error) ||
      !check_stdio (&error) || !target_check (*args, &error) ||
      !target_read ((*args)[1], &error) || !check_hook (&error) ||
      !check_forwards (&error) || !check_adb (&error))
    return options_usage ("connect", error);

  if (options.adb && !adb_check (&error))
    return options_failure ("connect", error);

  how.adb = options.adb;
  how.json = options.json;
  how.quiet = options.quiet;
  how.stdio = options.stdio;
  g_ptr_array_add (all, &target_settings);
  return supervise (&how, all);
}
