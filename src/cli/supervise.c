/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/supervise.h"

#include <stdlib.h>

#include "cli/activation.h"
#include "cli/format.h"
#include "cli/log.h"
#include "cli/notify.h"
#include "cli/options.h"
#include "cli/tunnel-line.h"
#include "cli/status-server.h"
#include "cli/view.h"
#include "cli/watchdog.h"

typedef struct
{
  RunShared shared;
  GPtrArray *runs;
  GMainLoop *loop;
  gboolean ready; /* this was reported to the service manager */
} Supervisor;

static guint
count (Supervisor *self,
       RunPhase    phase)
{
  guint n = 0;

  for (guint i = 0; i < self->runs->len; i++)
    n += run_get_phase (self->runs->pdata[i]) == phase;
  return n;
}

/* The states of ready tunnels: "connected", or "1 connected, 2 disconnected". */
static void
append_states (Supervisor *self,
               GString    *text)
{
  static const TcpTunnelState states[] = {
    TCP_TUNNEL_STATE_CONNECTED,
    TCP_TUNNEL_STATE_CONNECTING,
    TCP_TUNNEL_STATE_RECONNECTING,
    TCP_TUNNEL_STATE_DISCONNECTED,
  };

  for (guint i = 0; i < G_N_ELEMENTS (states); i++)
    {
      guint n = 0;

      for (guint j = 0; j < self->runs->len; j++)
        n += run_get_phase (self->runs->pdata[j]) == RUN_READY &&
             tcp_tunnel_get_state (run_get_tunnel (self->runs->pdata[j])) == states[i];
      if (n > 0 && self->runs->len > 1)
        g_string_append_printf (text, ", %u %s", n, format_state (states[i]));
      else if (n > 0)
        g_string_append_printf (text, ", %s", format_state (states[i]));
    }
}

static guint
count_waiting (Supervisor *self)
{
  guint n = 0;

  for (guint i = 0; i < self->runs->len; i++)
    n += run_is_waiting (self->runs->pdata[i]);
  return n;
}

/* A tunnel that failed at the start, or waits for its gateway, does not keep the others from being ready: otherwise the
 * service manager would end them after its timeout. */
static void
tell_service_manager (Supervisor *self)
{
  g_autoptr (GString) text = g_string_new (NULL);
  guint waiting = count_waiting (self);
  guint starting = count (self, RUN_STARTING) - waiting;
  guint ready = count (self, RUN_READY);
  guint ended = self->runs->len - starting - waiting - ready;

  if (!self->ready && starting == 0 && ready + waiting > 0)
    {
      self->ready = TRUE;
      notify_send ("READY=1");
    }
  append_states (self, text);
  if (waiting > 0 && self->runs->len > 1)
    g_string_append_printf (text, ", %u waiting for the gateway", waiting);
  else if (waiting > 0)
    g_string_append (text, ", waiting for the gateway");
  if (starting > 0)
    g_string_append_printf (text, ", %u starting", starting);
  if (ended > 0)
    g_string_append_printf (text, ", %u ended", ended);
  notify_send ("STATUS=%s", text->str + 2);
}

static void
on_changed (Run     *run,
            gpointer data)
{
  Supervisor *self = data;

  tell_service_manager (self);
  if (count (self, RUN_ENDED) == self->runs->len)
    g_main_loop_quit (self->loop);
}

static gboolean
on_quit (gpointer data)
{
  Supervisor *self = data;
  gboolean waits = FALSE;

  notify_send ("STOPPING=1");
  for (guint i = 0; i < self->runs->len; i++)
    waits |= run_stop (self->runs->pdata[i]);
  return waits ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static gboolean
create_runs (Supervisor  *self,
             GPtrArray   *settings,
             GError     **error)
{
  TcpTunnelLogLevel level = TCP_TUNNEL_LOG_LEVEL_NONE;

  for (guint i = 0; i < settings->len; i++)
    {
      const char *name = ((Settings *) settings->pdata[i])->name;
      TcpTunnelLogLevel own;
      Run *run = run_new (settings->pdata[i], &self->shared, error);

      if (run == NULL)
        return FALSE;
      g_ptr_array_add (self->runs, run);
      g_object_get (run_get_tunnel (run), "log-level", &own, NULL);
      level = MAX (level, own);
      if (name != NULL)
        self->shared.name_width = MAX (self->shared.name_width, view_width (name));
    }
  log_init (level);
  activation_warn_of_rest ();
  return TRUE;
}

static void
describe (JsonBuilder *builder,
          gpointer     data)
{
  Supervisor *self = data;

  json_builder_set_member_name (builder, "tunnels");
  json_builder_begin_array (builder);
  for (guint i = 0; i < self->runs->len; i++)
    run_describe (self->runs->pdata[i], builder);
  json_builder_end_array (builder);
}

static int
run_all (Supervisor *self)
{
  gboolean with_titles = self->shared.options.several && view_is_live ();
  g_autoptr (TunnelLine) titles G_GNUC_UNUSED = with_titles ? tunnel_line_new_titles (self->shared.name_width) : NULL;
  g_autoptr (StatusServer) server G_GNUC_UNUSED = status_server_new (self->shared.options.command, describe, self);
  int status = EXIT_SUCCESS;

  options_on_signal (on_quit, NULL, self);
  watchdog_start (TCP_ENDPOINT (run_get_tunnel (self->runs->pdata[0])));
  for (guint i = 0; i < self->runs->len; i++)
    run_start (self->runs->pdata[i]);
  if (count (self, RUN_ENDED) < self->runs->len)
    g_main_loop_run (self->loop);

  for (guint i = 0; i < self->runs->len; i++)
    status = MAX (status, run_get_exit_status (self->runs->pdata[i]));
  return status;
}

/**
 * supervise:
 * @settings: (element-type Settings): the settings of the tunnels
 *
 * Runs tunnels until each of them has ended, by itself, or all by a signal.
 *
 * Returns: the exit status
 */
int
supervise (const RunOptions *options,
           GPtrArray        *settings)
{
  Supervisor self = {
    .shared.options = *options,
    .shared.changed = on_changed,
    .shared.data = &self,
  };
  g_autoptr (GError) error = NULL;
  int status;

  self.runs = g_ptr_array_new_with_free_func ((GDestroyNotify) run_free);
  self.loop = g_main_loop_new (NULL, FALSE);
  view_init (!options->json && !options->quiet && !options->stdio);
  status = create_runs (&self, settings, &error) ? run_all (&self)
                                                 : options_usage (options->command, error);
  g_ptr_array_unref (self.runs);
  g_main_loop_unref (self.loop);
  return status;
}
