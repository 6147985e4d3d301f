/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/host-port.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/i18n.h"
#include "base/invalid.h"

/* RFC 1035, section 2.3.4 */
#define MAX_NAME 253
#define MAX_LABEL 63

/* Only the spelling that inet_ntop () writes is accepted. IPv4 addresses within IPv6 are another spelling of IPv4
 * addresses. */
static gboolean
is_canonical (int         family,
              const char *host)
{
  char again[INET6_ADDRSTRLEN];
  struct in6_addr address;

  if (inet_pton (family, host, &address) != 1 || inet_ntop (family, &address, again, sizeof again) == NULL)
    return FALSE;
  if (family == AF_INET6 && (IN6_IS_ADDR_V4MAPPED (&address) || strchr (again, '.') != NULL))
    return FALSE;
  return strcmp (host, again) == 0;
}

/* Resolvers treat such a name as an address in another base, or with parts omitted. */
static gboolean
ends_in_number (const char *host)
{
  const char *dot = strrchr (host, '.');
  const char *last = dot != NULL ? dot + 1 : host;

  return strspn (last, "0123456789") == strlen (last) || g_str_has_prefix (last, "0x");
}

/* Letters, digits, dashes and underscores in labels; no other scripts, which resolvers convert to ASCII. */
static gboolean
is_name (const char *host)
{
  gsize label = 0;

  if (strlen (host) > MAX_NAME || ends_in_number (host))
    return FALSE;
  for (const char *c = host; *c != '\0'; c++)
    {
      if (*c != '.' && !g_ascii_isalnum (*c) && *c != '_' && (*c != '-' || label == 0))
        return FALSE;
      if (*c == '.' && (label == 0 || c[-1] == '-'))
        return FALSE;
      label = *c == '.' ? 0 : label + 1;
      if (label > MAX_LABEL)
        return FALSE;
    }
  return label > 0 && host[strlen (host) - 1] != '-';
}

/* NULL and an error if it is neither a name nor an address in its canonical spelling. */
char *
tcp_host_parse (const char *text,
                gsize       length,
                gboolean   *address,
                GError    **error)
{
  g_autofree char *whole = g_strndup (text, length);
  g_autofree char *host = NULL;

  if (length >= 2 && text[0] == '[' && text[length - 1] == ']')
    {
      host = g_strndup (text + 1, length - 2);
      *address = TRUE;
      if (is_canonical (AF_INET6, host))
        return g_steal_pointer (&host);
    }
  else
    {
      host = g_ascii_strdown (whole, -1);
      *address = is_canonical (AF_INET, host);
      if (*address || is_name (host))
        return g_steal_pointer (&host);
    }

  tcp_invalid (error, _("“%s” is neither a host name in ASCII nor an address in its usual form, such as 10.0.0.1 or "
                        "[fd00::1]"),
               whole);
  return NULL;
}

/* Whether a program can only interpret it as a host, and not for example as an option: an address, of IPv6 perhaps with
 * a zone, or letters, digits, dots and dashes, with no dash at the beginning. */
gboolean
tcp_host_is_harmless (const char *text)
{
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-";
  const char *percent = strchr (text, '%');
  g_autofree char *address = percent != NULL ? g_strndup (text, percent - text) : g_strdup (text);
  struct in6_addr parsed;

  if (inet_pton (AF_INET6, address, &parsed) == 1)
    return percent == NULL || (percent[1] != '\0' && percent[1 + strspn (percent + 1, letters)] == '\0');
  return *text != '\0' && *text != '-' && strspn (text, letters) == strlen (text);
}

/* A number from 1 to 65535, without a sign or leading zeros. */
gboolean
tcp_port_parse (const char *text,
                gsize       length,
                guint16    *port)
{
  guint value = 0;

  if (length == 0 || length > 5 || text[0] == '0')
    return FALSE;
  for (gsize i = 0; i < length; i++)
    {
      if (!g_ascii_isdigit (text[i]))
        return FALSE;
      value = value * 10 + (text[i] - '0');
    }
  if (value > G_MAXUINT16)
    return FALSE;

  *port = value;
  return TRUE;
}

/* Two such numbers with a dash between them, or a single one for both. The last may be below the first. */
gboolean
tcp_port_range_parse (const char *text,
                      guint16    *first,
                      guint16    *last)
{
  const char *dash = strchr (text, '-');

  if (dash != NULL)
    return tcp_port_parse (text, dash - text, first) && tcp_port_parse (dash + 1, strlen (dash + 1), last);
  if (!tcp_port_parse (text, strlen (text), first))
    return FALSE;

  *last = *first;
  return TRUE;
}

/* On success, @target must be cleared. */
gboolean
tcp_host_port_parse (const char  *text,
                     TcpHostPort *target,
                     GError     **error)
{
  const char *colon = strrchr (text, ':');
  guint16 port;

  if (strlen (text) > TCP_HOST_PORT_MAX_LENGTH)
    return tcp_invalid (error, _("the target is longer than %d bytes"), TCP_HOST_PORT_MAX_LENGTH);
  if (colon == NULL || !tcp_port_parse (colon + 1, strlen (colon + 1), &port))
    return tcp_invalid (error, _("the target “%s” is not of the form HOST:PORT, such as db.example.org:5432"), text);

  *target = (TcpHostPort) { .port = port };
  target->host = tcp_host_parse (text, colon - text, &target->address, error);
  if (target->host == NULL)
    g_prefix_error (error, _("the target “%s” cannot be used: "), text);
  return target->host != NULL;
}

/* Whether the text may be the name of a gateway's target. It may be a part of a path, and is never a HOST:PORT. */
gboolean
tcp_target_name_is_valid (const char *text)
{
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";

  return g_ascii_isalnum (*text) && strspn (text, letters) == strlen (text) && strlen (text) <= TCP_TARGET_NAME_MAX_LENGTH;
}

/* Whether a client may request it from a gateway: HOST:PORT, or a name. */
gboolean
tcp_target_check (const char  *text,
                  GError     **error)
{
  g_auto (TcpHostPort) parsed = { 0 };

  return tcp_target_name_is_valid (text) || tcp_host_port_parse (text, &parsed, error);
}

void
tcp_host_port_clear (TcpHostPort *target)
{
  g_clear_pointer (&target->host, g_free);
}
