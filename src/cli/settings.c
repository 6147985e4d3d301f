/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/settings.h"

#include <string.h>

#include "cli/options.h"
#include "cli/token.h"

static const char *const keys[N_SETTINGS + 1] = {
  [SETTING_REMOTE_URI] = "remote-uri",
  [SETTING_TOKEN_FILE] = "token-file",
  [SETTING_TOKEN] = "token",
  [SETTING_TOKEN_COMMAND] = "token-command",
  [SETTING_LISTEN] = "listen",
  [SETTING_TARGET] = "target",
  [SETTING_MODE] = "mode",
  [SETTING_RESUMPTION] = "resumption",
  [SETTING_WAIT] = "wait",
  [SETTING_MAX_CONNECTIONS] = "max-connections",
  [SETTING_MAX_RECONNECT_ATTEMPTS] = "max-reconnect-attempts",
  [SETTING_RECONNECT_DELAY] = "reconnect-delay",
  [SETTING_MAX_RECONNECT_DELAY] = "max-reconnect-delay",
  [SETTING_CA] = "ca",
  [SETTING_HEADERS] = "headers",
  [SETTING_LOG_LEVEL] = "log-level",
  [SETTING_ON_READY] = "on-ready",
};

static const char *const options[N_SETTINGS] = {
  [SETTING_REMOTE_URI] = "URL",
  [SETTING_TOKEN_FILE] = "--token-file",
  [SETTING_TOKEN] = "--token",
  [SETTING_TOKEN_COMMAND] = "--token-command",
  [SETTING_LISTEN] = "--listen",
  [SETTING_TARGET] = "--target",
  [SETTING_MODE] = "--mode",
  [SETTING_RESUMPTION] = "--resumption",
  [SETTING_WAIT] = "--wait",
  [SETTING_MAX_CONNECTIONS] = "--max-connections",
  [SETTING_MAX_RECONNECT_ATTEMPTS] = "--max-reconnect-attempts",
  [SETTING_RECONNECT_DELAY] = "--reconnect-delay",
  [SETTING_MAX_RECONNECT_DELAY] = "--max-reconnect-delay",
  [SETTING_CA] = "--ca",
  [SETTING_HEADERS] = "--header",
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
  return setting == SETTING_HEADERS ? self->headers != NULL : self->values[setting] != NULL;
}

/* Where the value comes from, for messages about it. */
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
  return options_read_duration_property (settings_source (self, setting), self->values[setting], 1,
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
      g_prefix_error (error, "%s %s is not a file of certificates in PEM form: ", settings_source (self, SETTING_CA),
                      self->values[SETTING_CA]);
      return FALSE;
    }
  g_object_set (tunnel, "tls-database", database, NULL);
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

/* None of them is repeated: a forgotten colon may have a secret behind it. */
static gboolean
check_headers (const Settings  *self,
               GError         **error)
{
  for (char **header = self->headers; header != NULL && *header != NULL; header++)
    {
      gsize length = strcspn (*header, ": \t");

      if (length == 0 || (*header)[length] != ':')
        {
          g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s must be 'NAME: VALUE', but number %u is not",
                       settings_source (self, SETTING_HEADERS), (guint) (header - self->headers) + 1);
          return FALSE;
        }
    }
  return TRUE;
}

/* Each of them would do. */
static gboolean
check_token_sources (const Settings  *self,
                     GError         **error)
{
  static const Setting sources[] = { SETTING_TOKEN_FILE, SETTING_TOKEN, SETTING_TOKEN_COMMAND };
  const char *first = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (sources); i++)
    {
      const char *source = settings_source (self, sources[i]);

      if (!settings_has (self, sources[i]))
        continue;
      if (first != NULL)
        {
          g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s and %s exclude each other",
                       first, source);
          return FALSE;
        }
      first = source;
    }
  return TRUE;
}

/**
 * settings_read_token:
 *
 * Not for a token that comes from a command, which may take its time.
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
                 "a token is needed: give --token-file FILE, --token-command CMD or --token TOKEN, or set %s",
                 TOKEN_VARIABLE);
  else
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 "%s: a token is needed: give token-file or token-command in [%s], or set %s",
                 self->name, self->name, TOKEN_VARIABLE);
  return NULL;
}

/**
 * settings_create_tunnel:
 *
 * A tunnel of the command waits for its gateway, tries for ever, and carries many connections if the
 * gateway does, unless it is told otherwise.
 *
 * Returns: a tunnel without a token
 */
TcpTunnel *
settings_create_tunnel (const Settings  *self,
                        GError         **error)
{
  g_autoptr (TcpTunnel) tunnel = tcp_tunnel_new (self->values[SETTING_REMOTE_URI], NULL);
  TcpTunnelLogLevel level;
  int mode = TCP_TUNNEL_MODE_AUTO;
  int resumption = TCP_TUNNEL_RESUMPTION_AUTO;
  int attempts = TCP_TUNNEL_UNLIMITED_ATTEMPTS;
  gboolean wait = TRUE;

  if (!check_token_sources (self, error) ||
      !options_read_listen (settings_source (self, SETTING_LISTEN), self->values[SETTING_LISTEN],
                            G_OBJECT (tunnel), error) ||
      !read_enum (self, SETTING_MODE, TCP_TYPE_TUNNEL_MODE, &mode, error) ||
      !read_enum (self, SETTING_RESUMPTION, TCP_TYPE_TUNNEL_RESUMPTION, &resumption, error) ||
      !options_read_boolean (settings_source (self, SETTING_WAIT), self->values[SETTING_WAIT], &wait, error) ||
      !options_read_uint (settings_source (self, SETTING_MAX_CONNECTIONS), self->values[SETTING_MAX_CONNECTIONS], 1,
                          G_OBJECT (tunnel), "max-connections", error) ||
      !options_read_attempts (settings_source (self, SETTING_MAX_RECONNECT_ATTEMPTS),
                              self->values[SETTING_MAX_RECONNECT_ATTEMPTS], &attempts, error) ||
      !read_duration (self, SETTING_RECONNECT_DELAY, tunnel, error) ||
      !read_duration (self, SETTING_MAX_RECONNECT_DELAY, tunnel, error) ||
      !check_headers (self, error) || !read_tls (self, tunnel, error) || !settings_read_log_level (self, &level, error))
    return NULL;

  g_object_set (tunnel, "target", self->values[SETTING_TARGET], "mode", mode, "resumption", resumption,
                "wait-for-gateway", wait, "max-reconnect-attempts", attempts, "log-level", level,
                "request-headers", (const char *const *) self->headers, NULL);
  return g_steal_pointer (&tunnel);
}
