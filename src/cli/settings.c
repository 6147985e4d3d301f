/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/settings.h"

#include <glib/gi18n.h>
#include <string.h>

#include "cli/options.h"
#include "cli/token.h"

static const char *const keys[N_SETTINGS + 1] = {
  [SETTING_REMOTE_URI] = "remote-uri",
  [SETTING_TOKEN_FILE] = "token-file",
  [SETTING_TOKEN] = "token",
  [SETTING_TOKEN_COMMAND] = "token-command",
  [SETTING_NO_TOKEN] = "no-token",
  [SETTING_LISTEN] = "listen",
  [SETTING_TARGET] = "target",
  [SETTING_TO] = "to",
  [SETTING_REMOTE_PORT] = "remote-port",
  [SETTING_FORWARDS] = "forwards",
  [SETTING_SOCKS] = "socks",
  [SETTING_HTTP_PROXY] = "http-proxy",
  [SETTING_MODE] = "mode",
  [SETTING_RESUMPTION] = "resumption",
  [SETTING_WAIT] = "wait",
  [SETTING_MAX_CONNECTIONS] = "max-connections",
  [SETTING_MAX_RECONNECT_ATTEMPTS] = "max-reconnect-attempts",
  [SETTING_RECONNECT_DELAY] = "reconnect-delay",
  [SETTING_MAX_RECONNECT_DELAY] = "max-reconnect-delay",
  [SETTING_CA] = "ca",
  [SETTING_CLIENT_CERT] = "client-cert",
  [SETTING_CLIENT_KEY] = "client-key",
  [SETTING_CONNECT_TO] = "connect-to",
  [SETTING_ORIGIN] = "origin",
  [SETTING_SUBPROTOCOL] = "subprotocol",
  [SETTING_HEADERS] = "headers",
  [SETTING_REVERSE] = "reverse",
  [SETTING_LOG_LEVEL] = "log-level",
  [SETTING_ON_READY] = "on-ready",
};

static const char *const options[N_SETTINGS] = {
  [SETTING_REMOTE_URI] = "URL",
  [SETTING_TOKEN_FILE] = "--token-file",
  [SETTING_TOKEN] = "--token",
  [SETTING_TOKEN_COMMAND] = "--token-command",
  [SETTING_NO_TOKEN] = "--no-token",
  [SETTING_LISTEN] = "--listen",
  [SETTING_TARGET] = "--target",
  [SETTING_TO] = "--to",
  [SETTING_REMOTE_PORT] = "--remote-port",
  [SETTING_FORWARDS] = "--forward",
  [SETTING_SOCKS] = "--socks",
  [SETTING_HTTP_PROXY] = "--http-proxy",
  [SETTING_MODE] = "--mode",
  [SETTING_RESUMPTION] = "--resumption",
  [SETTING_WAIT] = "--wait",
  [SETTING_MAX_CONNECTIONS] = "--max-connections",
  [SETTING_MAX_RECONNECT_ATTEMPTS] = "--max-reconnect-attempts",
  [SETTING_RECONNECT_DELAY] = "--reconnect-delay",
  [SETTING_MAX_RECONNECT_DELAY] = "--max-reconnect-delay",
  [SETTING_CA] = "--ca",
  [SETTING_CLIENT_CERT] = "--client-cert",
  [SETTING_CLIENT_KEY] = "--client-key",
  [SETTING_CONNECT_TO] = "--connect-to",
  [SETTING_ORIGIN] = "--origin",
  [SETTING_SUBPROTOCOL] = "--subprotocol",
  [SETTING_HEADERS] = "--header",
  [SETTING_REVERSE] = "--reverse",
  [SETTING_LOG_LEVEL] = "--log-level",
  [SETTING_ON_READY] = "--on-ready",
};

Settings *
settings_new (const char *name)
{
  Settings *self = g_new0 (Settings, 1);

  self->name = g_strdup (name);
  return self;
}

void
settings_free (Settings *self)
{
  for (guint i = 0; i < N_SETTINGS; i++)
    {
      g_free (self->values[i]);
      g_free (self->sources[i]);
    }
  g_strfreev (self->headers);
  g_strfreev (self->reverses);
  g_strfreev (self->forwards);
  g_free (self->name);
  g_free (self->place);
  g_free (self);
}

/* The keys of the config file, in the order of #Setting, %NULL at the end. */
const char *const *
settings_keys (void)
{
  return keys;
}

gboolean
settings_has (const Settings *self,
              Setting         setting)
{
  switch (setting)
    {
    case SETTING_HEADERS:
      return self->headers != NULL;
    case SETTING_FORWARDS:
      return self->forwards != NULL;
    case SETTING_REVERSE:
      return self->reverses != NULL;
    default:
      return self->values[setting] != NULL;
    }
}

/* The source of the value, for messages about it. */
const char *
settings_source (const Settings *self,
                 Setting         setting)
{
  return self->sources[setting] != NULL ? self->sources[setting] : options[setting];
}

static gboolean
read_duration (const Settings  *self,
               Setting          setting,
               TcpTunnel       *tunnel,
               GError         **error)
{
  return options_read_duration_property (settings_source (self, setting), self->values[setting],
                                         G_OBJECT (tunnel), keys[setting], error);
}

static gboolean
read_enum (const Settings  *self,
           Setting          setting,
           GType            type,
           int             *value,
           GError         **error)
{
  return options_read_enum (settings_source (self, setting), self->values[setting], type, value,
                            error);
}

static gboolean
read_tls (const Settings  *self,
          TcpTunnel       *tunnel,
          GError         **error)
{
  g_autoptr (GTlsDatabase) database = NULL;
  g_autofree char *path = NULL;

  if (self->values[SETTING_CA] == NULL)
    return TRUE;

  /* A relative name is refused. */
  path = g_canonicalize_filename (self->values[SETTING_CA], NULL);
  database = g_tls_file_database_new (path, error);
  if (database == NULL)
    {
      g_prefix_error (error, _("%s %s is not a file of certificates in PEM form: "), settings_source (self, SETTING_CA),
                      self->values[SETTING_CA]);
      return FALSE;
    }
  g_object_set (tunnel, "tls-database", database, NULL);
  return TRUE;
}

/* Whether the value is a path, which is relative to the config file if it comes from there; an empty one means no
 * file. */
gboolean
settings_is_file (Setting setting)
{
  return setting == SETTING_TOKEN_FILE || setting == SETTING_CA || setting == SETTING_CLIENT_CERT ||
         setting == SETTING_CLIENT_KEY;
}

/* The key may be in the file of the certificate. */
static gboolean
read_client_certificate (const Settings  *self,
                         TcpTunnel       *tunnel,
                         GError         **error)
{
  const char *certificate = self->values[SETTING_CLIENT_CERT];
  const char *key = self->values[SETTING_CLIENT_KEY];
  g_autoptr (GTlsCertificate) pair = NULL;

  if (certificate == NULL && key == NULL)
    return TRUE;
  if (certificate == NULL)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   _("%s needs --client-cert, or client-cert in the file"),
                   settings_source (self, SETTING_CLIENT_KEY));
      return FALSE;
    }

  pair = g_tls_certificate_new_from_files (certificate, key != NULL ? key : certificate, error);
  if (pair == NULL)
    {
      if (key != NULL)
        g_prefix_error (error, _("%s %s is not a certificate in PEM form with its key in %s: "),
                        settings_source (self, SETTING_CLIENT_CERT), certificate, key);
      else
        g_prefix_error (error, _("%s %s is not a certificate in PEM form with its key: "),
                        settings_source (self, SETTING_CLIENT_CERT), certificate);
      return FALSE;
    }
  g_object_set (tunnel, "client-certificate", pair, NULL);
  return TRUE;
}

/* The preferred one is first. */
static gboolean
read_subprotocols (const Settings  *self,
                   TcpTunnel       *tunnel,
                   GError         **error)
{
  const char *value = self->values[SETTING_SUBPROTOCOL];
  g_auto (GStrv) names = NULL;

  if (value == NULL)
    return TRUE;
  names = g_strsplit (value, ",", -1);
  for (char **name = names; *name != NULL; name++)
    if (*g_strstrip (*name) == '\0')
      {
        g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                     _("%s must be a name, or several with commas between them"),
                     settings_source (self, SETTING_SUBPROTOCOL));
        return FALSE;
      }
  g_object_set (tunnel, "subprotocols", names, NULL);
  return TRUE;
}

gboolean
settings_read_log_level (const Settings     *self,
                         TcpTunnelLogLevel  *level,
                         GError            **error)
{
  int value = TCP_TUNNEL_LOG_LEVEL_INFO;

  if (!read_enum (self, SETTING_LOG_LEVEL, TCP_TYPE_TUNNEL_LOG_LEVEL, &value, error))
    return FALSE;
  *level = value;
  return TRUE;
}

/* Whether the header contains credentials. */
static gboolean
is_authorization (const char *header)
{
  return g_ascii_strncasecmp (header, "Authorization:", strlen ("Authorization:")) == 0;
}

static const char *
find_authorization (const Settings *self)
{
  for (char **header = self->headers; header != NULL && *header != NULL; header++)
    if (is_authorization (*header))
      return g_strchug (strchr (*header, ':') + 1);
  return NULL;
}

/* Credentials are set with a property of their own. */
static char **
list_other_headers (const Settings *self)
{
  g_autoptr (GStrvBuilder) others = g_strv_builder_new ();

  for (char **header = self->headers; header != NULL && *header != NULL; header++)
    if (!is_authorization (*header))
      g_strv_builder_add (others, *header);
  return g_strv_builder_end (others);
}

/* Errors do not repeat any header: a forgotten colon may be followed by a secret. */
static gboolean
check_headers (const Settings  *self,
               GError         **error)
{
  for (char **header = self->headers; header != NULL && *header != NULL; header++)
    {
      gsize length = strcspn (*header, ": \t");

      if (length == 0 || (*header)[length] != ':')
        {
          g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                       _("%s must be 'NAME: VALUE', but number %u is not"),
                       settings_source (self, SETTING_HEADERS), (guint) (header - self->headers) + 1);
          return FALSE;
        }
    }
  return TRUE;
}

static const Setting credentials[] = { SETTING_TOKEN_FILE, SETTING_TOKEN, SETTING_TOKEN_COMMAND, SETTING_NO_TOKEN };

static gboolean
is_given (const Settings *self,
          Setting         setting)
{
  return settings_has (self, setting) &&
         (setting != SETTING_NO_TOKEN || g_ascii_strcasecmp (self->values[setting], "no") != 0);
}

/**
 * settings_find_credentials:
 *
 * Returns: (nullable): the source of the credentials; %NULL if there are none, so that those of the environment are
 * used
 */
const char *
settings_find_credentials (const Settings *self)
{
  for (guint i = 0; i < G_N_ELEMENTS (credentials); i++)
    if (is_given (self, credentials[i]))
      return settings_source (self, credentials[i]);
  return find_authorization (self) != NULL ? settings_source (self, SETTING_HEADERS) : NULL;
}

/**
 * settings_wants_token:
 *
 * Returns: whether the tunnel authorises itself with a token
 */
gboolean
settings_wants_token (const Settings *self)
{
  return !is_given (self, SETTING_NO_TOKEN) && find_authorization (self) == NULL;
}

/* Only one of these settings may be used. */
static gboolean
check_credentials (const Settings  *self,
                   gboolean        *no_token,
                   GError         **error)
{
  const char *first = NULL;
  guint n_headers = 0;

  if (!options_read_boolean (settings_source (self, SETTING_NO_TOKEN), self->values[SETTING_NO_TOKEN], no_token, error))
    return FALSE;
  for (char **header = self->headers; header != NULL && *header != NULL; header++)
    n_headers += is_authorization (*header);
  if (n_headers > 1)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _("%s has more than one Authorization"),
                   settings_source (self, SETTING_HEADERS));
      return FALSE;
    }
  for (guint i = 0; i <= G_N_ELEMENTS (credentials); i++)
    {
      gboolean last = i == G_N_ELEMENTS (credentials);
      const char *source = settings_source (self, last ? SETTING_HEADERS : credentials[i]);

      if (last ? n_headers == 0 : !is_given (self, credentials[i]))
        continue;
      if (first != NULL)
        {
          g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, last ? _("%s and %s with Authorization exclude each other") : _("%s and %s exclude each other"), first, source);
          return FALSE;
        }
      first = source;
    }
  return TRUE;
}

/**
 * settings_read_token:
 *
 * Must not be used for a token from a command, which may take long.
 */
char *
settings_read_token (const Settings  *self,
                     GError         **error)
{
  const char *file = self->values[SETTING_TOKEN_FILE];
  const char *token = self->values[SETTING_TOKEN];
  const char *variable = g_getenv (TOKEN_VARIABLE);

  if (file != NULL)
    return token_read_file (settings_source (self, SETTING_TOKEN_FILE), file, error);
  if (token != NULL)
    return token_check (token, settings_source (self, SETTING_TOKEN), error);
  if (variable != NULL)
    return token_check (variable, TOKEN_VARIABLE, error);

  if (self->name == NULL)
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 _("a token is needed: give --token-file FILE, --token-command CMD or --token TOKEN, or set %s; or give "
                   "--no-token"),
                 TOKEN_VARIABLE);
  else
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 _("%s: a token is needed: give token-file or token-command in [%s], or set %s; or write no-token=yes"),
                 self->name, self->name, TOKEN_VARIABLE);
  return NULL;
}

/* A port without a host is on this machine. */
static char *
complete_service (const char *text)
{
  return *text != '\0' && text[strspn (text, "0123456789")] == '\0' ? g_strconcat ("127.0.0.1:", text, NULL) : g_strdup (text);
}

static char **
complete_reverses (char **reverses)
{
  char **completed = g_strdupv (reverses);

  for (char **spec = completed; spec != NULL && *spec != NULL; spec++)
    {
      const char *equals = strchr (*spec, '=');
      g_autofree char *service = equals != NULL ? complete_service (equals + 1) : NULL;
      g_autofree char *former = NULL;

      if (service == NULL)
        continue;
      former = *spec;
      *spec = g_strdup_printf ("%.*s=%s", (int) (equals - *spec), *spec, service);
    }
  return completed;
}

static gboolean
read_reverse (const Settings  *self,
              TcpTunnel       *tunnel,
              GError         **error)
{
  g_autofree char *service = complete_service (self->values[SETTING_TO]);

  g_object_set (tunnel, "target", service, NULL);
  return options_read_uint (settings_source (self, SETTING_REMOTE_PORT), self->values[SETTING_REMOTE_PORT], 1,
                            G_OBJECT (tunnel), "remote-port", error);
}

/* The settings for clients of this machine, which a reverse tunnel does not have. */
static gboolean
read_local (const Settings  *self,
            TcpTunnel       *tunnel,
            GError         **error)
{
  g_auto (GStrv) reverses = complete_reverses (self->reverses);
  int mode = TCP_TUNNEL_MODE_AUTO;

  if (!options_read_listen (settings_source (self, SETTING_LISTEN), self->values[SETTING_LISTEN], G_OBJECT (tunnel),
                            error) ||
      !read_enum (self, SETTING_MODE, TCP_TYPE_TUNNEL_MODE, &mode, error))
    return FALSE;

  g_object_set (tunnel, "target", self->values[SETTING_TARGET], "mode", mode, "reverses", reverses, NULL);
  return TRUE;
}

/**
 * settings_create_tunnel:
 *
 * Unless set otherwise, a tunnel of the command waits for its gateway, tries without limit, and carries many
 * connections if the gateway supports that.
 *
 * Returns: a tunnel without a token
 */
TcpTunnel *
settings_create_tunnel (const Settings  *self,
                        GError         **error)
{
  gboolean is_reverse = settings_has (self, SETTING_TO);
  GType type = is_reverse ? TCP_TYPE_REVERSE_TUNNEL : TCP_TYPE_TUNNEL;
  g_autoptr (TcpTunnel) tunnel = g_object_new (type, "remote-uri", self->values[SETTING_REMOTE_URI], NULL);
  TcpTunnelLogLevel level;
  int resumption = TCP_TUNNEL_RESUMPTION_AUTO;
  int attempts = TCP_TUNNEL_UNLIMITED_ATTEMPTS;
  gboolean wait = TRUE;
  gboolean no_token = FALSE;
  g_auto (GStrv) headers = NULL;

  if (!check_credentials (self, &no_token, error) ||
      !(is_reverse ? read_reverse (self, tunnel, error) : read_local (self, tunnel, error)) ||
      !read_enum (self, SETTING_RESUMPTION, TCP_TYPE_TUNNEL_RESUMPTION, &resumption, error) ||
      !options_read_boolean (settings_source (self, SETTING_WAIT), self->values[SETTING_WAIT], &wait, error) ||
      !options_read_uint (settings_source (self, SETTING_MAX_CONNECTIONS), self->values[SETTING_MAX_CONNECTIONS], 1,
                          G_OBJECT (tunnel), "max-connections", error) ||
      !options_read_attempts (settings_source (self, SETTING_MAX_RECONNECT_ATTEMPTS),
                              self->values[SETTING_MAX_RECONNECT_ATTEMPTS], &attempts, error) ||
      !read_duration (self, SETTING_RECONNECT_DELAY, tunnel, error) ||
      !read_duration (self, SETTING_MAX_RECONNECT_DELAY, tunnel, error) ||
      !check_headers (self, error) || !read_tls (self, tunnel, error) || !read_client_certificate (self, tunnel, error) ||
      !read_subprotocols (self, tunnel, error) || !settings_read_log_level (self, &level, error))
    return NULL;

  headers = list_other_headers (self);
  g_object_set (tunnel, "resumption", resumption, "wait-for-gateway", wait, "max-reconnect-attempts", attempts,
                "log-level", level, "request-headers", headers, "authorization", find_authorization (self),
                "anonymous", no_token, "origin", self->values[SETTING_ORIGIN],
                "connect-to", self->values[SETTING_CONNECT_TO], NULL);
  return g_steal_pointer (&tunnel);
}
