/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The URL of a gateway, and explanations of invalid ones. It may contain a password or a key, or be a token that was
 * given instead, so a message does not repeat any part that could be one. */

#include "tunnel/remote-uri.h"

#include <gio/gio.h>
#include <string.h>
#include "base/i18n.h"
#include "base/invalid.h"

/* Path and query are sent as they were given. */
#define URI_FLAGS                                                                       \
  (G_URI_FLAGS_ENCODED_PATH | G_URI_FLAGS_ENCODED_QUERY | G_URI_FLAGS_ENCODED_FRAGMENT | \
   G_URI_FLAGS_HAS_PASSWORD | G_URI_FLAGS_SCHEME_NORMALIZE)

#define MAX_SCHEME 16 /* characters of a scheme */

/* Characters that a text processor or a web page has inserted */

static gboolean
is_dash (gunichar c)
{
  return (c >= 0x2010 && c <= 0x2015) || c == 0x2212 || c == 0xfe58 || c == 0xfe63 || c == 0xff0d;
}

static gboolean
is_quotation_mark (gunichar c)
{
  return c == '"' || c == '`' || c == '<' || c == '>' || c == 0xab || c == 0xbb ||
         (c >= 0x2018 && c <= 0x201f);
}

static gboolean
check_characters (const char  *text,
                  GError     **error)
{
  if (!g_utf8_validate (text, -1, NULL))
    return tcp_invalid (error, _("the URL of the gateway is not valid: it is not text in UTF-8"));

  for (const char *next = text; *next != '\0'; next = g_utf8_next_char (next))
    {
      gunichar c = g_utf8_get_char (next);

      if (c == ' ')
        return tcp_invalid (error,
                            _("the URL of the gateway is not valid: it has a space in it; leave it out, or write %%20"));
      if (g_unichar_iscntrl (c))
        return tcp_invalid (error,
                            _("the URL of the gateway is not valid: it has a line break or another control character "
                              "in it"));
      /* A single quotation mark is allowed within a URL. */
      if (is_quotation_mark (c) || (c == '\'' && next == text))
        return tcp_invalid (error,
                            _("the URL of the gateway is not valid: it has a quotation mark or an angle bracket in it; "
                              "leave it out"));
      if (c == '\\')
        return tcp_invalid (error, _("the URL of the gateway is not valid: it has a backslash in it; write /"));
      if (is_dash (c))
        return tcp_invalid (error,
                            _("the URL of the gateway is not valid: the dash U+%04X in it is not the hyphen of the "
                              "keyboard; write -"), c);
      if (g_unichar_isspace (c) || g_unichar_type (c) == G_UNICODE_FORMAT)
        return tcp_invalid (error,
                            _("the URL of the gateway is not valid: it has the invisible character U+%04X in it; type "
                              "it anew"), c);
    }
  return TRUE;
}

/* Scheme */

/* Returns what follows the scheme, if @text begins with @scheme and something like ://, or NULL. */
static const char *
skip_scheme (const char *text,
             const char *scheme)
{
  gsize length = strlen (scheme);

  if (g_ascii_strncasecmp (text, scheme, length) != 0 || strchr (":/", text[length]) == NULL || text[length] == '\0')
    return NULL;
  return text + length;
}

/* A scheme before :// is not part of a token. */
static char *
get_scheme (const char *text)
{
  const char *end = strstr (text, "://");

  if (end == NULL || end == text || end - text > MAX_SCHEME)
    return NULL;
  for (const char *c = text; c < end; c++)
    if (!g_ascii_isalnum (*c) && strchr ("+-.", *c) == NULL)
      return NULL;
  return g_strndup (text, end - text);
}

static gboolean
check_scheme (const char  *text,
              const char **authority,
              GError     **error)
{
  static const char *const schemes[] = { "ws", "wss" };
  static const char *const others[][2] = { { "http", "ws" }, { "https", "wss" } };
  g_autofree char *scheme = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (schemes); i++)
    {
      const char *rest = skip_scheme (text, schemes[i]);

      if (rest == NULL)
        continue;
      if (!g_str_has_prefix (rest, "://"))
        return tcp_invalid (error, _("the URL of the gateway is not valid: it has to begin with %s://"), schemes[i]);
      *authority = rest + strlen ("://");
      return TRUE;
    }
  for (guint i = 0; i < G_N_ELEMENTS (others); i++)
    if (skip_scheme (text, others[i][0]) != NULL)
      return tcp_invalid (error, _("the URL of the gateway must begin with ws:// or wss://: write %s:// in place of "
                                   "%s://"),
                          others[i][1], others[i][0]);

  scheme = get_scheme (text);
  if (scheme != NULL)
    return tcp_invalid (error, _("the URL of the gateway must begin with ws:// or wss://, not with %s://"), scheme);
  return tcp_invalid (error, _("the URL of the gateway must begin with ws:// or wss://, as wss://example.com/instance "
                               "does"));
}

/* Host and port */

static gboolean
is_ipv6 (const char *text)
{
  g_autoptr (GInetAddress) address = g_inet_address_new_from_string (text);

  return address != NULL && g_inet_address_get_family (address) == G_SOCKET_FAMILY_IPV6;
}

/* An IPv6 address without brackets, perhaps followed by a port, is ambiguous. */
static gboolean
check_colons (const char  *scheme,
              const char  *authority,
              GError     **error)
{
  const char *colon = strrchr (authority, ':');
  g_autofree char *front = NULL;
  gboolean whole = is_ipv6 (authority);

  if (colon == NULL || strchr (authority, ':') == colon || *authority == '[')
    return TRUE;

  front = g_strndup (authority, colon - authority);
  if (is_ipv6 (front) && colon[1 + strspn (colon + 1, "0123456789")] == '\0')
    return whole ? tcp_invalid (error,
                                _("the URL of the gateway is not valid: an IPv6 address goes in brackets; did you mean "
                                  "%s://[%s]:%s/ or %s://[%s]/?"),
                                scheme, front, colon + 1, scheme, authority)
                 : tcp_invalid (error,
                                _("the URL of the gateway is not valid: an IPv6 address goes in brackets; did you mean "
                                  "%s://[%s]:%s/?"),
                                scheme, front, colon + 1);
  if (whole)
    return tcp_invalid (error,
                        _("the URL of the gateway is not valid: an IPv6 address goes in brackets; did you mean "
                          "%s://[%s]/?"),
                        scheme, authority);
  return tcp_invalid (error,
                      _("the URL of the gateway is not valid: there is more than one colon after the host; an IPv6 "
                        "address goes in brackets"));
}

static gboolean
check_host (const char  *authority,
            gsize        length,
            GError     **error)
{
  g_autofree char *host = g_strndup (authority, length);
  g_autofree char *inner = NULL;

  if (*host == '\0')
    return tcp_invalid (error, _("the URL of the gateway is not valid: it has no host"));
  if (*host != '[')
    {
      for (const char *c = host; *c != '\0'; c++)
        if ((guchar) *c < 0x80 && !g_ascii_isalnum (*c) && strchr ("-._", *c) == NULL)
          return tcp_invalid (error, _("the URL of the gateway is not valid: its host has a '%c' in it"), *c);
      return TRUE;
    }

  inner = g_strndup (host + 1, strcspn (host + 1, "%]"));
  if (!g_str_has_suffix (host, "]") || !is_ipv6 (inner))
    return tcp_invalid (error, _("the URL of the gateway is not valid: the text in brackets is not an IPv6 address"));
  return TRUE;
}

/* Checks the host that GLib has parsed: it has decoded percent signs of a scope, and in other hosts it may have
 * replaced characters that look like ASCII ones. The host becomes part of the head of a request. */
static gboolean
check_parsed_host (const char  *host,
                   GError     **error)
{
  gsize length = strcspn (host, "%");
  g_autofree char *address = g_strndup (host, length);
  const char *name = is_ipv6 (address) ? host + length + (host[length] == '%') : host;

  for (const char *c = name; *c != '\0'; c++)
    if ((guchar) *c < 0x80 && !g_ascii_isalnum (*c) && strchr ("-._", *c) == NULL)
      return tcp_invalid (error,
                          _("the URL of the gateway is not valid: its host, or the scope of its IPv6 address, has a "
                            "character in it that no host name has"));
  return TRUE;
}

static gboolean
check_authority (const char  *scheme,
                 const char  *begin,
                 GError     **error)
{
  g_autofree char *authority = g_strndup (begin, strcspn (begin, "/?#"));
  const char *bracket = strrchr (authority, ']');
  const char *colon = strrchr (bracket != NULL ? bracket : authority, ':');
  guint64 port;

  /* This also finds a password that contains an @. */
  if (strchr (authority, '@') != NULL)
    return tcp_invalid (error,
                        _("the URL of the gateway is not valid: it has a user name or a password in it; leave it out, "
                          "as the token is what authorises"));
  if (!check_colons (scheme, authority, error))
    return FALSE;
  if (*authority == '[' && strchr (authority, '%') != NULL && strstr (authority, "%25") == NULL)
    return tcp_invalid (error,
                        _("the URL of the gateway is not valid: in a URL the scope of an IPv6 address follows %%25, as "
                          "in [fe80::1%%25eth0]"));
  if (!check_host (authority, colon != NULL ? (gsize) (colon - authority) : strlen (authority), error))
    return FALSE;
  if (colon != NULL && colon[1] != '\0' && !g_ascii_string_to_unsigned (colon + 1, 10, 1, G_MAXUINT16, &port, NULL))
    return tcp_invalid (error, _("the URL of the gateway is not valid: its port is not a number from 1 to 65535"));
  if (colon != NULL && colon[1] == '\0' && g_str_has_prefix (begin + strlen (authority), "//"))
    return tcp_invalid (error,
                        _("the URL of the gateway is not valid: it has a second scheme; write %s:// once"), scheme);
  return TRUE;
}

/* GLib decodes parts of the path and the query, and removes dots; a signed URL must be sent unchanged. Takes ownership
 * of @uri. */
static GUri *
with_path_as_given (GUri       *uri,
                    const char *text)
{
  g_autoptr (GUri) parsed = uri;
  const char *query = strchr (text, '?');
  g_autofree char *path = query != NULL ? g_strndup (text, query - text) : g_strdup (text);

  return g_uri_build (URI_FLAGS, g_uri_get_scheme (parsed), NULL, g_uri_get_host (parsed), g_uri_get_port (parsed),
                      *path != '\0' ? path : "/", query != NULL ? query + 1 : NULL, NULL);
}

/**
 * tcp_remote_uri_parse:
 *
 * Returns: (transfer full) (nullable): the URL in its parts
 */
GUri *
tcp_remote_uri_parse (const char  *text,
                      GError     **error)
{
  g_autoptr (GError) local = NULL;
  g_autofree char *scheme = NULL;
  const char *authority = NULL;
  GUri *uri;

  if (text == NULL || *text == '\0')
    {
      tcp_invalid (error, _("no URL of a gateway was given, such as wss://example.com/instance"));
      return NULL;
    }
  if (!check_characters (text, error) || !check_scheme (text, &authority, error))
    return NULL;
  scheme = g_ascii_strdown (text, authority - text - strlen ("://"));
  if (!check_authority (scheme, authority, error))
    return NULL;
  if (strchr (authority, '#') != NULL)
    {
      tcp_invalid (error, _("the URL of the gateway is not valid: a # in it would begin a part that is not sent; leave "
                            "it out, or write %%23"));
      return NULL;
    }

  uri = g_uri_parse (text, URI_FLAGS, &local);
  if (uri == NULL)
    {
      /* GLib's message may repeat a part of the URL. */
      tcp_invalid (error, _("the URL of the gateway is not valid: a %% in it is not followed by two hexadecimal "
                            "digits, write %%25 for one that stands for itself; or it is not of the form "
                            "wss://example.com/instance"));
      return NULL;
    }
  if (!check_parsed_host (g_uri_get_host (uri), error))
    {
      g_uri_unref (uri);
      return NULL;
    }
  return with_path_as_given (uri, authority + strcspn (authority, "/?"));
}
