/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <tcptunnel/tcptunnel.h>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/token.h"
#include "cli/view.h"

static const struct
{
  const char *name;
  int (*run) (char ***args);
} commands[] = {
  { "connect", connect_main },
  { "gateway", gateway_main },
  { "demo", demo_main },
};

static const char help[] =
    "Usage:\n"
    "  tcp-tunnel COMMAND [OPTION...]\n"
    "\n"
    "TCP connections through an authenticated WebSocket.\n"
    "\n"
    "Commands:\n"
    "  connect URL                 Open a local port that leads through the gateway\n"
    "                              at URL (ws:// or wss://)\n"
    "  gateway --target HOST:PORT  Be the other end: accept WebSockets and connect\n"
    "                              them to a TCP service\n"
    "  demo                        Show it all on this machine; needs nothing\n"
    "\n"
    "Options:\n"
    "  -h, --help                  Show this, or with a command all about it\n"
    "  --version                   Show the version\n"
    "\n"
    "An example, in two terminals:\n"
    "  export " TOKEN_VARIABLE "=change-me\n"
    "  tcp-tunnel gateway --target 127.0.0.1:22 --listen 8080\n"
    "  tcp-tunnel connect ws://127.0.0.1:8080/ --listen 2222\n";

/* Each connection of a tunnel takes a file descriptor, and the usual soft
 * limit is there for programs that use select(). */
static void
raise_file_limit (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) < 0)
    return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit (RLIMIT_NOFILE, &limit);
}

static int
run (char ***args)
{
  const char *name = (*args)[0] != NULL ? (*args)[1] : NULL;

  if (name == NULL)
    {
      view_print (stderr, "%s", help);
      return EXIT_USAGE;
    }
  if (strcmp (name, "--help") == 0 || strcmp (name, "-h") == 0 || strcmp (name, "help") == 0)
    {
      view_print (stdout, "%s", help);
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
        /* The parser takes the first argument for the program's name. */
        g_free ((*args)[0]);
        memmove (*args, *args + 1, (g_strv_length (*args + 1) + 1) * sizeof **args);
        return commands[i].run (args);
      }

  view_print (stderr,
              "tcp-tunnel: there is no command '%s', only connect, gateway and demo\n"
              "Try 'tcp-tunnel --help'.\n",
              name);
  return EXIT_USAGE;
}

int
main (int    argc,
      char **argv)
{
  g_auto (GStrv) args = token_take_argv (argc, argv);

  /* Only the character set: numbers and messages stay as documented. */
  setlocale (LC_CTYPE, "");
  raise_file_limit ();
  return run (&args);
}
