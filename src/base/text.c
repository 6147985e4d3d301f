/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/text.h"

#include <string.h>
#include "base/fork.h"
#include "base/tsan.h"

/* Of what a peer says, no more than this is read, nor more than that kept. */
#define MAX_READ 1024
#define MAX_LENGTH 256

/* So long a part of a secret is taken for one. */
#define MIN_PART 8

/* A shorter one is no secret, and would be found in every text. */
#define MIN_SECRET 4

#define REDACTED "[token]"
#define ELLIPSIS "…"

enum
{
  FORM_PLAIN,
  FORM_ESCAPED,     /* with %, where a URL needs it, */
  FORM_ALL_ESCAPED, /* or everywhere */
  FORM_BASE64,      /* with none, one or two bytes in its first group of three before it */
  N_FORMS = FORM_BASE64 + 3,
};

/* The tokens of this process, which a peer may say back: each as it is, and as it may have
 * been encoded. */
typedef struct
{
  char *secret;
  char *forms[N_FORMS];
  guint users;
} Secret;

static GMutex mutex;
static GPtrArray *secrets;

/* Another thread of the parent may have had it. */
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

/* As it is found in the base64 of a text that has @before bytes more before it in the group
 * of three with which it begins: "Bearer " is seven. */
static char *
encode_base64 (const char *secret,
               guint       before)
{
  static const gsize shared[] = { 0, 2, 3 }; /* digits that depend on those bytes */
  g_autofree char *text = g_strdup_printf ("%.*s%s", (int) before, "..", secret);
  g_autofree char *encoded = g_base64_encode ((const guchar *) text, strlen (text));

  /* The padding depends on what follows. */
  g_strdelimit (encoded, "=", '\0');
  return g_strdup (encoded + shared[before]);
}

/* From now on no text of a peer shows it, until that was taken back as often. */
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

/* How much of the beginning of @text is the form, or a part of it that tells too much. Case
 * does not matter: a peer may have changed it. */
static gsize
match_form (const char *form,
            const char *text,
            gsize       length)
{
  gsize size = strlen (form);
  gsize needed = MIN (size, MIN_PART);
  gsize longest = 0;

  for (gsize start = 0; start + needed <= size; start++)
    {
      gsize n = 0;

      while (n < length && start + n < size && g_ascii_tolower (form[start + n]) == g_ascii_tolower (text[n]))
        n++;
      if (n >= needed)
        longest = MAX (longest, n);
    }
  return longest;
}

static gsize
match_secret (const char *text,
              gsize       length)
{
  gsize longest = 0;

  for (guint i = 0; secrets != NULL && i < secrets->len; i++)
    for (guint j = 0; j < N_FORMS; j++)
      longest = MAX (longest, match_form (((Secret *) secrets->pdata[i])->forms[j], text, length));
  return longest;
}

static GString *
redact (const char *text,
        gsize       length)
{
  GString *result = g_string_sized_new (length);

  g_mutex_lock (&mutex);
  for (gsize i = 0; i < length;)
    {
      gsize n = match_secret (text + i, length - i);

      if (n > 0)
        g_string_append (result, REDACTED);
      else
        g_string_append_c (result, text[i]);
      i += MAX (n, 1);
    }
  g_mutex_unlock (&mutex);
  return result;
}

/* Neither controls, nor what begins a new line or turns the direction of writing. */
static gboolean
is_harmless (gunichar c)
{
  GUnicodeType type = g_unichar_type (c);

  return g_unichar_isprint (c) && type != G_UNICODE_LINE_SEPARATOR && type != G_UNICODE_PARAGRAPH_SEPARATOR;
}

/* What the other end has said, for a message: in UTF-8, on one line, without what a terminal
 * or a reader could be deceived by, of which the number is shown, without a token of this
 * process, and not long. */
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
