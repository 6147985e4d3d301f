/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/supervise.h"
#include "cli/target.h"
#include "cli/token.h"

static struct
{
  Settings settings;
  char *config;
  gboolean json;
  gboolean quiet;
} options;

#define VALUE(setting) (&options.settings.values[SETTING_##setting])

static gboolean
take_no_token (const char  *option,
               const char  *value,
               gpointer     data,
               GError     **error)
{
  g_free (*VALUE (NO_TOKEN));
  *VALUE (NO_TOKEN) = g_strdup ("yes");
  return TRUE;
}

static const GOptionEntry entries[] = {
  { "to", 0, 0, G_OPTION_ARG_STRING, VALUE (TO),
    "The service to connect to", "HOST:PORT" },
  { "remote-port", 0, 0, G_OPTION_ARG_STRING, VALUE (REMOTE_PORT),
    "Port of the gateway (that of the URL, or any)", "PORT" },
  { "token-file", 0, 0, G_OPTION_ARG_FILENAME, VALUE (TOKEN_FILE),
    "File that holds the token", "FILE" },
  { "token-command", 0, 0, G_OPTION_ARG_STRING, VALUE (TOKEN_COMMAND),
    "Command that prints the token", "CMD" },
  { "token", 0, 0, G_OPTION_ARG_STRING, VALUE (TOKEN),
    "The token itself", "TOKEN" },
  { "no-token", 0, G_OPTION_FLAG_NO_ARG, G_OPTION_ARG_CALLBACK, take_no_token,
    "Send no token", NULL },
  { "resumption", 0, 0, G_OPTION_ARG_STRING, VALUE (RESUMPTION),
    "auto (default), required or off", "WHETHER" },
  { "wait", 0, 0, G_OPTION_ARG_STRING, VALUE (WAIT),
    "Try again at the start: yes (default) or no", "WHETHER" },
  { "max-connections", 0, 0, G_OPTION_ARG_STRING, VALUE (MAX_CONNECTIONS),
    "TCP connections at a time (default 64)", "N" },
  { "max-reconnect-attempts", 0, 0, G_OPTION_ARG_STRING, VALUE (MAX_RECONNECT_ATTEMPTS),
    "Give up after N attempts (default unlimited)", "N" },
  { "reconnect-delay", 0, 0, G_OPTION_ARG_STRING, VALUE (RECONNECT_DELAY),
    "Delay before the first reconnect (default 1s)", "TIME" },
  { "max-reconnect-delay", 0, 0, G_OPTION_ARG_STRING, VALUE (MAX_RECONNECT_DELAY),
    "The longest delay (default 30s)", "TIME" },
  { "ca", 0, 0, G_OPTION_ARG_FILENAME, VALUE (CA),
    "PEM file of the authorities to trust", "FILE" },
  { "client-cert", 0, 0, G_OPTION_ARG_FILENAME, VALUE (CLIENT_CERT),
    "PEM file of the certificate to show", "FILE" },
  { "client-key", 0, 0, G_OPTION_ARG_FILENAME, VALUE (CLIENT_KEY),
    "PEM file of its key, if it is elsewhere", "FILE" },
  { "connect-to", 0, 0, G_OPTION_ARG_STRING, VALUE (CONNECT_TO),
    "Connect there instead of to the URL's", "HOST:PORT" },
  { "origin", 0, 0, G_OPTION_ARG_STRING, VALUE (ORIGIN),
    "The header Origin", "URL" },
  { "subprotocol", 0, 0, G_OPTION_ARG_STRING, VALUE (SUBPROTOCOL),
    "WebSocket subprotocols to offer", "NAME,…" },
  { "header", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.settings.headers,
    "One more request header (repeatable)", "'K: V'" },
  { "on-ready", 0, 0, G_OPTION_ARG_STRING, VALUE (ON_READY),
    "Run this once the gateway listens", "CMD" },
  { "config", 0, 0, G_OPTION_ARG_FILENAME, &options.config,
    "File that NAME is looked up in", "FILE" },
  { "log-level", 0, 0, G_OPTION_ARG_STRING, VALUE (LOG_LEVEL),
    "none, error, warn, info (default) or debug", "LEVEL" },
  { "json", 0, 0, G_OPTION_ARG_NONE, &options.json,
    "Print events as JSON, one a line", NULL },
  { "quiet", 0, 0, G_OPTION_ARG_NONE, &options.quiet,
    "Only the first line and errors", NULL },
  G_OPTION_ENTRY_NULL,
};

static const char description[] =
    "The gateway listens on a port, and what connects there is connected to --to,\n"
    "which this machine can reach; a port alone is one of this machine. The first\n"
    "line on stdout is 'listening on HOST:PORT of the gateway'. Logs go to stderr.\n"
    "\n"
    "A gateway of this program has to allow the port: see --reverse-ports of\n"
    "'tcp-tunnel gateway'. The URL may be one of limrun's, with remotePort in it.\n"
    "\n"
    "A NAME is that of a tunnel in ~/.config/tcp-tunnel/tunnels.conf with a key 'to':\n"
    "see 'tcp-tunnel up --help'. Command-line options override the file.\n"
    "\n"
    "All other options, what comes after a break, and the exit status are those of\n"
    "'tcp-tunnel connect'.\n"
    "\n"
    "Example:\n"
    "  tcp-tunnel reverse wss://example.org/t --token-file token --to 127.0.0.1:3000\n";

static gboolean
check_service (GError **error)
{
  if (settings_has (&options.settings, SETTING_TO))
    return TRUE;
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
               "the service to connect to is missing: give --to HOST:PORT, such as --to 127.0.0.1:3000");
  return FALSE;
}

int
reverse_main (char ***args)
{
  RunOptions how = { .command = "reverse" };
  g_autoptr (GPtrArray) all = g_ptr_array_new ();
  g_autoptr (GError) error = NULL;

  if (!options_parse ("reverse", "URL|NAME", "Show a TCP service of this machine at the gateway at URL.", description,
                      entries, args, &error) ||
      !target_check (*args, &error) || !target_read ((*args)[1], options.config, &options.settings, &error) ||
      !check_service (&error))
    return options_usage ("reverse", error);

  how.json = options.json;
  how.quiet = options.quiet;
  g_ptr_array_add (all, &options.settings);
  return supervise (&how, all);
}
