/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/tokens.h"

#include <string.h>
#include <gio/gio.h>
#include <sys/stat.h>
#include "base/i18n.h"
#include "base/invalid.h"
#include "base/secret-hash.h"
#include "base/text.h"
#include "base/token.h"

#define BYTE_ORDER_MARK "\xef\xbb\xbf"
/* in bytes; 100,000 tokens take about a tenth of it */
#define MAX_TOKEN_FILE (64u * 1024 * 1024)
/* in the error for a file; further lines are only counted */
#define MAX_WRONG_LINES 20

#define HASHED "sha256:"
#define EXPIRES "expires="
#define SPACES " \t"

/* The table contains digests, not tokens, and its order depends on a secret of this process: the duration of a lookup,
 * and the place where two digests differ, reveal nothing about a token. */
struct _TcpTokens
{
  GHashTable *tokens; /* set of TcpToken, by the digest */
  GHashTable *names;  /* set */
};

static guint
token_hash (gconstpointer data)
{
  return tcp_secret_hash_bytes (((const TcpToken *) data)->credential.digest, TCP_TOKEN_DIGEST_SIZE);
}

static gboolean
tokens_equal (gconstpointer a,
              gconstpointer b)
{
  const TcpToken *first = a;
  const TcpToken *second = b;
  guint8 difference = 0;

  for (guint i = 0; i < TCP_TOKEN_DIGEST_SIZE; i++)
    difference |= first->credential.digest[i] ^ second->credential.digest[i];
  return difference == 0;
}

TcpTokens *
tcp_tokens_new (void)
{
  TcpTokens *self = g_new0 (TcpTokens, 1);

  self->tokens = g_hash_table_new_full (token_hash, tokens_equal, g_free, NULL);
  self->names = g_hash_table_new_full (tcp_secret_hash, g_str_equal, g_free, NULL);
  return self;
}

void
tcp_tokens_free (TcpTokens *self)
{
  g_hash_table_unref (self->tokens);
  g_hash_table_unref (self->names);
  g_free (self);
}

guint
tcp_tokens_count (TcpTokens *self)
{
  return g_hash_table_size (self->tokens);
}

guint
tcp_tokens_count_names (TcpTokens *self)
{
  return g_hash_table_size (self->names);
}

gboolean
tcp_tokens_have_name (TcpTokens  *self,
                      const char *name)
{
  return g_hash_table_contains (self->names, name);
}

/* Adding */

static void
digest_token (const char *token,
              guint8     *digest)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  gsize length = TCP_TOKEN_DIGEST_SIZE;

  g_checksum_update (sum, (const guchar *) token, strlen (token));
  g_checksum_get_digest (sum, digest, &length);
}

static gboolean
parse_digest (const char *hex,
              guint8     *digest)
{
  if (strlen (hex) != 2 * TCP_TOKEN_DIGEST_SIZE || strspn (hex, G_CSET_DIGITS "abcdefABCDEF") != strlen (hex))
    return FALSE;
  for (guint i = 0; i < TCP_TOKEN_DIGEST_SIZE; i++)
    digest[i] = g_ascii_xdigit_value (hex[2 * i]) << 4 | g_ascii_xdigit_value (hex[2 * i + 1]);
  return TRUE;
}

static const char *
tokens_intern (TcpTokens  *self,
               const char *name)
{
  gpointer known;

  if (!g_hash_table_lookup_extended (self->names, name, &known, NULL))
    {
      known = g_strdup (name);
      g_hash_table_add (self->names, known);
    }
  return known;
}

/* A name may occur repeatedly; a token may if the name and the expiry are the same. */
static gboolean
tokens_insert (TcpTokens       *self,
               const char      *name,
               const TcpToken  *token,
               GError         **error)
{
  const TcpToken *former = g_hash_table_lookup (self->tokens, token);
  TcpToken *added;

  if (former != NULL && strcmp (former->name, name) != 0)
    return tcp_invalid (error, _("“%s” and “%s” have the same token"), former->name, name);
  if (former != NULL && former->credential.expires != token->credential.expires)
    return tcp_invalid (error, _("the same token of “%s” is given twice, with different times of expiry"), name);
  if (former != NULL)
    return TRUE;

  added = g_memdup2 (token, sizeof *token);
  added->name = tokens_intern (self, name);
  g_hash_table_add (self->tokens, added);
  return TRUE;
}

static gboolean
credential_set_token (TcpCredential  *self,
                      const char     *name,
                      const char     *token,
                      GError        **error)
{
  if (!tcp_token_is_valid (token))
    return tcp_invalid (error, _("the token of “%s” is empty, or contains a space or a character that is not ASCII"), name);

  digest_token (token, self->digest);
  return TRUE;
}

/* @token has the form of a token file: the token itself, or its hash. */
static gboolean
credential_parse (TcpCredential  *self,
                  const char     *name,
                  const char     *token,
                  GError        **error)
{
  if (g_str_has_prefix (token, HASHED))
    return parse_digest (token + strlen (HASHED), self->digest) ||
           tcp_invalid (error, _("the hash of a token of “%s” is not sha256: and 64 hexadecimal digits"), name);
  return credential_set_token (self, name, token, error);
}

/* Adds a token that never expires. */
gboolean
tcp_tokens_add (TcpTokens   *self,
                const char  *name,
                const char  *token,
                GError     **error)
{
  TcpToken parsed = { .credential.expires = G_MAXINT64 };

  return credential_set_token (&parsed.credential, name, token, error) && tokens_insert (self, name, &parsed, error);
}

/* Lines */

static gboolean
name_is_valid (const char *name)
{
  if (!g_utf8_validate (name, -1, NULL))
    return FALSE;
  for (; *name != '\0'; name = g_utf8_next_char (name))
    if (!g_unichar_isprint (g_utf8_get_char (name)))
      return FALSE;
  return TRUE;
}

/* Whether a principal can have this name: it must be possible before a colon, in a line of a file. */
gboolean
tcp_tokens_is_name (const char *name)
{
  return *name != '\0' && strchr (name, ':') == NULL && name_is_valid (name) && !g_ascii_isspace (*name) &&
         !g_ascii_isspace (name[strlen (name) - 1]);
}

static gboolean
parse_expiry (const char *text,
              gint64     *expires)
{
  g_autoptr (GTimeZone) utc = g_time_zone_new_utc ();
  g_autoptr (GDateTime) date = g_date_time_new_from_iso8601 (text, utc);

  if (date == NULL)
    return FALSE;
  *expires = g_date_time_to_unix (date) * G_TIME_SPAN_SECOND + g_date_time_get_microsecond (date);
  return TRUE;
}

/* Parses the text behind the token. Errors do not quote it, since it may be a part of the token. */
static gboolean
credential_parse_attributes (TcpCredential  *self,
                             char           *text,
                             GError        **error)
{
  char *rest = text;

  self->expires = G_MAXINT64;
  for (const char *word = strtok_r (text, SPACES, &rest); word != NULL; word = strtok_r (NULL, SPACES, &rest))
    {
      if (!g_str_has_prefix (word, EXPIRES))
        return tcp_invalid (error, _("only expires=TIME may follow the token; a token contains no spaces"));
      if (self->expires != G_MAXINT64)
        return tcp_invalid (error, _("the token expires twice"));
      if (!parse_expiry (word + strlen (EXPIRES), &self->expires))
        return tcp_invalid (error, _("the time after expires= is not of the form 2027-01-31T00:00:00Z"));
    }
  return TRUE;
}

/* @text is the text behind the name, without spaces around it; it is modified. */
static gboolean
tokens_parse (TcpTokens   *self,
              const char  *name,
              char        *text,
              GError     **error)
{
  char *end = text + strcspn (text, SPACES);
  TcpToken token = { 0 };

  if (*end != '\0')
    *end++ = '\0';
  return credential_parse (&token.credential, name, text, error) &&
         credential_parse_attributes (&token.credential, end, error) &&
         tokens_insert (self, name, &token, error);
}

/* Adds a principal, which may have no token. */
gboolean
tcp_tokens_add_name (TcpTokens   *self,
                     const char  *name,
                     GError     **error)
{
  if (!tcp_tokens_is_name (name))
    {
      g_autofree char *shown = tcp_text_from_peer (name, strlen (name));

      return tcp_invalid (error, _("“%s” cannot be the name of a principal: a name has printable characters other than a colon, "
                                   "and no space at its beginning or end"), shown);
    }

  tokens_intern (self, name);
  return TRUE;
}

/* Adds a token of that name, in the form that follows the name in a file. */
gboolean
tcp_tokens_add_text (TcpTokens   *self,
                     const char  *name,
                     const char  *text,
                     GError     **error)
{
  g_autofree char *copy = g_strdup (text);

  if (tokens_parse (self, name, g_strstrip (copy), error))
    return TRUE;
  g_prefix_error (error, _("the tokens of “%s”: "), name);
  return FALSE;
}

/* Errors do not quote the line, since it may consist of a token only. */
static gboolean
tokens_add_line (TcpTokens  *self,
                 char       *line,
                 GError    **error)
{
  char *colon = strchr (line, ':');
  const char *name;

  if (colon == NULL || colon == line)
    return tcp_invalid (error, _("not of the form NAME:TOKEN; put a name and a colon before the token"));
  *colon = '\0';
  name = g_strchomp (line);
  if (!name_is_valid (name))
    return tcp_invalid (error, _("the name is not UTF-8, or contains a control character"));

  return tokens_parse (self, name, colon + 1 + strspn (colon + 1, SPACES), error);
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

/* Adds lines of the form "NAME:TOKEN" or "NAME:sha256:HASH", each optionally followed by attributes. Empty lines, and
 * those that begin with #, are skipped. A zero byte follows @text, as with g_file_get_contents (). The error has a line
 * for each invalid one. */
gboolean
tcp_tokens_add_lines (TcpTokens   *self,
                      const char  *text,
                      gsize        length,
                      const char  *origin,
                      GError     **error)
{
  const char *nul = memchr (text, '\0', length);
  g_autoptr (GString) wrong = g_string_new (NULL);
  guint n_wrong = 0;

  /* Otherwise everything behind the zero byte would be ignored silently. */
  if (nul != NULL)
    return tcp_invalid (error, _("%s:%u: the line contains a zero byte; the file is not a text file"), origin,
                        count_lines (text, nul));

  /* Some editors write a byte order mark. */
  if (g_str_has_prefix (text, BYTE_ORDER_MARK))
    text += strlen (BYTE_ORDER_MARK);
  for (guint number = 1; *text != '\0'; number++)
    {
      gsize size = strcspn (text, "\n");
      g_autofree char *copy = g_strndup (text, size);
      char *line = g_strstrip (copy);
      g_autoptr (GError) local = NULL;

      if (*line != '\0' && *line != '#' && !tokens_add_line (self, line, &local) && n_wrong++ < MAX_WRONG_LINES)
        g_string_append_printf (wrong, "%s%s:%u: %s", n_wrong > 1 ? "\n" : "", origin, number, local->message);
      text += text[size] == '\n' ? size + 1 : size;
    }
  if (n_wrong > MAX_WRONG_LINES)
    {
      guint n = n_wrong - MAX_WRONG_LINES;

      g_string_append_c (wrong, '\n');
      g_string_append_printf (wrong, tcp_ngettext ("%s: %u more line is wrong", "%s: %u more lines are wrong", n), origin, n);
    }
  return n_wrong == 0 || tcp_invalid (error, "%s", wrong->str);
}

/* Finding */

gboolean
tcp_credential_has_expired (const TcpCredential *self)
{
  return self->expires <= g_get_real_time ();
}

/* Whether the token still exists with that name; its expiry may have changed. */
const TcpToken *
tcp_tokens_find_credential (TcpTokens           *self,
                            const TcpCredential *credential,
                            const char          *name)
{
  TcpToken key = { .credential = *credential };
  const TcpToken *token = g_hash_table_lookup (self->tokens, &key);

  return token != NULL && strcmp (token->name, name) == 0 ? token : NULL;
}

/* NULL if there is no such token. It may have expired. */
const TcpToken *
tcp_tokens_find (TcpTokens  *self,
                 const char *token)
{
  TcpToken key = { 0 };

  digest_token (token, key.credential.digest);
  return g_hash_table_lookup (self->tokens, &key);
}

/* Returns the token in the value of an Authorization header, which may be NULL; NULL if it has no bearer token. */
const char *
tcp_tokens_parse_header (const char *authorization)
{
  if (authorization == NULL || g_ascii_strncasecmp (authorization, "Bearer ", 7) != 0)
    return NULL;

  return authorization + 7 + strspn (authorization + 7, " ");
}

/* As tcp_tokens_find (), but with the value of an Authorization header, which may be NULL. */
const TcpToken *
tcp_tokens_find_header (TcpTokens  *self,
                        const char *authorization)
{
  const char *token = tcp_tokens_parse_header (authorization);

  return token != NULL ? tcp_tokens_find (self, token) : NULL;
}

/* Reading */

/* The result ends with a zero byte. */
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
      /* The file may be a device that never ends. */
      if (text->len > MAX_TOKEN_FILE)
        {
          tcp_invalid (error, _("%s has more than %u bytes"), file, MAX_TOKEN_FILE);
          return NULL;
        }
    }
  while (n > 0);

  *length = text->len;
  g_byte_array_append (text, (const guint8 *) "", 1);
  return (char *) g_byte_array_free (g_steal_pointer (&text), FALSE);
}

static void
tokens_warn_of_expired (TcpTokens  *self,
                        const char *file,
                        guint       n_others,
                        TcpLog     *log)
{
  GHashTableIter iter;
  gpointer token;
  guint n = 0;

  g_hash_table_iter_init (&iter, self->tokens);
  while (g_hash_table_iter_next (&iter, &token, NULL))
    n += tcp_credential_has_expired (&((TcpToken *) token)->credential);
  if (n > 0)
    tcp_log_warn (log, "expired tokens in %s: %u of %u", file, n, tcp_tokens_count (self) - n_others);
}

/* Loads the tokens of the file, and @token, which belongs to “default”; each may be NULL. Blocks. */
TcpTokens *
tcp_tokens_load (const char  *token,
                 const char  *file,
                 TcpLog      *log,
                 GError     **error)
{
  g_autoptr (TcpTokens) self = tcp_tokens_new ();

  if (token != NULL && !tcp_tokens_add (self, "default", token, error))
    return NULL;

  if (file != NULL)
    {
      g_autoptr (GError) local = NULL;
      gsize length;
      gboolean is_public;
      g_autofree char *text = read_token_file (file, &length, &is_public, &local);

      if (text == NULL)
        {
          tcp_invalid (error, _("the token file cannot be read: %s"), local->message);
          return NULL;
        }
      if (!tcp_tokens_add_lines (self, text, length, file, error))
        return NULL;
      if (is_public)
        tcp_log_warn (log, "every user of this machine may read the tokens in %s; 'chmod o-r %s' prevents that", file, file);
      tokens_warn_of_expired (self, file, token != NULL ? 1 : 0, log);
    }

  return g_steal_pointer (&self);
}
