/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/server.h"

#include <libsoup/soup.h>
#include <string.h>
#include "base/listen.h"
#include "base/source.h"
#include "base/tsan.h"
#include "base/worker.h"
#include "channel/group.h"
#include "gateway/door.h"
#include "gateway/guest.h"
#include "gateway/request.h"
#include "session/budget.h"

/* How many sessions that have ended are remembered, to tell clients that come back. */
#define MAX_GONE 4096

struct _TcpServer
{
  gatomicrefcount refs;
  TcpWorker *worker;
  TcpGatewaySettings *settings;
  TcpAccess *access;
  TcpLog *log;
  TcpStatus *status;
  TcpEventQueue *events;

  /* From here on only touched on the I/O thread. */
  GCancellable *resolving;
  SoupServer *soup;
  TcpDoor *door;
  TcpChannelGroup *channels;
  TcpBudget *budget;
  GHashTable *guests;   /* set of TcpGuest */
  GHashTable *sessions; /* id → TcpGuest, of those that have an id */
  GHashTable *gone;     /* set of ids */
  GQueue gone_order;    /* of ids, the oldest first; owned by the set */
  gboolean started;
  gboolean draining;
  GArray *drains; /* ids of those who wait for it */
  GSource *drain_deadline;
  gboolean closed;
};

/* A client without a connection, which may stay for ever, is not waited for. From the top
 * of the main loop: guests are in the middle of something. */
static void
server_check_drained (TcpServer *self)
{
  if (self->drains->len > 0 && tcp_status_get (self->status, open_connections) == 0)
    g_source_set_ready_time (self->drain_deadline, 0);
}

/* Guests */

static void
on_guest_stream_opened (TcpGuest  *guest,
                        TcpStream *stream,
                        gpointer   user_data)
{
  TcpServer *self = user_data;
  guint64 id = tcp_stream_get_serial (stream);

  tcp_log_debug (self->log, "connection %" G_GUINT64_FORMAT " was opened by %s", id, tcp_guest_get_principal (guest));
  tcp_event_queue_push_opened (self->events, id, NULL, tcp_guest_get_principal (guest));
}

static void
on_guest_stream_closed (TcpGuest     *guest,
                        TcpStream    *stream,
                        const GError *error,
                        gpointer      user_data)
{
  TcpServer *self = user_data;
  guint64 id = tcp_stream_get_serial (stream);

  if (error != NULL)
    tcp_log_warn (self->log, "connection %" G_GUINT64_FORMAT " of %s broke: %s", id,
                  tcp_guest_get_principal (guest), error->message);
  else
    tcp_log_debug (self->log, "connection %" G_GUINT64_FORMAT " was closed", id);
  tcp_event_queue_push_closed (self->events, id, error);
  server_check_drained (self);
}

static void
server_remember_gone (TcpServer  *self,
                      const char *id)
{
  char *copy = g_strdup (id);

  if (!g_hash_table_add (self->gone, copy))
    return;

  g_queue_push_tail (&self->gone_order, copy);
  if (g_queue_get_length (&self->gone_order) > MAX_GONE)
    g_hash_table_remove (self->gone, g_queue_pop_head (&self->gone_order));
}

static void
on_guest_ended (TcpGuest *guest,
                gpointer  user_data)
{
  TcpServer *self = user_data;
  const char *id = tcp_guest_get_session_id (guest);

  if (id != NULL)
    {
      server_remember_gone (self, id);
      g_hash_table_remove (self->sessions, id);
    }
  g_hash_table_remove (self->guests, guest);
}

static const TcpGuestCallbacks guest_callbacks = {
  .stream_opened = on_guest_stream_opened,
  .stream_closed = on_guest_stream_closed,
  .ended = on_guest_ended,
};

/* What a session can come back for. limrun's multiplexed connections do not outlive
 * their WebSocket. */
static const char *
request_session (TcpRequest *request)
{
  return request->multiplexed && !request->resumable ? NULL : request->session_id;
}

static TcpGuest *
server_find_or_add_guest (TcpServer  *self,
                          TcpRequest *request)
{
  const char *id = request_session (request);
  TcpGuest *guest = id != NULL ? g_hash_table_lookup (self->sessions, id) : NULL;

  if (guest != NULL)
    return guest;

  guest = tcp_guest_new (self->settings, request, self->budget, self->log, self->status, &guest_callbacks, self);
  g_hash_table_add (self->guests, guest);
  if (id != NULL)
    g_hash_table_insert (self->sessions, (char *) tcp_guest_get_session_id (guest), guest);
  return guest;
}

/* HTTP */

static gboolean
server_check_session (TcpServer  *self,
                      TcpRequest *request,
                      TcpRefusal *refusal)
{
  const char *id = request_session (request);
  TcpGuest *guest = id != NULL ? g_hash_table_lookup (self->sessions, id) : NULL;

  if (guest != NULL && !tcp_guest_has_ended (guest) && tcp_guest_is_resumable (guest) != request->resumable)
    return tcp_refuse (refusal, SOUP_STATUS_GONE, "The session cannot go on in another protocol.");
  if (guest != NULL && !tcp_guest_has_ended (guest))
    return strcmp (tcp_guest_get_principal (guest), request->principal) == 0 ||
           tcp_refuse (refusal, SOUP_STATUS_FORBIDDEN, "The session belongs to somebody else.");
  if (id != NULL && (guest != NULL || g_hash_table_contains (self->gone, id)))
    return tcp_refuse (refusal, SOUP_STATUS_GONE, "The session has ended.");
  if (self->draining)
    return tcp_refuse (refusal, SOUP_STATUS_SERVICE_UNAVAILABLE, "The gateway is shutting down; try again later.");
  if (g_hash_table_size (self->guests) >= self->settings->max_connections)
    return tcp_refuse (refusal, SOUP_STATUS_SERVICE_UNAVAILABLE, "There are too many clients; try again later.");

  return TRUE;
}

static gboolean
server_negotiate (TcpServer          *self,
                  TcpRequest         *request,
                  SoupMessageHeaders *headers,
                  TcpRefusal         *refusal)
{
  gboolean offered = tcp_resumable_is_offered (soup_message_headers_get_list (headers, TCP_RESUMABLE_HEADER));

  request->resumable = offered && self->settings->resumption != TCP_TUNNEL_RESUMPTION_OFF;
  if (!request->resumable && self->settings->resumption == TCP_TUNNEL_RESUMPTION_REQUIRED)
    return tcp_refuse (refusal, 426, "Sessions have to be resumable here: %s: %s is missing.", TCP_RESUMABLE_HEADER,
                       TCP_RESUMABLE_NAME);
  if (request->resumable && request->session_id == NULL)
    return tcp_refuse (refusal, SOUP_STATUS_BAD_REQUEST, "A session that is to be resumable needs a sessionId.");

  return TRUE;
}

/* Whether a WebSocket may be opened; if not, why. */
static TcpRequest *
server_examine (TcpServer         *self,
                SoupServerMessage *message,
                TcpRefusal        *refusal)
{
  GUri *uri = soup_server_message_get_uri (message);
  SoupMessageHeaders *headers = soup_server_message_get_request_headers (message);
  const char *principal;
  g_autoptr (TcpRequest) request = NULL;

  if (self->settings->path != NULL && strcmp (g_uri_get_path (uri), self->settings->path) != 0)
    {
      tcp_refuse (refusal, SOUP_STATUS_NOT_FOUND, "There is nothing at this path.");
      return NULL;
    }
  principal = tcp_access_find_header (self->access, soup_message_headers_get_one (headers, "Authorization"));
  if (principal == NULL)
    {
      tcp_refuse (refusal, SOUP_STATUS_UNAUTHORIZED, "A valid bearer token is needed.");
      return NULL;
    }
  if (strcmp (soup_server_message_get_method (message), "GET") != 0 ||
      soup_message_headers_get_content_length (headers) > 0 ||
      soup_message_headers_get_encoding (headers) == SOUP_ENCODING_CHUNKED)
    {
      tcp_refuse (refusal, SOUP_STATUS_METHOD_NOT_ALLOWED, "Only GET without a body is understood here.");
      return NULL;
    }
  if (!soup_message_headers_header_contains (headers, "Upgrade", "websocket"))
    {
      tcp_refuse (refusal, 426, "This is a TCP tunnel: it wants a WebSocket.");
      return NULL;
    }

  request = tcp_request_parse (g_uri_get_query (uri), refusal);
  if (request == NULL)
    return NULL;
  request->principal = g_strdup (principal);
  if (!server_negotiate (self, request, headers, refusal) || !server_check_session (self, request, refusal))
    return NULL;

  return g_steal_pointer (&request);
}

static void
answer (SoupServerMessage *message,
        TcpRefusal        *refusal)
{
  SoupMessageHeaders *headers = soup_server_message_get_response_headers (message);
  g_autofree char *body = g_strconcat (refusal->text, "\n", NULL);

  if (refusal->status == SOUP_STATUS_UNAUTHORIZED)
    soup_message_headers_replace (headers, "WWW-Authenticate", "Bearer");
  if (refusal->status == SOUP_STATUS_METHOD_NOT_ALLOWED)
    soup_message_headers_replace (headers, "Allow", "GET");
  if (refusal->status == 426)
    soup_message_headers_replace (headers, "Upgrade", "websocket");
  if (refusal->status == SOUP_STATUS_SERVICE_UNAVAILABLE)
    soup_message_headers_replace (headers, "Retry-After", "5");
  soup_server_message_set_status (message, refusal->status, refusal->status == 426 ? "Upgrade Required" : NULL);
  soup_server_message_set_response (message, "text/plain; charset=utf-8", SOUP_MEMORY_COPY, body, strlen (body));
}

/* When the headers are there: a body of a stranger is not waited for. */
static void
on_headers (SoupServer        *soup,
            SoupServerMessage *message,
            const char        *path,
            GHashTable        *query,
            gpointer           user_data)
{
  TcpServer *self = user_data;
  g_auto (TcpRefusal) refusal = { 0 };
  TcpRequest *request = server_examine (self, message, &refusal);

  if (request == NULL)
    {
      tcp_log_info (self->log, "a request from %s was answered %u: %s", soup_server_message_get_remote_host (message),
                    refusal.status, refusal.text);
      answer (message, &refusal);
      return;
    }

  g_object_set_data_full (G_OBJECT (message), "tcp-request", request, (GDestroyNotify) tcp_request_free);
}

static void
on_upgraded (SoupServerMessage *message,
             gpointer           user_data)
{
  TcpServer *self = user_data;
  TcpRequest *request = g_object_get_data (G_OBJECT (message), "tcp-request");
  g_autoptr (SoupServerMessage) kept G_GNUC_UNUSED = g_object_ref (message);
  g_autoptr (GUri) uri = g_uri_ref (soup_server_message_get_uri (message));
  g_autoptr (GSocket) socket = tcp_door_admit (self->door, message);
  g_autoptr (GIOStream) stream = soup_server_message_steal_connection (message);
  g_autoptr (TcpChannel) channel = NULL;
  TcpChannelOptions options = {
    .uri = uri,
    .socket = socket,
    .plain = self->settings->tls_certificate == NULL,
    .keepalive_interval = self->settings->keepalive_interval,
    .keepalive_timeout = self->settings->keepalive_timeout,
    .log = self->log,
    .group = self->channels,
  };
  g_auto (TcpRefusal) refusal = { 0 };

  channel = tcp_channel_new (stream, &options);
  /* The session may have ended, or another have begun, since the headers came. */
  if (!server_check_session (self, request, &refusal))
    {
      tcp_channel_close (channel, TCP_CLOSE_GOING_AWAY, refusal.text);
      tcp_channel_resume (channel);
      return;
    }

  tcp_log_info (self->log, "the client %s is connected (%s%s)", request->principal,
                request->multiplexed ? "multiplexed" : "singleton", request->resumable ? ", resumable" : "");
  tcp_guest_attach (server_find_or_add_guest (self, request), channel);
}

static void
on_request (SoupServer        *soup,
            SoupServerMessage *message,
            const char        *path,
            GHashTable        *query,
            gpointer           user_data)
{
  TcpRequest *request = g_object_get_data (G_OBJECT (message), "tcp-request");

  /* If not, libsoup has set the answer. No subprotocol and no extension is offered. */
  if (!soup_websocket_server_process_handshake (message, NULL, NULL, NULL, NULL))
    return;

  if (request->resumable)
    soup_message_headers_replace (soup_server_message_get_response_headers (message), TCP_RESUMABLE_HEADER,
                                  TCP_RESUMABLE_NAME);
  g_signal_connect (message, "wrote-informational", G_CALLBACK (on_upgraded), user_data);
}

/* Start and end */

static void
server_report_started (TcpServer      *self,
                       GSocketAddress *address,
                       const GError   *error)
{
  if (self->started)
    return;

  self->started = TRUE;
  tcp_event_queue_push_started (self->events, address, error);
}

static void
on_goodbyes_said (gpointer user_data)
{
  TcpServer *self = user_data;

  g_clear_pointer (&self->channels, tcp_channel_group_unref);
  tcp_worker_quit (self->worker);
  tcp_server_unref (self);
}

static void
server_shut_down (TcpServer *self)
{
  GHashTableIter iter;
  gpointer guest;

  if (self->closed)
    return;

  self->closed = TRUE;
  g_cancellable_cancel (self->resolving);
  g_array_set_size (self->drains, 0);
  tcp_source_clear (&self->drain_deadline);
  g_clear_pointer (&self->door, tcp_door_free);
  g_clear_object (&self->soup);

  g_hash_table_iter_init (&iter, self->guests);
  while (g_hash_table_iter_next (&iter, &guest, NULL))
    tcp_guest_close (guest);
  g_hash_table_remove_all (self->sessions);
  g_hash_table_remove_all (self->guests);

  tcp_channel_group_wait (self->channels, on_goodbyes_said, tcp_server_ref (self));
}

static gboolean
on_drain_deadline (gpointer user_data)
{
  TcpServer *self = tcp_server_ref (user_data);
  guint open = tcp_status_get (self->status, open_connections);

  if (open > 0)
    tcp_log_warn (self->log, "%u connections did not end in time", open);
  server_shut_down (self);
  tcp_event_queue_push_drained (self->events, 0, NULL);
  tcp_server_unref (self);
  return G_SOURCE_REMOVE;
}

static void
on_resolved (GObject      *object,
             GAsyncResult *result,
             gpointer      user_data)
{
  TcpServer *self;
  g_autoptr (GSocketAddress) effective = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocketAddress) address = tcp_resolve_finish (result, &error);

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return;

  self = user_data;
  if (address != NULL)
    effective = tcp_door_open (self->door, address, &error);
  if (effective != NULL)
    {
      server_report_started (self, effective, NULL);
    }
  else
    {
      g_autoptr (GError) why = tcp_listen_error (self->settings->hostname, self->settings->port, error);

      server_shut_down (self);
      server_report_started (self, NULL, why);
    }
}

static void
server_do_start (gpointer data)
{
  TcpServer *self = data;

  self->channels = tcp_channel_group_new ();
  /* A quarter is for what every connection begins with: see guest.c. */
  self->budget = tcp_budget_new (self->settings->max_buffered_bytes - self->settings->max_buffered_bytes / 4);
  self->guests = g_hash_table_new_full (NULL, NULL, (GDestroyNotify) tcp_guest_free, NULL);
  self->sessions = g_hash_table_new (g_str_hash, g_str_equal);
  self->gone = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->soup = soup_server_new ("server-header", "libtcptunnel/" TCP_TUNNEL_VERSION, NULL);
  soup_server_add_early_handler (self->soup, NULL, on_headers, self, NULL);
  soup_server_add_handler (self->soup, NULL, on_request, self, NULL);

  self->door = tcp_door_new (self->soup, self->settings->tls_certificate, self->settings->connect_timeout,
                             self->channels, self->log);

  self->drains = g_array_new (FALSE, FALSE, sizeof (guint64));
  self->drain_deadline = tcp_timer_new ("[tcptunnel] drain deadline", on_drain_deadline, self);

  self->resolving = g_cancellable_new ();
  tcp_resolve (self->settings->hostname, self->settings->port, self->resolving, on_resolved, self);
}

static void
server_do_close (gpointer data)
{
  TcpServer *self = data;

  server_shut_down (self);
  tcp_worker_release (self->worker);
}

typedef struct
{
  TcpServer *server;
  guint64 id;
  guint timeout;
} DrainCall;

static void
drain_call_free (gpointer data)
{
  DrainCall *call = data;

  tcp_server_unref (call->server);
  g_free (call);
}

static void
server_do_drain (gpointer data)
{
  DrainCall *call = data;
  TcpServer *self = call->server;
  GHashTableIter iter;
  gpointer guest;

  if (self->closed)
    return;

  tcp_log_info (self->log, "no new connections are taken; %u may go on for %u ms",
                tcp_status_get (self->status, open_connections), call->timeout);
  self->draining = TRUE;
  g_array_append_val (self->drains, call->id);
  g_source_set_ready_time (self->drain_deadline,
                           g_get_monotonic_time () + call->timeout * G_TIME_SPAN_MILLISECOND);

  g_hash_table_iter_init (&iter, self->guests);
  while (g_hash_table_iter_next (&iter, &guest, NULL))
    tcp_guest_drain (guest);
  server_check_drained (self);
}

static void
server_do_cancel_drain (gpointer data)
{
  DrainCall *call = data;
  TcpServer *self = call->server;
  g_autoptr (GError) error = NULL;

  error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "the wait for the gateway was cancelled");
  for (guint i = 0; i < self->drains->len; i++)
    if (g_array_index (self->drains, guint64, i) == call->id)
      {
        g_array_remove_index (self->drains, i);
        if (self->drains->len == 0)
          g_source_set_ready_time (self->drain_deadline, -1);
        tcp_event_queue_push_drained (self->events, call->id, error);
        break;
      }
}

static void
server_do_cancel (gpointer data)
{
  TcpServer *self = data;
  g_autoptr (GError) error = NULL;

  if (self->started)
    return;

  error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "the start of the gateway was cancelled");
  server_shut_down (self);
  server_report_started (self, NULL, error);
}

/* For the face */

/* Takes @access. */
TcpServer *
tcp_server_new (const TcpGatewaySettings *settings,
                TcpAccess                *access,
                TcpLog                   *log,
                TcpStatus                *status,
                TcpEventQueue            *events)
{
  TcpServer *self = g_new0 (TcpServer, 1);

  g_atomic_ref_count_init (&self->refs);
  self->worker = tcp_worker_new ("tcp-gateway");
  self->settings = tcp_gateway_settings_copy (settings);
  self->settings->max_connections = tcp_limit_connections (settings->max_connections, 2);
  self->access = access;
  self->log = tcp_log_ref (log);
  self->status = tcp_status_ref (status);
  self->events = tcp_event_queue_ref (events);

  return self;
}

TcpServer *
tcp_server_ref (TcpServer *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_server_unref (TcpServer *self)
{
  tcp_tsan_release (self);
  if (!g_atomic_ref_count_dec (&self->refs))
    return;

  tcp_tsan_acquire (self);
  g_clear_pointer (&self->guests, g_hash_table_unref);
  g_clear_pointer (&self->budget, tcp_budget_unref);
  g_clear_pointer (&self->sessions, g_hash_table_unref);
  g_queue_clear (&self->gone_order);
  g_clear_pointer (&self->gone, g_hash_table_unref);
  g_clear_pointer (&self->drains, g_array_unref);
  g_clear_object (&self->resolving);
  tcp_gateway_settings_free (self->settings);
  tcp_access_free (self->access);
  tcp_event_queue_unref (self->events);
  tcp_status_unref (self->status);
  tcp_log_unref (self->log);
  tcp_worker_unref (self->worker);
  g_free (self);
}

/* Answered by TCP_EVENT_STARTED. */
void
tcp_server_start (TcpServer *self)
{
  tcp_worker_invoke (self->worker, server_do_start, tcp_server_ref (self), (GDestroyNotify) tcp_server_unref);
}

void
tcp_server_cancel (TcpServer *self)
{
  tcp_worker_invoke (self->worker, server_do_cancel, tcp_server_ref (self), (GDestroyNotify) tcp_server_unref);
}

static void
server_invoke_drain (TcpServer     *self,
                     TcpWorkerFunc  func,
                     guint64        id,
                     guint          timeout)
{
  DrainCall *call = g_new0 (DrainCall, 1);

  call->server = tcp_server_ref (self);
  call->id = id;
  call->timeout = timeout;
  tcp_worker_invoke (self->worker, func, call, drain_call_free);
}

/* Takes no new connections. Ends itself when the last is gone, or at the timeout, which is
 * told by TCP_EVENT_DRAINED. */
void
tcp_server_drain (TcpServer *self,
                  guint64    id,
                  guint      timeout)
{
  server_invoke_drain (self, server_do_drain, id, timeout);
}

/* If nobody waits any more it does not end. Answered by TCP_EVENT_DRAINED with an error,
 * if it was not too late. */
void
tcp_server_cancel_drain (TcpServer *self,
                         guint64    id)
{
  server_invoke_drain (self, server_do_cancel_drain, id, 0);
}

/* Returns when the port is free and no connection is left. The last call. */
void
tcp_server_close (TcpServer *self)
{
  tcp_worker_invoke_sync (self->worker, server_do_close, self);
}
