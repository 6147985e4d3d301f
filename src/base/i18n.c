/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/i18n.h"

#include <libintl.h>

/* If two threads call this at once, both do the same. There is no lock that a forked child could find locked. */
static void
bind_domain (void)
{
  static int bound;

  if (g_atomic_int_get (&bound))
    return;
  bindtextdomain (GETTEXT_PACKAGE, TCP_TUNNEL_LOCALE_DIR);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
  g_atomic_int_set (&bound, TRUE);
}

/* Returns the translation for the locale of the program, in UTF-8; @text if there is none. */
const char *
tcp_gettext (const char *text)
{
  bind_domain ();
  return g_dgettext (GETTEXT_PACKAGE, text);
}

const char *
tcp_ngettext (const char   *singular,
              const char   *plural,
              unsigned long n)
{
  bind_domain ();
  return g_dngettext (GETTEXT_PACKAGE, singular, plural, n);
}
