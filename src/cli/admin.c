/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/admin.h"

#include <errno.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <libsoup/soup.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/admin-host.h"
#include "cli/describe.h"
#include "cli/format.h"
#include "cli/json.h"
#include "cli/ledger.h"
#include "cli/log.h"
#include "cli/metrics.h"
#include "cli/options.h"
#include "cli/ready.h"

enum
{
  MAX_CONNECTIONS = 32,   /* of clients; beyond that the oldest is closed */
  IDLE_TIMEOUT = 10,      /* s, without a byte */
  SHOWN_CONNECTIONS = 100,
  MAX_SHOWN_CONNECTIONS = 1000,
};

/* The path of the files of the page in the resources of the program. */
#define PAGE "/tcp-tunnel/"

/* The page loads nothing from other origins, and cannot be embedded in another page. */
#define POLICY "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; " \
               "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

struct _Admin
{
  TcpGateway *gateway;
  AdminState state;
  const AccessLog *log;
  Ledger *ledger;
  Ready *ready; /* NULL if the target is not checked */
  AdminHosts *hosts; /* NULL for any */
  GDateTime *started;
  gint64 began;
  SoupServer *server;
  GSocketService *service;
  char *path; /* of a Unix socket */
  GQueue connections; /* of GSocketConnection, not owned, oldest first */
};

typedef void (*AnswerFunc) (Admin             *self,
                            SoupServerMessage *message,
                            GHashTable        *query);

/* Answers */

static void
answer (SoupServerMessage *message,
        guint              status,
        const char        *type,
        const char        *text)
{
  /* libsoup has no name for this status. */
  soup_server_message_set_status (message, status,
                                  status == SOUP_STATUS_MISDIRECTED_REQUEST ? "Misdirected Request" : NULL);
  soup_server_message_set_response (message, type, SOUP_MEMORY_COPY, text, strlen (text));
}

static void
answer_text (SoupServerMessage *message,
             guint              status,
             const char        *text)
{
  answer (message, status, "text/plain; charset=utf-8", text);
}

static void
answer_health (Admin             *self,
               SoupServerMessage *message,
               GHashTable        *query)
{
  answer_text (message, SOUP_STATUS_OK, "ok\n");
}

static void
on_ready (const GError *error,
          gpointer      data)
{
  g_autoptr (SoupServerMessage) message = data;
  g_autofree char *text = error != NULL ? g_strdup_printf ("the target cannot be reached: %s\n", error->message) : NULL;

  answer_text (message, text == NULL ? SOUP_STATUS_OK : SOUP_STATUS_SERVICE_UNAVAILABLE, text == NULL ? "ok\n" : text);
  soup_server_message_unpause (message);
}

static void
answer_readiness (Admin             *self,
                  SoupServerMessage *message,
                  GHashTable        *query)
{
  if (self->state == ADMIN_STARTING)
    answer_text (message, SOUP_STATUS_SERVICE_UNAVAILABLE, "the gateway is starting\n");
  else if (self->state == ADMIN_DRAINING)
    answer_text (message, SOUP_STATUS_SERVICE_UNAVAILABLE, "the gateway is draining\n");
  else if (self->ready == NULL)
    answer_text (message, SOUP_STATUS_OK, "ok\n");
  else
    {
      soup_server_message_pause (message);
      ready_ask (self->ready, on_ready, g_object_ref (message));
    }
}

static void
answer_metrics (Admin             *self,
                SoupServerMessage *message,
                GHashTable        *query)
{
  g_autofree char *text = metrics_format (self->gateway, self->state == ADMIN_DRAINING, self->log);

  answer (message, SOUP_STATUS_OK, METRICS_TYPE, text);
}

static void
answer_status (Admin             *self,
               SoupServerMessage *message,
               GHashTable        *query)
{
  const char *wanted = query != NULL ? g_hash_table_lookup (query, "connections") : NULL;
  guint64 n = SHOWN_CONNECTIONS;
  JsonBuilder *builder;
  g_autofree char *started = g_date_time_format_iso8601 (self->started);
  g_autofree char *text = NULL;

  if (wanted != NULL && !g_ascii_string_to_unsigned (wanted, 10, 0, MAX_SHOWN_CONNECTIONS, &n, NULL))
    {
      answer_text (message, SOUP_STATUS_BAD_REQUEST, "connections must be a number from 0 to 1000\n");
      return;
    }

  builder = json_builder_new ();
  json_builder_begin_object (builder);
  event_add_string (builder, "version", TCP_TUNNEL_VERSION_S);
  event_add_int (builder, "pid", getpid ());
  event_add_string (builder, "started", started);
  event_add_int (builder, "uptime_ms", (g_get_monotonic_time () - self->began) / G_TIME_SPAN_MILLISECOND);
  json_builder_set_member_name (builder, "gateway");
  describe_gateway (builder, self->gateway, self->state == ADMIN_DRAINING);
  json_builder_set_member_name (builder, "metrics");
  json_builder_begin_object (builder);
  metrics_describe (self->gateway, builder);
  json_builder_end_object (builder);
  ledger_describe (self->ledger, n, builder);
  text = event_end_text (builder);
  answer (message, SOUP_STATUS_OK, "application/json", text);
}

static void
answer_file (SoupServerMessage *message,
             const char        *name,
             const char        *type)
{
  g_autofree char *path = g_strconcat (PAGE, name, NULL);
  g_autoptr (GBytes) bytes = g_resources_lookup_data (path, G_RESOURCE_LOOKUP_FLAGS_NONE, NULL);
  gsize size;
  const char *data = g_bytes_get_data (bytes, &size);

  soup_server_message_set_status (message, SOUP_STATUS_OK, NULL);
  soup_server_message_set_response (message, type, SOUP_MEMORY_COPY, data, size);
}

static void
answer_page (Admin             *self,
             SoupServerMessage *message,
             GHashTable        *query)
{
  answer_file (message, "status.html", "text/html; charset=utf-8");
}

static void
answer_style (Admin             *self,
              SoupServerMessage *message,
              GHashTable        *query)
{
  answer_file (message, "status.css", "text/css; charset=utf-8");
}

static void
answer_script (Admin             *self,
               SoupServerMessage *message,
               GHashTable        *query)
{
  answer_file (message, "status.js", "text/javascript; charset=utf-8");
}

static const struct
{
  const char *path;
  AnswerFunc func;
} answers[] = {
  { "/", answer_page },
  { "/healthz", answer_health },
  { "/metrics", answer_metrics },
  { "/readyz", answer_readiness },
  { "/status.css", answer_style },
  { "/status.js", answer_script },
  { "/status.json", answer_status },
};

/* Requests */

static void
set_headers (SoupServerMessage *message)
{
  SoupMessageHeaders *headers = soup_server_message_get_response_headers (message);

  soup_message_headers_replace (headers, "Cache-Control", "no-store");
  /* A server of libsoup's that does not listen itself closes after each answer, without announcing that. */
  soup_message_headers_replace (headers, "Connection", "close");
  soup_message_headers_replace (headers, "Content-Security-Policy", POLICY);
  soup_message_headers_replace (headers, "Cross-Origin-Resource-Policy", "same-origin");
  soup_message_headers_replace (headers, "Referrer-Policy", "no-referrer");
  soup_message_headers_replace (headers, "X-Content-Type-Options", "nosniff");
}

static void
on_request (SoupServer        *server,
            SoupServerMessage *message,
            const char        *path,
            GHashTable        *query,
            gpointer           data)
{
  Admin *self = data;
  const char *method = soup_server_message_get_method (message);
  const char *host = soup_message_headers_get_one (soup_server_message_get_request_headers (message), "Host");

  set_headers (message);
  if (self->hosts != NULL && !admin_hosts_allow (self->hosts, host))
    {
      answer_text (message, SOUP_STATUS_MISDIRECTED_REQUEST,
                   "This is not asked for by that name; --admin-host gives it another.\n");
      return;
    }
  if (strcmp (method, SOUP_METHOD_GET) != 0 && strcmp (method, SOUP_METHOD_HEAD) != 0)
    {
      soup_message_headers_replace (soup_server_message_get_response_headers (message), "Allow", "GET, HEAD");
      answer_text (message, SOUP_STATUS_METHOD_NOT_ALLOWED, "Nothing can be changed here.\n");
      return;
    }

  for (guint i = 0; i < G_N_ELEMENTS (answers); i++)
    if (strcmp (path, answers[i].path) == 0)
      {
        answers[i].func (self, message, query);
        return;
      }
  answer_text (message, SOUP_STATUS_NOT_FOUND, "There is nothing at this path.\n");
}

/* The body of a request is not used, and not kept. */
static void
on_request_started (SoupServer        *server,
                    SoupServerMessage *message,
                    gpointer           data)
{
  soup_message_body_set_accumulate (soup_server_message_get_request_body (message), FALSE);
}

/* Connections */

static void
on_connection_gone (gpointer  data,
                    GObject  *connection)
{
  Admin *self = data;

  g_queue_remove (&self->connections, connection);
}

static gboolean
on_incoming (GSocketService    *service,
             GSocketConnection *connection,
             GObject           *source,
             gpointer           data)
{
  Admin *self = data;
  GSocket *socket = g_socket_connection_get_socket (connection);
  g_autoptr (GSocketAddress) local = g_socket_connection_get_local_address (connection, NULL);
  g_autoptr (GSocketAddress) remote = g_socket_connection_get_remote_address (connection, NULL);

  if (self->connections.length == MAX_CONNECTIONS)
    {
      GSocketConnection *oldest = self->connections.head->data;

      g_socket_shutdown (g_socket_connection_get_socket (oldest), TRUE, TRUE, NULL);
    }
  /* They are removed when libsoup has detected that. */
  if (self->connections.length >= 2 * MAX_CONNECTIONS)
    return TRUE;

  g_socket_set_timeout (socket, IDLE_TIMEOUT);
  g_queue_push_tail (&self->connections, connection);
  g_object_weak_ref (G_OBJECT (connection), on_connection_gone, self);
  soup_server_accept_iostream (self->server, G_IO_STREAM (connection), local, remote, NULL);
  return TRUE;
}

/* Listening */

/* Removes a socket on which no program listens. */
static gboolean
remove_stale (const char *path)
{
  g_autoptr (GSocketAddress) address = g_unix_socket_address_new (path);
  g_autoptr (GSocket) socket = g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, NULL);
  g_autoptr (GError) error = NULL;
  struct stat info;

  return socket != NULL && lstat (path, &info) == 0 && S_ISSOCK (info.st_mode) &&
         !g_socket_connect (socket, address, NULL, &error) &&
         g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED) && g_unlink (path) == 0;
}

static gboolean
listen_unix (Admin       *self,
             const char  *path,
             GError     **error)
{
  g_autoptr (GSocket) socket = NULL;
  g_autoptr (GSocketAddress) address = NULL;

  if (strlen (path) > 107)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_FILENAME_TOO_LONG, _("the path has more than 107 bytes"));
      return FALSE;
    }

  address = g_unix_socket_address_new (path);
  socket = g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, error);
  if (socket == NULL)
    return FALSE;
  if (!g_socket_bind (socket, address, FALSE, NULL) &&
      (!remove_stale (path) || !g_socket_bind (socket, address, FALSE, NULL)))
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE,
                           _("the path cannot be bound, or another program listens there"));
      return FALSE;
    }

  self->path = g_strdup (path);
  /* No client can connect before the server listens. */
  if (g_chmod (path, 0660) != 0)
    {
      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), _("the mode cannot be set: %s"), g_strerror (errno));
      return FALSE;
    }
  return g_socket_listen (socket, error) &&
         g_socket_listener_add_socket (G_SOCKET_LISTENER (self->service), socket, NULL, error);
}

static void
announce (Admin          *self,
          GSocketAddress *address,
          gboolean        is_loopback)
{
  g_autofree char *text = format_address (address);

  log_info ("status and metrics are at http://%s/", text);
  if (!is_loopback)
    log_warn ("everybody who can reach %s can see the status of the gateway, with the names and addresses of its clients",
              text);
}

static gboolean
listen_inet (Admin       *self,
             const char  *host,
             guint        port,
             GError     **error)
{
  g_autoptr (GSocketConnectable) name = g_network_address_new (host, port);
  g_autoptr (GSocketAddressEnumerator) addresses = g_socket_connectable_enumerate (name);
  gboolean any = FALSE;

  while (TRUE)
    {
      g_autoptr (GSocketAddress) address = g_socket_address_enumerator_next (addresses, NULL, any ? NULL : error);
      g_autoptr (GSocketAddress) bound = NULL;
      GInetAddress *inet;

      if (address == NULL)
        return any;
      if (!g_socket_listener_add_address (G_SOCKET_LISTENER (self->service), address, G_SOCKET_TYPE_STREAM,
                                          G_SOCKET_PROTOCOL_TCP, NULL, &bound, error))
        return FALSE;
      inet = g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (bound));
      announce (self, bound, g_inet_address_get_is_loopback (inet));
      any = TRUE;
      /* Another address would get another port. */
      if (port == 0)
        return TRUE;
    }
}

/* A gateway that is never started has the properties for the address. */
static TcpGateway *
read_listen (const char  *option,
             const char  *text,
             GError     **error)
{
  g_autoptr (TcpGateway) place = tcp_gateway_new (NULL);

  /* It would be taken each time that this is read. */
  if (options_is_activated (text))
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   _("%s must be HOST:PORT, [IPV6]:PORT, PORT (0 to 65535) or unix:PATH, not '%s'"), option, text);
      return NULL;
    }
  g_object_set (place, "hostname", "127.0.0.1", NULL);
  return options_read_listen (option, text, G_OBJECT (place), error) ? g_steal_pointer (&place) : NULL;
}

/**
 * admin_check_listen:
 * @option: the name of the option, for messages
 * @text: (nullable): where to listen
 */
gboolean
admin_check_listen (const char  *option,
                    const char  *text,
                    GError     **error)
{
  g_autoptr (TcpGateway) place = read_listen (option, text, error);

  return place != NULL;
}

static gboolean
admin_listen (Admin               *self,
              const AdminOptions  *options,
              GError             **error)
{
  g_autoptr (TcpGateway) place = read_listen ("--admin", options->listen, error);
  g_autofree char *host = NULL;
  g_autofree char *path = NULL;
  guint port;
  gboolean listens;

  if (place == NULL)
    return FALSE;
  g_object_get (place, "hostname", &host, "port", &port, "socket-path", &path, NULL);
  if (path == NULL)
    self->hosts = admin_hosts_new (host, options->hosts);
  listens = path != NULL ? listen_unix (self, path, error) : listen_inet (self, host, port, error);
  if (!listens)
    g_prefix_error (error, "--admin %s: ", options->listen);
  else if (path != NULL)
    log_info ("status and metrics are at unix:%s", path);
  return listens;
}

/**
 * admin_new:
 *
 * Answers requests from now on. @options need to be valid only during this call, except the log.
 *
 * Returns: (nullable): the listener
 */
Admin *
admin_new (TcpGateway          *gateway,
           const AdminOptions  *options,
           GError             **error)
{
  g_autoptr (Admin) self = g_new0 (Admin, 1);

  self->gateway = g_object_ref (gateway);
  self->log = options->log;
  self->ledger = ledger_new (gateway);
  self->ready = options->check_target ? ready_new (gateway) : NULL;
  self->started = g_date_time_new_now_utc ();
  self->began = g_get_monotonic_time ();
  self->server = soup_server_new (NULL, NULL);
  soup_server_add_handler (self->server, NULL, on_request, self, NULL);
  g_signal_connect (self->server, "request-started", G_CALLBACK (on_request_started), NULL);
  self->service = g_socket_service_new ();
  g_signal_connect (self->service, "incoming", G_CALLBACK (on_incoming), self);
  if (!admin_listen (self, options, error))
    return NULL;
  return g_steal_pointer (&self);
}

void
admin_free (Admin *self)
{
  g_signal_handlers_disconnect_by_data (self->service, self);
  g_socket_service_stop (self->service);
  g_socket_listener_close (G_SOCKET_LISTENER (self->service));
  g_object_unref (self->service);
  if (self->path != NULL)
    g_unlink (self->path);
  g_clear_pointer (&self->ready, ready_free);
  while (self->connections.length > 0)
    g_object_weak_unref (g_queue_pop_head (&self->connections), on_connection_gone, self);
  soup_server_disconnect (self->server);
  g_object_unref (self->server);
  g_clear_pointer (&self->hosts, admin_hosts_free);
  ledger_free (self->ledger);
  g_date_time_unref (self->started);
  g_object_unref (self->gateway);
  g_free (self->path);
  g_free (self);
}

void
admin_set_state (Admin      *self,
                 AdminState  state)
{
  self->state = state;
}
