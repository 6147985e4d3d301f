/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <glib/gi18n.h>
#include <stdlib.h>
#include <string.h>
#include <tcptunnel/tcptunnel.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/demo-break.h"
#include "cli/demo-cutter.h"
#include "cli/demo-server.h"
#include "cli/demo-talk.h"
#include "cli/demo-transfer.h"
#include "cli/format.h"
#include "cli/log.h"
#include "cli/options.h"
#include "cli/tunnel-line.h"
#include "cli/view.h"

/* Not a secret: the gateway of the demo is only reachable from this machine, and its only target is the demo's own
 * service. */
#define DEMO_TOKEN "demo"

enum
{
  MAX_SIZE = 64 * 1024, /* MiB */
  MANY = 8,             /* connections at once */
  WARM_UP = 16,         /* MiB */
  MIN_BYTES = 4 << 20,
};

/* The duration of a transfer, in s, unless --size sets the amount. */
#define TRANSFER_TIME 1.5

static struct
{
  char *size;
  char *log_level;
  gboolean keep;
} options;

static const GOptionEntry entries[] = {
  { "size", 0, 0, G_OPTION_ARG_STRING, &options.size,
    N_("Data to send each way (default: for 1.5 s)"), "MIB" },
  { "keep", 0, 0, G_OPTION_ARG_NONE, &options.keep,
    N_("Keep tunnels and gateway running afterwards"), NULL },
  { "log-level", 0, 0, G_OPTION_ARG_STRING, &options.log_level,
    N_("none, error (default), warn, info or debug"), "LEVEL" },
  G_OPTION_ENTRY_NULL,
};

static const char description[] =
    N_("Starts a TCP service, a gateway and tunnels on this machine, measures how fast\n"
    "they are, and sends data both ways while the WebSocket is cut again and again.\n"
    "The receiving end compares every byte.\n"
    "\n"
    "Exit status:\n"
    "  0  every part succeeded\n"
    "  1  a part failed, or the demo was stopped before its end\n"
    "  2  wrong usage\n");

/* A line of the summary. */
typedef struct
{
  char *what;
  char *measured;
  gboolean held;
} Result;

typedef struct
{
  DemoServer *service;
  TcpGateway *gateway;
  DemoServer *single_relay;
  DemoServer *many_relay;
  TcpTunnel *direct;
  TcpTunnel *single;
  TcpTunnel *many;
  DemoCutter *cutter;
  guint64 bytes; /* of the next transfer, in each direction */
  GMainLoop *loop;
  gboolean finished;
  GPtrArray *results;
} Demo;

static void
result_free (gpointer data)
{
  Result *result = data;

  g_free (result->what);
  g_free (result->measured);
  g_free (result);
}

static void
demo_clear (Demo *self)
{
  if (self->direct != NULL)
    tcp_endpoint_close (TCP_ENDPOINT (self->direct));
  if (self->single != NULL)
    tcp_endpoint_close (TCP_ENDPOINT (self->single));
  if (self->many != NULL)
    tcp_endpoint_close (TCP_ENDPOINT (self->many));
  if (self->gateway != NULL)
    tcp_endpoint_close (TCP_ENDPOINT (self->gateway));
  g_clear_object (&self->direct);
  g_clear_object (&self->single);
  g_clear_object (&self->many);
  g_clear_pointer (&self->single_relay, demo_server_free);
  g_clear_pointer (&self->many_relay, demo_server_free);
  g_clear_object (&self->gateway);
  g_clear_pointer (&self->service, demo_server_free);
  g_clear_pointer (&self->cutter, demo_cutter_free);
  g_clear_pointer (&self->results, g_ptr_array_unref);
  g_clear_pointer (&self->loop, g_main_loop_unref);
}

/* Takes ownership of @measured. */
static void
add_result (Demo       *self,
            const char *what,
            char       *measured,
            gboolean    held)
{
  Result *result = g_new0 (Result, 1);

  result->what = g_strdup (what);
  result->measured = measured;
  result->held = held;
  g_ptr_array_add (self->results, result);
}

static void
print_title (const char *title)
{
  view_print (stdout, "\n%s%s%s\n", view_style (stdout, VIEW_BOLD), title,
              view_style (stdout, VIEW_PLAIN));
}

static guint16
tunnel_port (TcpTunnel *tunnel)
{
  return demo_get_port (TCP_ENDPOINT (tunnel));
}

static TcpTunnel *
start_tunnel (guint16             port,
              TcpTunnelMode       mode,
              TcpTunnelLogLevel   level,
              GError            **error)
{
  g_autofree char *uri = g_strdup_printf ("ws://127.0.0.1:%u/", port);
  g_autoptr (GProxyResolver) direct = g_simple_proxy_resolver_new (NULL, NULL);
  g_autoptr (TcpTunnel) tunnel = tcp_tunnel_new (uri, DEMO_TOKEN);

  g_object_set (tunnel, "mode", mode, "resumption", TCP_TUNNEL_RESUMPTION_REQUIRED, "log-level", level,
                "proxy-resolver", direct, NULL);
  if (!tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, error))
    return NULL;
  return g_steal_pointer (&tunnel);
}

static gboolean
start_gateway (Demo               *self,
               TcpTunnelLogLevel   level,
               GError            **error)
{
  g_autofree char *target = NULL;

  self->gateway = tcp_gateway_new (NULL);
  self->cutter = demo_cutter_new (self->gateway);
  self->service = demo_service_new (demo_cutter_get_count (self->cutter), error);
  if (self->service == NULL)
    return FALSE;

  target = g_strdup_printf ("127.0.0.1:%u", demo_server_get_port (self->service));
  g_object_set (self->gateway, "target", target, NULL);
  tcp_gateway_set_token (self->gateway, DEMO_TOKEN);
  g_object_set (self->gateway, "log-level", level, NULL);
  return tcp_endpoint_start (TCP_ENDPOINT (self->gateway), NULL, error);
}

static gboolean
start (Demo               *self,
       TcpTunnelLogLevel   level,
       GError            **error)
{
  guint16 port;

  if (!start_gateway (self, level, error))
    return FALSE;

  port = demo_get_port (TCP_ENDPOINT (self->gateway));
  self->single_relay = demo_relay_new (port, error);
  if (self->single_relay == NULL)
    return FALSE;
  self->many_relay = demo_relay_new (port, error);
  if (self->many_relay == NULL)
    return FALSE;

  self->direct = start_tunnel (port, TCP_TUNNEL_MODE_SINGLETON, level, error);
  if (self->direct == NULL)
    return FALSE;
  self->single = start_tunnel (demo_server_get_port (self->single_relay),
                               TCP_TUNNEL_MODE_SINGLETON, level, error);
  if (self->single == NULL)
    return FALSE;
  self->many = start_tunnel (demo_server_get_port (self->many_relay),
                             TCP_TUNNEL_MODE_MULTIPLEXED, level, error);
  return self->many != NULL;
}

static void
print_parts (Demo *self)
{
  g_autofree char *uri = tcp_gateway_dup_uri (self->gateway);

  print_title (_("tcp-tunnel demo: everything runs on this machine"));
  view_print (stdout,
              _("  tunnel   127.0.0.1:%-5u         singleton: one connection at a time\n"
                "  tunnel   127.0.0.1:%-5u         singleton, through a relay that is cut\n"
                "  tunnel   127.0.0.1:%-5u         multiplexed, likewise: many connections\n"
                "  relays   127.0.0.1:%-5u, %-5u  act as the network before those two\n"
                "  gateway  %-22s  accepts the WebSockets\n"
                "  service  127.0.0.1:%-5u         what the gateway connects to\n"),
              tunnel_port (self->direct), tunnel_port (self->single), tunnel_port (self->many),
              demo_server_get_port (self->single_relay), demo_server_get_port (self->many_relay),
              uri, demo_server_get_port (self->service));
}

/* Chooses the amount by the rate of the last transfer. */
static void
choose_bytes (Demo               *self,
              const DemoTransfer *last)
{
  if (options.size == NULL && last->rate > 0)
    self->bytes = CLAMP (last->rate * TRANSFER_TIME, MIN_BYTES, (guint64) MAX_SIZE << 20);
}

/* Uses no relay, so that it shows the performance of the tunnel. */
static gboolean
transfer_directly (Demo          *self,
                   DemoTransfer  *transfer,
                   GError       **error)
{
  DemoCount *count = demo_cutter_get_count (self->cutter);

  count->bytes = 0;
  return demo_break_wait_rest (self->direct, error) &&
         demo_transfer_run (transfer, tunnel_port (self->direct), count, error);
}

static gboolean
transfer_and_cut (Demo          *self,
                  TcpTunnel     *tunnel,
                  DemoServer    *relay,
                  DemoTransfer  *transfer,
                  GError       **error)
{
  guint64 bytes = (transfer->n_up + transfer->n_down) * transfer->bytes;
  gboolean held;

  demo_cutter_begin (self->cutter, tunnel, relay, bytes);
  held = demo_transfer_run (transfer, tunnel_port (tunnel), demo_cutter_get_count (self->cutter),
                            error);
  /* Called after a failure as well, so that the next transfer begins in a defined state. */
  held = demo_break_wait_rest (tunnel, held ? error : NULL) && held;
  return demo_cutter_end (self->cutter, held ? error : NULL) && held;
}

static void
add_transfer (Demo               *self,
              const DemoTransfer *transfer,
              const char         *what,
              const GError       *error)
{
  g_autofree char *rate = format_size (transfer->rate);

  if (error == NULL)
    {
      add_result (self, what, g_strdup_printf ("%s/s", rate), TRUE);
      return;
    }
  view_print (stdout, _("  %-6s failed: %s\n"), _(transfer->name), error->message);
  add_result (self, what, g_strdup (_("failed")), FALSE);
}

static void
run_direct_transfer (Demo         *self,
                     DemoTransfer *transfer,
                     const char   *what)
{
  g_autoptr (GError) error = NULL;

  transfer->bytes = self->bytes;
  transfer_directly (self, transfer, &error);
  choose_bytes (self, transfer);
  add_transfer (self, transfer, what, error);
}

static void
run_cut_transfer (Demo         *self,
                  TcpTunnel    *tunnel,
                  DemoServer   *relay,
                  DemoTransfer *transfer,
                  const char   *what)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *title = NULL;
  guint n;

  transfer->bytes = self->bytes / MAX (transfer->n_up, transfer->n_down);
  transfer_and_cut (self, tunnel, relay, transfer, &error);
  choose_bytes (self, transfer);
  n = demo_cutter_get_cuts (self->cutter);
  title = g_strdup_printf (ngettext ("%s, %u cut", "%s, %u cuts", n), what, n);
  add_transfer (self, transfer, title, error);
}

static void
end_talk (Demo     *self,
          DemoTalk *talk)
{
  const char *what = _("lines typed beside it");
  g_autoptr (GError) error = NULL;
  gint64 median, worst;

  if (demo_talk_end (talk, &median, &worst, &error))
    {
      g_autofree char *middle = format_time (median);
      g_autofree char *longest = format_time (worst);

      add_result (self, what, g_strdup_printf (_("echo in %s, at most %s"), middle, longest), TRUE);
      return;
    }
  view_print (stdout, _("  typing failed: %s\n"), error->message);
  add_result (self, what, g_strdup (_("failed")), FALSE);
}

static void
run_transfers (Demo *self)
{
  DemoTransfer warm_up = { .n_up = 1, .bytes = WARM_UP << 20 };
  DemoTransfer up = { .name = N_("up"), .n_up = 1 };
  DemoTransfer down = { .name = N_("down"), .n_down = 1 };
  DemoTransfer cut_up = up;
  DemoTransfer cut_down = down;
  DemoTransfer both = { .name = N_("both"), .n_up = MANY / 2, .n_down = MANY / 2 };
  DemoTalk *talk;

  print_title (_("How fast: one connection through the tunnel"));
  /* If it fails, the others fail as well, and show the reason. */
  if (options.size == NULL && transfer_directly (self, &warm_up, NULL))
    choose_bytes (self, &warm_up);
  run_direct_transfer (self, &up, _("data up"));
  run_direct_transfer (self, &down, _("data down"));

  print_title (_("The same, while its WebSocket is cut again and again"));
  run_cut_transfer (self, self->single, self->single_relay, &cut_up, _("data up"));
  run_cut_transfer (self, self->single, self->single_relay, &cut_down, _("data down"));

  print_title (_("Eight connections both ways, and lines typed beside them, over one WebSocket"));
  talk = demo_talk_start (tunnel_port (self->many));
  run_cut_transfer (self, self->many, self->many_relay, &both, _("data both ways"));
  end_talk (self, talk);
}

static void
run_break (Demo *self)
{
  g_autoptr (GError) error = NULL;
  gint64 away;

  print_title (_("Step by step: the network breaks under an open connection"));
  if (demo_break_run (self->single, self->single_relay, &away, &error))
    {
      g_autofree char *time = format_time (away);

      add_result (self, _("same connection after a break"), g_strdup_printf (_("back in %s"), time), TRUE);
      return;
    }
  view_print (stdout, _("  failed: %s\n"), error->message);
  add_result (self, _("same connection after a break"), g_strdup (_("failed")), FALSE);
}

static gboolean
print_summary (Demo *self)
{
  gboolean all = TRUE;

  print_title (_("Summary"));
  for (guint i = 0; i < self->results->len; i++)
    {
      Result *result = self->results->pdata[i];

      all = all && result->held;
      view_print (stdout, "  %-32s %-30s %s%s%s\n", result->what, result->measured,
                  view_style (stdout, result->held ? VIEW_GREEN : VIEW_RED),
                  result->held ? _("held") : _("FAILED"), view_style (stdout, VIEW_PLAIN));
    }
  view_print (stdout, "\n%s\n", all ? _("All held.") : _("A part failed."));
  return all;
}

/* The name with which the user can run this command: one that is not installed is not in PATH. */
static const char *
command_name (void)
{
  return strchr (program_invocation_name, '/') != NULL ? program_invocation_name : "tcp-tunnel";
}

static void
print_next (void)
{
  const char *command = command_name ();

  print_title (_("Next"));
  view_print (stdout,
              _("  %s demo --keep\n"
                "      the same, and tunnels and gateway run on, to be tried with nc and curl\n"
                "  TCP_TUNNEL_TOKEN=secret %s gateway --target 127.0.0.1:22 --listen 8080\n"
                "  TCP_TUNNEL_TOKEN=secret %s connect ws://127.0.0.1:8080/ --listen 2222\n"
                "      in two terminals: a gateway to the SSH server here, and a tunnel to it\n"
                "  ssh -p 2222 127.0.0.1\n"
                "      in a third one: a connection through both\n"),
              command, command, command);
}

/* The user has pressed Enter. */
static gboolean
on_input (GIOChannel   *channel,
          GIOCondition  condition,
          gpointer      data)
{
  Demo *self = data;
  char buffer[256];
  ssize_t n = read (STDIN_FILENO, buffer, sizeof buffer);

  if (n <= 0)
    return G_SOURCE_REMOVE;
  demo_server_cut (self->single_relay);
  demo_server_cut (self->many_relay);
  view_print (stdout, _("  both WebSockets are cut\n"));
  return G_SOURCE_CONTINUE;
}

static void
on_state_changed (TcpTunnel      *tunnel,
                  TcpTunnelState  state,
                  gpointer        data)
{
  view_print (stdout, "  %s\n", format_state_name (format_state (state)));
}

static void
keep (Demo *self)
{
  guint single = tunnel_port (self->single);
  guint many = tunnel_port (self->many);
  g_autofree char *uri = tcp_gateway_dup_uri (self->gateway);
  g_autoptr (GIOChannel) input = NULL;
  g_autoptr (TunnelLine) status = NULL;

  print_title (_("Still running. In another terminal, try:"));
  view_print (stdout,
              _("  nc 127.0.0.1 %u\n"
                "      each line that you type comes back\n"
                "  curl -o /dev/null http://127.0.0.1:%u/1024\n"
                "      1024 MiB through the multiplexed tunnel, any number at a time\n"
                "  TCP_TUNNEL_TOKEN=%s %s connect %s\n"
                "      a tunnel of your own to the same gateway\n"
                "\n"),
              single, many, DEMO_TOKEN, command_name (), uri);
  if (isatty (STDIN_FILENO))
    {
      view_print (stdout, _("Press Enter to cut the WebSockets, Ctrl-C to end.\n"));
      input = g_io_channel_unix_new (STDIN_FILENO);
      g_io_add_watch (input, G_IO_IN | G_IO_HUP, on_input, self);
    }
  else
    {
      view_print (stdout, _("Press Ctrl-C to end.\n"));
    }
  g_signal_connect (self->single, "state-changed", G_CALLBACK (on_state_changed), NULL);
  if (view_is_live ())
    status = tunnel_line_new (self->single, "");
  g_main_loop_run (self->loop);
}

/* Stopping before the end counts as a failure, since not everything was shown. */
static gboolean
on_quit (gpointer data)
{
  Demo *self = data;

  if (!self->finished)
    {
      view_end ();
      view_print (stderr, _("tcp-tunnel demo: stopped before the end\n"));
      _exit (EXIT_FAILED);
    }
  g_main_loop_quit (self->loop);
  return G_SOURCE_REMOVE;
}

static gboolean
read_options (guint64 *size,
              int     *level,
              GError **error)
{
  if (options.size != NULL &&
      !g_ascii_string_to_unsigned (options.size, 10, 1, MAX_SIZE, size, NULL))
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   _("--size must be a whole number from 1 to %u, not '%s'"), (guint) MAX_SIZE,
                   options.size);
      return FALSE;
    }
  return options_read_enum ("--log-level", options.log_level, TCP_TYPE_TUNNEL_LOG_LEVEL, level,
                            error);
}

int
demo_main (char ***args)
{
  g_autoptr (GError) error = NULL;
  Demo self = { 0 };
  guint64 size = WARM_UP;
  int level = TCP_TUNNEL_LOG_LEVEL_ERROR;
  int status = EXIT_FAILED;

  if (!options_parse ("demo", NULL, N_("Show what a tunnel does. It requires no gateway and no network."), description,
                      entries, args, &error) ||
      !read_options (&size, &level, &error))
    return options_usage ("demo", error);

  log_init (level);
  view_init (TRUE);
  self.bytes = size << 20;
  self.loop = g_main_loop_new (NULL, FALSE);
  self.results = g_ptr_array_new_with_free_func (result_free);
  options_on_signal (on_quit, NULL, &self);

  if (start (&self, level, &error))
    {
      print_parts (&self);
      run_transfers (&self);
      run_break (&self);
      self.finished = TRUE;
      status = print_summary (&self) ? EXIT_SUCCESS : EXIT_FAILED;
      if (options.keep)
        keep (&self);
      else
        print_next ();
    }
  else
    {
      options_failure ("demo", error);
    }
  demo_clear (&self);
  return status;
}
