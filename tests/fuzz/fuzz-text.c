/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whatever a peer sends, a message shows it in UTF-8, on one line, with a bounded length, and without the token. */

#include "fuzz.h"

#include <string.h>
#include "base/text.h"

#define TOKEN "correct-horse"

int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize size)
{
  g_autofree char *text = NULL;

  tcp_text_add_secret (TOKEN);
  text = tcp_text_from_peer ((const char *) data, size);
  tcp_text_remove_secret (TOKEN);

  g_assert_true (g_utf8_validate (text, -1, NULL));
  g_assert_cmpuint (strlen (text), <=, 256 + strlen ("…"));
  g_assert_null (strstr (text, TOKEN));
  for (const char *c = text; *c != '\0'; c = g_utf8_next_char (c))
    {
      gunichar character = g_utf8_get_char (c);

      g_assert_true (g_unichar_isprint (character));
      g_assert_false (character == 0x2028 || character == 0x2029);
    }
  return 0;
}
