/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/text.h"

#include <string.h>

/* What the other end has said, for a message: in UTF-8, on one line, and without what
 * a terminal would obey. */
char *
tcp_text_from_peer (const char *text,
                    gsize       length)
{
  char *valid = g_utf8_make_valid (text, length);
  char *next;

  for (char *c = valid; *c != '\0'; c = next)
    {
      next = g_utf8_next_char (c);
      if (!g_unichar_isprint (g_utf8_get_char (c)))
        memset (c, '?', next - c);
    }
  return valid;
}
