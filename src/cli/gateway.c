/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <glib-unix.h>
#include <stdlib.h>
#include <tcptunnel/tcptunnel.h>
#include <unistd.h>

#include "cli/access-log.h"
#include "cli/activation.h"
#include "cli/admin.h"
#include "cli/commands.h"
#include "cli/describe.h"
#include "cli/format.h"
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
    "The first line on stdout is 'listening on ws://HOST:PORT/'. Logs go to stderr.\n"
    "To be reached from other machines, listen on 0.0.0.0:PORT or [::]:PORT. With\n"
    "--listen systemd:NAME, or systemd alone, it takes a socket that systemd passes.\n"
    "\n"
    "A token file has lines of the form NAME:TOKEN or NAME:sha256:HASH, which may end\n"
    "in expires=2027-01-31T00:00:00Z; one that begins with # is a comment. The one\n"
    "token of --token, which other users may see for a moment, or of the environment\n"
    "variable " TOKEN_VARIABLE " serves in place of a file.\n"
    "\n"
    "The addresses of reverse proxies in front of the gateway, or their networks, as\n"
    "10.0.0.0/8, are given with --trusted-proxy. Their X-Forwarded-For or Forwarded\n"
    "header names the client; from others it is ignored.\n"
    "\n"
    "A client is connected to --target unless it requests another target, which\n"
    "--allow has to permit: a name, *.NAME, an address, a network or *, and a port, a\n"
    "range of ports or *, as in --allow '*.lab:5432' --allow '10.0.0.0/8:8000-8099'.\n"
    "Addresses of this machine and its link are reached only if a pattern names them\n"
    "or their network. A target may have a name instead, as in\n"
    "--named-target db=10.0.0.5:5432 --allow db, by which clients request it, or by\n"
    "the path of the URL, as /db.\n"
    "\n"
    "With --reverse-ports 57090-57099 clients may show services of their own here:\n"
    "the gateway listens on these ports of 127.0.0.1, or of the address in\n"
    "0.0.0.0:57090-57099, and whoever connects there needs no token. Those of\n"
    "alice@57090-57099 are for the clients of that name only.\n"
    "\n"
    "--route names this gateway for a load balancer in front of several: requests\n"
    "that come back to a session have it as the query parameter route.\n"
    "\n"
    "Sessions of clients that can do so are resumed, without loss, when their\n"
    "WebSocket breaks. With --resumption required, other clients are refused.\n"
    "\n"
    "After SIGINT or SIGTERM the gateway drains: it takes no new connections, and\n"
    "open ones may go on for --drain-timeout. A second signal ends them. At SIGHUP it\n"
    "reads its token file, its certificate and its key again, and sessions go on. At\n"
    "SIGUSR1 it opens its access log again. At SIGUSR2 the program that is in its file\n"
    "now takes its place, such as a newer version, and connections go on.\n"
    "\n"
    "With --admin 127.0.0.1:9090 a status page is at http://127.0.0.1:9090/, and what\n"
    "Prometheus reads at /metrics; /healthz and /readyz are for probes.\n"
    "\n"
    "A TIME has a unit, as in 500ms, 10s, 2min or 1h; without one it is in seconds.\n"
    "\n"
    "Exit status:\n"
    "  0  closed by SIGINT or SIGTERM\n"
    "  1  could not start\n"
    "  2  wrong usage\n"
    "\n"
    "Example:\n"
    "  tcp-tunnel gateway --target 127.0.0.1:22 --token-file tokens --listen 8080\n";

/* Sets the properties of the gateway, or finds all that is wrong. */
static gboolean
apply_options (const GatewayOptions *options,
               TcpGateway           *gateway,
               Problems             *problems)
{
  if (gateway_options_get (options, "target") == NULL && gateway_options_get_list (options, "named-target") == NULL)
    problems_add (problems, (Place) { NULL, 0 }, "--target HOST:PORT is missing, the TCP service to connect to");
  gateway_options_apply (options, gateway, problems);
  return !problems_have_errors (problems);
}

typedef struct
{
  TcpGateway *gateway;
  const GatewayOptions *options;
  GCancellable *starting; /* NULL once it runs */
  GError *error;          /* of the start */
  guint drain_timeout;    /* ms */
  guint quits;            /* signals to end */
  gboolean reloading;
  gboolean reload_again;  /* when it has started, or reloaded */
  gboolean over;
  gboolean has_terminal; /* at the start */
  AccessLog *log;        /* nullable */
  Admin *admin;          /* nullable */
  Restart *restart;
  gboolean restart_next; /* when it has started, or reloaded */
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
  /* The file of the tokens may be a pipe that nobody writes to. */
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
  return self->starting != NULL || self->reloading || restart_is_under_way (self->restart);
}

/* What was asked for while it was busy. */
static void
gateway_do_next (Gateway *self)
{
  if (self->reload_again && self->quits == 0)
    gateway_reload (self);
  if (self->restart_next && self->quits == 0 && !gateway_is_busy (self))
    gateway_restart (self);
}

static void
on_reloaded (GObject      *object,
             GAsyncResult *result,
             gpointer      data)
{
  Gateway *self = data;
  g_autoptr (GError) error = NULL;

  self->reloading = FALSE;
  if (!tcp_gateway_reload_finish (TCP_GATEWAY (object), result, &error))
    log_warn ("nothing has changed: %s", error->message);
  if (!self->over && self->quits == 0)
    notify_send ("READY=1");
  gateway_do_next (self);
}

static void
warn_of_problem (const char *text,
                 gboolean    is_warning,
                 gpointer    data)
{
  if (is_warning)
    log_warn ("%s", text);
  else
    log_warn ("nothing has changed: %s", text);
}

static void
gateway_reload (Gateway *self)
{
  g_autoptr (Problems) problems = problems_new ();

  self->reload_again = FALSE;
  notify_send ("RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT, g_get_monotonic_time ());
  if (!apply_options (self->options, self->gateway, problems))
    {
      problems_foreach (problems, warn_of_problem, NULL);
      notify_send ("READY=1");
      return;
    }
  self->reloading = TRUE;
  tcp_gateway_reload_async (self->gateway, NULL, on_reloaded, self);
}

/* One that has begun may have read a file before it was changed again. */
static gboolean
on_hang_up (gpointer data)
{
  Gateway *self = data;

  /* Its terminal was closed. */
  if (self->has_terminal && !process_has_terminal ())
    return on_quit (data);
  if (self->quits > 0)
    return G_SOURCE_CONTINUE;
  if (gateway_is_busy (self))
    self->reload_again = TRUE;
  else
    gateway_reload (self);
  return G_SOURCE_CONTINUE;
}

/* What others can see of it. */
static gboolean
gateway_show (Gateway  *self,
              GError  **error)
{
  const char *path = gateway_options_get (self->options, "access-log");
  AdminOptions shown = {
    .listen = gateway_options_get (self->options, "admin"),
    .hosts = gateway_options_get_list (self->options, "admin-host"),
    .check_target = g_strcmp0 (gateway_options_get (self->options, "ready-check"), "none") != 0,
  };

  if (path != NULL && (self->log = access_log_open (path, self->gateway, error)) == NULL)
    return FALSE;
  shown.log = self->log;
  if (shown.listen != NULL && (self->admin = admin_new (self->gateway, &shown, error)) == NULL)
    return FALSE;
  return TRUE;
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

static void
say_problem (const char *text,
             gboolean    is_warning,
             gpointer    data)
{
  options_say ("gateway", NULL, text);
}

static gboolean
on_user_signal (gpointer data)
{
  Gateway *self = data;

  if (self->log != NULL)
    access_log_reopen (self->log);
  return G_SOURCE_CONTINUE;
}

static void
gateway_clear (Gateway *self)
{
  gateway_hide (self);
  g_clear_pointer (&self->restart, restart_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Gateway, gateway_clear)

int
gateway_main (char ***args)
{
  g_autoptr (TcpGateway) gateway = tcp_gateway_new (NULL);
  g_autoptr (GatewayOptions) options = gateway_options_new ();
  g_autofree GOptionEntry *entries = gateway_options_make_entries (options);
  g_auto (Gateway) self = { .gateway = gateway, .options = options, .drain_timeout = DRAIN_TIMEOUT };
  g_autoptr (Problems) problems = problems_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *uri = NULL;
  static const RestartCallbacks callbacks = { .leave = on_leave, .stayed = on_stayed };
  TcpTunnelLogLevel level;
  gboolean dry_run;
  int state;
  int code;

  self.restart = restart_new (gateway, &callbacks, &self);
  if (!replace_take_arguments (args, &state, &dry_run, &error) ||
      !options_parse_sections ("gateway", "Accept WebSockets and connect those with a valid token to a TCP service.",
                               description, entries, gateway_options_get_sections (), args, &error))
    return options_usage ("gateway", error);
  if (!apply_options (options, gateway, problems))
    {
      problems_foreach (problems, say_problem, NULL);
      options_hint ("gateway");
      return EXIT_USAGE;
    }

  g_object_get (gateway, "log-level", &level, NULL);
  log_init (level);
  if (state >= 0 && !tcp_gateway_adopt (gateway, state, &error))
    {
      options_say ("gateway", NULL, error->message);
      return EXIT_FAILED;
    }
  if (state >= 0)
    close (state);
  if (dry_run)
    return EXIT_SUCCESS;
  /* The program before may have taken one. */
  if (state < 0 && !gateway_options_take_socket (options, gateway, &error))
    return options_usage ("gateway", error);
  activation_warn_of_rest ();
  gateway_options_read_duration (options, "drain-timeout", &self.drain_timeout);
  self.has_terminal = process_has_terminal ();
  options_on_signal (on_quit, on_hang_up, &self);
  watchdog_start (TCP_ENDPOINT (gateway));
  g_unix_signal_add (SIGUSR1, on_user_signal, &self);
  replace_on_signal (on_replace, &self);
  if (!gateway_show (&self, &error))
    {
      /* Connections are not to end for that. */
      if (state < 0)
        return options_failure ("gateway", error);
      log_warn ("%s", error->message);
      g_clear_error (&error);
    }
  self.starting = g_cancellable_new ();
  tcp_endpoint_start_async (TCP_ENDPOINT (gateway), self.starting, on_started, &self);
  while (self.starting != NULL)
    g_main_context_iteration (NULL, TRUE);
  error = self.error;
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return EXIT_SUCCESS;
  if (error != NULL)
    {
      if (g_error_matches (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TLS))
        g_prefix_error (&error, "--tls-cert %s, --tls-key %s: ", gateway_options_get (options, "tls-cert"),
                        gateway_options_get (options, "tls-key"));
      return options_failure ("gateway", error);
    }
  /* The signal may have come when the start could not be cancelled any more. */
  if (self.quits > 0)
    {
      tcp_endpoint_close (TCP_ENDPOINT (gateway));
      return EXIT_SUCCESS;
    }
  if (self.admin != NULL)
    admin_set_state (self.admin, ADMIN_SERVING);
  self.server = status_server_new ("gateway", describe, &self);
  uri = format_gateway (gateway);
  /* The program before has said so. */
  code = state < 0 ? view_print (stdout, "listening on %s\n", uri) : 0;
  if (code != 0)
    {
      error = options_stdout_error (code);
      return options_failure ("gateway", error);
    }
  notify_send ("READY=1\nSTATUS=listening on %s", uri);
  gateway_do_next (&self);
  while (!self.over)
    g_main_context_iteration (NULL, TRUE);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  return EXIT_SUCCESS;
}
