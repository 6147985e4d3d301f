/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

typedef enum
{
  SETTING_REMOTE_URI,
  SETTING_TOKEN_FILE,
  SETTING_TOKEN,
  SETTING_TOKEN_COMMAND,
  SETTING_NO_TOKEN,
  SETTING_LISTEN,
  SETTING_TARGET,
  SETTING_TO,
  SETTING_REMOTE_PORT,
  SETTING_FORWARDS,
  SETTING_SOCKS,
  SETTING_HTTP_PROXY,
  SETTING_MODE,
  SETTING_RESUMPTION,
  SETTING_WAIT,
  SETTING_MAX_CONNECTIONS,
  SETTING_MAX_RECONNECT_ATTEMPTS,
  SETTING_RECONNECT_DELAY,
  SETTING_MAX_RECONNECT_DELAY,
  SETTING_CA,
  SETTING_CLIENT_CERT,
  SETTING_CLIENT_KEY,
  SETTING_CONNECT_TO,
  SETTING_ORIGIN,
  SETTING_SUBPROTOCOL,
  SETTING_HEADERS,
  SETTING_REVERSE,
  SETTING_LOG_LEVEL,
  SETTING_ON_READY,
  N_SETTINGS,
} Setting;

/* The settings of one tunnel, as the user has written them: from the command line, the config file, or both. */
typedef struct
{
  char *name;                /* in the config file; NULL if it is not from there */
  char *place;               /* the file and the group; NULL if it is not from there */
  char *values[N_SETTINGS];  /* NULL if not set; does not contain the next three */
  char **headers;            /* SETTING_HEADERS */
  char **reverses;           /* SETTING_REVERSE */
  char **forwards;           /* SETTING_FORWARDS */
  char *sources[N_SETTINGS]; /* the place in a file, NULL for the command line */
} Settings;

Settings *settings_new (const char *name);
void settings_free (Settings *self);

const char *const *settings_keys (void);
gboolean settings_has (const Settings *self,
                       Setting         setting);
const char *settings_source (const Settings *self,
                             Setting         setting);
gboolean settings_read_log_level (const Settings     *self,
                                  TcpTunnelLogLevel  *level,
                                  GError            **error);
TcpTunnel *settings_create_tunnel (const Settings  *self,
                                   GError         **error);
const char *settings_find_credentials (const Settings *self);
gboolean settings_wants_token (const Settings *self);
gboolean settings_is_file (Setting setting);
char *settings_read_token (const Settings  *self,
                           GError         **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Settings, settings_free)

G_END_DECLS
