/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/server-private.h"

#include <string.h>

/* From a request to a WebSocket, or to the answer why not. */

/* What a client is answered that comes back for a session that has ended. 410 ends a whole
 * tunnel of limrun's, where only a connection has ended, so that a raw client that has not
 * shown that it expects this is held. */
static gboolean
server_check_ended (TcpServer  *self,
                    TcpRequest *request,
                    TcpRefusal *refusal)
{
  TcpHeld *held;

  if (!request->foreign || tcp_request_get_dialect (request) != &tcp_dialect_raw)
    return tcp_refuse (refusal, SOUP_STATUS_GONE, "The session has ended.");
  held = g_hash_table_lookup (self->held, request->session_id);
  if (held != NULL && strcmp (tcp_held_get_principal (held), request->principal) != 0)
    return tcp_refuse (refusal, SOUP_STATUS_FORBIDDEN, "The session belongs to somebody else.");
  if (self->draining)
    return tcp_refuse (refusal, SOUP_STATUS_SERVICE_UNAVAILABLE, "The gateway is shutting down; try again later.");
  if (!tcp_server_may_hold (self, request))
    return tcp_refuse (refusal, SOUP_STATUS_SERVICE_UNAVAILABLE,
                       "The session has ended, and too many clients wait here after the end of theirs.");

  request->held = TRUE;
  return TRUE;
}

static gboolean
server_check_session (TcpServer  *self,
                      TcpRequest *request,
                      TcpRefusal *refusal)
{
  const char *id = tcp_request_get_session (request);
  TcpGuest *guest = id != NULL ? g_hash_table_lookup (self->sessions, id) : NULL;

  request->held = FALSE;
  if (guest != NULL && !tcp_guest_has_ended (guest) && tcp_guest_is_resumable (guest) != request->resumable)
    return tcp_refuse (refusal, SOUP_STATUS_GONE, "The session cannot go on in another protocol.");
  if (guest != NULL && !tcp_guest_has_ended (guest))
    return strcmp (tcp_guest_get_principal (guest), request->principal) == 0 ||
           tcp_refuse (refusal, SOUP_STATUS_FORBIDDEN, "The session belongs to somebody else.");
  if (id != NULL && (guest != NULL || g_hash_table_contains (self->gone, id) || g_hash_table_contains (self->held, id)))
    return server_check_ended (self, request, refusal);
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
  const char *protocols = soup_message_headers_get_list (headers, TCP_RESUMABLE_HEADER);

  request->foreign = protocols == NULL;
  request->resumable = tcp_resumable_is_offered (protocols) && self->settings->resumption != TCP_TUNNEL_RESUMPTION_OFF;
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

  principal = tcp_access_find_header (self->access, soup_message_headers_get_one (headers, "Authorization"));
  if (self->settings->path != NULL && strcmp (g_uri_get_path (uri), self->settings->path) != 0)
    {
      /* Where the tunnel is, is nothing for strangers. */
      if (principal != NULL)
        tcp_refuse (refusal, SOUP_STATUS_NOT_FOUND, "There is nothing at this path; this gateway serves %s.",
                    self->settings->path);
      else
        tcp_refuse (refusal, SOUP_STATUS_NOT_FOUND, "There is nothing at this path.");
      return NULL;
    }
  if (principal == NULL)
    {
      tcp_refuse (refusal, SOUP_STATUS_UNAUTHORIZED, "A valid bearer token is needed.");
      return NULL;
    }
  if (!soup_message_headers_header_contains (headers, "Upgrade", "websocket"))
    {
      tcp_refuse (refusal, 426, "This is a TCP tunnel: it requires a WebSocket.");
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

  /* One request a connection: what a client sends behind it was not examined. */
  soup_message_headers_replace (headers, "Connection", "close");
  if (refusal->status == SOUP_STATUS_UNAUTHORIZED)
    soup_message_headers_replace (headers, "WWW-Authenticate", "Bearer");
  if (refusal->status == 426)
    soup_message_headers_replace (headers, "Upgrade", "websocket");
  if (refusal->status == SOUP_STATUS_SERVICE_UNAVAILABLE)
    soup_message_headers_replace (headers, "Retry-After", "5");
  soup_server_message_set_status (message, refusal->status, refusal->status == 426 ? "Upgrade Required" : NULL);
  soup_server_message_set_response (message, "text/plain; charset=utf-8", SOUP_MEMORY_COPY, body, strlen (body));
}

/* When the headers are there. The method is GET, and there is no body: see door.c. */
void
tcp_server_on_headers (SoupServer        *soup,
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
      tcp_log_limit_write (self->refusals, "a request from %s was answered %u: %s",
                           soup_server_message_get_remote_host (message), refusal.status, refusal.text);
      g_object_set_data (G_OBJECT (message), "tcp-logged", GINT_TO_POINTER (TRUE));
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
  g_autoptr (TcpBufferedConnection) buffered = NULL;
  g_autoptr (GSocket) socket = tcp_door_admit (self->door, message, &buffered);
  g_autoptr (GIOStream) stream = soup_server_message_steal_connection (message);
  g_autoptr (TcpChannel) channel = NULL;
  TcpChannelOptions options = {
    .uri = uri,
    .socket = socket,
    .plain = self->settings->tls_certificate == NULL,
    .buffered = buffered,
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

  if (request->held)
    {
      tcp_log_info (self->log,
                    "the client %s came back for a session that has ended; its WebSocket is held until it closes it",
                    request->principal);
      tcp_server_hold (self, request, channel);
      return;
    }

  tcp_log_info (self->log, "the client %s is connected (%s%s)", request->principal,
                request->multiplexed ? "multiplexed" : "singleton", request->resumable ? ", resumable" : "");
  tcp_guest_attach (tcp_server_find_or_add_guest (self, request), channel);
}

void
tcp_server_on_request (SoupServer        *soup,
                       SoupServerMessage *message,
                       const char        *path,
                       GHashTable        *query,
                       gpointer           user_data)
{
  TcpRequest *request = g_object_get_data (G_OBJECT (message), "tcp-request");

  /* If not, libsoup has set the answer. No subprotocol and no extension is offered. */
  if (!soup_websocket_server_process_handshake (message, NULL, NULL, NULL, NULL))
    return;

  if (!request->foreign)
    soup_message_headers_replace (soup_server_message_get_response_headers (message), TCP_RESUMABLE_HEADER,
                                  tcp_request_get_dialect (request)->name);
  g_signal_connect (message, "wrote-informational", G_CALLBACK (on_upgraded), user_data);
}

/* What libsoup refused on its own. */
void
tcp_server_on_finished (SoupServer        *soup,
                        SoupServerMessage *message,
                        gpointer           user_data)
{
  TcpServer *self = user_data;
  guint status = soup_server_message_get_status (message);

  if (status >= 400 && g_object_get_data (G_OBJECT (message), "tcp-logged") == NULL)
    tcp_log_limit_write (self->refusals, "a request from %s was answered %u: %s",
                         soup_server_message_get_remote_host (message), status, soup_status_get_phrase (status));
}
