/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdlib.h>
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

/* No secret: the gateway of the demo is only reached from this machine, and
 * only leads to the demo's own service. */
#define DEMO_TOKEN "demo"

enum
{
  DEFAULT_SIZE = 256, /* MiB */
  MAX_SIZE = 64 * 1024,
  MANY = 8,              /* connections at once */
};

static struct
{
  char *size;
  char *log_level;
  gboolean keep;
} options;

static const GOptionEntry entries[] = {
  { "size", 0, 0, G_OPTION_ARG_STRING, &options.size,
    "How much to send each way (default 256)", "MIB" },
  { "keep", 0, 0, G_OPTION_ARG_NONE, &options.keep,
    "Stay up afterwards, to be tried by hand", NULL },
  { "log-level", 0, 0, G_OPTION_ARG_STRING, &options.log_level,
    "none, error (default), warn, info or debug", "LEVEL" },
  G_OPTION_ENTRY_NULL,
};

static const char description[] =
    "Starts a gateway and a TCP service of its own on this machine, tunnels to\n"
    "them, and sends data both ways while the WebSocket is cut again and again.\n"
    "\n"
    "Exit status:\n"
    "  0  all held\n"
    "  1  something did not, or it was stopped before the end\n"
    "  2  wrong usage\n";

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
  TcpTunnel *single;
  TcpTunnel *many;
  DemoCutter *cutter;
  guint64 bytes;
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
  if (self->single != NULL)
    tcp_endpoint_close (TCP_ENDPOINT (self->single));
  if (self->many != NULL)
    tcp_endpoint_close (TCP_ENDPOINT (self->many));
  if (self->gateway != NULL)
    tcp_endpoint_close (TCP_ENDPOINT (self->gateway));
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

/* Takes @measured. */
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

  print_title ("tcp-tunnel demo: all on this machine, nothing to set up");
  view_print (stdout,
              "  tunnel   127.0.0.1:%-5u         singleton: one connection at a time\n"
              "  tunnel   127.0.0.1:%-5u         multiplexed: many over one WebSocket\n"
              "  relays   127.0.0.1:%-5u, %-5u  play the network before each, and are cut\n"
              "  gateway  %-22s  where the WebSockets end\n"
              "  service  127.0.0.1:%-5u         what the gateway leads to\n",
              tunnel_port (self->single), tunnel_port (self->many),
              demo_server_get_port (self->single_relay), demo_server_get_port (self->many_relay),
              uri, demo_server_get_port (self->service));
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
  /* Also when it failed, for the next to begin in order. */
  held = demo_break_wait_rest (tunnel, held ? error : NULL) && held;
  return demo_cutter_end (self->cutter, held ? error : NULL) && held;
}

static void
run_transfer (Demo         *self,
              TcpTunnel    *tunnel,
              DemoServer   *relay,
              DemoTransfer *transfer,
              const char   *what)
{
  g_autoptr (GError) error = NULL;

  if (transfer_and_cut (self, tunnel, relay, transfer, &error))
    {
      g_autofree char *rate = format_size (transfer->rate);

      add_result (self, what,
                  g_strdup_printf ("%s/s, %u cuts", rate, demo_cutter_get_cuts (self->cutter)),
                  TRUE);
      return;
    }
  view_print (stdout, "  %-6s failed: %s\n", transfer->name, error->message);
  add_result (self, what, g_strdup ("failed"), FALSE);
}

static void
end_talk (Demo     *self,
          DemoTalk *talk)
{
  const char *what = "a line now and then beside it";
  g_autoptr (GError) error = NULL;
  gint64 median, worst;

  if (demo_talk_end (talk, &median, &worst, &error))
    {
      g_autofree char *middle = format_time (median);
      g_autofree char *longest = format_time (worst);

      add_result (self, what, g_strdup_printf ("%s, at worst %s", middle, longest), TRUE);
      return;
    }
  view_print (stdout, "  typing failed: %s\n", error->message);
  add_result (self, what, g_strdup ("failed"), FALSE);
}

static void
run_transfers (Demo *self)
{
  DemoTransfer up = { .name = "up", .n_up = 1, .bytes = self->bytes };
  DemoTransfer down = { .name = "down", .n_down = 1, .bytes = self->bytes };
  DemoTransfer both = {
    .name = "both", .n_up = MANY / 2, .n_down = MANY / 2, .bytes = self->bytes / MANY * 2
  };
  DemoTalk *talk;

  print_title ("One connection, and its WebSocket is cut again and again");
  run_transfer (self, self->single, self->single_relay, &up, "data up, one connection");
  run_transfer (self, self->single, self->single_relay, &down, "data down, one connection");

  print_title ("Eight connections both ways and somebody who types, all over one WebSocket");
  talk = demo_talk_start (tunnel_port (self->many));
  run_transfer (self, self->many, self->many_relay, &both, "data both ways, 8 connections");
  end_talk (self, talk);
}

static void
run_break (Demo *self)
{
  g_autoptr (GError) error = NULL;
  gint64 away;

  print_title ("Slowly: the network breaks under an open connection");
  if (demo_break_run (self->single, self->single_relay, &away, &error))
    {
      g_autofree char *time = format_time (away);

      add_result (self, "same connection after a break", g_strdup_printf ("back in %s", time), TRUE);
      return;
    }
  view_print (stdout, "  failed: %s\n", error->message);
  add_result (self, "same connection after a break", g_strdup ("failed"), FALSE);
}

static gboolean
print_summary (Demo *self)
{
  gboolean all = TRUE;

  print_title ("Summary");
  for (guint i = 0; i < self->results->len; i++)
    {
      Result *result = self->results->pdata[i];

      all = all && result->held;
      view_print (stdout, "  %-32s %-24s %s%s%s\n", result->what, result->measured,
                  view_style (stdout, result->held ? VIEW_GREEN : VIEW_RED),
                  result->held ? "held" : "DID NOT HOLD", view_style (stdout, VIEW_PLAIN));
    }
  view_print (stdout, "\n%s\n", all ? "All held." : "Not all held.");
  return all;
}

/* Enter on the terminal. */
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
  view_print (stdout, "  both WebSockets are cut\n");
  return G_SOURCE_CONTINUE;
}

static void
on_state_changed (TcpTunnel      *tunnel,
                  TcpTunnelState  state,
                  gpointer        data)
{
  view_print (stdout, "  %s\n", format_state (state));
}

static void
keep (Demo *self)
{
  guint single = tunnel_port (self->single);
  guint many = tunnel_port (self->many);
  g_autofree char *uri = tcp_gateway_dup_uri (self->gateway);
  g_autoptr (GIOChannel) input = NULL;
  g_autoptr (TunnelLine) status = NULL;

  print_title ("Still up. To try in another terminal:");
  view_print (stdout,
              "  nc 127.0.0.1 %u\n"
              "      what you type comes back\n"
              "  curl -o /dev/null http://127.0.0.1:%u/1024\n"
              "      1024 MiB through the multiplexed tunnel, any number at a time\n"
              "  TCP_TUNNEL_TOKEN=" DEMO_TOKEN " tcp-tunnel connect %s\n"
              "      a tunnel of your own to the same gateway\n\n",
              single, many, uri);
  if (isatty (STDIN_FILENO))
    {
      view_print (stdout, "Enter cuts the WebSockets. ");
      input = g_io_channel_unix_new (STDIN_FILENO);
      g_io_add_watch (input, G_IO_IN | G_IO_HUP, on_input, self);
    }
  view_print (stdout, "Ctrl-C ends it all.\n");
  g_signal_connect (self->single, "state-changed", G_CALLBACK (on_state_changed), NULL);
  if (view_is_live ())
    status = tunnel_line_new (self->single, "");
  g_main_loop_run (self->loop);
}

/* Before the end of the demo nothing is proven, so that is a failure. */
static gboolean
on_quit (gpointer data)
{
  Demo *self = data;

  if (!self->finished)
    {
      view_end ();
      view_print (stderr, "tcp-tunnel demo: stopped before the end\n");
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
                   "--size must be a whole number from 1 to %u, not '%s'", (guint) MAX_SIZE,
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
  guint64 size = DEFAULT_SIZE;
  int level = TCP_TUNNEL_LOG_LEVEL_ERROR;
  int status = EXIT_FAILED;

  if (!options_parse ("demo", NULL, "Show all that a tunnel does; needs nothing.", description,
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
    }
  else
    {
      options_failure ("demo", error);
    }
  demo_clear (&self);
  return status;
}
