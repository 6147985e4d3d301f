/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/text.h"

#include <string.h>
#include "base/fork.h"
#include "base/tsan.h"

/* The limits on how much of a text from a peer is read, and how much is kept. */
#define MAX_READ 1024
#define MAX_LENGTH 256

/* A part of a secret of this length is treated like the secret. */
#define MIN_PART 8

/* A shorter text is not a secret, and would occur in many texts. */
#define MIN_SECRET 4

/* The size of the table for parts of a text. */
#define BUCKET_BITS 11

#define REDACTED "[token]"
#define ELLIPSIS "…"

enum
{
  FORM_PLAIN,
  FORM_ESCAPED,     /* with % where a URL needs it */
  FORM_ALL_ESCAPED, /* with % everywhere */
  FORM_BASE64,      /* with none, one or two bytes before it in its first group of three */
  N_FORMS = FORM_BASE64 + 3,
};

/* The tokens of this process, which a peer may repeat: each as it is, and in the forms in which it may be encoded. */
typedef struct
{
  char *secret;
  char *forms[N_FORMS];
  guint users;
} Secret;

static GMutex mutex;
static GPtrArray *secrets;
static guint64 multiplier; /* odd; 0 before there are secrets */

/* Another thread of the parent may have held the mutex. */
static void
in_child (void)
{
  g_mutex_init (&mutex);
}

static void
secret_free (gpointer data)
{
  Secret *self = data;

  g_free (self->secret);
  for (guint i = 0; i < N_FORMS; i++)
    g_free (self->forms[i]);
  g_free (self);
}

static guint
find_secret (const char *secret)
{
  guint i = 0;

  while (secrets != NULL && i < secrets->len && strcmp (((Secret *) secrets->pdata[i])->secret, secret) != 0)
    i++;
  return i;
}

static char *
escape_all (const char *secret)
{
  GString *text = g_string_new (NULL);

  for (const char *c = secret; *c != '\0'; c++)
    g_string_append_printf (text, "%%%02X", (guchar) *c);
  return g_string_free (text, FALSE);
}

/* The form of the secret in the base64 of a text with @before more bytes before it in its first group of three: "Bearer
 * " has seven. */
static char *
encode_base64 (const char *secret,
               guint       before)
{
  static const gsize shared[] = { 0, 2, 3 }; /* digits that depend on those bytes */
  g_autofree char *text = g_strdup_printf ("%.*s%s", (int) before, "..", secret);
  g_autofree char *encoded = g_base64_encode ((const guchar *) text, strlen (text));

  /* The padding depends on the following bytes. */
  g_strdelimit (encoded, "=", '\0');
  return g_strdup (encoded + shared[before]);
}

/* From now on no text of a peer shows the secret, until it is removed as often as it was added. */
void
tcp_text_add_secret (const char *secret)
{
  guint i;

  if (strlen (secret) < MIN_SECRET)
    return;

  g_mutex_lock (&mutex);
  tcp_fork_watch (in_child);
  i = find_secret (secret);
  if (secrets == NULL)
    secrets = g_ptr_array_new_with_free_func (secret_free);
  if (multiplier == 0)
    multiplier = ((guint64) g_random_int () << 32 | g_random_int ()) | 1;
  if (i == secrets->len)
    {
      Secret *added = g_new0 (Secret, 1);

      added->secret = g_strdup (secret);
      added->forms[FORM_PLAIN] = g_strdup (secret);
      added->forms[FORM_ESCAPED] = g_uri_escape_string (secret, NULL, FALSE);
      added->forms[FORM_ALL_ESCAPED] = escape_all (secret);
      for (guint before = 0; before < 3; before++)
        added->forms[FORM_BASE64 + before] = encode_base64 (secret, before);
      g_ptr_array_add (secrets, added);
    }
  ((Secret *) secrets->pdata[i])->users++;
  g_mutex_unlock (&mutex);
}

void
tcp_text_remove_secret (const char *secret)
{
  guint i;

  g_mutex_lock (&mutex);
  i = find_secret (secret);
  if (secrets != NULL && i < secrets->len && --((Secret *) secrets->pdata[i])->users == 0)
    g_ptr_array_remove_index_fast (secrets, i);
  if (secrets != NULL && secrets->len == 0)
    g_clear_pointer (&secrets, g_ptr_array_unref);
  g_mutex_unlock (&mutex);
}

/* All parts of the text with the length MIN_PART, by their bytes, so that the parts which a secret contains are found
 * in one pass over the text and the secrets. */
typedef struct
{
  const char *text;
  gsize length;
  guint64 parts[MAX_READ]; /* by the index at which they begin */
  guint16 next[MAX_READ];  /* in the same bucket; one more than its index */
  guint16 buckets[1 << BUCKET_BITS];
  gboolean hidden[MAX_READ]; /* for each byte */
} Search;

G_STATIC_ASSERT (MIN_PART == sizeof (guint64));

/* Case is ignored, since a peer may have changed it. */
static guint64
part_shift (guint64 part,
            char    next)
{
  return part << 8 | (guchar) g_ascii_tolower (next);
}

/* A random number determines which parts share a bucket, so that a peer cannot choose them. */
static guint16 *
search_get_bucket (Search  *self,
                   guint64  part)
{
  return &self->buckets[part * multiplier >> (64 - BUCKET_BITS)];
}

static void
search_init (Search     *self,
             const char *text,
             gsize       length)
{
  guint64 part = 0;

  self->text = text;
  self->length = length;
  memset (self->buckets, 0, sizeof self->buckets);
  memset (self->hidden, 0, sizeof self->hidden);
  for (gsize end = 1; end <= length; end++)
    {
      gsize start = end - MIN_PART;
      guint16 *bucket;

      part = part_shift (part, text[end - 1]);
      if (end < MIN_PART)
        continue;
      bucket = search_get_bucket (self, part);
      self->parts[start] = part;
      self->next[start] = *bucket;
      *bucket = start + 1;
    }
}

static void
search_hide (Search *self,
             gsize   start,
             gsize   size)
{
  for (gsize i = start; i < start + size; i++)
    self->hidden[i] = TRUE;
}

/* Hides all occurrences, and removes them from the table. */
static void
search_hide_part (Search  *self,
                  guint64  part)
{
  guint16 *link = search_get_bucket (self, part);

  while (*link != 0)
    {
      gsize start = *link - 1;

      if (self->parts[start] == part)
        {
          search_hide (self, start, MIN_PART);
          *link = self->next[start];
        }
      else
        {
          link = &self->next[start];
        }
    }
}

/* Hides the form, and each part of it that reveals too much. A short form is only searched for as a whole. */
static void
search_hide_form (Search     *self,
                  const char *form)
{
  gsize size = strlen (form);
  guint64 part = 0;

  for (gsize i = 0; i < size; i++)
    {
      part = part_shift (part, form[i]);
      if (i + 1 >= MIN_PART)
        search_hide_part (self, part);
    }
  for (gsize i = 0; size < MIN_PART && i + size <= self->length; i++)
    if (g_ascii_strncasecmp (self->text + i, form, size) == 0)
      search_hide (self, i, size);
}

static GString *
redact (const char *text,
        gsize       length)
{
  GString *result = g_string_sized_new (length);
  Search search;

  g_mutex_lock (&mutex);
  if (secrets == NULL)
    {
      g_mutex_unlock (&mutex);
      return g_string_append_len (result, text, length);
    }
  search_init (&search, text, length);
  for (guint i = 0; i < secrets->len; i++)
    for (guint j = 0; j < N_FORMS; j++)
      search_hide_form (&search, ((Secret *) secrets->pdata[i])->forms[j]);
  g_mutex_unlock (&mutex);

  for (gsize i = 0; i < length; i++)
    if (!search.hidden[i])
      g_string_append_c (result, text[i]);
    else if (i == 0 || !search.hidden[i - 1])
      g_string_append (result, REDACTED);
  return result;
}

/* Whether it is neither a control character, nor begins a new line, nor changes the direction of writing. */
static gboolean
is_harmless (gunichar c)
{
  GUnicodeType type = g_unichar_type (c);

  return g_unichar_isprint (c) && type != G_UNICODE_LINE_SEPARATOR && type != G_UNICODE_PARAGRAPH_SEPARATOR;
}

/* Returns a text from the peer for a message: in UTF-8, on one line, of limited length, and without tokens of this
 * process. Characters that could deceive a terminal or a reader are replaced by their number. */
char *
tcp_text_from_peer (const char *text,
                    gsize       length)
{
  g_autoptr (GString) said = redact (text, MIN (length, MAX_READ));
  g_autoptr (GString) result = g_string_sized_new (MAX_LENGTH);
  const char *end = said->str + said->len;
  gboolean cut = length > MAX_READ;

  for (const char *c = said->str; c < end;)
    {
      gunichar character = g_utf8_get_char_validated (c, end - c);
      gboolean valid = character != (gunichar) -1 && character != (gunichar) -2;
      gsize size = valid ? g_utf8_next_char (c) - c : 1;
      char shown[16];

      if (valid && is_harmless (character))
        {
          memcpy (shown, c, size);
          shown[size] = '\0';
        }
      else if (!valid || character < 0x80)
        {
          g_snprintf (shown, sizeof (shown), "\\x%02x", *(const guint8 *) c);
        }
      else
        {
          g_snprintf (shown, sizeof (shown), "\\u%04x", character);
        }

      if (result->len + strlen (shown) > MAX_LENGTH)
        {
          cut = TRUE;
          break;
        }
      g_string_append (result, shown);
      c += size;
    }

  if (cut)
    g_string_append (result, ELLIPSIS);
  return g_string_free (g_steal_pointer (&result), FALSE);
}

char *
tcp_text_from_date (GDateTime *date)
{
  g_autoptr (GDateTime) utc = g_date_time_to_utc (date);

  return g_date_time_format (utc, "%Y-%m-%d %H:%M UTC");
}
