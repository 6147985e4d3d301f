/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <glib-unix.h>
#include <glib/gi18n.h>
#include <stdlib.h>
#include <tcptunnel/tcptunnel.h>
#include <unistd.h>

#include "cli/access-log.h"
#include "cli/activation.h"
#include "cli/admin.h"
#include "cli/commands.h"
#include "cli/describe.h"
#include "cli/file-watch.h"
#include "cli/format.h"
#include "cli/gateway-config.h"
#include "cli/gateway-options.h"
#include "cli/log.h"
#include "cli/notify.h"
#include "cli/options.h"
#include "cli/process.h"
#include "cli/replace.h"
#include "cli/restart.h"
#include "cli/status-server.h"
#include "cli/token.h"
#include "cli/view.h"
#include "cli/watchdog.h"

enum
{
  DRAIN_TIMEOUT = 10000, /* ms */
};

static const char description[] =
    N_("The first line on stdout is 'listening on ws://HOST:PORT/'. A line follows for\n"
    "each further --listen. Logs go to stderr. To be reached from other machines,\n"
    "listen on 0.0.0.0:PORT or [::]:PORT. --listen systemd:NAME is for the sockets of\n"
    "this name that systemd passes, and --listen systemd for all the others.\n"
    "\n"
    "A token file has lines of the form NAME:TOKEN or NAME:sha256:HASH, which may end\n"
    "in expires=2027-01-31T00:00:00Z; one that begins with # is a comment. The one\n"
    "token of --token, which other users may see for a moment, or of the environment\n"
    "variable TCP_TUNNEL_TOKEN serves in place of a file.\n"
    "\n"
    "--trusted-proxy gives the address of a reverse proxy in front of the gateway, or\n"
    "a network, as 10.0.0.0/8. Its X-Forwarded-For or Forwarded header, or the header\n"
    "of the PROXY protocol, names the client; from other addresses it is ignored.\n"
    "\n"
    "A client is connected to --target unless it requests another target, which\n"
    "--allow has to permit: a name, *.NAME, an address, a network or *, and a port, a\n"
    "range of ports or *, as in --allow '*.lab:5432' --allow '10.0.0.0/8:8000-8099'.\n"
    "Addresses of this machine and its link are reached only if a pattern names them\n"
    "or their network. A target may have a name instead, as in\n"
    "--named-target db=10.0.0.5:5432 --allow db, by which clients request it, or by\n"
    "the path of the URL, as /db.\n"
    "\n"
    "With --reverse-ports 57090-57099 clients may offer services of their own here:\n"
    "the gateway listens on these ports of 127.0.0.1, or of the address in\n"
    "0.0.0.0:57090-57099. Clients that connect there need no token. The ports of\n"
    "alice@57090-57099 are for the clients of that name only.\n"
    "\n"
    "--route names this gateway for a load balancer in front of several: requests\n"
    "that resume a session have the name as the query parameter route.\n"
    "\n"
    "Clients that support it resume their sessions, without loss, when a WebSocket\n"
    "breaks. With --resumption required, other clients are refused.\n"
    "\n"
    "At SIGINT or SIGTERM the gateway drains: it accepts no new connections, and\n"
    "waits up to --drain-timeout for open ones to end. A second signal ends it. At\n"
    "SIGUSR1 it opens its access log again. At SIGUSR2 the program that is installed\n"
    "now, such as a newer version, takes over, and connections go on.\n"
    "\n"
    "With --admin 127.0.0.1:9090 a status page is at http://127.0.0.1:9090/, metrics\n"
    "for Prometheus are at /metrics, and /healthz and /readyz are for probes.\n"
    "\n"
    "Each option is also a key of the group [gateway] in the file of --config, which\n"
    "options override. A group [principal NAME] sets what is different for clients of\n"
    "that name. Without --config and --target the file is tcp-tunnel/gateway.conf in\n"
    "~/.config, /etc/xdg or /etc. At SIGHUP, and when one of them changes, the file,\n"
    "the tokens and the certificate are read again, and sessions go on. If something\n"
    "is wrong with them, nothing changes. Some keys, such as listen, take effect at\n"
    "the next start only: see tcp-tunnel(1).\n"
    "\n"
    "A TIME has a unit, as in 500ms, 10s, 2min or 1h; without one it is in seconds.\n"
    "A RATE is in bytes a second, as in 500K, 10M or 1G.\n"
    "\n"
    "Exit status:\n"
    "  0  closed by SIGINT or SIGTERM; with --check, nothing is wrong\n"
    "  1  could not start; with --check, something is wrong\n"
    "  2  wrong usage, or something is wrong in the file\n"
    "\n"
    "Example:\n"
    "  tcp-tunnel gateway --target 127.0.0.1:22 --token-file tokens --listen 8080\n");

typedef struct
{
  TcpGateway *gateway;
  const OptionSet *given; /* from the command line */
  GatewayConfig *config;
  GatewayConfig *next;    /* the one that takes effect next, or NULL */
  FileWatch *watch;
  GCancellable *starting; /* NULL once it runs */
  GError *error;          /* of the start */
  guint drain_timeout;    /* ms */
  guint quits;            /* the number of signals to end */
  gboolean reload_again;  /* after the start, or the current reload */
  gboolean over;
  gboolean has_terminal; /* at the start */
  gboolean adopted;      /* it continues the state of the former program */
  AccessLog *log;        /* nullable */
  Admin *admin;          /* nullable */
  Restart *restart;
  gboolean restart_next; /* after the start, or the current reload */
  StatusServer *server;
} Gateway;

static void gateway_reload (Gateway *self);
static void gateway_restart (Gateway *self);

static void
on_started (GObject      *object,
            GAsyncResult *result,
            gpointer      data)
{
  Gateway *self = data;

  tcp_endpoint_start_finish (TCP_ENDPOINT (object), result, &self->error);
  g_clear_object (&self->starting);
}

static void
on_drained (GObject      *object,
            GAsyncResult *result,
            gpointer      data)
{
  Gateway *self = data;

  self->over = TRUE;
}

static void
gateway_end (Gateway *self)
{
  /* The token file may be a pipe without a writer. But connections of the former program must be drained. */
  if (self->starting != NULL && self->adopted && self->quits == 1)
    return;
  if (self->starting != NULL)
    g_cancellable_cancel (self->starting);
  else if (restart_is_under_way (self->restart))
    restart_cancel (self->restart);
  else if (self->quits > 1 || self->drain_timeout == 0)
    self->over = TRUE;
  else
    tcp_gateway_drain_async (self->gateway, self->drain_timeout, NULL, on_drained, self);
}

static gboolean
on_quit (gpointer data)
{
  Gateway *self = data;

  notify_send ("STOPPING=1");
  self->quits++;
  if (self->admin != NULL)
    admin_set_state (self->admin, ADMIN_DRAINING);
  gateway_end (self);
  return G_SOURCE_CONTINUE;
}

static void
describe (JsonBuilder *builder,
          gpointer     data)
{
  Gateway *self = data;

  json_builder_set_member_name (builder, "gateways");
  json_builder_begin_array (builder);
  describe_gateway (builder, self->gateway, self->quits > 0);
  json_builder_end_array (builder);
}

static gboolean
gateway_is_busy (Gateway *self)
{
  return self->starting != NULL || self->next != NULL || restart_is_under_way (self->restart);
}

/* Does what was requested while it was busy. */
static void
gateway_do_next (Gateway *self)
{
  if (self->reload_again && self->quits == 0)
    gateway_reload (self);
  if (self->restart_next && self->quits == 0 && !gateway_is_busy (self))
    gateway_restart (self);
}

/* Reloading */

static const char *const no_files[] = { NULL };

/* Applies the parts of the config that the command uses itself. */
static void
gateway_take_config (Gateway       *self,
                     GatewayConfig *config)
{
  const OptionSet *options = gateway_config_get_options (config);
  g_auto (GStrv) files = gateway_config_list_files (config);
  gboolean watch = option_set_get_boolean (options, "watch", TRUE);
  TcpTunnelLogLevel level;

  g_object_get (self->gateway, "log-level", &level, NULL);
  log_set_level (level);
  self->drain_timeout = DRAIN_TIMEOUT;
  option_set_get_duration (options, "drain-timeout", &self->drain_timeout);
  file_watch_set_files (self->watch, watch ? (const char *const *) files : no_files);
  g_clear_pointer (&self->config, gateway_config_free);
  self->config = config;
}

static void
warn_of_waiting (const OptionSet *options,
                 const OptionSet *former)
{
  g_auto (GStrv) names = option_set_list_waiting (options, former);
  g_autofree char *list = g_strjoinv (", ", names);

  if (*names != NULL)
    log_warn ("changed keys that take effect at the next start: %s", list);
}

static void
warn_of_problem (const char *text,
                 gboolean    is_warning,
                 gpointer    data)
{
  if (is_warning)
    log_warn ("%s", text);
  else
    log_warn ("the configuration was not reloaded: %s", text);
}

/* Sets the properties of the gateway, or finds all problems. */
static GatewayConfig *
load_config (const OptionSet *given,
             TcpGateway      *gateway,
             Problems        *problems)
{
  GatewayConfig *config = gateway_config_load (given, problems);

  if (config == NULL)
    return NULL;
  gateway_config_apply (config, gateway, problems);
  if (problems_count_errors (problems) > 0)
    gateway_config_explain (config, NULL, problems);
  return config;
}

/* Whether the error is a mistake in the settings. */
static gboolean
is_mistake (const GError *error)
{
  return g_error_matches (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT) ||
         g_error_matches (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TLS);
}

static void
explain (GatewayConfig *config,
         GError        *error,
         Problems      *problems)
{
  if (is_mistake (error))
    gateway_config_explain (config, error, problems);
  else
    problems_take (problems, (Place) { NULL, 0 }, error);
}

static void
gateway_end_reload (Gateway  *self,
                    Problems *problems)
{
  problems_foreach (problems, warn_of_problem, NULL);
  g_clear_pointer (&self->next, gateway_config_free);
  if (!self->over && self->quits == 0)
    notify_send ("READY=1");
  gateway_do_next (self);
}

static void
on_reloaded (GObject      *object,
             GAsyncResult *result,
             gpointer      data)
{
  Gateway *self = data;
  g_autoptr (Problems) problems = problems_new ();
  GError *error = NULL;

  if (tcp_gateway_reload_finish (self->gateway, result, &error))
    {
      warn_of_waiting (gateway_config_get_options (self->next), gateway_config_get_options (self->config));
      gateway_take_config (self, g_steal_pointer (&self->next));
    }
  else
    {
      explain (self->next, error, problems);
    }
  gateway_end_reload (self, problems);
}

static void
gateway_reload (Gateway *self)
{
  g_autoptr (Problems) problems = problems_new ();
  g_autoptr (TcpGateway) scratch = tcp_gateway_new (NULL);

  self->reload_again = FALSE;
  notify_send ("RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT, g_get_monotonic_time ());
  self->next = load_config (self->given, scratch, problems);
  /* This reads some of the files again, and they may have changed. */
  if (problems_count_errors (problems) == 0)
    gateway_config_apply (self->next, self->gateway, problems);
  if (problems_count_errors (problems) > 0)
    {
      gateway_end_reload (self, problems);
      return;
    }
  tcp_gateway_reload_async (self->gateway, NULL, on_reloaded, self);
}

/* A reload that has begun may have read a file before it was changed again. */
static void
on_file_changed (gpointer data)
{
  Gateway *self = data;

  if (self->quits > 0)
    return;
  if (gateway_is_busy (self))
    self->reload_again = TRUE;
  else
    gateway_reload (self);
}

static gboolean
on_hang_up (gpointer data)
{
  Gateway *self = data;

  /* Its terminal was closed. */
  if (self->has_terminal && !process_has_terminal ())
    return on_quit (data);
  on_file_changed (self);
  return G_SOURCE_CONTINUE;
}

/* Starts the access log and the admin listener. */
static gboolean
gateway_show (Gateway  *self,
              GError  **error)
{
  const OptionSet *options = gateway_config_get_options (self->config);
  const char *path = option_set_get_text (options, "access-log");
  AdminOptions shown = {
    .listen = option_set_get_text (options, "admin"),
    .hosts = (const char *const *) option_set_get (options, "admin-host")->list,
    .check_target = g_strcmp0 (option_set_get_text (options, "ready-check"), "none") != 0,
  };

  if (path != NULL && (self->log = access_log_open (path, self->gateway, error)) == NULL)
    return FALSE;
  shown.log = self->log;
  return shown.listen == NULL || (self->admin = admin_new (self->gateway, &shown, error)) != NULL;
}

static void
say_problem (const char *text,
             gboolean    is_warning,
             gpointer    data)
{
  options_say ("gateway", NULL, is_warning ? TCP_TUNNEL_LOG_LEVEL_WARN : TCP_TUNNEL_LOG_LEVEL_ERROR, text);
}

static void
gateway_hide (Gateway *self)
{
  g_clear_pointer (&self->server, status_server_free);
  g_clear_pointer (&self->admin, admin_free);
  g_clear_pointer (&self->log, access_log_close);
}

/* Restarting */

static gboolean
on_leave (gpointer data)
{
  Gateway *self = data;

  if (self->quits > 0)
    return FALSE;
  gateway_hide (self);
  return TRUE;
}

static void
on_stayed (gpointer data)
{
  Gateway *self = data;
  g_autoptr (GError) error = NULL;

  if (self->server == NULL)
    {
      self->server = status_server_new ("gateway", describe, self);
      if (!gateway_show (self, &error))
        log_warn ("%s", error->message);
      if (self->admin != NULL)
        admin_set_state (self->admin, ADMIN_SERVING);
    }
  if (self->quits > 0)
    {
      gateway_end (self);
      return;
    }
  notify_send ("READY=1");
  gateway_do_next (self);
}

static void
gateway_restart (Gateway *self)
{
  self->restart_next = FALSE;
  notify_send ("RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT, g_get_monotonic_time ());
  restart_begin (self->restart);
}

static gboolean
on_replace (gpointer data)
{
  Gateway *self = data;

  if (self->quits > 0 || restart_is_under_way (self->restart))
    return G_SOURCE_CONTINUE;
  if (gateway_is_busy (self))
    self->restart_next = TRUE;
  else
    gateway_restart (self);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_user_signal (gpointer data)
{
  Gateway *self = data;

  if (self->log != NULL)
    access_log_reopen (self->log);
  return G_SOURCE_CONTINUE;
}

/* Starting */

/* Prints the problems of the start. Returns @status. */
static int
say_problems (Problems *problems,
              int       status)
{
  problems_foreach (problems, say_problem, NULL);
  if (status == EXIT_USAGE)
    options_hint ("gateway");
  return status;
}

static void
gateway_heed_signals (Gateway *self)
{
  options_on_signal (on_quit, on_hang_up, self);
  g_unix_signal_add (SIGUSR1, on_user_signal, self);
  replace_on_signal (on_replace, self);
}

/* Returns the exit status, 0 if it listens or the start was given up. */
static int
gateway_listen (Gateway *self)
{
  g_autoptr (Problems) problems = problems_new ();

  self->starting = g_cancellable_new ();
  tcp_endpoint_start_async (TCP_ENDPOINT (self->gateway), self->starting, on_started, self);
  while (self->starting != NULL)
    g_main_context_iteration (NULL, TRUE);
  if (self->error == NULL || g_error_matches (self->error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return EXIT_SUCCESS;
  explain (self->config, g_error_copy (self->error), problems);
  return say_problems (problems, g_error_matches (self->error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT)
                                     ? EXIT_USAGE
                                     : EXIT_FAILED);
}

/* @state is the state of the former program, or -1; it is closed. Returns the exit status, as above. */
static int
gateway_start (Gateway  *self,
               int       state,
               gboolean  dry_run)
{
  g_autoptr (Problems) problems = problems_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GatewayConfig) config = load_config (self->given, self->gateway, problems);

  /* The former program may have taken them. */
  if (problems_count_errors (problems) == 0 && state < 0)
    gateway_options_take_sockets (gateway_config_get_options (config), self->gateway, problems);
  if (problems_count_errors (problems) > 0)
    return say_problems (problems, EXIT_USAGE);

  log_init (TCP_TUNNEL_LOG_LEVEL_INFO);
  if (state >= 0 && !tcp_gateway_adopt (self->gateway, state, &error))
    {
      options_say ("gateway", NULL, TCP_TUNNEL_LOG_LEVEL_ERROR, error->message);
      return EXIT_FAILED;
    }
  if (state >= 0)
    close (state);
  if (dry_run)
    return EXIT_SUCCESS;

  activation_warn_of_rest ();
  gateway_take_config (self, g_steal_pointer (&config));
  gateway_heed_signals (self);
  watchdog_start (TCP_ENDPOINT (self->gateway));
  if (!gateway_show (self, &error))
    {
      /* Existing connections must not end because of this. */
      if (state < 0)
        return options_failure ("gateway", error);
      log_warn ("%s", error->message);
    }
  return gateway_listen (self);
}

/* Runs until it is asked to end. Returns the exit status. */
static int
gateway_run (Gateway *self)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) listeners = NULL;
  int code = 0;

  if (self->admin != NULL && self->quits == 0)
    admin_set_state (self->admin, ADMIN_SERVING);
  self->server = status_server_new ("gateway", describe, self);
  listeners = format_listeners (self->gateway);
  /* The former program has printed the lines. */
  for (char **listener = listeners; *listener != NULL && code == 0 && !self->adopted; listener++)
    code = view_print (stdout, "listening on %s\n", *listener);
  if (code != 0)
    {
      error = options_stdout_error (code);
      return options_failure ("gateway", error);
    }
  if (self->quits == 0)
    {
      g_autofree char *all = g_strjoinv (", ", listeners);

      notify_send ("READY=1\nSTATUS=listening on %s", all);
      gateway_do_next (self);
    }
  else
    {
      gateway_end (self);
    }
  while (!self->over)
    g_main_context_iteration (NULL, TRUE);
  return EXIT_SUCCESS;
}

static void
print_problem (const char *text,
               gboolean    is_warning,
               gpointer    data)
{
  view_print (stdout, "%s\n", text);
}

static int
check (const OptionSet *given)
{
  g_autoptr (TcpGateway) gateway = tcp_gateway_new (NULL);
  g_autoptr (Problems) problems = problems_new ();
  g_autoptr (GatewayConfig) config = load_config (given, gateway, problems);

  if (problems_count_errors (problems) == 0)
    gateway_config_explain (config, NULL, problems);
  problems_foreach (problems, print_problem, NULL);
  if (problems_count_errors (problems) > 0)
    return EXIT_FAILED;
  if (problems_count (problems) == 0)
    view_print (stdout, _("nothing is wrong\n"));
  return EXIT_SUCCESS;
}

int
gateway_main (char ***args)
{
  g_autoptr (TcpGateway) gateway = tcp_gateway_new (NULL);
  g_autoptr (OptionSet) given = gateway_options_new ();
  g_autofree GOptionEntry *entries = option_set_make_entries (given);
  g_autofree OptionsSection *sections = option_set_make_sections (given);
  g_autoptr (GError) error = NULL;
  static const RestartCallbacks callbacks = { .leave = on_leave, .stayed = on_stayed };
  Gateway self = { .gateway = gateway, .given = given };
  gboolean dry_run;
  int state;
  int status;

  if (!replace_take_arguments (args, &state, &dry_run, &error) ||
      !options_parse_sections ("gateway", N_("Accept WebSockets and connect those with a valid token to a TCP service."),
                               description, entries, sections, args, &error))
    return options_usage ("gateway", error);
  if (option_set_get (given, "check")->flag)
    return check (given);

  self.adopted = state >= 0;
  self.has_terminal = process_has_terminal ();
  self.watch = file_watch_new (on_file_changed, &self);
  self.restart = restart_new (gateway, &callbacks, &self);
  status = gateway_start (&self, state, dry_run);
  /* The signal may have come when the start could not be cancelled any more. */
  if (status == EXIT_SUCCESS && !dry_run && self.error == NULL && (self.quits == 0 || self.adopted))
    status = gateway_run (&self);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));

  gateway_hide (&self);
  g_clear_pointer (&self.restart, restart_free);
  g_clear_pointer (&self.watch, file_watch_free);
  g_clear_pointer (&self.next, gateway_config_free);
  g_clear_pointer (&self.config, gateway_config_free);
  g_clear_error (&self.error);
  return status;
}
