/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/gateway-options.h"

#include <glib/gi18n.h>
#include <string.h>

#include "cli/admin.h"
#include "cli/gateway-listen.h"
#include "cli/token.h"

static void
apply_listen (const OptionSet   *options,
              const OptionValue *value,
              GObject           *gateway,
              Problems          *problems)
{
  gateway_listen_apply (value, gateway, problems);
}

/* A path with any of these characters would be valid, but no URL could contain it. */
static void
apply_path (const OptionSet   *options,
            const OptionValue *value,
            GObject           *gateway,
            Problems          *problems)
{
  const char *path = value->text;

  if (path == NULL)
    option_set_reset (gateway, "path");
  else if (strcmp (path, "*") == 0)
    g_object_set (gateway, "path", NULL, NULL);
  else if (*path == '/' && strpbrk (path, "*?# ") == NULL)
    g_object_set (gateway, "path", path, NULL);
  else
    problems_add (problems, value->place, _("%s must be the path of a URL, such as /v1/device, or '*' for any, not '%s'"),
                  value->label, path);
}

/* Returns the name of an option that is missing next to one that was given, as a key where that one is a key. */
static const char *
missing_label (const OptionValue *given,
               const OptionValue *missing)
{
  const char *label = missing->label;

  return given->place.path != NULL && g_str_has_prefix (label, "--") ? label + strlen ("--") : label;
}

static void
apply_tls (const OptionSet   *options,
           const OptionValue *value,
           GObject           *gateway,
           Problems          *problems)
{
  const OptionValue *key = option_set_get (options, "tls-key");
  g_autoptr (GTlsCertificate) certificate = NULL;
  g_autoptr (GError) error = NULL;

  if (value->text == NULL && key->text == NULL)
    {
      option_set_reset (gateway, "tls-certificate");
      return;
    }
  if (value->text == NULL || key->text == NULL)
    {
      const OptionValue *given = value->text != NULL ? value : key;

      problems_add (problems, given->place, _("%s needs %s as well"), given->label,
                    missing_label (given, value->text != NULL ? key : value));
      return;
    }

  certificate = g_tls_certificate_new_from_files (value->text, key->text, &error);
  if (certificate != NULL)
    g_object_set (gateway, "tls-certificate", certificate, NULL);
  else
    problems_add (problems, value->place, "%s %s, %s %s: %s", value->label, value->text, key->label, key->text, error->message);
}

/* A file without a certificate is a mistake, since no client could be admitted. */
static GTlsDatabase *
read_authorities (const char  *file,
                  GError     **error)
{
  g_autofree char *path = g_canonicalize_filename (file, NULL);
  g_autolist (GTlsCertificate) certificates = g_tls_certificate_list_new_from_file (path, error);

  if (certificates != NULL)
    return g_tls_file_database_new (path, error);
  if (*error == NULL)
    g_set_error_literal (error, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE, _("it has no certificate in PEM form"));
  return NULL;
}

/* The file is read each time, so that a reload uses its current content. */
static void
apply_client_ca (const OptionSet   *options,
                 const OptionValue *value,
                 GObject           *gateway,
                 Problems          *problems)
{
  const OptionValue *certificate = option_set_get (options, "tls-cert");
  g_autoptr (GTlsDatabase) database = NULL;
  g_autoptr (GError) error = NULL;

  if (value->text == NULL)
    {
      option_set_reset (gateway, "client-ca");
      return;
    }
  if (certificate->text == NULL)
    {
      problems_add (problems, value->place, _("%s needs %s: clients send a certificate over TLS only"), value->label,
                    missing_label (value, certificate));
      return;
    }

  database = read_authorities (value->text, &error);
  if (database != NULL)
    g_object_set (gateway, "client-ca", database, NULL);
  else
    problems_add (problems, value->place, "%s %s: %s", value->label, value->text, error->message);
}

/* Replaces a token that is missing or wrong, so that the library does not report it as well. */
#define PLACEHOLDER_TOKEN "placeholder"

static void
set_token (TcpGateway *gateway,
           const char *text,
           const char *label,
           Place       place,
           Problems   *problems)
{
  GError *error = NULL;
  g_autofree char *token = token_check (text, label, &error);

  tcp_gateway_set_token (gateway, token != NULL ? token : PLACEHOLDER_TOKEN);
  if (error != NULL)
    problems_take (problems, place, error);
}

/* Principals may have tokens of their own. */
static gboolean
has_principals (TcpGateway *gateway)
{
  g_autoptr (GListModel) principals = NULL;

  g_object_get (gateway, "principals", &principals, NULL);
  return principals != NULL && g_list_model_get_n_items (principals) > 0;
}

/* The gateway reads a file of tokens itself, since it contains names too. The command line overrides both settings in
 * the file, and the variable is only used if there is no other setting. */
static void
apply_token (const OptionSet   *options,
             const OptionValue *file,
             GObject           *object,
             Problems          *problems)
{
  TcpGateway *gateway = TCP_GATEWAY (object);
  const OptionValue *token = option_set_get (options, "token");
  gboolean has_both = file->text != NULL && token->text != NULL;
  const char *variable = g_getenv (TOKEN_VARIABLE);

  option_set_reset (object, "token-file");
  tcp_gateway_set_token (gateway, NULL);
  if (has_both && (file->place.path == NULL) == (token->place.path == NULL))
    problems_add (problems, token->place, _("%s and %s exclude each other"), token->label, file->label);
  else if (file->text != NULL && (!has_both || file->place.path == NULL))
    g_object_set (gateway, "token-file", file->text, NULL);
  else if (token->text != NULL)
    set_token (gateway, token->text, token->label, token->place, problems);
  else if (variable != NULL && !has_principals (gateway))
    set_token (gateway, variable, TOKEN_VARIABLE, file->place, problems);
  else if (!has_principals (gateway) && option_set_get_text (options, "client-ca") == NULL)
    {
      problems_add (problems, file->place, _("a token is needed: give --token-file FILE or --token TOKEN, or set %s"), TOKEN_VARIABLE);
      tcp_gateway_set_token (gateway, PLACEHOLDER_TOKEN);
    }
}

/* These two are for the command: they are only checked here. */

static void
apply_admin (const OptionSet   *options,
             const OptionValue *value,
             GObject           *gateway,
             Problems          *problems)
{
  GError *error = NULL;

  if (!admin_check_listen (value->label, value->text, &error))
    problems_take (problems, value->place, error);
}

static void
apply_ready_check (const OptionSet   *options,
                   const OptionValue *value,
                   GObject           *gateway,
                   Problems          *problems)
{
  if (value->text != NULL && strcmp (value->text, "target") != 0 && strcmp (value->text, "none") != 0)
    problems_add (problems, value->place, _("%s must be target or none, not '%s'"), value->label, value->text);
}

/* The options of the command, and the keys of the same names in the group [gateway] of its file. To add one that sets a
 * property, or that the command reads with an option_set_get_… function, add a row here, and describe it in the manual
 * page. The help, the completions and the key in the file are generated from the row. option-set.h describes its
 * members. */
static const OptionRow rows[] = {
  { N_("Configuration:"), "config", OPTION_INPUT, N_("File of options and rules for clients"), "FILE", .only_option = TRUE },
  { NULL, "check", OPTION_FLAG, N_("Check options and files; do not start"), .only_option = TRUE },
  { NULL, "watch", OPTION_BOOLEAN, N_("Reload changed files: yes or no (yes)"), "WHETHER" },

  { N_("Listening:"), "listen", OPTION_LISTENS, N_("Address or unix:PATH (repeatable)"), "HOST:PORT", .apply = apply_listen, .waits = TRUE },
  { NULL, "path", OPTION_STRING, N_("Path to serve, '*' for any (default /)"), "PATH", .apply = apply_path, .waits = TRUE },
  { NULL, "route", OPTION_STRING, N_("Name of this gateway for load balancers"), "NAME", "route", .waits = TRUE },
  { NULL, "tls-cert", OPTION_INPUT, N_("PEM file of the certificate, for wss://"), "FILE", .apply = apply_tls },
  { NULL, "tls-key", OPTION_INPUT, N_("PEM file of its private key"), "FILE" },
  { NULL, "trusted-proxy", OPTION_LIST, N_("Reverse proxy or network (repeatable)"), "ADDRESS", "trusted-proxies", .waits = TRUE },

  { N_("Authentication:"), "token-file", OPTION_INPUT, N_("File of the tokens to accept"), "FILE", .apply = apply_token },
  { NULL, "token", OPTION_STRING, N_("The one token to accept"), "TOKEN", .is_secret = TRUE },
  { NULL, "client-ca", OPTION_INPUT, N_("PEM file of client CA certificates"), "FILE", .apply = apply_client_ca },

  { N_("Targets:"), "target", OPTION_STRING, N_("The TCP service to connect to"), "HOST:PORT", "target" },
  { NULL, "named-target", OPTION_LIST, N_("A target with a name (repeatable)"), "NAME=HOST:PORT", "targets" },
  { NULL, "allow", OPTION_LIST, N_("Targets to allow (repeatable)"), "HOST:PORT", "allow" },
  { NULL, "reverse-ports", OPTION_LIST, N_("Ports for reverse tunnels (repeatable)"), "PORTS", "reverse-ports" },
  { NULL, "proxy-protocol", OPTION_CHOICE, N_("Header to targets: v2 or none (default)"), "VERSION", "proxy-protocol", .waits = TRUE },

  { N_("Sessions:"), "resumption", OPTION_CHOICE, N_("auto (default), required or off"), "WHETHER", "resumption", .waits = TRUE },
  { NULL, "session-timeout", OPTION_DURATION, N_("Time to keep a session (default 5min)"), "TIME", "session-timeout", .waits = TRUE },
  { NULL, "drain-timeout", OPTION_DURATION, N_("Time to drain (default 10s)"), "TIME" },

  { N_("Limits:"), "max-connections", OPTION_NUMBER, N_("Clients, and target connections (20000)"), "N", "max-connections" },
  { NULL, "max-memory", OPTION_MEMORY, N_("Memory that clients may use"), "MIB", "max-memory", .least = 8, .waits = TRUE },
  { NULL, "max-dials", OPTION_NUMBER, N_("Targets dialled at a time (default 256)"), "N", "max-dials" },
  { NULL, "max-principal-sessions", OPTION_NUMBER, N_("Clients of one name"), "N", "max-principal-sessions" },
  { NULL, "max-principal-connections", OPTION_NUMBER, N_("Target connections of one name"), "N", "max-principal-connections" },
  { NULL, "max-principal-dials", OPTION_NUMBER, N_("Targets dialled at a time for one name"), "N", "max-principal-dials" },
  { NULL, "max-principal-memory", OPTION_MEMORY, N_("Memory that clients of one name may use"), "MIB", "max-principal-memory", .least = 4 },
  { NULL, "max-principal-dial-rate", OPTION_NUMBER, N_("Targets dialled a second for one name"), "N", "max-principal-dial-rate" },
  { NULL, "max-principal-upload-rate", OPTION_RATE, N_("Bytes a second from clients of one name"), "RATE", "max-principal-upload-rate",
    .least = 1024 },
  { NULL, "max-principal-download-rate", OPTION_RATE, N_("Bytes a second to clients of one name"), "RATE", "max-principal-download-rate",
    .least = 1024 },

  { N_("Logging and monitoring:"), "log-level", OPTION_CHOICE, N_("none, error, warn, info or debug (info)"), "LEVEL", "log-level" },
  { NULL, "access-log", OPTION_OUTPUT, N_("Log of connections: FILE, journal or -"), "FILE", .waits = TRUE },
  { NULL, "admin", OPTION_LISTEN, N_("Where to show status and metrics"), "HOST:PORT", .apply = apply_admin, .waits = TRUE },
  { NULL, "admin-host", OPTION_LIST, N_("Host name for --admin (repeatable)"), "NAME", .waits = TRUE },
  { NULL, "ready-check", OPTION_STRING, N_("For /readyz: target (default) or none"), "WHAT", .apply = apply_ready_check, .waits = TRUE },
  { 0 },
};

OptionSet *
gateway_options_new (void)
{
  return option_set_new (rows);
}

/**
 * gateway_options_take_sockets:
 *
 * Called before the start: lets the gateway listen on sockets of the service manager, if it must, or if there are some
 * and no other address is set.
 */
void
gateway_options_take_sockets (const OptionSet *self,
                              TcpGateway      *gateway,
                              Problems        *problems)
{
  gateway_listen_take_sockets (option_set_get (self, "listen"), gateway, problems);
}

/* The keys of a group [principal NAME], which set properties of a TcpPrincipal. */
static const OptionRow principal_rows[] = {
  { .name = "token", .kind = OPTION_LIST, .property = "tokens", .is_secret = TRUE },
  { .name = "allow", .kind = OPTION_LIST, .property = "allow" },
  { .name = "reverse-ports", .kind = OPTION_LIST },
  { .name = "max-sessions", .kind = OPTION_NUMBER, .property = "max-sessions" },
  { .name = "max-connections", .kind = OPTION_NUMBER, .property = "max-connections" },
  { .name = "max-dials", .kind = OPTION_NUMBER, .property = "max-dials" },
  { .name = "max-memory", .kind = OPTION_MEMORY, .property = "max-memory", .least = 4 },
  { .name = "dial-rate", .kind = OPTION_NUMBER, .property = "dial-rate" },
  { .name = "upload-rate", .kind = OPTION_RATE, .property = "upload-rate", .least = 1024 },
  { .name = "download-rate", .kind = OPTION_RATE, .property = "download-rate", .least = 1024 },
  { 0 },
};

OptionSet *
gateway_principal_options_new (void)
{
  return option_set_new (principal_rows);
}
