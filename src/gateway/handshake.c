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
    return tcp_refuse (refusal, 426, "Sessions have to be resumable here: %s: %s is missing.", TCP_RESUMABLE_HEADER,
                       TCP_RESUMABLE_NAME);
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
  TcpPrincipal *principal;
  g_autoptr (TcpRequest) request = NULL;

  principal = tcp_access_find_header (shared->access, soup_message_headers_get_one (upgrade->headers, "Authorization"));
  if (settings->path != NULL && strcmp (g_uri_get_path (upgrade->uri), settings->path) != 0)
    {
      /* Where the tunnel is, is nothing for strangers. */
      if (principal != NULL)
        tcp_refuse (refusal, SOUP_STATUS_NOT_FOUND, "There is nothing at this path; this gateway serves %s.",
                    settings->path);
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
  request->principal = principal;
  request->uri = g_uri_ref (upgrade->uri);
  if (!negotiate (settings, request, upgrade->headers, refusal) || !tcp_upgrade_check (upgrade, refusal))
    return NULL;

  return g_steal_pointer (&request);
}
