/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/settings.h"

#include <string.h>
#include "base/host-port.h"
#include "base/i18n.h"
#include "base/invalid.h"
#include "base/token.h"
#include "tunnel/forward-spec.h"
#include "tunnel/remote-uri.h"

/* In bytes. Few servers accept half of that. */
#define MAX_HEADERS (64 * 1024)

TcpTunnelSettings *
tcp_tunnel_settings_copy (const TcpTunnelSettings *self)
{
  TcpTunnelSettings *copy = tcp_settings_copy (&tcp_tunnel_settings, self);

  copy->service = g_strdup (self->service);
  copy->uri = self->uri != NULL ? g_uri_ref (self->uri) : NULL;
  copy->display = g_strdup (self->display);
  copy->connect_host = g_strdup (self->connect_host);
  return copy;
}

void
tcp_tunnel_settings_free (TcpTunnelSettings *self)
{
  g_free (self->service);
  g_clear_pointer (&self->uri, g_uri_unref);
  g_free (self->display);
  g_free (self->connect_host);
  tcp_settings_free (&tcp_tunnel_settings, self);
}

static gboolean
is_header_name (const char *name)
{
  if (*name == '\0')
    return FALSE;
  for (const char *c = name; *c != '\0'; c++)
    if (!g_ascii_isalnum (*c) && strchr ("!#$%&'*+-.^_`|~", *c) == NULL)
      return FALSE;

  return TRUE;
}

gboolean
tcp_header_split (const char  *header,
                  char       **name,
                  char       **value)
{
  const char *colon = strchr (header, ':');
  g_autofree char *left = NULL;

  if (colon == NULL)
    return FALSE;
  left = g_strndup (header, colon - header);
  if (!is_header_name (left))
    return FALSE;
  for (const char *c = colon + 1; *c != '\0'; c++)
    if (g_ascii_iscntrl (*c) && *c != '\t')
      return FALSE;

  *name = g_steal_pointer (&left);
  *value = g_strstrip (g_strdup (colon + 1));
  return TRUE;
}

/* A URL has neither a user nor a fragment, see tcp_remote_uri_parse (). */
static GUri *
uri_with_query (GUri       *uri,
                const char *query)
{
  return g_uri_build (g_uri_get_flags (uri), g_uri_get_scheme (uri), NULL, g_uri_get_host (uri),
                      g_uri_get_port (uri), g_uri_get_path (uri), query, NULL);
}

/* Sets @name in the query, as a browser's URLSearchParams.set () would: the first parameter of that name is replaced,
 * others are removed. Everything else stays unchanged, since it may be signed. */
GUri *
tcp_uri_add_query (GUri       *uri,
                   const char *name,
                   const char *value)
{
  const char *old = g_uri_get_query (uri);
  g_auto (GStrv) parts = g_strsplit (old != NULL ? old : "", "&", -1); /* no parts if it is empty */
  g_autoptr (GPtrArray) kept = g_ptr_array_new ();
  g_autofree char *escaped = g_uri_escape_string (value, NULL, FALSE);
  g_autofree char *pair = g_strconcat (name, "=", escaped, NULL);
  g_autofree char *query = NULL;
  gboolean placed = FALSE;

  for (char **part = parts; *part != NULL; part++)
    {
      gsize length = strcspn (*part, "=");
      gboolean same = length == strlen (name) && strncmp (*part, name, length) == 0;

      if (same && placed)
        continue;
      g_ptr_array_add (kept, same ? pair : *part);
      placed |= same;
    }
  if (!placed)
    g_ptr_array_add (kept, pair);
  g_ptr_array_add (kept, NULL);
  query = g_strjoinv ("&", (char **) kept->pdata);

  return uri_with_query (uri, query);
}

/* Parses “PORT=HOST:PORT”: connections to that port of the gateway, or any port for 0, are connected to that
 * service. */
gboolean
tcp_service_parse (const char  *text,
                   guint16     *port,
                   char       **target,
                   GError     **error)
{
  const char *equals = strchr (text, '=');
  g_auto (TcpHostPort) parsed = { 0 };

  *port = 0;
  if (equals == NULL || (strncmp (text, "0=", 2) != 0 && !tcp_port_parse (text, equals - text, port)))
    return tcp_invalid (error, _("“%s” is not of the form PORT=HOST:PORT, such as 8080=127.0.0.1:3000"), text);
  if (!tcp_host_port_parse (equals + 1, &parsed, error))
    return FALSE;

  if (target != NULL)
    *target = g_strdup (equals + 1);
  return TRUE;
}

/* Reads the port in the query; FALSE if it is not a port. */
static gboolean
get_remote_port (GUri    *uri,
                 guint16 *port)
{
  g_autoptr (GHashTable) form = NULL;
  const char *query = g_uri_get_query (uri);
  const char *value;
  guint64 number = 0;

  if (query != NULL)
    form = g_uri_parse_params (query, -1, "&", G_URI_PARAMS_WWW_FORM, NULL);
  value = form != NULL ? g_hash_table_lookup (form, "remotePort") : NULL;
  if (value != NULL && !g_ascii_string_to_unsigned (value, 10, 0, G_MAXUINT16, &number, NULL))
    return FALSE;
  *port = number;
  return TRUE;
}

/* The only service of a reverse tunnel. */
static gboolean
check_service (TcpTunnelSettings  *self,
               GError            **error)
{
  g_auto (TcpHostPort) parsed = { 0 };
  g_autoptr (GUri) uri = g_steal_pointer (&self->uri);
  g_autofree char *number = NULL;
  guint16 port = self->remote_port;

  if (self->service == NULL)
    return tcp_invalid (error, _("no service to connect to was given, such as 127.0.0.1:3000"));
  if (!tcp_host_port_parse (self->service, &parsed, error))
    return FALSE;
  if (port == 0 && !get_remote_port (uri, &port))
    return tcp_invalid (error, _("the remotePort in the query of the URI is not a port"));

  number = g_strdup_printf ("%u", port);
  self->uri = tcp_uri_add_query (uri, "remotePort", number);
  g_strfreev (self->reverses);
  self->reverses = g_new0 (char *, 2);
  self->reverses[0] = g_strdup_printf ("%u=%s", port, self->service);
  return TRUE;
}

static gboolean
check_services (TcpTunnelSettings  *self,
                GError            **error)
{
  if (self->reverse)
    return check_service (self, error);
  if (self->reverses == NULL || *self->reverses == NULL)
    return TRUE;

  if (self->mode != TCP_TUNNEL_MODE_MULTIPLEXED || self->common.resumption == TCP_TUNNEL_RESUMPTION_OFF)
    return tcp_invalid (error, _("services for TCP clients of the gateway require a multiplexed tunnel whose sessions can "
                                 "be resumed"));
  for (char **spec = self->reverses; *spec != NULL; spec++)
    {
      guint16 port;

      if (!tcp_service_parse (*spec, &port, NULL, error))
        return FALSE;
    }
  return TRUE;
}

/* Replaces the mode auto if only another mode is possible: only a resumable session may turn out to support many
 * connections, and a tunnel with services does not wait for a TCP client. */
static void
decide_mode (TcpTunnelSettings *self)
{
  if (self->mode != TCP_TUNNEL_MODE_AUTO)
    return;
  if (self->reverses != NULL && *self->reverses != NULL)
    self->mode = TCP_TUNNEL_MODE_MULTIPLEXED;
  else if (self->common.resumption == TCP_TUNNEL_RESUMPTION_OFF)
    self->mode = TCP_TUNNEL_MODE_SINGLETON;
}

static gboolean
check_uri (TcpTunnelSettings  *self,
           GError            **error)
{
  g_autoptr (GUri) uri = tcp_remote_uri_parse (self->remote_uri, error);

  if (uri == NULL)
    return FALSE;

  g_free (self->display);
  self->display = g_uri_to_string_partial (uri, G_URI_HIDE_USERINFO | G_URI_HIDE_QUERY | G_URI_HIDE_FRAGMENT);
  g_clear_pointer (&self->uri, g_uri_unref);
  self->uri = self->mode == TCP_TUNNEL_MODE_MULTIPLEXED && !self->reverse ? tcp_uri_add_query (uri, "mode", "multiplexed")
                                                        : g_steal_pointer (&uri);
  return TRUE;
}

static gboolean
check_listen (TcpTunnelSettings  *self,
              GError            **error)
{
  TcpForwardSpec spec = { .where = self->common.where, .target = self->target };

  if (self->target != NULL && self->common.resumption == TCP_TUNNEL_RESUMPTION_OFF)
    return tcp_invalid (error, _("the target “%s” cannot be requested: that requires sessions that can be resumed"),
                        self->target);
  return tcp_forward_spec_check (&spec, error);
}

/* The value of a header must not contain a line end, which would begin another header. */
static gboolean
is_header_value (const char *value)
{
  gsize length = strlen (value);

  for (const char *c = value; *c != '\0'; c++)
    if (!g_ascii_isprint (*c) && *c != '\t')
      return FALSE;
  return length > 0 && !g_ascii_isspace (value[0]) && !g_ascii_isspace (value[length - 1]);
}

static gboolean
check_credentials (TcpTunnelSettings  *self,
                   GError            **error)
{
  guint n = (self->token != NULL) + (self->authorization != NULL) + self->anonymous;

  if (n == 0 || (n == 1 && self->token != NULL && *self->token == '\0'))
    return tcp_invalid (error,
                        _("no token was given for the gateway %s; the property authorization takes other credentials, "
                          "and anonymous means none"),
                        self->display);
  if (n > 1)
    return tcp_invalid (error,
                        _("more than one of token, authorization and anonymous was given for the gateway %s, and only "
                          "one of them can be used"),
                        self->display);
  if (self->token != NULL && !tcp_token_is_valid (self->token))
    return tcp_invalid (error, _("the token for the gateway %s has a space or a character that is not ASCII in it"),
                        self->display);
  if (self->authorization != NULL && !is_header_value (self->authorization))
    return tcp_invalid (error,
                        _("the authorization for the gateway %s is empty, has a space at its beginning or end, or a "
                          "character that is not printable ASCII in it"),
                        self->display);
  return TRUE;
}

static gboolean
check_subprotocols (TcpTunnelSettings  *self,
                    GError            **error)
{
  for (char **name = self->subprotocols; name != NULL && *name != NULL; name++)
    {
      if (!is_header_name (*name))
        return tcp_invalid (error, _("the subprotocol “%s” is no name: it may have letters, digits and "
                                     "!#$%%&'*+-.^_`|~ in it"),
                            *name);
      for (char **other = self->subprotocols; other < name; other++)
        if (strcmp (*other, *name) == 0)
          return tcp_invalid (error, _("the subprotocol “%s” is given twice"), *name);
    }
  return TRUE;
}

static gboolean
check_connect_to (TcpTunnelSettings  *self,
                  GError            **error)
{
  const char *text = self->connect_to;
  const char *colon = text != NULL ? strrchr (text, ':') : NULL;
  gboolean address;

  g_clear_pointer (&self->connect_host, g_free);
  if (text == NULL)
    return TRUE;
  if (colon == NULL || !tcp_port_parse (colon + 1, strlen (colon + 1), &self->connect_port))
    return tcp_invalid (error, _("connect-to “%s” is not of the form HOST:PORT, such as 192.0.2.1:443"), text);

  self->connect_host = tcp_host_parse (text, colon - text, &address, error);
  if (self->connect_host == NULL)
    g_prefix_error (error, _("connect-to “%s” cannot be used: "), text);
  return self->connect_host != NULL;
}

static gboolean
check_headers (TcpTunnelSettings  *self,
               GError            **error)
{
  gsize size = 0;

  if (self->origin != NULL && !is_header_value (self->origin))
    return tcp_invalid (error, _("the origin is empty, or has a character that is not printable ASCII in it"));

  for (char **header = self->request_headers; header != NULL && *header != NULL; header++)
    {
      g_autofree char *name = NULL;
      g_autofree char *value = NULL;

      if (!tcp_header_split (*header, &name, &value))
        return tcp_invalid (error, _("a request header is not of the form “Name: value”"));
      if (g_ascii_strcasecmp (name, "Authorization") == 0)
        return tcp_invalid (error, _("the request header Authorization is set by the properties token and authorization"));
      if (g_ascii_strcasecmp (name, "Sec-WebSocket-Protocol") == 0)
        return tcp_invalid (error, _("the request header Sec-WebSocket-Protocol is set by the property subprotocols"));
      if (g_ascii_strcasecmp (name, "Origin") == 0 && self->origin != NULL)
        return tcp_invalid (error, _("the request header Origin is set by the property origin already"));
      if (g_ascii_strcasecmp (name, "Host") == 0 || g_ascii_strcasecmp (name, "Connection") == 0 ||
          g_ascii_strcasecmp (name, "Upgrade") == 0 || g_ascii_strncasecmp (name, "Sec-WebSocket-", 14) == 0)
        return tcp_invalid (error, _("the request header %s is set by the tunnel itself"), name);
      size += strlen (*header);
    }
  return size <= MAX_HEADERS || tcp_invalid (error, _("the request headers have more than %d bytes"), MAX_HEADERS);
}

/* Checks everything that can be checked in advance. */
gboolean
tcp_tunnel_settings_check (TcpTunnelSettings  *self,
                           GError            **error)
{
  decide_mode (self);
  return check_uri (self, error) && check_credentials (self, error) && (self->reverse || check_listen (self, error)) &&
         check_services (self, error) && check_subprotocols (self, error) && check_connect_to (self, error) &&
         check_headers (self, error);
}
