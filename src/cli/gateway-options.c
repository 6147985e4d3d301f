/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/gateway-options.h"

#include <string.h>

#include "cli/activation.h"
#include "cli/admin.h"
#include "cli/token.h"

typedef enum
{
  STRING,
  FILE_NAME,
  LIST,     /* repeatable */
  NUMBER,   /* what the property allows */
  MEMORY,   /* MiB */
  RATE,     /* bytes a second, perhaps with K, M or G */
  DURATION, /* with a unit, or in seconds */
  CHOICE,   /* a nick of the property's type */
  BOOLEAN,  /* yes or no */
  FLAG,     /* without a value, and on the command line only */
} Kind;

typedef struct
{
  char *label; /* what it is called in a message */
  char *text;
  char **list;   /* of a LIST */
  gboolean flag; /* of a FLAG */
  Place place;
} Value;

typedef void (*ApplyFunc) (const GatewayOptions *self,
                           const Value          *value,
                           TcpGateway           *gateway,
                           Problems             *problems);

/* An option of the command, and the key of the same name in its file. To add one that sets a property, or that the command
 * asks for with a gateway_options_get_…, add a row here, and describe it in the manual page. The help, the completions
 * and the key in the file come from the row. */
typedef struct
{
  const char *section; /* that begins here in the help, NULL for the one before */
  const char *name;
  Kind kind;
  const char *help;     /* so short that the line has less than 80 columns */
  const char *argument; /* what the help calls the value; files are completed for FILE */
  const char *property; /* that is set, NULL for none or what `apply` does */
  guint least;          /* of MEMORY and RATE */
  ApplyFunc apply;      /* in place of setting a property */
  gboolean only_option; /* it is no key */
} Row;

static void apply_admin (const GatewayOptions *, const Value *, TcpGateway *, Problems *);
static void apply_client_ca (const GatewayOptions *, const Value *, TcpGateway *, Problems *);
static void apply_listen (const GatewayOptions *, const Value *, TcpGateway *, Problems *);
static void apply_path (const GatewayOptions *, const Value *, TcpGateway *, Problems *);
static void apply_ready_check (const GatewayOptions *, const Value *, TcpGateway *, Problems *);
static void apply_tls (const GatewayOptions *, const Value *, TcpGateway *, Problems *);
static void apply_token (const GatewayOptions *, const Value *, TcpGateway *, Problems *);

static const Row rows[] = {
  { "Listening:", "listen", STRING, "Where to listen or unix:PATH (127.0.0.1:0)", "HOST:PORT", .apply = apply_listen },
  { NULL, "path", STRING, "Path to serve, '*' for any (default /)", "PATH", .apply = apply_path },
  { NULL, "route", STRING, "Name by which sessions come back to it", "NAME", "route" },
  { NULL, "tls-cert", FILE_NAME, "PEM file of the certificate, for wss://", "FILE", .apply = apply_tls },
  { NULL, "tls-key", FILE_NAME, "PEM file of its private key", "FILE" },
  { NULL, "trusted-proxy", LIST, "A reverse proxy, or a network; repeatable", "ADDRESS", "trusted-proxies" },

  { "Authentication:", "token-file", FILE_NAME, "File of the tokens to accept", "FILE", .apply = apply_token },
  { NULL, "token", STRING, "The one token to accept", "TOKEN" },
  { NULL, "client-ca", FILE_NAME, "PEM file of who issues client certificates", "FILE", .apply = apply_client_ca },

  { "Targets:", "target", STRING, "The TCP service to connect to", "HOST:PORT", "target" },
  { NULL, "named-target", LIST, "A target with a name (repeatable)", "NAME=HOST:PORT", "targets" },
  { NULL, "allow", LIST, "Targets clients may ask for (repeatable)", "HOST:PORT", "allow" },
  { NULL, "reverse-ports", LIST, "Ports for reverse tunnels (repeatable)", "PORTS", "reverse-ports" },
  { NULL, "proxy-protocol", CHOICE, "Header to targets: v2 or none (default)", "VERSION", "proxy-protocol" },

  { "Sessions:", "resumption", CHOICE, "auto (default), required or off", "WHETHER", "resumption" },
  { NULL, "session-timeout", DURATION, "How long to keep a session (default 300s)", "TIME", "session-timeout" },
  { NULL, "drain-timeout", DURATION, "How long to drain (default 10s)", "TIME" },

  { "Limits:", "max-connections", NUMBER, "Clients, and target connections (20000)", "N", "max-connections" },
  { NULL, "max-memory", MEMORY, "Memory that clients may use", "MIB", "max-memory", .least = 8 },
  { NULL, "max-dials", NUMBER, "Targets dialled at a time (default 256)", "N", "max-dials" },
  { NULL, "max-principal-sessions", NUMBER, "Clients of one name", "N", "max-principal-sessions" },
  { NULL, "max-principal-connections", NUMBER, "Target connections of one name", "N", "max-principal-connections" },
  { NULL, "max-principal-dials", NUMBER, "Targets dialled at a time for one name", "N", "max-principal-dials" },
  { NULL, "max-principal-memory", MEMORY, "Memory that clients of one name may use", "MIB", "max-principal-memory", .least = 4 },
  { NULL, "max-principal-dial-rate", NUMBER, "Targets dialled a second for one name", "N", "max-principal-dial-rate" },
  { NULL, "max-principal-upload-rate", RATE, "Bytes a second, from clients of one name", "N",
    "max-principal-upload-rate", .least = 1024 },
  { NULL, "max-principal-download-rate", RATE, "And to them, such as 500K, 10M or 1G", "N", "max-principal-download-rate",
    .least = 1024 },

  { "Logging and monitoring:", "log-level", CHOICE, "none, error, warn, info (default) or debug", "LEVEL", "log-level" },
  { NULL, "access-log", FILE_NAME, "A line a connection: FILE, journal or -", "FILE" },
  { NULL, "admin", STRING, "Where to show status and metrics", "HOST:PORT", .apply = apply_admin },
  { NULL, "admin-host", LIST, "A name of that place (repeatable)", "NAME" },
  { NULL, "ready-check", STRING, "For /readyz: target (default) or none", "WHAT", .apply = apply_ready_check },
};

enum
{
  N_ROWS = G_N_ELEMENTS (rows),
};

struct _GatewayOptions
{
  Value values[N_ROWS];
};

GatewayOptions *
gateway_options_new (void)
{
  GatewayOptions *self = g_new0 (GatewayOptions, 1);

  for (guint i = 0; i < N_ROWS; i++)
    self->values[i].label = g_strconcat ("--", rows[i].name, NULL);
  return self;
}

void
gateway_options_free (GatewayOptions *self)
{
  for (guint i = 0; i < N_ROWS; i++)
    {
      g_free (self->values[i].label);
      g_free (self->values[i].text);
      g_strfreev (self->values[i].list);
    }
  g_free (self);
}

static const Value *
get_value (const GatewayOptions *self,
           const char           *name)
{
  for (guint i = 0; i < N_ROWS; i++)
    if (strcmp (rows[i].name, name) == 0)
      return &self->values[i];
  g_assert_not_reached ();
}

/* The command line */

/**
 * gateway_options_make_entries:
 *
 * Returns: (transfer container): for options_parse(), which sets the values of @self
 */
GOptionEntry *
gateway_options_make_entries (GatewayOptions *self)
{
  GOptionEntry *entries = g_new0 (GOptionEntry, N_ROWS + 1);

  for (guint i = 0; i < N_ROWS; i++)
    {
      entries[i].long_name = rows[i].name;
      entries[i].description = rows[i].help;
      entries[i].arg_description = rows[i].argument;
      switch (rows[i].kind)
        {
        case FLAG:
          entries[i].arg = G_OPTION_ARG_NONE;
          entries[i].arg_data = &self->values[i].flag;
          break;
        case LIST:
          entries[i].arg = G_OPTION_ARG_STRING_ARRAY;
          entries[i].arg_data = &self->values[i].list;
          break;
        default:
          entries[i].arg = rows[i].kind == FILE_NAME ? G_OPTION_ARG_FILENAME : G_OPTION_ARG_STRING;
          entries[i].arg_data = &self->values[i].text;
        }
    }
  return entries;
}

/* Of the help. */
const OptionsSection *
gateway_options_get_sections (void)
{
  static OptionsSection sections[N_ROWS + 1];
  guint n = 0;

  for (guint i = 0; i < N_ROWS; i++)
    if (rows[i].section != NULL)
      sections[n++] = (OptionsSection) { rows[i].section, rows[i].name };
  return sections;
}

/* What the command asks for */

/**
 * gateway_options_get:
 *
 * Returns: (nullable): the text as it was given
 */
const char *
gateway_options_get (const GatewayOptions *self,
                     const char           *name)
{
  return get_value (self, name)->text;
}

/**
 * gateway_options_get_list:
 *
 * Returns: (nullable): the texts as they were given
 */
const char *const *
gateway_options_get_list (const GatewayOptions *self,
                          const char           *name)
{
  return (const char *const *) get_value (self, name)->list;
}

gboolean
gateway_options_get_flag (const GatewayOptions *self,
                          const char           *name)
{
  return get_value (self, name)->flag;
}

/* Of values that gateway_options_apply() has found to be right. @value stays if there is none. */

void
gateway_options_read_duration (const GatewayOptions *self,
                               const char           *name,
                               guint                *value)
{
  const Value *given = get_value (self, name);

  options_read_duration (given->label, given->text, 1000, G_MAXUINT, value, NULL);
}

void
gateway_options_read_boolean (const GatewayOptions *self,
                              const char           *name,
                              gboolean             *value)
{
  const Value *given = get_value (self, name);

  options_read_boolean (given->label, given->text, value, NULL);
}

/* The gateway */

static void
reset (TcpGateway *gateway,
       const char *property)
{
  GParamSpec *spec = g_object_class_find_property (G_OBJECT_GET_CLASS (gateway), property);

  g_object_set_property (G_OBJECT (gateway), property, g_param_spec_get_default_value (spec));
}

static void
apply_listen (const GatewayOptions *self,
              const Value          *value,
              TcpGateway           *gateway,
              Problems             *problems)
{
  GError *error = NULL;

  reset (gateway, "hostname");
  reset (gateway, "port");
  reset (gateway, "socket-path");
  /* What gateway_options_take_socket() is for. */
  if (options_is_activated (value->text))
    return;
  if (!options_read_listen (value->label, value->text, G_OBJECT (gateway), &error))
    problems_take (problems, value->place, error);
}

/* A path with any of these would be valid, and no URL could ever have it. */
static void
apply_path (const GatewayOptions *self,
            const Value          *value,
            TcpGateway           *gateway,
            Problems             *problems)
{
  const char *path = value->text;

  if (path == NULL)
    reset (gateway, "path");
  else if (strcmp (path, "*") == 0)
    g_object_set (gateway, "path", NULL, NULL);
  else if (*path == '/' && strpbrk (path, "*?# ") == NULL)
    g_object_set (gateway, "path", path, NULL);
  else
    problems_add (problems, value->place, "%s must be the path of a URL, such as /v1/device, or '*' for any, not '%s'",
                  value->label, path);
}

static void
apply_tls (const GatewayOptions *self,
           const Value          *value,
           TcpGateway           *gateway,
           Problems             *problems)
{
  const Value *key = get_value (self, "tls-key");
  g_autoptr (GTlsCertificate) certificate = NULL;
  g_autoptr (GError) error = NULL;

  if (value->text == NULL && key->text == NULL)
    {
      reset (gateway, "tls-certificate");
      return;
    }
  if (value->text == NULL || key->text == NULL)
    {
      problems_add (problems, value->text != NULL ? value->place : key->place, "%s and %s go together", value->label, key->label);
      return;
    }

  certificate = g_tls_certificate_new_from_files (value->text, key->text, &error);
  if (certificate != NULL)
    g_object_set (gateway, "tls-certificate", certificate, NULL);
  else
    problems_add (problems, value->place, "%s %s, %s %s: %s", value->label, value->text, key->label, key->text, error->message);
}

/* One without a certificate, which would let nobody in, is a mistake. */
static GTlsDatabase *
read_authorities (const char  *file,
                  GError     **error)
{
  g_autofree char *path = g_canonicalize_filename (file, NULL);
  g_autolist (GTlsCertificate) certificates = g_tls_certificate_list_new_from_file (path, error);

  if (certificates != NULL)
    return g_tls_file_database_new (path, error);
  if (*error == NULL)
    g_set_error_literal (error, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE, "it has no certificate in PEM form");
  return NULL;
}

/* The file is read anew each time, so that a reload takes what it has then. */
static void
apply_client_ca (const GatewayOptions *self,
                 const Value          *value,
                 TcpGateway           *gateway,
                 Problems             *problems)
{
  g_autoptr (GTlsDatabase) database = NULL;
  g_autoptr (GError) error = NULL;

  if (value->text == NULL)
    {
      reset (gateway, "client-ca");
      return;
    }
  if (get_value (self, "tls-cert")->text == NULL)
    {
      problems_add (problems, value->place, "%s needs %s: without TLS no client shows a certificate", value->label,
                    get_value (self, "tls-cert")->label);
      return;
    }

  database = read_authorities (value->text, &error);
  if (database != NULL)
    g_object_set (gateway, "client-ca", database, NULL);
  else
    problems_add (problems, value->place, "%s %s: %s", value->label, value->text, error->message);
}

/* A file of tokens goes to the gateway as it is: it holds the names, too. */
static void
apply_token (const GatewayOptions *self,
             const Value          *value,
             TcpGateway           *gateway,
             Problems             *problems)
{
  const char *file = value->text;
  const char *given = get_value (self, "token")->text;
  g_autofree char *token = NULL;
  GError *error = NULL;

  reset (gateway, "token-file");
  tcp_gateway_set_token (gateway, NULL);
  if (file != NULL && given == NULL)
    {
      g_object_set (gateway, "token-file", file, NULL);
      return;
    }
  token = token_load (given, file, &error);
  if (token != NULL)
    tcp_gateway_set_token (gateway, token);
  else if (file == NULL && given == NULL && get_value (self, "client-ca")->text != NULL)
    g_clear_error (&error);
  else
    problems_take (problems, value->place, error);
}

/* These two are for the command: they are only checked here. */

static void
apply_admin (const GatewayOptions *self,
             const Value          *value,
             TcpGateway           *gateway,
             Problems             *problems)
{
  GError *error = NULL;

  if (!admin_check_listen (value->label, value->text, &error))
    problems_take (problems, value->place, error);
}

static void
apply_ready_check (const GatewayOptions *self,
                   const Value          *value,
                   TcpGateway           *gateway,
                   Problems             *problems)
{
  if (value->text != NULL && strcmp (value->text, "target") != 0 && strcmp (value->text, "none") != 0)
    problems_add (problems, value->place, "%s must be target or none, not '%s'", value->label, value->text);
}

static gboolean
check_value (const Row    *row,
             const Value  *value,
             GError      **error)
{
  guint number;
  gboolean flag;

  switch (row->kind)
    {
    case DURATION:
      return options_read_duration (value->label, value->text, 1000, G_MAXUINT, &number, error);
    case BOOLEAN:
      return options_read_boolean (value->label, value->text, &flag, error);
    default:
      return TRUE;
    }
}

static gboolean
set_choice (const Value  *value,
            GObject      *object,
            const char   *property,
            GError      **error)
{
  GParamSpec *spec = g_object_class_find_property (G_OBJECT_GET_CLASS (object), property);
  int choice = 0;

  if (!options_read_enum (value->label, value->text, spec->value_type, &choice, error))
    return FALSE;
  g_object_set (object, property, choice, NULL);
  return TRUE;
}

static gboolean
set_property (const Row    *row,
              const Value  *value,
              GObject      *object,
              GError      **error)
{
  switch (row->kind)
    {
    case NUMBER:
      return options_read_uint (value->label, value->text, 1, object, row->property, error);
    case MEMORY:
      return options_read_memory (value->label, value->text, row->least, object, row->property, error);
    case RATE:
      return options_read_rate (value->label, value->text, row->least, object, row->property, error);
    case DURATION:
      return options_read_duration_property (value->label, value->text, 1000, object, row->property, error);
    case CHOICE:
      return set_choice (value, object, row->property, error);
    case LIST:
      g_object_set (object, row->property, value->list, NULL);
      return TRUE;
    default:
      g_object_set (object, row->property, value->text, NULL);
      return TRUE;
    }
}

/**
 * gateway_options_take_socket:
 *
 * Before the start: has the gateway listen on a socket of the service manager, if it is to, or if there is one and nothing
 * says where to listen.
 */
gboolean
gateway_options_take_socket (const GatewayOptions  *self,
                             TcpGateway            *gateway,
                             GError               **error)
{
  const Value *value = get_value (self, "listen");
  gboolean activated = value->text == NULL ? activation_has_sockets () : options_is_activated (value->text);

  return !activated || options_read_listen (value->label, value->text != NULL ? value->text : OPTIONS_ACTIVATED,
                                            G_OBJECT (gateway), error);
}

/**
 * gateway_options_apply:
 *
 * Sets every property that has an option: to its default, where nothing is said.
 */
void
gateway_options_apply (const GatewayOptions *self,
                       TcpGateway           *gateway,
                       Problems             *problems)
{
  for (guint i = 0; i < N_ROWS; i++)
    {
      const Row *row = &rows[i];
      const Value *value = &self->values[i];
      GError *error = NULL;

      if (row->apply != NULL)
        row->apply (self, value, gateway, problems);
      else if (row->property != NULL && value->text == NULL && value->list == NULL)
        reset (gateway, row->property);
      else if (row->property != NULL)
        set_property (row, value, G_OBJECT (gateway), &error);
      else
        check_value (row, value, &error);
      if (error != NULL)
        problems_take (problems, value->place, error);
    }
}
