/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/token.h"

/* A token becomes a part of a header unchanged, so it must not contain anything that ends the header. */
gboolean
tcp_token_is_valid (const char *token)
{
  if (token == NULL || *token == '\0')
    return FALSE;
  for (const char *c = token; *c != '\0'; c++)
    if (!g_ascii_isgraph (*c))
      return FALSE;

  return TRUE;
}
