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
TcpRequest *
tcp_server_examine (TcpUpgrade *upgrade,
                    TcpRefusal *refusal,
                    gpointer    user_data)
{
  TcpServer *self = user_data;
  const char *principal;
  g_autoptr (TcpRequest) request = NULL;

  principal = tcp_access_find_header (self->access, soup_message_headers_get_one (upgrade->headers, "Authorization"));
  if (self->settings->path != NULL && strcmp (g_uri_get_path (upgrade->uri), self->settings->path) != 0)
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
  if (!tcp_upgrade_is_wanted (upgrade))
    {
      tcp_refuse (refusal, TCP_STATUS_UPGRADE_REQUIRED, "This is a TCP tunnel: it requires a WebSocket.");
      return NULL;
    }

  request = tcp_request_parse (g_uri_get_query (upgrade->uri), refusal);
  if (request == NULL)
    return NULL;
  request->principal = g_strdup (principal);
  request->uri = g_uri_ref (upgrade->uri);
  if (!server_negotiate (self, request, upgrade->headers, refusal) ||
      !server_check_session (self, request, refusal) || !tcp_upgrade_check (upgrade, refusal))
    return NULL;

  return g_steal_pointer (&request);
}

/* Takes @request, whose answer is sent. Of @stream nothing was read since. */
void
tcp_server_open (TcpRequest            *request,
                 GIOStream             *stream,
                 TcpBufferedConnection *buffered,
                 GSocket               *socket,
                 gpointer               user_data)
{
  TcpServer *self = user_data;
  g_autoptr (TcpRequest) taken G_GNUC_UNUSED = request;
  g_autoptr (TcpChannel) channel = NULL;
  TcpChannelOptions options = {
    .uri = request->uri,
    .socket = socket,
    .plain = self->settings->tls_certificate == NULL,
    .buffered = buffered,
    .keepalive_interval = self->settings->keepalive_interval,
    .keepalive_timeout = self->settings->keepalive_timeout,
    .log = self->log,
    .group = self->channels,
  };

  channel = tcp_channel_new (stream, &options);
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
