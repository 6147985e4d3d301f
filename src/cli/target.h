/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib/gi18n.h>

#include "cli/settings.h"

G_BEGIN_DECLS

/* The settings on the command line for the tunnel that a command is about, which the config file completes, and the
 * file in which a NAME is looked up, NULL for the default one. A process has one command line. */
extern Settings target_settings;
extern char *target_config;

#define TARGET_VALUE(setting) (&target_settings.values[SETTING_##setting])

/* Options that several of these commands have. */
#define TARGET_TOKEN_OPTIONS \
  { "token-file", 0, 0, G_OPTION_ARG_FILENAME, TARGET_VALUE (TOKEN_FILE), \
    N_("File that holds the token"), "FILE" }, \
  { "token-command", 0, 0, G_OPTION_ARG_STRING, TARGET_VALUE (TOKEN_COMMAND), \
    N_("Command that prints the token"), "CMD" }, \
  { "token", 0, 0, G_OPTION_ARG_STRING, TARGET_VALUE (TOKEN), \
    N_("The token itself"), "TOKEN" }, \
  { "no-token", 0, G_OPTION_FLAG_NO_ARG, G_OPTION_ARG_CALLBACK, target_take_no_token, \
    N_("Send no token"), NULL }
#define TARGET_RESUMPTION_OPTION \
  { "resumption", 0, 0, G_OPTION_ARG_STRING, TARGET_VALUE (RESUMPTION), \
    N_("auto (default), required or off"), "WHETHER" }
#define TARGET_WAIT_OPTION \
  { "wait", 0, 0, G_OPTION_ARG_STRING, TARGET_VALUE (WAIT), \
    N_("Try again at the start: yes (default) or no"), "WHETHER" }
#define TARGET_RECONNECT_OPTIONS \
  { "max-reconnect-attempts", 0, 0, G_OPTION_ARG_STRING, TARGET_VALUE (MAX_RECONNECT_ATTEMPTS), \
    N_("Give up after N attempts (default unlimited)"), "N" }, \
  { "reconnect-delay", 0, 0, G_OPTION_ARG_STRING, TARGET_VALUE (RECONNECT_DELAY), \
    N_("Delay before the first reconnect (default 1s)"), "TIME" }, \
  { "max-reconnect-delay", 0, 0, G_OPTION_ARG_STRING, TARGET_VALUE (MAX_RECONNECT_DELAY), \
    N_("The longest delay (default 30s)"), "TIME" }
#define TARGET_GATEWAY_OPTIONS \
  { "ca", 0, 0, G_OPTION_ARG_FILENAME, TARGET_VALUE (CA), \
    N_("PEM file of the authorities to trust"), "FILE" }, \
  { "client-cert", 0, 0, G_OPTION_ARG_FILENAME, TARGET_VALUE (CLIENT_CERT), \
    N_("PEM file of the client certificate"), "FILE" }, \
  { "client-key", 0, 0, G_OPTION_ARG_FILENAME, TARGET_VALUE (CLIENT_KEY), \
    N_("PEM file of its key, if separate"), "FILE" }, \
  { "connect-to", 0, 0, G_OPTION_ARG_STRING, TARGET_VALUE (CONNECT_TO), \
    N_("Connect there instead of to the URL's"), "HOST:PORT" }, \
  { "origin", 0, 0, G_OPTION_ARG_STRING, TARGET_VALUE (ORIGIN), \
    N_("Value of the header Origin"), "URL" }, \
  { "subprotocol", 0, 0, G_OPTION_ARG_STRING, TARGET_VALUE (SUBPROTOCOL), \
    N_("WebSocket subprotocols to offer"), "NAME,…" }, \
  { "header", 0, 0, G_OPTION_ARG_STRING_ARRAY, &target_settings.headers, \
    N_("Additional request header (repeatable)"), "'K: V'" }
#define TARGET_CONFIG_OPTION \
  { "config", 0, 0, G_OPTION_ARG_FILENAME, &target_config, \
    N_("File that NAME is looked up in"), "FILE" }

gboolean target_take_no_token (const char  *option,
                               const char  *value,
                               gpointer     data,
                               GError     **error);
gboolean target_check (char   **args,
                       GError **error);
gboolean target_read (const char  *text,
                      GError     **error);

G_END_DECLS
