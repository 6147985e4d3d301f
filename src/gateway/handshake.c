/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/handshake.h"

#include <string.h>
#include "protocol/resumable.h"

/* Below the path of the gateway. */
#define TCP_REVERSE_PATH "/reverse-tunnel"

static gboolean
negotiate (const TcpGatewaySettings *settings,
           TcpRequest               *request,
           SoupMessageHeaders       *headers,
           TcpRefusal               *refusal)
{
  const char *protocols = soup_message_headers_get_list (headers, TCP_RESUMABLE_HEADER);

  request->foreign = protocols == NULL;
  request->resumable = tcp_resumable_is_offered (protocols) && settings->common.resumption != TCP_TUNNEL_RESUMPTION_OFF;
  request->route = request->resumable ? settings->route : NULL;
  if (!request->resumable && settings->common.resumption == TCP_TUNNEL_RESUMPTION_REQUIRED)
    return tcp_refuse (refusal, TCP_STATUS_UPGRADE_REQUIRED, "Sessions have to be resumable here: %s: %s is missing.",
                       TCP_RESUMABLE_HEADER, TCP_RESUMABLE_NAME);
  if (request->resumable && request->session_id == NULL)
    return tcp_refuse (refusal, SOUP_STATUS_BAD_REQUEST, "A session that is to be resumable needs a sessionId.");

  return TRUE;
}

/* Reverse tunnels are also served below the path, where limrun's client asks for them. */
static gboolean
is_at_path (const TcpGatewaySettings *settings,
            const char               *path)
{
  gsize length;

  if (settings->path == NULL || strcmp (path, settings->path) == 0)
    return TRUE;
  length = strlen (settings->path);
  if (g_str_has_suffix (settings->path, "/"))
    length--;
  return strncmp (path, settings->path, length) == 0 && strcmp (path + length, TCP_REVERSE_PATH) == 0;
}

static gboolean
check_reverse (TcpShared        *shared,
               const TcpRequest *request,
               const char       *path,
               TcpRefusal       *refusal)
{
  gboolean elsewhere = shared->settings->path != NULL && strcmp (path, shared->settings->path) != 0;

  if (request->reverse && tcp_reverse_ports_is_empty (shared->reverse_ports))
    return tcp_refuse (refusal, SOUP_STATUS_BAD_REQUEST, "Reverse tunnels (remotePort) are not served here.");
  return request->reverse || !elsewhere ||
         tcp_refuse (refusal, SOUP_STATUS_BAD_REQUEST, "A reverse tunnel needs a remotePort.");
}

/* What @upgrade asks for. If it cannot have a WebSocket, whatever session it asks for, this is
 * NULL, and @refusal says why. */
TcpRequest *
tcp_handshake_examine (TcpShared        *shared,
                       const TcpUpgrade *upgrade,
                       TcpRefusal       *refusal)
{
  const TcpGatewaySettings *settings = shared->settings;
  const char *authorization = soup_message_headers_get_one (upgrade->headers, "Authorization");
  const TcpToken *token = tcp_tokens_find_header (tcp_access_get_tokens (shared->access), authorization);
  g_autoptr (TcpRequest) request = NULL;

  /* Before all else, or strangers could find out the path, and guess tokens at another one,
   * where they would not be slowed. */
  if (token == NULL)
    {
      tcp_refuse (refusal, SOUP_STATUS_UNAUTHORIZED, "A valid bearer token is needed.");
      refusal->guessed = authorization != NULL;
      return NULL;
    }
  if (tcp_credential_has_expired (&token->credential))
    {
      tcp_refuse (refusal, SOUP_STATUS_UNAUTHORIZED, "The token has expired.");
      return NULL;
    }
  if (!is_at_path (settings, g_uri_get_path (upgrade->uri)))
    {
      tcp_refuse (refusal, SOUP_STATUS_NOT_FOUND, "There is nothing at this path; this gateway serves %s.",
                  settings->path);
      return NULL;
    }
  if (!tcp_upgrade_is_wanted (upgrade))
    {
      tcp_refuse (refusal, TCP_STATUS_UPGRADE_REQUIRED, "This is a TCP tunnel: it requires a WebSocket.");
      return NULL;
    }

  request = tcp_request_parse (g_uri_get_query (upgrade->uri), refusal);
  if (request == NULL || !check_reverse (shared, request, g_uri_get_path (upgrade->uri), refusal))
    return NULL;
  request->principal = tcp_access_get_account (shared->access, token->name);
  request->credential = token->credential;
  request->uri = g_uri_ref (upgrade->uri);
  if (!negotiate (settings, request, upgrade->headers, refusal) || !tcp_upgrade_check (upgrade, refusal))
    return NULL;

  return g_steal_pointer (&request);
}
