/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/request.h"

#include <libsoup/soup.h>
#include <string.h>

#define MAX_SESSION_ID 128

void
tcp_request_free (TcpRequest *self)
{
  g_clear_pointer (&self->principal, tcp_account_unref);
  tcp_proof_clear (&self->proof);
  g_free (self->session_id);
  g_free (self->target);
  g_clear_object (&self->local);
  g_clear_object (&self->proxy);
  g_free (self->address);
  g_clear_pointer (&self->uri, g_uri_unref);
  g_free (self);
}

static gboolean
is_session_id (const char *text)
{
  gsize length = strlen (text);

  if (length == 0 || length > MAX_SESSION_ID)
    return FALSE;
  for (const char *c = text; *c != '\0'; c++)
    if (!g_ascii_isalnum (*c) && strchr ("-_.", *c) == NULL)
      return FALSE;

  return TRUE;
}

static gboolean
parse_mode (TcpRequest *self,
            const char *mode,
            TcpRefusal *refusal)
{
  if (mode == NULL || strcmp (mode, "singleton") == 0)
    return TRUE;
  if (strcmp (mode, "multiplexed") != 0)
    return tcp_refuse (refusal, SOUP_STATUS_BAD_REQUEST, "There is no mode of that name; there is singleton and multiplexed.");

  self->multiplexed = TRUE;
  return TRUE;
}

/* limrun's Go client names a port, and uses the multiplexed mode. The port is ignored, since this gateway has one
 * target for it. */
static gboolean
parse_port (TcpRequest *self,
            const char *port,
            TcpRefusal *refusal)
{
  if (port == NULL)
    return TRUE;
  if (!g_ascii_string_to_unsigned (port, 10, 1, G_MAXUINT16, NULL, NULL))
    return tcp_refuse (refusal, SOUP_STATUS_BAD_REQUEST, "A port is a number from 1 to 65535.");

  self->multiplexed = TRUE;
  return TRUE;
}

/* libsoup's decoder ignores a name without "=". */
static gboolean
is_bare_name (const char *query,
              const char *wanted)
{
  g_auto (GStrv) pairs = g_strsplit (query, "&", -1);

  for (guint i = 0; pairs[i] != NULL; i++)
    {
      g_autofree char *name = g_uri_unescape_string (pairs[i], NULL);

      if (g_strcmp0 (name, wanted) == 0)
        return TRUE;
    }
  return FALSE;
}

/* limrun's client requests a reverse tunnel, in which this end listens, with this parameter. If it were ignored, the
 * gateway would connect to the target instead. */
static gboolean
parse_remote_port (TcpRequest *self,
                   const char *query,
                   GHashTable *form,
                   TcpRefusal *refusal)
{
  const char *port = g_hash_table_lookup (form, "remotePort");
  guint64 number = 0;

  if (port == NULL && !is_bare_name (query, "remotePort"))
    return TRUE;
  if (port == NULL || !g_ascii_string_to_unsigned (port, 10, 0, G_MAXUINT16, &number, NULL))
    return tcp_refuse (refusal, SOUP_STATUS_BAD_REQUEST, "A remotePort is a number from 1 to 65535, or 0 for any port.");

  self->reverse = self->multiplexed = TRUE;
  self->remote_port = number;
  return TRUE;
}

/* @query may be NULL. Returns NULL, and sets @refusal, if it is invalid. */
TcpRequest *
tcp_request_parse (const char *query,
                   TcpRefusal *refusal)
{
  g_autoptr (TcpRequest) self = g_new0 (TcpRequest, 1);
  g_autoptr (GHashTable) form = NULL;
  const char *session_id;

  if (query == NULL)
    query = "";
  form = soup_form_decode (query);
  session_id = g_hash_table_lookup (form, "sessionId");
  if (!parse_remote_port (self, query, form, refusal) ||
      !parse_mode (self, g_hash_table_lookup (form, "mode"), refusal) ||
      !parse_port (self, g_hash_table_lookup (form, "port"), refusal))
    return NULL;
  if (session_id != NULL && !is_session_id (session_id))
    {
      tcp_refuse (refusal, SOUP_STATUS_BAD_REQUEST, "A sessionId is 1 to %d letters, digits, dashes, dots and underscores.",
                  MAX_SESSION_ID);
      return NULL;
    }

  self->session_id = g_strdup (session_id);
  return g_steal_pointer (&self);
}

const TcpProtocolClass *
tcp_request_get_protocol (const TcpRequest *self)
{
  if (self->resumable)
    return &tcp_protocol_resumable;
  if (self->reverse)
    return &tcp_protocol_reverse;
  return self->multiplexed ? &tcp_protocol_tagged : &tcp_protocol_raw;
}

/* The id with which a client can return to its session. limrun's multiplexed connections end with their WebSocket. */
const char *
tcp_request_get_session (const TcpRequest *self)
{
  return self->multiplexed && !self->resumable ? NULL : self->session_id;
}
