/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/handshake.h"

#include <string.h>
#include "protocol/resumable.h"
#include "protocol/reverse-message.h"

/* below the path of the gateway */
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

/* What a path selects. */
typedef enum
{
  NOTHING,
  ROOT,
  TARGET,  /* with the name behind the last slash */
  REVERSE, /* where limrun's client requests reverse tunnels */
} Place;

/* @path was normalized with its URI: escapes that are left in it have no other meaning. */
static Place
find_place (const TcpGatewaySettings *settings,
            TcpTargets               *targets,
            const char               *path)
{
  const char *base = settings->path != NULL ? settings->path : "/";
  gsize length = strlen (base);

  if (g_str_has_suffix (base, "/"))
    length--;
  if (strncmp (path, base, length) == 0 && path[length] == '/' && tcp_targets_find (targets, path + length + 1) != NULL)
    return TARGET;
  if (settings->path == NULL || strcmp (path, base) == 0)
    return ROOT;
  if (strncmp (path, base, length) == 0 && strcmp (path + length, TCP_REVERSE_PATH) == 0)
    return REVERSE;
  return NOTHING;
}

static gboolean
check_reverse (TcpShared        *shared,
               const TcpRequest *request,
               Place             place,
               TcpRefusal       *refusal)
{
  if (request->reverse && tcp_reverse_ports_is_empty (shared->reverse_ports))
    {
      tcp_refuse (refusal, SOUP_STATUS_BAD_REQUEST, "The gateway offers no ports for reverse tunnels (remotePort).");
      refusal->phrase = TCP_REVERSE_NO_PORTS;
      return FALSE;
    }
  if (request->reverse && place == TARGET)
    return tcp_refuse (refusal, SOUP_STATUS_BAD_REQUEST, "A reverse tunnel (remotePort) is not asked for at the path of a target.");
  return request->reverse || place != REVERSE ||
         tcp_refuse (refusal, SOUP_STATUS_BAD_REQUEST, "A reverse tunnel needs a remotePort.");
}

/* In a resumable session each stream may name a target, unless the path has named one. */
static gboolean
check_target (const TcpRequest *request,
              TcpRefusal       *refusal)
{
  g_autoptr (TcpPolicy) policy = tcp_account_ref_policy (request->principal);
  gboolean is_configured;
  const char *own = tcp_targets_get_own (policy->targets);

  if (request->reverse || (request->resumable && request->target == NULL) ||
      tcp_policy_find_target (policy, request->target, &is_configured) != NULL)
    return TRUE;
  if (request->target == NULL && own == NULL)
    return tcp_refuse (refusal, SOUP_STATUS_NOT_FOUND, "There is no target at this path; ask for one by its name.");
  return tcp_refuse (refusal, SOUP_STATUS_FORBIDDEN, "The gateway does not allow %s the target %s.", request->principal->name,
                     request->target != NULL ? request->target : own);
}

/* The first name in the certificate that is a principal; NULL if there is none. */
static const char *
find_name (TcpRoster                  *roster,
           const TcpClientCertificate *certificate)
{
  for (char **name = certificate->names; *name != NULL; name++)
    if (tcp_roster_has (roster, *name))
      return *name;
  return NULL;
}

/* Accepts a token, perhaps with a certificate, which must then belong to the same principal. */
static const char *
accept_token (TcpRoster            *roster,
              const TcpToken       *token,
              TcpClientCertificate *certificate,
              TcpProof             *proof,
              TcpRefusal           *refusal)
{
  if (tcp_credential_has_expired (&token->credential))
    {
      tcp_refuse (refusal, SOUP_STATUS_UNAUTHORIZED, "The token has expired.");
      return NULL;
    }
  if (certificate != NULL && g_strcmp0 (find_name (roster, certificate), token->name) != 0)
    {
      tcp_refuse (refusal, SOUP_STATUS_UNAUTHORIZED, "The token and the client certificate are not of the same principal.");
      return NULL;
    }

  tcp_proof_set_token (proof, &token->credential);
  if (certificate != NULL)
    tcp_proof_set_certificate (proof, certificate);
  return token->name;
}

/* Accepts a certificate alone. */
static const char *
accept_certificate (TcpRoster            *roster,
                    TcpClientCertificate *certificate,
                    TcpProof             *proof,
                    TcpRefusal           *refusal)
{
  const char *name = find_name (roster, certificate);

  if (name == NULL)
    {
      tcp_refuse (refusal, SOUP_STATUS_UNAUTHORIZED, "The client certificate names no known principal.");
      refusal->undecided = TRUE;
      return NULL;
    }

  tcp_proof_set_certificate (proof, certificate);
  /* The database may accept an expired certificate; the client would then be admitted each time that it is asked for
   * another credential. */
  if (!tcp_proof_has_expired (proof))
    return name;
  tcp_refuse (refusal, SOUP_STATUS_UNAUTHORIZED, "The client certificate is not accepted: it has expired.");
  return NULL;
}

static void
refuse_unknown (const char                 *authorization,
                const TcpClientCertificate *certificate,
                TcpRefusal                 *refusal)
{
  if (authorization == NULL && certificate != NULL)
    tcp_refuse (refusal, SOUP_STATUS_UNAUTHORIZED, "The client certificate is not accepted: %s.", certificate->problem);
  else
    tcp_refuse (refusal, SOUP_STATUS_UNAUTHORIZED, "A valid bearer token is needed.");
  refusal->guessed = authorization != NULL;
  refusal->undecided = TRUE;
}

/* Identifies the client by its credentials, and sets the proof; NULL, with @refusal set, if it is not known here. */
static const char *
identify (TcpRoster            *roster,
          const char           *authorization,
          TcpClientCertificate *certificate,
          TcpProof             *proof,
          TcpRefusal           *refusal)
{
  const TcpToken *token = tcp_tokens_find_header (tcp_roster_get_tokens (roster), authorization);
  TcpClientCertificate *verified = certificate != NULL && certificate->problem == NULL ? certificate : NULL;

  if (token != NULL)
    return accept_token (roster, token, verified, proof, refusal);
  if (authorization == NULL && verified != NULL)
    return accept_certificate (roster, verified, proof, refusal);
  refuse_unknown (authorization, certificate, refusal);
  return NULL;
}

/* Uses the answer of the application. */
static const char *
take_answer (const TcpAnswer *answer,
             gboolean         shows_token,
             TcpProof        *proof,
             TcpRefusal      *refusal)
{
  proof->expires = answer->expires;
  if (answer->principal != NULL && !tcp_proof_has_expired (proof))
    return answer->principal;

  tcp_refuse (refusal, SOUP_STATUS_UNAUTHORIZED, "The application rejected the client.");
  refusal->guessed = shows_token;
  refusal->detail = g_strdup (answer->principal == NULL ? answer->reason : "the application gave a time that is over");
  return NULL;
}

static const char *
authenticate (TcpRoster            *roster,
              const TcpUpgrade     *upgrade,
              TcpClientCertificate *certificate,
              const TcpAnswer      *answer,
              TcpProof             *proof,
              TcpRefusal           *refusal)
{
  const char *authorization = soup_message_headers_get_one (upgrade->headers, "Authorization");
  g_auto (TcpRefusal) malformed = { 0 };
  const char *name;

  /* The certificate was verified with authorities that were replaced meanwhile. */
  if (certificate != NULL && certificate->database != tcp_roster_get_client_ca (roster))
    {
      tcp_refuse (refusal, SOUP_STATUS_SERVICE_UNAVAILABLE, "The gateway has got another client-ca meanwhile; try again.");
      return NULL;
    }
  if (answer != NULL)
    return take_answer (answer, authorization != NULL, proof, refusal);

  name = identify (roster, authorization, certificate, proof, refusal);
  /* The application is not asked about a request that cannot become a WebSocket. */
  refusal->undecided = refusal->undecided && tcp_roster_asks (roster) && tcp_upgrade_is_wanted (upgrade) &&
                       tcp_upgrade_check (upgrade, &malformed);
  return name;
}

/* Examines what @upgrade requests. If it cannot have a WebSocket, whatever its session, this returns NULL, and @refusal
 * contains the reason. @certificate is that of the client, if it has one, and @answer that of the application, if it
 * was asked. */
TcpRequest *
tcp_handshake_examine (TcpShared            *shared,
                       const TcpUpgrade     *upgrade,
                       TcpClientCertificate *certificate,
                       const TcpAnswer      *answer,
                       TcpRefusal           *refusal)
{
  const TcpGatewaySettings *settings = shared->settings;
  g_auto (TcpProof) proof = { .expires = G_MAXINT64 };
  const char *path = g_uri_get_path (upgrade->uri);
  g_autoptr (TcpRequest) request = NULL;
  Place place;
  /* The client is authenticated first: otherwise clients without a token could find out the path, and guess tokens at
   * another path, where their attempts are not delayed. */
  const char *name = authenticate (tcp_access_get_roster (shared->access), upgrade, certificate, answer, &proof, refusal);

  if (name == NULL)
    return NULL;
  place = find_place (settings, tcp_roster_get_targets (tcp_access_get_roster (shared->access)), path);
  if (place == NOTHING)
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
  if (request == NULL || !check_reverse (shared, request, place, refusal))
    return NULL;
  request->principal = tcp_access_get_account (shared->access, name);
  tcp_proof_set (&request->proof, &proof);
  if (place == TARGET)
    request->target = g_strdup (strrchr (path, '/') + 1);
  request->uri = g_uri_ref (upgrade->uri);
  if (!negotiate (settings, request, upgrade->headers, refusal) || !tcp_upgrade_check (upgrade, refusal) ||
      !check_target (request, refusal))
    return NULL;

  return g_steal_pointer (&request);
}
