/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <tcptunnel/tcptunnel.h>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/json.h"
#include "cli/log.h"
#include "cli/options.h"
#include "cli/status.h"
#include "cli/token.h"
#include "cli/view.h"

enum
{
  STATISTICS_INTERVAL = 1, /* s */
};

static struct
{
  char *token_file;
  char *token;
  char *listen;
  char *mode;
  char *resumption;
  char *max_reconnect_attempts;
  char *reconnect_delay;
  char *max_reconnect_delay;
  char *ca;
  char **headers;
  char *log_level;
  gboolean json;
  gboolean quiet;
} options;

static const GOptionEntry entries[] = {
  { "token-file", 0, 0, G_OPTION_ARG_FILENAME, &options.token_file,
    "File that holds the token", "FILE" },
  { "token", 0, 0, G_OPTION_ARG_STRING, &options.token,
    "The token itself", "TOKEN" },
  { "listen", 0, 0, G_OPTION_ARG_STRING, &options.listen,
    "Where to listen (default 127.0.0.1:0)", "HOST:PORT" },
  { "mode", 0, 0, G_OPTION_ARG_STRING, &options.mode,
    "singleton (default) or multiplexed", "MODE" },
  { "resumption", 0, 0, G_OPTION_ARG_STRING, &options.resumption,
    "auto (default), required or off", "WHETHER" },
  { "max-reconnect-attempts", 0, 0, G_OPTION_ARG_STRING, &options.max_reconnect_attempts,
    "Give up after so many (default 6)", "N" },
  { "reconnect-delay", 0, 0, G_OPTION_ARG_STRING, &options.reconnect_delay,
    "Wait before the first (default 1000)", "MS" },
  { "max-reconnect-delay", 0, 0, G_OPTION_ARG_STRING, &options.max_reconnect_delay,
    "The longest wait (default 30000)", "MS" },
  { "ca", 0, 0, G_OPTION_ARG_FILENAME, &options.ca,
    "PEM file of the authorities to trust", "FILE" },
  { "header", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.headers,
    "One more request header (repeatable)", "'K: V'" },
  { "log-level", 0, 0, G_OPTION_ARG_STRING, &options.log_level,
    "none, error, warn, info or debug", "LEVEL" },
  { "json", 0, 0, G_OPTION_ARG_NONE, &options.json,
    "Print events as JSON, one a line", NULL },
  { "quiet", 0, 0, G_OPTION_ARG_NONE, &options.quiet,
    "Only the first line and errors", NULL },
  G_OPTION_ENTRY_NULL,
};

static const char description[] =
    "The first line on stdout is 'listening on HOST:PORT'. Logs go to stderr. On\n"
    "a terminal a status line follows what happens.\n"
    "\n"
    "The token comes from --token-file, from --token, which other users may see\n"
    "for a moment, or else from the environment variable " TOKEN_VARIABLE ".\n"
    "\n"
    "Modes:\n"
    "  singleton    one TCP connection at a time, with a WebSocket of its own\n"
    "  multiplexed  many TCP connections over one WebSocket\n"
    "\n"
    "Resumption, which keeps connections when the WebSocket breaks, without loss:\n"
    "  auto         if the gateway can do it\n"
    "  required     or else end with an error\n"
    "  off          never: connections in singleton mode may lose what was on its\n"
    "               way, those in multiplexed mode are reset\n"
    "\n"
    "Exit status:\n"
    "  0  closed by SIGINT or SIGTERM\n"
    "  1  the tunnel ended on an error\n"
    "  2  wrong usage\n"
    "\n"
    "Examples:\n"
    "  tcp-tunnel connect wss://example.org/t --token-file token --listen 2222\n"
    "  ssh -p 2222 localhost\n";

typedef struct
{
  TcpTunnel *tunnel;
  GMainLoop *loop;
  GCancellable *cancellable;
  Status *status;
  char *token;
  gboolean listening;
  guint64 reported; /* the sum of what only grows, at the last statistics event */
  guint64 reported_retained;
  int exit_status;
} Connect;

static gboolean
read_tls (TcpTunnel  *tunnel,
          GError    **error)
{
  g_autoptr (GTlsDatabase) database = NULL;
  g_autofree char *path = NULL;

  if (options.ca == NULL)
    return TRUE;

  /* A relative name is refused. */
  path = g_canonicalize_filename (options.ca, NULL);
  database = g_tls_file_database_new (path, error);
  if (database == NULL)
    {
      g_prefix_error (error, "--ca %s: ", options.ca);
      return FALSE;
    }
  tcp_tunnel_set_tls_database (tunnel, database);
  return TRUE;
}

static gboolean
read_log_level (TcpTunnelLogLevel  *level,
                GError            **error)
{
  int value = TCP_TUNNEL_LOG_LEVEL_INFO;

  if (!options_read_enum ("--log-level", options.log_level, TCP_TYPE_TUNNEL_LOG_LEVEL, &value,
                          error))
    return FALSE;
  *level = options.quiet ? MIN (value, TCP_TUNNEL_LOG_LEVEL_ERROR) : value;
  return TRUE;
}

static TcpTunnel *
create_tunnel (const char  *uri,
               const char  *token,
               GError     **error)
{
  g_autoptr (TcpTunnel) tunnel = tcp_tunnel_new (uri, token);
  GObject *object = G_OBJECT (tunnel);
  TcpTunnelLogLevel level;
  int mode = TCP_TUNNEL_MODE_SINGLETON;
  int resumption = TCP_TUNNEL_RESUMPTION_AUTO;

  if (!options_read_listen (options.listen, object, error) ||
      !options_read_enum ("--mode", options.mode, TCP_TYPE_TUNNEL_MODE, &mode, error) ||
      !options_read_enum ("--resumption", options.resumption, TCP_TYPE_TUNNEL_RESUMPTION,
                          &resumption, error) ||
      !options_read_uint ("--max-reconnect-attempts", options.max_reconnect_attempts, 1, object,
                          "max-reconnect-attempts", error) ||
      !options_read_uint ("--reconnect-delay", options.reconnect_delay, 1, object,
                          "reconnect-delay", error) ||
      !options_read_uint ("--max-reconnect-delay", options.max_reconnect_delay, 1, object,
                          "max-reconnect-delay", error) ||
      !read_tls (tunnel, error) || !read_log_level (&level, error))
    return NULL;

  tcp_tunnel_set_mode (tunnel, mode);
  tcp_tunnel_set_resumption (tunnel, resumption);
  tcp_tunnel_set_log_level (tunnel, level);
  tcp_tunnel_set_request_headers (tunnel, (const char *const *) options.headers);
  log_init (level);
  return g_steal_pointer (&tunnel);
}

static void
report_state (TcpTunnelState state)
{
  JsonBuilder *event = event_begin ("state-changed");

  event_add_string (event, "state", status_state_name (state));
  event_end (event);
}

/* The first line is that of the port, whatever comes before it. */
static void
on_state_changed (TcpTunnel      *tunnel,
                  TcpTunnelState  state,
                  Connect        *self)
{
  if (options.json && self->listening)
    report_state (state);
}

static void
on_connection_opened (TcpTunnel      *tunnel,
                      guint64         id,
                      GSocketAddress *peer,
                      Connect        *self)
{
  JsonBuilder *event;

  if (!options.json)
    return;
  event = event_begin ("connection-opened");
  event_add_int (event, "id", id);
  if (G_IS_INET_SOCKET_ADDRESS (peer))
    {
      g_autofree char *text = format_address (G_INET_SOCKET_ADDRESS (peer));

      event_add_string (event, "peer", text);
    }
  event_end (event);
}

static void
on_connection_closed (TcpTunnel *tunnel,
                      guint64    id,
                      GError    *error,
                      Connect   *self)
{
  JsonBuilder *event;

  if (!options.json)
    return;
  event = event_begin ("connection-closed");
  event_add_int (event, "id", id);
  event_add_error (event, error);
  event_end (event);
}

static void
add_statistics (JsonBuilder *event,
                Connect     *self)
{
  event_add_int (event, "bytes_sent", tcp_tunnel_get_bytes_sent (self->tunnel));
  event_add_int (event, "bytes_received", tcp_tunnel_get_bytes_received (self->tunnel));
  event_add_int (event, "open_connections", tcp_tunnel_get_open_connections (self->tunnel));
  event_add_int (event, "total_connections", tcp_tunnel_get_total_connections (self->tunnel));
  event_add_int (event, "reconnects", tcp_tunnel_get_reconnects (self->tunnel));
  event_add_int (event, "resumes", tcp_tunnel_get_resumes (self->tunnel));
  event_add_int (event, "bytes_replayed", tcp_tunnel_get_bytes_replayed (self->tunnel));
}

static gboolean
report_statistics (gpointer data)
{
  Connect *self = data;
  guint64 count = tcp_tunnel_get_bytes_sent (self->tunnel) +
                  tcp_tunnel_get_bytes_received (self->tunnel) +
                  tcp_tunnel_get_bytes_replayed (self->tunnel) +
                  tcp_tunnel_get_reconnects (self->tunnel);
  guint64 retained = tcp_tunnel_get_retained_bytes (self->tunnel);
  JsonBuilder *event;

  if (count == self->reported && retained == self->reported_retained)
    return G_SOURCE_CONTINUE;

  self->reported = count;
  self->reported_retained = retained;
  event = event_begin ("statistics");
  add_statistics (event, self);
  event_add_int (event, "retained_bytes", retained);
  event_add_int (event, "receive_window", tcp_tunnel_get_receive_window (self->tunnel));
  event_add_int (event, "send_window", tcp_tunnel_get_send_window (self->tunnel));
  event_add_int (event, "round_trip_us", tcp_tunnel_get_round_trip (self->tunnel));
  event_end (event);
  return G_SOURCE_CONTINUE;
}

/* Says why, unless the log has just done so. */
static void
fail (Connect      *self,
      const GError *error,
      gboolean      logged)
{
  g_clear_pointer (&self->status, status_free);
  if (options.json)
    {
      JsonBuilder *event = event_begin ("failed");

      event_add_error (event, error);
      event_end (event);
    }
  self->exit_status = logged ? EXIT_FAILED : options_failure ("connect", error);
  g_main_loop_quit (self->loop);
}

static void
on_failed (TcpTunnel *tunnel,
           GError    *error,
           Connect   *self)
{
  fail (self, error, tcp_tunnel_get_log_level (tunnel) >= TCP_TUNNEL_LOG_LEVEL_ERROR);
}

/* The gateway refused the token. One that expires may have been replaced in its
 * file meanwhile; without another the tunnel gives up. */
static void
on_token_required (TcpTunnel *tunnel,
                   Connect   *self)
{
  g_autofree char *token = token_read_file (options.token_file, NULL);

  if (g_strcmp0 (token, self->token) == 0)
    g_clear_pointer (&token, g_free);
  tcp_tunnel_set_token (tunnel, token);
  g_free (self->token);
  self->token = g_steal_pointer (&token);
}

static gboolean
on_quit (gpointer data)
{
  Connect *self = data;

  g_cancellable_cancel (self->cancellable);
  g_main_loop_quit (self->loop);
  return G_SOURCE_REMOVE;
}

static void
report_listening (Connect *self)
{
  GInetSocketAddress *address = tcp_tunnel_get_local_address (self->tunnel);
  g_autofree char *text = format_address (address);

  self->listening = TRUE;
  if (options.json)
    {
      g_autofree char *host =
          g_inet_address_to_string (g_inet_socket_address_get_address (address));
      JsonBuilder *event = event_begin ("listening");

      event_add_string (event, "address", text);
      event_add_string (event, "host", host);
      event_add_int (event, "port", g_inet_socket_address_get_port (address));
      event_end (event);
      report_state (tcp_tunnel_get_state (self->tunnel));
      g_timeout_add_seconds (STATISTICS_INTERVAL, report_statistics, self);
      return;
    }
  view_print (stdout, "listening on %s\n", text);
  if (view_is_live ())
    self->status = status_new (self->tunnel);
}

static void
on_started (GObject      *object,
            GAsyncResult *result,
            gpointer      data)
{
  Connect *self = data;
  g_autoptr (GError) error = NULL;

  if (tcp_tunnel_start_finish (self->tunnel, result, &error))
    report_listening (self);
  else if (!g_cancellable_is_cancelled (self->cancellable))
    fail (self, error, FALSE);
}

static void
run (Connect *self)
{
  g_signal_connect (self->tunnel, "state-changed", G_CALLBACK (on_state_changed), self);
  g_signal_connect (self->tunnel, "connection-opened", G_CALLBACK (on_connection_opened), self);
  g_signal_connect (self->tunnel, "connection-closed", G_CALLBACK (on_connection_closed), self);
  g_signal_connect (self->tunnel, "failed", G_CALLBACK (on_failed), self);
  if (options.token_file != NULL)
    g_signal_connect (self->tunnel, "token-required", G_CALLBACK (on_token_required), self);
  options_on_signal (on_quit, self);
  tcp_tunnel_start_async (self->tunnel, self->cancellable, on_started, self);
  g_main_loop_run (self->loop);

  g_clear_pointer (&self->status, status_free);
  tcp_tunnel_close (self->tunnel);
  if (options.json && self->listening)
    {
      JsonBuilder *event = event_begin ("closed");

      add_statistics (event, self);
      event_end (event);
    }
}

static const char *
find_uri (char   **args,
          GError **error)
{
  guint n = g_strv_length (args);

  if (n == 2)
    return args[1];
  if (n < 2)
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                 "the URL of the gateway is missing, such as wss://example.org/");
  else
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                 "one URL is enough, '%s' is one too many", args[2]);
  return NULL;
}

int
connect_main (char ***args)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *token = NULL;
  Connect self = { 0 };
  const char *uri;

  if (!options_parse ("connect", "URL", "Open a local TCP port whose connections travel to URL.",
                      description, entries, args, &error) ||
      (uri = find_uri (*args, &error)) == NULL ||
      (token = token_load (options.token, options.token_file, &error)) == NULL ||
      (self.tunnel = create_tunnel (uri, token, &error)) == NULL)
    return options_usage ("connect", error);

  view_init (!options.json && !options.quiet);
  self.token = g_steal_pointer (&token);
  self.loop = g_main_loop_new (NULL, FALSE);
  self.cancellable = g_cancellable_new ();
  run (&self);

  g_object_unref (self.tunnel);
  g_object_unref (self.cancellable);
  g_main_loop_unref (self.loop);
  g_free (self.token);
  return self.exit_status;
}
