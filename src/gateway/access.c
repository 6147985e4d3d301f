/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/access.h"

#include <string.h>
#include <tcptunnel/tcptunnel.h>
#include "base/token.h"

#define DIGEST_SIZE 32 /* of SHA-256 */

/* Digests are compared, not tokens: all have one length, and where two differ says
 * nothing about where the tokens do. */
typedef struct
{
  char *principal;
  guint8 digest[DIGEST_SIZE];
} Entry;

struct _TcpAccess
{
  GPtrArray *entries;
};

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  g_free (entry->principal);
  g_free (entry);
}

TcpAccess *
tcp_access_new (void)
{
  TcpAccess *self = g_new0 (TcpAccess, 1);

  self->entries = g_ptr_array_new_with_free_func (entry_free);
  return self;
}

void
tcp_access_free (TcpAccess *self)
{
  g_ptr_array_unref (self->entries);
  g_free (self);
}

static void
digest_token (const char *token,
              guint8     *digest)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  gsize length = DIGEST_SIZE;

  g_checksum_update (checksum, (const guchar *) token, strlen (token));
  g_checksum_get_digest (checksum, digest, &length);
}

guint
tcp_access_get_size (TcpAccess *self)
{
  return self->entries->len;
}

gboolean
tcp_access_add (TcpAccess   *self,
                const char  *principal,
                const char  *token,
                GError     **error)
{
  const char *owner;
  Entry *entry;

  if (!tcp_token_is_valid (token))
    {
      g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT,
                   "the token of “%s” is empty, or has a space or a character that is not ASCII in it", principal);
      return FALSE;
    }
  owner = tcp_access_find (self, token);
  if (owner != NULL && strcmp (owner, principal) != 0)
    {
      g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT,
                   "“%s” and “%s” have the same token", owner, principal);
      return FALSE;
    }

  entry = g_new0 (Entry, 1);
  entry->principal = g_strdup (principal);
  digest_token (token, entry->digest);
  g_ptr_array_add (self->entries, entry);
  return TRUE;
}

/* Lines of "name:token". Empty ones, and those that begin with #, are skipped. */
gboolean
tcp_access_add_lines (TcpAccess   *self,
                      const char  *text,
                      const char  *origin,
                      GError     **error)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  for (guint i = 0; lines[i] != NULL; i++)
    {
      const char *line = g_strstrip (lines[i]);
      const char *colon = strchr (line, ':');
      g_autofree char *name = NULL;

      if (*line == '\0' || *line == '#')
        continue;
      /* The line is not shown: it may be nothing but a token. */
      if (colon == NULL || colon == line)
        {
          g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT,
                       "%s, line %u: not of the form NAME:TOKEN", origin, i + 1);
          return FALSE;
        }
      name = g_strndup (line, colon - line);
      if (!tcp_access_add (self, g_strstrip (name), colon + 1 + strspn (colon + 1, " \t"), error))
        {
          g_prefix_error (error, "%s, line %u: ", origin, i + 1);
          return FALSE;
        }
    }

  return TRUE;
}

static gboolean
digests_equal (const guint8 *a,
               const guint8 *b)
{
  guint8 difference = 0;

  for (guint i = 0; i < DIGEST_SIZE; i++)
    difference |= a[i] ^ b[i];
  return difference == 0;
}

/* The principal, or NULL. Takes as long for a good token as for a bad one. */
const char *
tcp_access_find (TcpAccess  *self,
                 const char *token)
{
  guint8 digest[DIGEST_SIZE];
  const char *found = NULL;

  digest_token (token, digest);
  for (guint i = 0; i < self->entries->len; i++)
    {
      Entry *entry = self->entries->pdata[i];

      if (digests_equal (entry->digest, digest))
        found = entry->principal;
    }

  return found;
}

/* As above, by the value of an Authorization header. */
const char *
tcp_access_find_header (TcpAccess  *self,
                        const char *authorization)
{
  if (authorization == NULL || g_ascii_strncasecmp (authorization, "Bearer ", 7) != 0)
    return NULL;

  return tcp_access_find (self, authorization + 7 + strspn (authorization + 7, " "));
}
