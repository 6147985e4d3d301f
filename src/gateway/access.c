/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/access.h"

#include <string.h>
#include <gio/gio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include "base/invalid.h"
#include "base/secret-hash.h"
#include "base/token.h"
#include "websocket/channel.h"

#define BYTE_ORDER_MARK "\xef\xbb\xbf"
/* In bytes; some 100,000 tokens have a tenth of that. */
#define MAX_TOKEN_FILE (64u * 1024 * 1024)

#define DIGEST_SIZE 32 /* of SHA-256 */

/* How many WebSockets of one principal may be held without a target. A tunnel of limrun's
 * has at most one. */
#define MAX_HELD 64

/* Digests are looked up, not tokens. They depend on a secret of this process, so that
 * nobody can choose a token by its digest: how long a lookup takes, and where two digests
 * differ, says nothing about a token. */
typedef struct
{
  TcpPrincipal *principal;
  guint8 digest[DIGEST_SIZE];
} Entry;

struct _TcpAccess
{
  guint8 secret[DIGEST_SIZE];
  GHashTable *entries;    /* set of Entry, by the digest */
  GHashTable *principals; /* name → TcpPrincipal */
};

static void
principal_free (gpointer data)
{
  TcpPrincipal *principal = data;

  for (guint i = 0; i < TCP_N_MEMORY_KINDS; i++)
    g_clear_pointer (&principal->memory[i], tcp_budget_pool_unref);
  g_free (principal->name);
  g_free (principal);
}

static guint
entry_hash (gconstpointer data)
{
  const Entry *entry = data;
  guint hash;

  memcpy (&hash, entry->digest, sizeof hash);
  return hash;
}

static gboolean
entries_equal (gconstpointer a,
               gconstpointer b)
{
  const Entry *first = a;
  const Entry *second = b;
  guint8 difference = 0;

  for (guint i = 0; i < DIGEST_SIZE; i++)
    difference |= first->digest[i] ^ second->digest[i];
  return difference == 0;
}

TcpAccess *
tcp_access_new (void)
{
  TcpAccess *self = g_new0 (TcpAccess, 1);

  /* So few bytes always come at once. */
  if (getrandom (self->secret, sizeof self->secret, 0) != sizeof self->secret)
    g_error ("the kernel has no random numbers");
  self->entries = g_hash_table_new_full (entry_hash, entries_equal, g_free, NULL);
  self->principals = g_hash_table_new_full (tcp_secret_hash, g_str_equal, NULL, principal_free);
  return self;
}

void
tcp_access_free (TcpAccess *self)
{
  g_hash_table_unref (self->entries);
  g_hash_table_unref (self->principals);
  g_free (self);
}

static void
access_digest (TcpAccess  *self,
               const char *token,
               guint8     *digest)
{
  g_autoptr (GHmac) hmac = g_hmac_new (G_CHECKSUM_SHA256, self->secret, sizeof self->secret);
  gsize length = DIGEST_SIZE;

  g_hmac_update (hmac, (const guchar *) token, strlen (token));
  g_hmac_get_digest (hmac, digest, &length);
}

guint
tcp_access_get_size (TcpAccess *self)
{
  return g_hash_table_size (self->entries);
}

static TcpPrincipal *
access_get_principal (TcpAccess  *self,
                      const char *name)
{
  TcpPrincipal *principal = g_hash_table_lookup (self->principals, name);

  if (principal == NULL)
    {
      principal = g_new0 (TcpPrincipal, 1);
      principal->name = g_strdup (name);
      g_hash_table_insert (self->principals, principal->name, principal);
    }
  return principal;
}

gboolean
tcp_access_add (TcpAccess   *self,
                const char  *principal,
                const char  *token,
                GError     **error)
{
  Entry *entry, *other;

  if (!tcp_token_is_valid (token))
    return tcp_invalid (error, "the token of “%s” is empty, or has a space or a character that is not ASCII in it",
                        principal);

  entry = g_new0 (Entry, 1);
  entry->principal = access_get_principal (self, principal);
  access_digest (self, token, entry->digest);
  other = g_hash_table_lookup (self->entries, entry);
  if (other != NULL && strcmp (other->principal->name, principal) != 0)
    {
      g_free (entry);
      return tcp_invalid (error, "“%s” and “%s” have the same token", other->principal->name, principal);
    }
  g_hash_table_add (self->entries, entry);
  return TRUE;
}

static guint
count_lines (const char *text,
             const char *end)
{
  guint count = 1;

  while ((text = memchr (text, '\n', end - text)) != NULL)
    {
      text++;
      count++;
    }
  return count;
}

/* Lines of "name:token". Empty ones, and those that begin with #, are skipped. A zero byte
 * follows @text, as with g_file_get_contents(). */
gboolean
tcp_access_add_lines (TcpAccess   *self,
                      const char  *text,
                      gsize        length,
                      const char  *origin,
                      GError     **error)
{
  const char *nul = memchr (text, '\0', length);
  g_auto (GStrv) lines = NULL;

  /* What is behind it would be ignored without a word. */
  if (nul != NULL)
    return tcp_invalid (error, "%s, line %u: there is a zero byte in it; it is not a text file", origin,
                        count_lines (text, nul));

  /* Some editors begin a file so. */
  if (g_str_has_prefix (text, BYTE_ORDER_MARK))
    text += strlen (BYTE_ORDER_MARK);
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      const char *line = g_strstrip (lines[i]);
      const char *colon = strchr (line, ':');
      g_autofree char *name = NULL;

      if (*line == '\0' || *line == '#')
        continue;
      /* The line is not shown: it may be nothing but a token. */
      if (colon == NULL || colon == line)
        return tcp_invalid (error, "%s, line %u: not of the form NAME:TOKEN; put a name and a colon before the token",
                            origin, i + 1);
      name = g_strndup (line, colon - line);
      if (!tcp_access_add (self, g_strstrip (name), colon + 1 + strspn (colon + 1, " \t"), error))
        {
          g_prefix_error (error, "%s, line %u: ", origin, i + 1);
          return FALSE;
        }
    }

  return TRUE;
}

guint
tcp_access_count_principals (TcpAccess *self)
{
  return g_hash_table_size (self->principals);
}

/* Of all memory, as a fraction of it, so that it is the same of each kind. */
static double
get_memory_share (const TcpGatewaySettings *settings,
                  guint                     n_principals)
{
  double all = tcp_gateway_settings_get_max_memory (settings);

  if (settings->max_principal_memory > 0)
    return MIN (settings->max_principal_memory / all, 1);
  return n_principals > 1 ? 0.75 : 1;
}

static TcpBudgetPool *
make_pool (TcpBudgetPool *all,
           TcpMemoryKind  kind,
           double         share)
{
  gsize cap = tcp_budget_pool_get_cap (all) * share;

  /* However small its part, a message that is to be whole has to fit into it. */
  if (kind == TCP_MEMORY_INPUT)
    cap = MAX (cap, TCP_CHANNEL_MIN_MEMORY);
  return tcp_budget_pool_new_child (all, cap);
}

/* How much of everything each principal may have. There is memory for so many clients, and of each kind. */
void
tcp_access_share_out (TcpAccess                *self,
                      const TcpGatewaySettings *settings,
                      guint                     max_clients,
                      TcpBudgetPool           **memory)
{
  guint n = g_hash_table_size (self->principals);
  double share = get_memory_share (settings, n);
  GHashTableIter iter;
  TcpPrincipal *principal;

  g_hash_table_iter_init (&iter, self->principals);
  while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &principal))
    {
      for (guint i = 0; i < TCP_N_MEMORY_KINDS; i++)
        principal->memory[i] = make_pool (memory[i], i, share);
      principal->held.max = MAX_HELD;
      principal->clients.max = MIN (tcp_quota_get_share (max_clients, n, settings->max_principal_sessions),
                                    MAX (max_clients * share, 1));
      principal->connections.max = tcp_quota_get_share (settings->common.max_connections, n,
                                                        settings->max_principal_connections);
      principal->dials.quota.max = tcp_quota_get_share (settings->max_dials, n, settings->max_principal_dials);
    }
}

/* The principal, or NULL. */
TcpPrincipal *
tcp_access_find (TcpAccess  *self,
                 const char *token)
{
  Entry key = { 0 };
  Entry *found;

  access_digest (self, token, key.digest);
  found = g_hash_table_lookup (self->entries, &key);
  return found != NULL ? found->principal : NULL;
}

/* As above, by the value of an Authorization header. */
TcpPrincipal *
tcp_access_find_header (TcpAccess  *self,
                        const char *authorization)
{
  if (authorization == NULL || g_ascii_strncasecmp (authorization, "Bearer ", 7) != 0)
    return NULL;

  return tcp_access_find (self, authorization + 7 + strspn (authorization + 7, " "));
}

/* With a zero byte behind it. */
static char *
read_token_file (const char  *file,
                 gsize       *length,
                 gboolean    *is_public,
                 GError     **error)
{
  g_autoptr (GFile) where = g_file_new_for_path (file);
  g_autoptr (GFileInputStream) stream = g_file_read (where, NULL, error);
  g_autoptr (GFileInfo) info = NULL;
  g_autoptr (GByteArray) text = g_byte_array_new ();
  gsize n;

  if (stream == NULL)
    return NULL;

  info = g_file_input_stream_query_info (stream, G_FILE_ATTRIBUTE_UNIX_MODE, NULL, error);
  if (info == NULL)
    return NULL;
  *is_public = (g_file_info_get_attribute_uint32 (info, G_FILE_ATTRIBUTE_UNIX_MODE) & S_IROTH) != 0;

  do
    {
      guint8 block[64 * 1024];

      if (!g_input_stream_read_all (G_INPUT_STREAM (stream), block, sizeof block, &n, NULL, error))
        return NULL;
      g_byte_array_append (text, block, n);
      /* It may be a device, which never ends. */
      if (text->len > MAX_TOKEN_FILE)
        {
          tcp_invalid (error, "%s has more than %u bytes", file, MAX_TOKEN_FILE);
          return NULL;
        }
    }
  while (n > 0);

  *length = text->len;
  g_byte_array_append (text, (const guint8 *) "", 1);
  return (char *) g_byte_array_free (g_steal_pointer (&text), FALSE);
}

/* Those of the file and @token, of which each may be NULL. Blocks. */
TcpAccess *
tcp_access_load (const char  *token,
                 const char  *file,
                 TcpLog      *log,
                 GError     **error)
{
  g_autoptr (TcpAccess) access = tcp_access_new ();

  if (token != NULL && !tcp_access_add (access, "default", token, error))
    return NULL;

  if (file != NULL)
    {
      g_autoptr (GError) local = NULL;
      gsize length;
      gboolean is_public;
      g_autofree char *text = read_token_file (file, &length, &is_public, &local);

      if (text == NULL)
        {
          tcp_invalid (error, "the token file cannot be read: %s", local->message);
          return NULL;
        }
      if (!tcp_access_add_lines (access, text, length, file, error))
        return NULL;
      if (is_public)
        tcp_log_warn (log, "every user of this machine may read the tokens in %s; 'chmod o-r %s' prevents that", file, file);
    }

  if (tcp_access_get_size (access) == 0)
    {
      tcp_invalid (error, "no token was given that clients could show");
      return NULL;
    }
  return g_steal_pointer (&access);
}
