/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdlib.h>
#include <string.h>
#include <tcptunnel/tcptunnel.h>

#include "cli/commands.h"
#include "cli/describe.h"
#include "cli/format.h"
#include "cli/log.h"
#include "cli/notify.h"
#include "cli/options.h"
#include "cli/process.h"
#include "cli/status-server.h"
#include "cli/token.h"
#include "cli/view.h"

static struct
{
  char *target;
  char *listen;
  char *path;
  char **allow;
  char **reverse_ports;
  char *token_file;
  char *token;
  char **trusted_proxies;
  char *proxy_protocol;
  char *tls_cert;
  char *tls_key;
  char *resumption;
  char *session_timeout;
  char *drain_timeout;
  char *max_connections;
  char *max_memory;
  char *max_dials;
  char *max_principal_sessions;
  char *max_principal_connections;
  char *max_principal_dials;
  char *max_principal_memory;
  char *log_level;
} options;

enum
{
  DRAIN_TIMEOUT = 10000, /* ms */
};

static const GOptionEntry entries[] = {
  { "target", 0, 0, G_OPTION_ARG_STRING, &options.target,
    "The TCP service to connect to", "HOST:PORT" },
  { "allow", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.allow,
    "Targets clients may ask for (repeatable)", "HOST:PORT" },
  { "reverse-ports", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.reverse_ports,
    "Ports for reverse tunnels (repeatable)", "PORTS" },
  { "listen", 0, 0, G_OPTION_ARG_STRING, &options.listen,
    "Where to listen, or unix:PATH (127.0.0.1:0)", "HOST:PORT" },
  { "path", 0, 0, G_OPTION_ARG_STRING, &options.path,
    "Path to serve, '*' for any (default /)", "PATH" },
  { "token-file", 0, 0, G_OPTION_ARG_FILENAME, &options.token_file,
    "File of the tokens to accept", "FILE" },
  { "token", 0, 0, G_OPTION_ARG_STRING, &options.token,
    "The one token to accept", "TOKEN" },
  { "trusted-proxy", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.trusted_proxies,
    "A reverse proxy, or a network; repeatable", "ADDRESS" },
  { "proxy-protocol", 0, 0, G_OPTION_ARG_STRING, &options.proxy_protocol,
    "Header to targets: v2 or none (default)", "VERSION" },
  { "tls-cert", 0, 0, G_OPTION_ARG_FILENAME, &options.tls_cert,
    "PEM file of the certificate, for wss://", "FILE" },
  { "tls-key", 0, 0, G_OPTION_ARG_FILENAME, &options.tls_key,
    "PEM file of its private key", "FILE" },
  { "resumption", 0, 0, G_OPTION_ARG_STRING, &options.resumption,
    "auto (default), required or off", "WHETHER" },
  { "session-timeout", 0, 0, G_OPTION_ARG_STRING, &options.session_timeout,
    "How long to keep a session (default 300s)", "TIME" },
  { "drain-timeout", 0, 0, G_OPTION_ARG_STRING, &options.drain_timeout,
    "How long to drain (default 10s)", "TIME" },
  { "max-connections", 0, 0, G_OPTION_ARG_STRING, &options.max_connections,
    "Clients, and target connections (20000)", "N" },
  { "max-memory", 0, 0, G_OPTION_ARG_STRING, &options.max_memory,
    "Memory that clients may use", "MIB" },
  { "max-dials", 0, 0, G_OPTION_ARG_STRING, &options.max_dials,
    "Targets dialled at a time (default 256)", "N" },
  { "max-principal-sessions", 0, 0, G_OPTION_ARG_STRING, &options.max_principal_sessions,
    "Clients of one name", "N" },
  { "max-principal-connections", 0, 0, G_OPTION_ARG_STRING, &options.max_principal_connections,
    "Target connections of one name", "N" },
  { "max-principal-dials", 0, 0, G_OPTION_ARG_STRING, &options.max_principal_dials,
    "Targets dialled at a time for one name", "N" },
  { "max-principal-memory", 0, 0, G_OPTION_ARG_STRING, &options.max_principal_memory,
    "Memory that clients of one name may use", "MIB" },
  { "log-level", 0, 0, G_OPTION_ARG_STRING, &options.log_level,
    "none, error, warn, info (default) or debug", "LEVEL" },
  G_OPTION_ENTRY_NULL,
};

static const char description[] =
    "The first line on stdout is 'listening on ws://HOST:PORT/'. Logs go to stderr.\n"
    "To be reached from other machines, listen on 0.0.0.0:PORT or [::]:PORT.\n"
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
    "or their network.\n"
    "\n"
    "With --reverse-ports 57090-57099 clients may show services of their own here:\n"
    "the gateway listens on these ports of 127.0.0.1, or of the address in\n"
    "0.0.0.0:57090-57099, and whoever connects there needs no token. Those of\n"
    "alice@57090-57099 are for the clients of that name only.\n"
    "\n"
    "Sessions of clients that can do so are resumed, without loss, when their\n"
    "WebSocket breaks. With --resumption required, other clients are refused.\n"
    "\n"
    "After SIGINT or SIGTERM the gateway drains: it takes no new connections, and\n"
    "open ones may go on for --drain-timeout. A second signal ends them. At SIGHUP it\n"
    "reads its token file, its certificate and its key again, and sessions go on.\n"
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

/* A path with any of these would be valid, and no URL could ever have it. */
static gboolean
read_path (TcpGateway  *gateway,
           GError     **error)
{
  if (options.path == NULL)
    return TRUE;
  if (strcmp (options.path, "*") == 0)
    {
      g_object_set (gateway, "path", NULL, NULL);
      return TRUE;
    }
  if (*options.path != '/' || strpbrk (options.path, "*?# ") != NULL)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   "--path must be the path of a URL, such as /v1/device, or '*' for any, not '%s'", options.path);
      return FALSE;
    }

  g_object_set (gateway, "path", options.path, NULL);
  return TRUE;
}

static gboolean
read_tls (TcpGateway  *gateway,
          GError     **error)
{
  g_autoptr (GTlsCertificate) certificate = NULL;

  if (options.tls_cert == NULL && options.tls_key == NULL)
    return TRUE;
  if (options.tls_cert == NULL || options.tls_key == NULL)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                   "--tls-cert and --tls-key go together");
      return FALSE;
    }

  certificate = g_tls_certificate_new_from_files (options.tls_cert, options.tls_key, error);
  if (certificate == NULL)
    {
      g_prefix_error (error, "--tls-cert %s, --tls-key %s: ", options.tls_cert, options.tls_key);
      return FALSE;
    }
  g_object_set (gateway, "tls-certificate", certificate, NULL);
  return TRUE;
}

/* A file of tokens goes to the gateway as it is: it holds the names, too. */
static gboolean
read_token (TcpGateway  *gateway,
            GError     **error)
{
  g_autofree char *token = NULL;

  if (options.token_file != NULL && options.token == NULL)
    {
      g_object_set (gateway, "token-file", options.token_file, NULL);
      return TRUE;
    }
  token = token_load (options.token, options.token_file, error);
  tcp_gateway_set_token (gateway, token);
  return token != NULL;
}

static TcpGateway *
create_gateway (guint   *drain_timeout,
                GError **error)
{
  g_autoptr (TcpGateway) gateway = NULL;
  int level = TCP_TUNNEL_LOG_LEVEL_INFO;
  int proxy_protocol = TCP_PROXY_PROTOCOL_NONE;
  int resumption = TCP_TUNNEL_RESUMPTION_AUTO;

  if (options.target == NULL)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                   "--target HOST:PORT is missing, the TCP service to connect to");
      return NULL;
    }

  gateway = tcp_gateway_new (options.target);
  if (!options_read_listen ("--listen", options.listen, G_OBJECT (gateway), error) ||
      !read_path (gateway, error) ||
      !options_read_duration_property ("--session-timeout", options.session_timeout, 1000, G_OBJECT (gateway),
                                       "session-timeout", error) ||
      !options_read_duration ("--drain-timeout", options.drain_timeout, 1000, G_MAXUINT, drain_timeout,
                              error) ||
      !options_read_uint ("--max-connections", options.max_connections, 1, G_OBJECT (gateway), "max-connections", error) ||
      !options_read_memory ("--max-memory", options.max_memory, 8, G_OBJECT (gateway), "max-memory", error) ||
      !options_read_uint ("--max-dials", options.max_dials, 1, G_OBJECT (gateway), "max-dials", error) ||
      !options_read_uint ("--max-principal-sessions", options.max_principal_sessions, 1, G_OBJECT (gateway),
                          "max-principal-sessions", error) ||
      !options_read_uint ("--max-principal-connections", options.max_principal_connections, 1, G_OBJECT (gateway),
                          "max-principal-connections", error) ||
      !options_read_uint ("--max-principal-dials", options.max_principal_dials, 1, G_OBJECT (gateway),
                          "max-principal-dials", error) ||
      !options_read_memory ("--max-principal-memory", options.max_principal_memory, 4, G_OBJECT (gateway),
                            "max-principal-memory", error) ||
      !options_read_enum ("--proxy-protocol", options.proxy_protocol, TCP_TYPE_PROXY_PROTOCOL, &proxy_protocol, error) ||
      !options_read_enum ("--resumption", options.resumption, TCP_TYPE_TUNNEL_RESUMPTION,
                          &resumption, error) ||
      !options_read_enum ("--log-level", options.log_level, TCP_TYPE_TUNNEL_LOG_LEVEL, &level,
                          error) ||
      !read_token (gateway, error) || !read_tls (gateway, error))
    return NULL;

  g_object_set (gateway, "trusted-proxies", (const char *const *) options.trusted_proxies,
                "allow", (const char *const *) options.allow, "reverse-ports", options.reverse_ports,
                "proxy-protocol", proxy_protocol, "resumption", resumption, "log-level", level, NULL);
  log_init (level);
  return g_steal_pointer (&gateway);
}

typedef struct
{
  TcpGateway *gateway;
  GCancellable *starting; /* NULL once it runs */
  GError *error;          /* of the start */
  guint drain_timeout;    /* ms */
  guint quits;            /* signals to end */
  gboolean reloading;
  gboolean reload_again;  /* when it has started, or reloaded */
  gboolean over;
  gboolean has_terminal; /* at the start */
} Gateway;

static void gateway_reload (Gateway *self);

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

static gboolean
on_quit (gpointer data)
{
  Gateway *self = data;

  notify_send ("STOPPING=1");
  self->quits++;
  /* The file of the tokens may be a pipe that nobody writes to. */
  if (self->starting != NULL)
    g_cancellable_cancel (self->starting);
  else if (self->quits > 1 || self->drain_timeout == 0)
    self->over = TRUE;
  else
    tcp_gateway_drain_async (self->gateway, self->drain_timeout, NULL, on_drained, self);
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
  if (self->reload_again)
    gateway_reload (self);
}

static void
gateway_reload (Gateway *self)
{
  g_autoptr (GError) error = NULL;

  self->reload_again = FALSE;
  notify_send ("RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT, g_get_monotonic_time ());
  if (!read_tls (self->gateway, &error))
    {
      log_warn ("nothing has changed: %s", error->message);
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
  if (self->starting != NULL || self->reloading)
    self->reload_again = TRUE;
  else
    gateway_reload (self);
  return G_SOURCE_CONTINUE;
}

int
gateway_main (char ***args)
{
  Gateway self = { .drain_timeout = DRAIN_TIMEOUT };
  g_autoptr (TcpGateway) gateway = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *uri = NULL;
  g_autoptr (StatusServer) server = NULL;
  int code;

  if (!options_parse ("gateway", NULL,
                      "Accept WebSockets and connect those with a valid token to a TCP service.",
                      description, entries, args, &error) ||
      (gateway = create_gateway (&self.drain_timeout, &error)) == NULL)
    return options_usage ("gateway", error);

  self.gateway = gateway;
  self.has_terminal = process_has_terminal ();
  options_on_signal (on_quit, on_hang_up, &self);
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
        g_prefix_error (&error, "--tls-cert %s, --tls-key %s: ", options.tls_cert, options.tls_key);
      return options_failure ("gateway", error);
    }
  /* The signal may have come when the start could not be cancelled any more. */
  if (self.quits > 0)
    {
      tcp_endpoint_close (TCP_ENDPOINT (gateway));
      return EXIT_SUCCESS;
    }
  server = status_server_new ("gateway", describe, &self);
  uri = format_gateway (gateway);
  code = view_print (stdout, "listening on %s\n", uri);
  if (code != 0)
    {
      error = options_stdout_error (code);
      return options_failure ("gateway", error);
    }
  notify_send ("READY=1\nSTATUS=listening on %s", uri);
  if (self.reload_again)
    gateway_reload (&self);
  while (!self.over)
    g_main_context_iteration (NULL, TRUE);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  return EXIT_SUCCESS;
}
