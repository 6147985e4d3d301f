/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/handshake.h"

#include <string.h>
#include "protocol/resumable.h"

static gboolean
negotiate (const TcpGatewaySettings *settings,
           TcpRequest               *request,
           SoupMessageHeaders       *headers,
           TcpRefusal               *refusal)
{
  const char *protocols = soup_message_headers_get_list (headers, TCP_RESUMABLE_HEADER);

  request->foreign = protocols == NULL;
  request->resumable = tcp_resumable_is_offered (protocols) && settings->resumption != TCP_TUNNEL_RESUMPTION_OFF;
  if (!request->resumable && settings->resumption == TCP_TUNNEL_RESUMPTION_REQUIRED)
    return tcp_refuse (refusal, TCP_STATUS_UPGRADE_REQUIRED, "Sessions have to be resumable here: %s: %s is missing.",
                       TCP_RESUMABLE_HEADER, TCP_RESUMABLE_NAME);
  if (request->resumable && request->session_id == NULL)
    return tcp_refuse (refusal, SOUP_STATUS_BAD_REQUEST, "A session that is to be resumable needs a sessionId.");

  return TRUE;
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
  TcpPrincipal *principal = tcp_access_find_header (shared->access, authorization);
  g_autoptr (TcpRequest) request = NULL;

  /* Before all else, or strangers could find out the path, and guess tokens at another one,
   * where they would not be slowed. */
  if (principal == NULL)
    {
      tcp_refuse (refusal, SOUP_STATUS_UNAUTHORIZED, "A valid bearer token is needed.");
      refusal->guessed = authorization != NULL;
      return NULL;
    }
  if (settings->path != NULL && strcmp (g_uri_get_path (upgrade->uri), settings->path) != 0)
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
  if (request == NULL)
    return NULL;
  request->principal = principal;
  request->uri = g_uri_ref (upgrade->uri);
  if (!negotiate (settings, request, upgrade->headers, refusal) || !tcp_upgrade_check (upgrade, refusal))
    return NULL;

  return g_steal_pointer (&request);
}
