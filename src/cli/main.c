/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <glib/gi18n.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tcptunnel/tcptunnel.h>
#include <unistd.h>

#include "cli/activation.h"
#include "cli/commands.h"
#include "cli/notify.h"
#include "cli/options.h"
#include "cli/process.h"
#include "cli/replace.h"
#include "cli/suggest.h"
#include "cli/token.h"
#include "cli/view.h"

static const struct
{
  const char *name;
  int (*run) (char ***args);
} commands[] = {
  { "connect", connect_main },
  { "up", up_main },
  { "reverse", reverse_main },
  { "check", check_main },
  { "status", status_main },
  { "gateway", gateway_main },
  { "demo", demo_main },
};

static const char help[] =
    N_("Usage:\n"
    "  tcp-tunnel COMMAND [OPTION...]\n"
    "\n"
    "TCP connections through an authenticated WebSocket.\n"
    "\n"
    "Commands:\n"
    "  connect URL                 Open a local port that leads through the gateway\n"
    "                              at URL (ws:// or wss://)\n"
    "  connect NAME                The same for a tunnel in the config file\n"
    "  up [NAME...]                Open several tunnels of the config file, or all\n"
    "  reverse URL --to HOST:PORT  Make a service of this machine available at the\n"
    "                              gateway\n"
    "  check URL|NAME              Find out why a tunnel does not work\n"
    "  status                      Show what the running tunnels and gateways do\n"
    "  gateway --target HOST:PORT  Accept WebSockets and connect them to a TCP\n"
    "                              service\n"
    "  demo                        Try all this on this machine alone\n"
    "\n"
    "Options:\n"
    "  -h, --help                  Show this help, or that of a command\n"
    "  --version                   Show the version\n"
    "\n"
    "An example, in two terminals:\n"
    "  export TCP_TUNNEL_TOKEN=change-me\n"
    "  tcp-tunnel gateway --target 127.0.0.1:22 --listen 8080\n"
    "  tcp-tunnel connect ws://127.0.0.1:8080/ --listen 2222\n");

static int
unknown_command (const char *name)
{
  const char *names[G_N_ELEMENTS (commands) + 1] = { NULL };
  g_autofree char *list = NULL;
  g_autofree char *hint = NULL;
  g_autofree char *message = NULL;
  g_autofree char *commands_line = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    names[i] = commands[i].name;
  list = g_strjoinv (", ", (char **) names);
  if (strstr (name, "://") != NULL)
    hint = g_strdup (_("; did you mean 'tcp-tunnel connect URL'?"));
  else if (*name == '-')
    hint = g_strdup (_("; options follow the command"));
  else
    hint = suggest (name, names, "");
  message = g_strdup_printf (_("there is no command '%s'%s"), name, hint);
  commands_line = g_strdup_printf (_("The commands are %s. Try 'tcp-tunnel --help'."), list);
  view_print (stderr, "%stcp-tunnel:%s %s\n%s\n", view_style (stderr, VIEW_RED), view_style (stderr, VIEW_PLAIN), message,
              commands_line);
  return EXIT_USAGE;
}

static int
run (char ***args)
{
  const char *name = (*args)[0] != NULL ? (*args)[1] : NULL;

  if (name == NULL)
    {
      view_print (stderr, "%s", _(help));
      return EXIT_USAGE;
    }
  if (strcmp (name, "--help") == 0 || strcmp (name, "-h") == 0 || strcmp (name, "help") == 0)
    {
      view_print (stdout, "%s", _(help));
      return EXIT_SUCCESS;
    }
  if (strcmp (name, "--version") == 0)
    {
      view_print (stdout, "tcp-tunnel %s\n", TCP_TUNNEL_VERSION_S);
      return EXIT_SUCCESS;
    }

  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    if (strcmp (name, commands[i].name) == 0)
      {
        /* The parser treats the first argument as the program's name. */
        g_free ((*args)[0]);
        memmove (*args, *args + 1, (g_strv_length (*args + 1) + 1) * sizeof **args);
        return commands[i].run (args);
      }

  return unknown_command (name);
}

/* Numbers stay as documented. If the command is not translated, the messages of the libraries below it stay in English
 * too. */
static void
set_locale (void)
{
  static const char header[] = ""; /* a catalogue contains its header as the translation of this */

  setlocale (LC_CTYPE, "");
  setlocale (LC_MESSAGES, "");
  bindtextdomain (GETTEXT_PACKAGE, TCP_TUNNEL_LOCALE_DIR);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
  textdomain (GETTEXT_PACKAGE);
  if (*gettext (header) == '\0')
    setlocale (LC_MESSAGES, "C");
}

int
main (int    argc,
      char **argv)
{
  char **args = token_take_argv (argc, argv);
  int status;

  process_open_standard_files ();
  set_locale ();
  process_raise_file_limit ();
  replace_init (args);
  notify_init ();
  activation_init ();
  status = run (&args);
  /* exit () would finalize libraries while I/O threads are still at work: a thread that opens a WebSocket may be
   * loading a module of GIO, and the loader would run the constructors of GObject once more. stderr, which is not
   * buffered, may be locked by a thread that waits for the reader of the log. */
  fflush (stdout);
  _exit (status);
}
