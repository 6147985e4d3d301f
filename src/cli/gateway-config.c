/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/gateway-config.h"

#include <glib/gi18n.h>
#include <string.h>

#include "cli/gateway-options.h"
#include "cli/suggest.h"

#define FILE_NAME "gateway.conf"
#define GATEWAY "gateway"
#define TARGETS "targets"
#define PRINCIPAL "principal "

/* Replaces a value that is missing or wrong, so that it is not reported twice. */
#define PLACEHOLDER "placeholder"
#define PLACEHOLDER_TARGET "127.0.0.1:1"

typedef struct
{
  char *name;
  Place place;
  OptionSet *options;
  gboolean is_wrong; /* its name is invalid */
} Principal;

typedef struct
{
  char *text; /* NAME=HOST:PORT */
  Place place;
} Target;

struct _GatewayConfig
{
  OptionSet *options;
  char *path; /* of the file; NULL if there is none */
  GArray *principals;
  GArray *targets;
};

static const Place nowhere;

static void
principal_clear (gpointer data)
{
  Principal *self = data;

  g_free (self->name);
  option_set_free (self->options);
}

static void
target_clear (gpointer data)
{
  g_free (((Target *) data)->text);
}

/* The file */

static char *
find_path (const OptionSet *given,
           Problems        *problems)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_strdup (option_set_get_text (given, "config"));

  if (path == NULL)
    path = key_file_find (FILE_NAME, &error);
  if (path != NULL)
    return g_canonicalize_filename (path, NULL);
  problems_add (problems, nowhere, _("--target HOST:PORT is missing, the TCP service to connect to; and %s"), error->message);
  return NULL;
}

/* Returns a place that is valid as long as the config. */
static Place
keep_place (GatewayConfig *self,
            Place          place)
{
  return (Place) { self->path, place.line };
}

static void
read_targets (GatewayConfig *self,
              KeyFile       *file,
              const char    *group,
              Problems      *problems)
{
  g_auto (GStrv) names = key_file_get_keys (file, group);

  for (char **name = names; *name != NULL; name++)
    {
      GError *error = NULL;
      g_autofree char *address = key_file_get_string (file, group, *name, &error);
      Target target = { .place = keep_place (self, key_file_get_place (file, group, *name)) };

      if (address == NULL)
        {
          g_prefix_error (&error, "%s: ", *name);
          problems_take (problems, target.place, error);
          continue;
        }
      target.text = g_strdup_printf ("%s=%s", *name, address);
      g_array_append_val (self->targets, target);
    }
}

static void
read_principal (GatewayConfig *self,
                KeyFile       *file,
                const char    *group,
                Problems      *problems)
{
  Principal principal = { .options = gateway_principal_options_new () };

  principal.place = keep_place (self, key_file_get_place (file, group, NULL));
  principal.name = g_strstrip (g_strdup (group + strlen (PRINCIPAL)));
  option_set_read_group (principal.options, file, group, problems);
  g_array_append_val (self->principals, principal);
}

static void
read_groups (GatewayConfig *self,
             KeyFile       *file,
             Problems      *problems)
{
  static const char *const known[] = { GATEWAY, TARGETS, "principal NAME", NULL };
  g_auto (GStrv) groups = key_file_get_groups (file);

  for (char **group = groups; *group != NULL; group++)
    {
      g_autofree char *hint = NULL;

      if (strcmp (*group, GATEWAY) == 0)
        option_set_read_group (self->options, file, *group, problems);
      else if (strcmp (*group, TARGETS) == 0)
        read_targets (self, file, *group, problems);
      else if (g_str_has_prefix (*group, PRINCIPAL))
        read_principal (self, file, *group, problems);
      else
        {
          hint = suggest (*group, known, "");
          problems_add (problems, key_file_get_place (file, *group, NULL), _("there is no group [%s]%s"), *group,
                        *hint != '\0' ? hint : _("; there are [gateway], [targets] and [principal NAME]"));
        }
    }
}

static gboolean
has_target (GatewayConfig *self)
{
  char **named = option_set_get (self->options, "named-target")->list;

  return self->targets->len > 0 || option_set_get_text (self->options, "target") != NULL ||
         (named != NULL && *named != NULL);
}

/**
 * gateway_config_load:
 * @given: the command line, which overrides the file; the default file is only used if nothing else sets a target
 * @problems: problems are added here
 *
 * Returns: (nullable): what could be read; %NULL if there is no file, which is then one of the problems
 */
GatewayConfig *
gateway_config_load (const OptionSet *given,
                     Problems        *problems)
{
  g_autoptr (GatewayConfig) self = g_new0 (GatewayConfig, 1);
  g_autoptr (KeyFile) file = NULL;

  self->options = option_set_copy (given);
  self->principals = g_array_new (FALSE, FALSE, sizeof (Principal));
  g_array_set_clear_func (self->principals, principal_clear);
  self->targets = g_array_new (FALSE, FALSE, sizeof (Target));
  g_array_set_clear_func (self->targets, target_clear);
  if (option_set_get_text (given, "config") == NULL && has_target (self))
    return g_steal_pointer (&self);

  self->path = find_path (given, problems);
  file = self->path != NULL ? key_file_load (self->path, problems) : NULL;
  if (file == NULL)
    return NULL;
  read_groups (self, file, problems);
  if (!has_target (self))
    problems_add (problems, key_file_get_place (file, GATEWAY, NULL),
                  _("[gateway] has no target, the TCP service to connect to, as HOST:PORT"));
  return g_steal_pointer (&self);
}

void
gateway_config_free (GatewayConfig *self)
{
  option_set_free (self->options);
  g_array_unref (self->principals);
  g_array_unref (self->targets);
  g_free (self->path);
  g_free (self);
}

/* Contents */

const OptionSet *
gateway_config_get_options (GatewayConfig *self)
{
  return self->options;
}

/* All files that were read, or are read by the gateway. */
char **
gateway_config_list_files (GatewayConfig *self)
{
  g_auto (GStrv) inputs = option_set_list_inputs (self->options);
  g_autoptr (GStrvBuilder) files = g_strv_builder_new ();

  if (self->path != NULL)
    g_strv_builder_add (files, self->path);
  g_strv_builder_addv (files, (const char **) inputs);
  return g_strv_builder_end (files);
}

static char *
make_ports (const Principal *principal,
            const char      *ports)
{
  return g_strdup_printf ("%s@%s", principal->name, ports);
}

/* Includes those of the principals, since the ports belong to the gateway. */
static char **
list_reverse_ports (GatewayConfig *self)
{
  g_autoptr (GStrvBuilder) ports = g_strv_builder_new ();
  const OptionValue *common = option_set_get (self->options, "reverse-ports");

  if (common->list != NULL)
    g_strv_builder_addv (ports, (const char **) common->list);
  for (guint i = 0; i < self->principals->len; i++)
    {
      Principal *principal = &g_array_index (self->principals, Principal, i);
      const OptionValue *own = option_set_get (principal->options, "reverse-ports");

      for (char **item = own->list; item != NULL && *item != NULL; item++)
        {
          g_autofree char *text = make_ports (principal, *item);

          g_strv_builder_add (ports, text);
        }
    }
  return g_strv_builder_end (ports);
}

static char **
list_targets (GatewayConfig *self)
{
  g_autoptr (GStrvBuilder) targets = g_strv_builder_new ();
  const OptionValue *common = option_set_get (self->options, "named-target");

  if (common->list != NULL)
    g_strv_builder_addv (targets, (const char **) common->list);
  for (guint i = 0; i < self->targets->len; i++)
    g_strv_builder_add (targets, g_array_index (self->targets, Target, i).text);
  return g_strv_builder_end (targets);
}

static GListModel *
create_principals (GatewayConfig *self,
                   Problems      *problems)
{
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func (g_object_unref);
  GListStore *store = g_list_store_new (TCP_TYPE_PRINCIPAL);

  for (guint i = 0; i < self->principals->len; i++)
    {
      Principal *principal = &g_array_index (self->principals, Principal, i);
      TcpPrincipal *object;

      if (principal->is_wrong)
        continue;
      object = tcp_principal_new (principal->name);
      option_set_apply (principal->options, G_OBJECT (object), problems);
      g_ptr_array_add (items, object);
    }
  g_list_store_splice (store, 0, 0, items->pdata, items->len);
  return G_LIST_MODEL (store);
}

/**
 * gateway_config_apply:
 * @gateway: the gateway whose properties are set
 * @problems: problems are added here
 */
void
gateway_config_apply (GatewayConfig *self,
                      TcpGateway    *gateway,
                      Problems      *problems)
{
  g_autoptr (GListModel) principals = create_principals (self, problems);
  g_auto (GStrv) ports = NULL;
  g_auto (GStrv) targets = NULL;

  g_object_set (gateway, "principals", principals, NULL);
  option_set_apply (self->options, G_OBJECT (gateway), problems);
  ports = list_reverse_ports (self);
  g_object_set (gateway, "reverse-ports", ports, NULL);
  targets = list_targets (self);
  g_object_set (gateway, "targets", targets, NULL);
  if (!has_target (self))
    g_object_set (gateway, "target", PLACEHOLDER_TARGET, NULL);
}

/* Places of problems that the library finds */

/* Makes a valid object, to try one setting after the other. */
static GObject *
make_gateway (gpointer user_data)
{
  GatewayConfig *config = user_data;
  TcpGateway *gateway = tcp_gateway_new (PLACEHOLDER_TARGET);

  if (config != NULL)
    {
      g_auto (GStrv) targets = list_targets (config);

      g_object_set (gateway, "targets", targets, NULL);
    }

  tcp_gateway_set_token (gateway, PLACEHOLDER);
  g_object_set (gateway, "log-level", TCP_TUNNEL_LOG_LEVEL_NONE, NULL);
  return G_OBJECT (gateway);
}

static gboolean
check_gateway (GObject   *gateway,
               gpointer   user_data,
               GError   **error)
{
  g_auto (GStrv) warnings = tcp_gateway_check (TCP_GATEWAY (gateway), NULL, error);

  return warnings != NULL;
}

/* Adds @text to the targets that are valid together, or the reason why it cannot be to the problems. */
static gboolean
explain_target (GArray     *valid,
                const char *text,
                Place       place,
                const char *prefix,
                Problems   *problems)
{
  g_autoptr (GObject) gateway = make_gateway (NULL);
  GError *error = NULL;

  g_array_append_val (valid, text);
  g_object_set (gateway, "targets", valid->data, NULL);
  if (check_gateway (gateway, NULL, &error))
    return TRUE;
  g_array_set_size (valid, valid->len - 1);
  g_prefix_error_literal (&error, prefix);
  problems_take (problems, place, error);
  return FALSE;
}

/* Invalid values, and those that repeat a name, are dropped. */
static void
explain_targets (GatewayConfig *self,
                 Problems      *problems)
{
  g_autoptr (GArray) valid = g_array_new (TRUE, FALSE, sizeof (char *));
  OptionValue *named = option_set_get (self->options, "named-target");
  g_autofree char *prefix = g_strconcat (named->label, ": ", NULL);
  g_autoptr (GStrvBuilder) good = g_strv_builder_new ();

  for (guint i = 0; i < self->targets->len;)
    {
      const Target *target = &g_array_index (self->targets, Target, i);

      if (explain_target (valid, target->text, target->place, "", problems))
        i++;
      else
        g_array_remove_index (self->targets, i);
    }

  if (named->list == NULL)
    return;
  for (char **item = named->list; *item != NULL; item++)
    if (explain_target (valid, *item, named->place, prefix, problems))
      g_strv_builder_add (good, *item);
  g_strfreev (named->list);
  named->list = g_strv_builder_end (good);
}

typedef struct
{
  GatewayConfig *config;
  const char *name;
} PrincipalCheck;

static GObject *
make_principal (gpointer user_data)
{
  PrincipalCheck *check = user_data;

  return G_OBJECT (tcp_principal_new (check->name));
}

static gboolean
check_principal (GObject   *principal,
                 gpointer   user_data,
                 GError   **error)
{
  PrincipalCheck *check = user_data;
  g_autoptr (GObject) gateway = make_gateway (check->config);
  g_autoptr (GListStore) principals = g_list_store_new (TCP_TYPE_PRINCIPAL);

  g_list_store_append (principals, principal);
  g_object_set (gateway, "principals", principals, NULL);
  return check_gateway (gateway, NULL, error);
}

/* The ports belong to the gateway. Invalid values are dropped. */
static void
explain_ports (Principal *self,
               Problems  *problems)
{
  OptionValue *value = option_set_get (self->options, "reverse-ports");
  g_autoptr (GStrvBuilder) good = g_strv_builder_new ();

  if (value->list == NULL)
    return;
  for (char **item = value->list; *item != NULL; item++)
    {
      g_autoptr (GObject) gateway = make_gateway (NULL);
      g_autofree char *text = make_ports (self, *item);
      GError *error = NULL;

      g_object_set (gateway, "reverse-ports", (char *[]) { text, NULL }, NULL);
      if (check_gateway (gateway, NULL, &error))
        {
          g_strv_builder_add (good, *item);
          continue;
        }
      problems_take (problems, value->place, error);
    }
  g_strfreev (value->list);
  value->list = g_strv_builder_end (good);
}

static void
explain_principal (GatewayConfig *config,
                   Principal     *self,
                   Problems      *problems)
{
  PrincipalCheck check = { config, self->name };
  g_autoptr (GObject) principal = make_principal (&check);
  GError *error = NULL;

  self->is_wrong = !check_principal (principal, &check, &error);
  if (self->is_wrong)
    {
      problems_take (problems, self->place, error);
      return;
    }
  option_set_check (self->options, make_principal, check_principal, &check, problems);
  explain_ports (self, problems);
}

/* Lets the library read the file in one property. Its warnings are added to the problems, and to @known. Returns
 * whether it is valid. */
static gboolean
check_file (TcpGateway *gateway,
            const char *property,
            Place       place,
            const char *prefix,
            GHashTable *known,
            Problems   *problems)
{
  g_autoptr (GObject) scratch = make_gateway (NULL);
  g_auto (GValue) value = G_VALUE_INIT;
  g_auto (GStrv) warnings = NULL;
  GError *error = NULL;

  g_object_get_property (G_OBJECT (gateway), property, &value);
  g_object_set_property (scratch, property, &value);
  warnings = tcp_gateway_check (TCP_GATEWAY (scratch), NULL, &error);
  for (char **warning = warnings; warning != NULL && *warning != NULL; warning++)
    {
      problems_warn (problems, place, "%s%s", prefix, *warning);
      g_hash_table_add (known, g_strdup (*warning));
    }
  if (error == NULL)
    return TRUE;
  g_prefix_error_literal (&error, prefix);
  problems_take (problems, place, error);
  return FALSE;
}

/* Invalid properties are reset. */
static void
check_files (GatewayConfig *self,
             TcpGateway    *gateway,
             GHashTable    *known,
             Problems      *problems)
{
  const OptionValue *certificate = option_set_get (self->options, "tls-cert");
  const OptionValue *key = option_set_get (self->options, "tls-key");
  g_autofree char *prefix = g_strdup_printf ("%s %s, %s %s: ", certificate->label, certificate->text, key->label, key->text);

  if (!check_file (gateway, "tls-certificate", certificate->place, prefix, known, problems))
    option_set_reset (G_OBJECT (gateway), "tls-certificate");
  /* The message contains the lines with errors. */
  if (!check_file (gateway, "token-file", nowhere, "", known, problems))
    {
      option_set_reset (G_OBJECT (gateway), "token-file");
      tcp_gateway_set_token (gateway, PLACEHOLDER);
    }
}

/**
 * gateway_config_explain:
 * @error: (transfer full) (nullable): the library's error about the properties that gateway_config_apply () has set
 *
 * Finds all problems, with their places, and the warnings of the library. Must be called once.
 */
void
gateway_config_explain (GatewayConfig *self,
                        GError        *error,
                        Problems      *problems)
{
  guint before = problems_count_errors (problems);
  g_autoptr (TcpGateway) gateway = tcp_gateway_new (NULL);
  g_autoptr (Problems) reported = problems_new ();
  g_autoptr (GHashTable) known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GError) other = NULL;
  g_auto (GStrv) warnings = NULL;

  /* The others are checked with these, so that a wrong one must not be blamed on them. */
  explain_targets (self, problems);
  option_set_check (self->options, make_gateway, check_gateway, self, problems);
  for (guint i = 0; i < self->principals->len; i++)
    explain_principal (self, &g_array_index (self->principals, Principal, i), problems);

  /* Settings that are valid by themselves may be invalid together. */
  gateway_config_apply (self, gateway, reported);
  check_files (self, gateway, known, problems);
  warnings = tcp_gateway_check (gateway, NULL, &other);
  if (other != NULL)
    problems_take (problems, nowhere, g_steal_pointer (&other));
  /* A warning may be about a dropped value. */
  for (char **warning = warnings; warning != NULL && *warning != NULL && problems_count_errors (problems) == 0; warning++)
    if (!g_hash_table_contains (known, *warning))
      problems_warn (problems, nowhere, "%s", *warning);

  /* The file may have been corrected meanwhile. */
  if (error != NULL && problems_count_errors (problems) == before)
    problems_take (problems, nowhere, g_steal_pointer (&error));
  g_clear_error (&error);
}
