/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/head.h"

#include <string.h>

/* The fields that determine the client and its request. A second one is an attempt to make two programs read one
 * request differently. */
static const char *const singles[] = {
  "Host", "Authorization", "Content-Length", "Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Version",
};

/* Whether @head ends with its blank line. */
gboolean
tcp_head_is_complete (const char *head,
                      gsize       length)
{
  return length >= 4 && memcmp (head + length - 4, "\r\n\r\n", 4) == 0;
}

/* Returns how many of the @n bytes of @data, which follow @length bytes of an incomplete head, still belong to it:
 * those up to the end of the blank line, or all. Each byte is examined once, however often the beginning of a blank
 * line occurs. */
gsize
tcp_head_get_part (const char *head,
                   gsize       length,
                   const char *data,
                   gsize       n)
{
  static const char end[] = "\r\n\r\n";
  gsize before = MIN (length, 3);
  gsize behind = MIN (n, 3);
  char seam[6];
  const char *found;

  /* Empty buffers may be NULL. */
  if (before > 0)
    memcpy (seam, head + length - before, before);
  if (behind > 0)
    memcpy (seam + before, data, behind);
  found = memmem (seam, before + behind, end, 4);
  if (found != NULL)
    return found + 4 - seam - before;
  found = memmem (data, n, end, 4);
  return found != NULL ? (gsize) (found + 4 - data) : n;
}

static gboolean
is_token (const char *text,
          gsize       length)
{
  for (gsize i = 0; i < length; i++)
    if (!g_ascii_isalnum (text[i]) && (text[i] == '\0' || strchr ("!#$%&'*+-.^_`|~", text[i]) == NULL))
      return FALSE;
  return length > 0;
}

/* Whether it contains neither NUL, CR, LF nor other control characters. */
static gboolean
is_text (const char *text,
         gsize       length)
{
  for (gsize i = 0; i < length; i++)
    if (g_ascii_iscntrl (text[i]) && text[i] != '\t')
      return FALSE;
  return TRUE;
}

static guint
refuse (guint        status,
        const char  *text,
        const char **reason)
{
  *reason = text;
  return status;
}

static guint
check_request_line (const char  *line,
                    gsize        length,
                    const char **reason)
{
  const char *end = line + length;
  const char *target = memchr (line, ' ', length);
  const char *version = target != NULL ? memchr (target + 1, ' ', end - target - 1) : NULL;

  if (version == NULL || !is_token (line, target - line) || version == target + 1 ||
      memchr (version + 1, ' ', end - version - 1) != NULL || !is_text (line, length) ||
      end - version - 1 < 5 || memcmp (version + 1, "HTTP/", 5) != 0)
    return refuse (400, "The request line is malformed.", reason);
  /* HTTP/1.0 is refused as well: for that version the parser removes the headers that the Connection header names, such
   * as those in which a proxy names the client. */
  if (end - version - 1 != 8 || memcmp (version + 1, "HTTP/1.1", 8) != 0)
    return refuse (505, "A WebSocket requires HTTP/1.1; a proxy on the way may have to be configured for it.", reason);
  if (target - line != 3 || memcmp (line, "GET", 3) != 0)
    return refuse (405, "Only GET without a body is understood here.", reason);

  return 0;
}

static gboolean
is_field (const char *name,
          gsize       length,
          const char *field)
{
  return length == strlen (field) && g_ascii_strncasecmp (name, field, length) == 0;
}

static gboolean
is_zero (const char *value,
         const char *end)
{
  while (value < end && (*value == ' ' || *value == '\t'))
    value++;
  while (value < end && (end[-1] == ' ' || end[-1] == '\t'))
    end--;
  return end == value + 1 && *value == '0';
}

static guint
check_field (const char  *line,
             gsize        length,
             guint       *seen,
             const char **reason)
{
  const char *end = line + length;
  const char *colon = memchr (line, ':', length);

  /* A continuation of the line before begins with a space, and so has no name. */
  if (colon == NULL || !is_token (line, colon - line) || !is_text (colon, end - colon))
    return refuse (400, "A header line is malformed.", reason);
  if (is_field (line, colon - line, "Transfer-Encoding"))
    return refuse (501, "A request with a transfer coding is not accepted here.", reason);
  if (is_field (line, colon - line, "Content-Length") && !is_zero (colon + 1, end))
    return refuse (413, "A request with a body is not accepted here.", reason);

  if (is_field (line, colon - line, "Expect"))
    return refuse (417, "A request that expects something is not accepted here.", reason);

  for (guint i = 0; i < G_N_ELEMENTS (singles); i++)
    if (is_field (line, colon - line, singles[i]))
      {
        if (*seen & 1u << i)
          return refuse (400, "A header that may occur only once is repeated.", reason);
        *seen |= 1u << i;
      }

  return 0;
}

/* @head includes its blank line. Returns 0, or the HTTP status with which to refuse the request, and the reason, which
 * repeats nothing of the request. */
guint
tcp_head_check (const char  *head,
                gsize        length,
                const char **reason)
{
  const char *end = head + length - 2;
  guint status = 0;
  guint seen = 0;

  for (const char *line = head; line < end && status == 0;)
    {
      const char *line_end = memchr (line, '\n', end - line);

      if (line_end == NULL || line_end == line || line_end[-1] != '\r')
        return refuse (400, "A line of the request does not end with CR and LF.", reason);
      if (line == head)
        status = check_request_line (line, line_end - 1 - line, reason);
      else
        status = check_field (line, line_end - 1 - line, &seen, reason);
      line = line_end + 1;
    }

  return status;
}
