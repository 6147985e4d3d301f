/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/run.h"

#include <glib/gi18n.h>
#include <string.h>

#include "cli/adb.h"
#include "cli/describe.h"
#include "cli/forwards.h"
#include "cli/hook.h"
#include "cli/options.h"
#include "cli/report.h"
#include "cli/tunnel-line.h"
#include "cli/stdio.h"
#include "cli/token.h"
#include "cli/token-command.h"
#include "cli/view.h"

struct _Run
{
  const Settings *settings;
  const RunShared *shared;
  TcpTunnel *tunnel;
  char *token;
  GCancellable *cancellable; /* for the start */
  Report *report;
  TunnelLine *status;
  Hook *hook;
  Adb *adb;
  Stdio *stdio;
  RunPhase phase;
  gboolean dialled; /* the tunnel itself was started */
  gboolean connected; /* at least once */
  gboolean retrying; /* to reach the gateway */
  gboolean announced; /* the retries were announced */
  guint calls; /* the number of asynchronous calls in progress */
  gboolean stopped; /* by a call of run_stop () */
  GError *problem;  /* the reason for which it is not connected, NULL while it is or idles */
  gint64 retry;     /* when it tries again, on the monotonic clock */
  gboolean asking; /* one of the calls is that of the token command */
  int exit_status;
};

static TcpTunnelLogLevel
get_log_level (TcpTunnel *tunnel)
{
  TcpTunnelLogLevel level;

  g_object_get (tunnel, "log-level", &level, NULL);
  return level;
}

static const char *
spoken_name (Run *self)
{
  return self->shared->options.several ? self->settings->name : NULL;
}

static void
say (Run               *self,
     TcpTunnelLogLevel  level,
     const char        *message)
{
  options_say (self->shared->options.command, spoken_name (self), level, message);
}

static void
enter (Run      *self,
       RunPhase  phase)
{
  self->phase = phase;
  self->shared->changed (self, self->shared->data);
}

/* If there are several tunnels, the line of a failed one is kept. */
static void
end_status (Run        *self,
            const char *reason)
{
  if (self->status != NULL && self->shared->options.several && reason != NULL)
    tunnel_line_end (self->status, reason);
  else if (self->exit_status == 0 || !self->shared->options.several)
    g_clear_pointer (&self->status, tunnel_line_free);
}

/* Whether a program that uses the tunnel still runs. */
static gboolean
is_served (Run *self)
{
  return (self->hook != NULL && hook_is_running (self->hook)) || (self->adb != NULL && adb_is_running (self->adb));
}

/* Closes the tunnel as soon as it is not needed any more. */
static void
finish (Run *self)
{
  if (self->calls > 0 || is_served (self))
    return;
  end_status (self, NULL);
  tcp_endpoint_close (TCP_ENDPOINT (self->tunnel));
  report_closed (self->report);
  enter (self, RUN_ENDED);
}

static void
end (Run *self)
{
  if (self->phase >= RUN_ENDING)
    return;
  g_cancellable_cancel (self->cancellable);
  if (self->hook != NULL && hook_is_running (self->hook))
    hook_stop (self->hook);
  if (self->adb != NULL)
    adb_stop (self->adb);
  enter (self, RUN_ENDING);
  finish (self);
}

static void
hint_at_token (Run          *self,
               const GError *error)
{
  if (g_error_matches (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNAUTHORIZED) &&
      self->token != NULL && token_hint (self->token) != NULL)
    say (self, TCP_TUNNEL_LOG_LEVEL_ERROR, token_hint (self->token));
}

static void
set_problem (Run          *self,
             const GError *error,
             gint64        retry)
{
  g_clear_error (&self->problem);
  self->problem = error != NULL ? g_error_copy (error) : NULL;
  self->retry = retry;
}

/* Prints the reason, unless the log has just done so. */
static void
fail (Run          *self,
      const GError *error,
      gboolean      logged)
{
  gboolean misconfigured = self->settings->place != NULL &&
                           g_error_matches (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);

  set_problem (self, error, 0);
  end_status (self, error->message);
  report_failed (self->report, error);
  self->exit_status = misconfigured ? EXIT_USAGE : EXIT_FAILED;
  if (misconfigured)
    options_say (self->shared->options.command, self->settings->place, TCP_TUNNEL_LOG_LEVEL_ERROR, error->message);
  else if (self->shared->options.several)
    options_say (self->shared->options.command, self->settings->name, TCP_TUNNEL_LOG_LEVEL_ERROR, error->message);
  else if (!logged)
    self->exit_status = options_failure (self->shared->options.command, error);
  hint_at_token (self, error);
  end (self);
}

static void
on_failed (TcpTunnel *tunnel,
           GError    *error,
           Run       *self)
{
  /* It is ending already, and only waits for its command. */
  if (self->phase >= RUN_ENDING)
    return;
  fail (self, error, get_log_level (tunnel) >= TCP_TUNNEL_LOG_LEVEL_ERROR);
}

static void
on_stdout_broken (int      code,
                  gpointer data)
{
  Run *self = data;
  g_autoptr (GError) error = NULL;

  if (self->phase >= RUN_ENDING)
    return;
  error = options_stdout_error (code);
  fail (self, error, FALSE);
}

static void
on_stdio_ended (const GError *error,
                gpointer      data)
{
  Run *self = data;

  if (self->phase >= RUN_ENDING)
    return;
  if (error != NULL)
    fail (self, error, FALSE);
  else
    end (self);
}

static void
on_hook_ended (const char *problem,
               gpointer    data)
{
  Run *self = data;

  if (problem != NULL)
    {
      g_autofree char *text =
          g_strdup_printf ("%s: %s", settings_source (self->settings, SETTING_ON_READY), problem);

      say (self, TCP_TUNNEL_LOG_LEVEL_ERROR, text);
    }
  if (self->phase == RUN_ENDING)
    finish (self);
}

static void
start_hook (Run *self)
{
  const char *command = self->settings->values[SETTING_ON_READY];
  g_autoptr (GError) error = NULL;

  if (command == NULL)
    return;
  self->hook = hook_new (command, self->settings->name, self->tunnel, on_hook_ended, self, &error);
  if (self->hook == NULL)
    say (self, TCP_TUNNEL_LOG_LEVEL_ERROR, error->message);
}

static void
on_adb_said (const char *line,
             gpointer    data)
{
  Run *self = data;

  if (!self->shared->options.quiet)
    view_print (stderr, "adb: %s\n", line);
}

static void
on_adb_failed (const char *problem,
               gpointer    data)
{
  Run *self = data;

  say (self, TCP_TUNNEL_LOG_LEVEL_ERROR, problem);
}

static void
on_adb_ended (gpointer data)
{
  Run *self = data;

  if (self->phase == RUN_ENDING)
    finish (self);
}

static void
start_adb (Run *self)
{
  static const AdbCallbacks callbacks = {
    .said = on_adb_said,
    .failed = on_adb_failed,
    .ended = on_adb_ended,
  };

  if (self->shared->options.adb)
    self->adb = adb_new (self->tunnel, &callbacks, self);
}

static void
on_started (GObject      *object,
            GAsyncResult *result,
            gpointer      data)
{
  Run *self = data;
  g_autoptr (GError) error = NULL;
  gboolean started = tcp_endpoint_start_finish (TCP_ENDPOINT (self->tunnel), result, &error);

  self->calls--;
  if (self->phase == RUN_ENDING)
    {
      finish (self);
      return;
    }
  if (!started)
    {
      fail (self, error, FALSE);
      return;
    }
  if (self->stdio != NULL)
    stdio_begin (self->stdio);
  else
    report_listening (self->report);
  if (self->phase >= RUN_ENDING)
    return;
  start_adb (self);
  start_hook (self);
  enter (self, RUN_READY);
}

static void
start_tunnel (Run *self)
{
  if (self->token != NULL)
    tcp_tunnel_set_token (self->tunnel, self->token);
  self->dialled = TRUE;
  self->calls++;
  tcp_endpoint_start_async (TCP_ENDPOINT (self->tunnel), self->cancellable, on_started, self);
}

/* Sets another token than the one that the gateway has just refused, or none. */
static void
replace_token (Run        *self,
               const char *token)
{
  gboolean is_new = token != NULL && strcmp (token, self->token) != 0;

  tcp_tunnel_set_token (self->tunnel, is_new ? token : NULL);
  if (is_new)
    {
      g_free (self->token);
      self->token = g_strdup (token);
    }
}

static void
on_token (GObject      *object,
          GAsyncResult *result,
          gpointer      data)
{
  Run *self = data;
  g_autoptr (GError) error = NULL;
  g_autofree char *token = token_command_finish (result, &error);

  self->calls--;
  self->asking = FALSE;
  view_release ();
  if (self->phase == RUN_ENDING)
    {
      finish (self);
    }
  else if (self->dialled)
    {
      if (token == NULL)
        say (self, TCP_TUNNEL_LOG_LEVEL_ERROR, error->message);
      replace_token (self, token);
    }
  else if (token == NULL)
    {
      fail (self, error, FALSE);
    }
  else
    {
      self->token = g_steal_pointer (&token);
      start_tunnel (self);
    }
}

static void
call_token_command (Run *self)
{
  self->calls++;
  self->asking = TRUE;
  view_hold ();
  token_command_async (self->settings->values[SETTING_TOKEN_COMMAND],
                       settings_source (self->settings, SETTING_TOKEN_COMMAND), self->cancellable,
                       on_token, self);
}

/* An expired token may have been replaced in its file meanwhile. A pipe was emptied at the start, and waiting for
 * another token in it would block everything else. */
static void
read_token_again (Run *self)
{
  const char *source = settings_source (self->settings, SETTING_TOKEN_FILE);
  const char *file = self->settings->values[SETTING_TOKEN_FILE];
  g_autoptr (GError) error = NULL;
  g_autofree char *token = NULL;

  if (g_file_test (file, G_FILE_TEST_EXISTS) && !g_file_test (file, G_FILE_TEST_IS_REGULAR))
    g_set_error (&error, G_IO_ERROR, G_IO_ERROR_NOT_REGULAR_FILE,
                 _("%s: %s is not read again, as it is no regular file"), source, file);
  else
    token = settings_read_token (self->settings, &error);
  if (error != NULL)
    say (self, TCP_TUNNEL_LOG_LEVEL_ERROR, error->message);
  replace_token (self, token);
}

/* The gateway refused the token; without another the tunnel gives up. The gateway may refuse several connections while
 * the command runs for the first of them. */
static void
on_token_required (TcpTunnel *tunnel,
                   Run       *self)
{
  if (settings_has (self->settings, SETTING_TOKEN_FILE))
    read_token_again (self);
  else if (!self->asking)
    call_token_command (self);
}

/* For users who do not see the log. A break that is over after one attempt should not cause a line in an ssh
 * session. */
static gboolean
is_worth_announcing (Run   *self,
                     guint  attempt)
{
  if (self->announced)
    return FALSE;
  if (self->shared->options.stdio)
    return !self->connected || attempt > 1;
  return self->phase == RUN_STARTING;
}

static void
announce_retry (Run          *self,
                const GError *error,
                guint         delay)
{
  g_autofree char *text = NULL;

  self->announced = TRUE;
  if (get_log_level (self->tunnel) >= TCP_TUNNEL_LOG_LEVEL_WARN)
    text = g_strdup (_("waiting for the gateway"));
  else
    text = g_strdup_printf (_("%s; waiting for the gateway, the next attempt is in %u s"), error->message,
                            delay / 1000 + (delay % 1000 > 0));
  say (self, TCP_TUNNEL_LOG_LEVEL_WARN, text);
}

static void
on_retry_scheduled (TcpTunnel *tunnel,
                    GError    *error,
                    guint      attempt,
                    guint      delay,
                    Run       *self)
{
  gboolean waits;

  if (self->phase >= RUN_ENDING)
    return;
  /* A singleton tunnel has started before it connects. */
  g_object_get (tunnel, "wait-for-gateway", &waits, NULL);
  if (self->stdio != NULL && !self->connected && !waits)
    {
      fail (self, error, FALSE);
      return;
    }
  self->retrying = TRUE;
  set_problem (self, error, g_get_monotonic_time () + delay * G_TIME_SPAN_MILLISECOND);
  if (self->status != NULL)
    tunnel_line_retry (self->status, error, delay);
  report_retry (self->report, error, attempt, delay);
  if (self->phase < RUN_ENDING && is_worth_announcing (self, attempt))
    announce_retry (self, error, delay);
  self->shared->changed (self, self->shared->data);
}

static void
on_state_changed (TcpTunnel      *tunnel,
                  TcpTunnelState  state,
                  Run            *self)
{
  if (state == TCP_TUNNEL_STATE_CONNECTED)
    {
      self->connected = TRUE;
      self->retrying = FALSE;
      self->announced = FALSE;
    }
  /* An idle tunnel does not try again by itself. One that does reports it next. */
  if (state == TCP_TUNNEL_STATE_CONNECTED || state == TCP_TUNNEL_STATE_DISCONNECTED)
    set_problem (self, NULL, 0);
  self->shared->changed (self, self->shared->data);
}

/**
 * run_new:
 * @settings: must outlive the run, as must @shared
 */
Run *
run_new (const Settings   *settings,
         const RunShared  *shared,
         GError          **error)
{
  g_autoptr (TcpTunnel) tunnel = settings_create_tunnel (settings, error);
  g_autofree char *token = NULL;
  Run *self;

  if (tunnel == NULL || !forwards_add (settings, tunnel, error))
    return NULL;
  if (settings_wants_token (settings) && !settings_has (settings, SETTING_TOKEN_COMMAND))
    {
      token = settings_read_token (settings, error);
      if (token == NULL)
        return NULL;
    }
  if (shared->options.several)
    g_object_set (tunnel, "name", settings->name, NULL);
  /* Only the reason of a failure is printed, at the end. */
  if (shared->options.stdio && !settings_has (settings, SETTING_LOG_LEVEL))
    g_object_set (tunnel, "log-level", TCP_TUNNEL_LOG_LEVEL_NONE, NULL);
  if (shared->options.quiet)
    g_object_set (tunnel, "log-level", MIN (get_log_level (tunnel), TCP_TUNNEL_LOG_LEVEL_ERROR), NULL);

  self = g_new0 (Run, 1);
  self->settings = settings;
  self->shared = shared;
  self->token = g_steal_pointer (&token);
  self->cancellable = g_cancellable_new ();
  self->report = report_new (tunnel, settings->name, shared->options.several, shared->options.json,
                             on_stdout_broken, self);
  g_signal_connect (tunnel, "state-changed", G_CALLBACK (on_state_changed), self);
  g_signal_connect (tunnel, "retry-scheduled", G_CALLBACK (on_retry_scheduled), self);
  g_signal_connect (tunnel, "failed", G_CALLBACK (on_failed), self);
  if (settings_has (settings, SETTING_TOKEN_FILE) || settings_has (settings, SETTING_TOKEN_COMMAND))
    g_signal_connect (tunnel, "token-required", G_CALLBACK (on_token_required), self);
  self->tunnel = g_steal_pointer (&tunnel);
  return self;
}

void
run_free (Run *self)
{
  g_clear_pointer (&self->stdio, stdio_free);
  g_clear_pointer (&self->status, tunnel_line_free);
  g_clear_pointer (&self->hook, hook_free);
  g_clear_pointer (&self->adb, adb_free);
  report_free (self->report);
  g_signal_handlers_disconnect_by_data (self->tunnel, self);
  g_object_unref (self->tunnel);
  g_object_unref (self->cancellable);
  g_clear_error (&self->problem);
  g_free (self->token);
  g_free (self);
}

static TunnelLine *
create_status (Run *self)
{
  const char *name = spoken_name (self);

  return name != NULL ? tunnel_line_new_row (self->tunnel, name, self->shared->name_width)
                      : tunnel_line_new (self->tunnel, "");
}

static gboolean
take_stdio (Run *self)
{
  g_autoptr (GError) error = NULL;

  self->stdio = stdio_new (self->tunnel, on_stdio_ended, self, &error);
  if (self->stdio == NULL)
    fail (self, error, FALSE);
  return self->stdio != NULL;
}

void
run_start (Run *self)
{
  if (self->shared->options.stdio && !take_stdio (self))
    return;
  if (view_is_live ())
    self->status = create_status (self);
  if (settings_has (self->settings, SETTING_TOKEN_COMMAND))
    call_token_command (self);
  else
    start_tunnel (self);
}

/**
 * run_stop:
 *
 * Closes the tunnel, after the command of `--on-ready` and `adb disconnect` if those run. If it is called again, it
 * does not wait for them any more, but kills them.
 *
 * Returns: whether it waits
 */
gboolean
run_stop (Run *self)
{
  gboolean again = self->stopped;

  self->stopped = TRUE;
  /* It has not finished. */
  if (self->stdio != NULL && self->phase < RUN_ENDING)
    self->exit_status = EXIT_FAILED;
  if (again && self->hook != NULL && hook_is_running (self->hook))
    hook_kill (self->hook);
  if (again && self->adb != NULL)
    adb_kill (self->adb);
  end (self);
  return !again && is_served (self);
}

RunPhase
run_get_phase (Run *self)
{
  return self->phase;
}

/* Whether it has not started yet because its gateway cannot be reached. */
gboolean
run_is_waiting (Run *self)
{
  return self->phase == RUN_STARTING && self->retrying;
}

int
run_get_exit_status (Run *self)
{
  return self->exit_status;
}

TcpTunnel *
run_get_tunnel (Run *self)
{
  return self->tunnel;
}

void
run_describe (Run         *self,
              JsonBuilder *builder)
{
  describe_tunnel (builder, self->settings->name, self->tunnel, self->phase == RUN_ENDED, self->problem,
                   self->phase < RUN_ENDING ? self->retry : 0);
}
