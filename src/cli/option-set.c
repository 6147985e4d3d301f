/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/option-set.h"

#include <glib/gi18n.h>
#include <string.h>

struct _OptionSet
{
  const OptionRow *rows;
  guint n_rows;
  OptionValue *values;
  char *path; /* of the file that was read */
};

/**
 * option_set_new:
 * @rows: (array zero-terminated=1): static, as are all texts in it
 */
OptionSet *
option_set_new (const OptionRow *rows)
{
  OptionSet *self = g_new0 (OptionSet, 1);

  self->rows = rows;
  while (rows[self->n_rows].name != NULL)
    self->n_rows++;
  self->values = g_new0 (OptionValue, self->n_rows);
  for (guint i = 0; i < self->n_rows; i++)
    self->values[i].label = g_strconcat ("--", rows[i].name, NULL);
  return self;
}

/* Copies a set that has read no file yet. */
OptionSet *
option_set_copy (const OptionSet *self)
{
  OptionSet *copy = option_set_new (self->rows);

  for (guint i = 0; i < self->n_rows; i++)
    {
      copy->values[i].text = g_strdup (self->values[i].text);
      copy->values[i].list = g_strdupv (self->values[i].list);
      copy->values[i].flag = self->values[i].flag;
    }
  return copy;
}

void
option_set_free (OptionSet *self)
{
  for (guint i = 0; i < self->n_rows; i++)
    {
      g_free (self->values[i].label);
      g_free (self->values[i].text);
      g_strfreev (self->values[i].list);
    }
  g_free (self->values);
  g_free (self->path);
  g_free (self);
}

/* The command line */

/**
 * option_set_make_entries:
 *
 * Returns: (transfer container): for options_parse_sections (), which sets the values of @self
 */
GOptionEntry *
option_set_make_entries (OptionSet *self)
{
  GOptionEntry *entries = g_new0 (GOptionEntry, self->n_rows + 1);

  for (guint i = 0; i < self->n_rows; i++)
    {
      const OptionRow *row = &self->rows[i];

      entries[i].long_name = row->name;
      entries[i].description = row->help;
      entries[i].arg_description = row->argument;
      switch (row->kind)
        {
        case OPTION_FLAG:
          entries[i].arg = G_OPTION_ARG_NONE;
          entries[i].arg_data = &self->values[i].flag;
          break;
        case OPTION_LIST:
        case OPTION_LISTENS:
          entries[i].arg = G_OPTION_ARG_STRING_ARRAY;
          entries[i].arg_data = &self->values[i].list;
          break;
        case OPTION_INPUT:
        case OPTION_OUTPUT:
          entries[i].arg = G_OPTION_ARG_FILENAME;
          entries[i].arg_data = &self->values[i].text;
          break;
        default:
          entries[i].arg = G_OPTION_ARG_STRING;
          entries[i].arg_data = &self->values[i].text;
        }
    }
  return entries;
}

/**
 * option_set_make_sections:
 *
 * Returns: (transfer container): for options_parse_sections ()
 */
OptionsSection *
option_set_make_sections (const OptionSet *self)
{
  OptionsSection *sections = g_new0 (OptionsSection, self->n_rows + 1);
  guint n = 0;

  for (guint i = 0; i < self->n_rows; i++)
    if (self->rows[i].section != NULL)
      sections[n++] = (OptionsSection) { self->rows[i].section, self->rows[i].name };
  return sections;
}

/* Values */

/**
 * option_set_get:
 * @name: the name of an existing option
 */
OptionValue *
option_set_get (const OptionSet *self,
                const char      *name)
{
  for (guint i = 0; i < self->n_rows; i++)
    if (strcmp (self->rows[i].name, name) == 0)
      return &self->values[i];
  g_assert_not_reached ();
}

/**
 * option_set_get_text:
 *
 * Returns: (nullable): the value; %NULL if it is not set
 */
const char *
option_set_get_text (const OptionSet *self,
                     const char      *name)
{
  return option_set_get (self, name)->text;
}

/* For values that option_set_apply () has checked. */

/**
 * option_set_get_duration:
 * @value: (inout): in milliseconds; unchanged if it is not set
 */
void
option_set_get_duration (const OptionSet *self,
                         const char      *name,
                         guint           *value)
{
  const OptionValue *given = option_set_get (self, name);

  options_read_duration (given->label, given->text, G_MAXUINT, value, NULL);
}

gboolean
option_set_get_boolean (const OptionSet *self,
                        const char      *name,
                        gboolean         initial)
{
  const OptionValue *given = option_set_get (self, name);

  options_read_boolean (given->label, given->text, &initial, NULL);
  return initial;
}

/* The input files in the values. */
char **
option_set_list_inputs (const OptionSet *self)
{
  g_autoptr (GStrvBuilder) inputs = g_strv_builder_new ();

  for (guint i = 0; i < self->n_rows; i++)
    if (self->rows[i].kind == OPTION_INPUT && self->values[i].text != NULL)
      g_strv_builder_add (inputs, self->values[i].text);
  return g_strv_builder_end (inputs);
}

static gboolean
lists_equal (char **a,
             char **b)
{
  if (a == NULL || b == NULL)
    return a == b;
  return g_strv_equal ((const char *const *) a, (const char *const *) b);
}

/* The options that have changed, and take effect only at the next start. */
char **
option_set_list_waiting (const OptionSet *self,
                         const OptionSet *former)
{
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();

  for (guint i = 0; i < self->n_rows; i++)
    if (self->rows[i].waits && (g_strcmp0 (self->values[i].text, former->values[i].text) != 0 ||
                                !lists_equal (self->values[i].list, former->values[i].list)))
      g_strv_builder_add (names, self->rows[i].name);
  return g_strv_builder_end (names);
}

/* The file */

static void
add_unknown_key (const OptionSet *self,
                 const char      *group,
                 const char      *key,
                 Place            place,
                 Problems        *problems)
{
  g_autoptr (GPtrArray) known = g_ptr_array_new ();
  g_autofree char *problem = NULL;

  for (guint i = 0; i < self->n_rows; i++)
    if (!self->rows[i].only_option)
      g_ptr_array_add (known, (char *) self->rows[i].name);
  g_ptr_array_add (known, NULL);
  problem = key_file_explain_key (group, key, (const char *const *) known->pdata);
  problems_add (problems, place, "%s", problem);
}

/* Empty parts, such as between the last ; and the end of the line, are ignored. */
static char **
read_list (KeyFile     *file,
           const char  *group,
           const char  *key,
           OptionKind   kind,
           GError     **error)
{
  g_auto (GStrv) items = key_file_get_list (file, group, key, error);
  g_autoptr (GStrvBuilder) list = g_strv_builder_new ();

  for (char **item = items; item != NULL && *item != NULL; item++)
    {
      g_autofree char *text = kind == OPTION_LISTENS ? key_file_expand_listen (file, g_strstrip (*item)) : NULL;

      if (*g_strstrip (*item) != '\0')
        g_strv_builder_add (list, text != NULL ? text : *item);
    }
  return items != NULL ? g_strv_builder_end (list) : NULL;
}

static char *
read_text (KeyFile     *file,
           const char  *group,
           const char  *key,
           OptionKind   kind,
           GError     **error)
{
  g_autofree char *text = key_file_get_string (file, group, key, error);

  if (text == NULL)
    return NULL;
  if (kind == OPTION_OUTPUT && (strcmp (text, "-") == 0 || strcmp (text, "journal") == 0))
    return g_steal_pointer (&text);
  if (kind == OPTION_INPUT || kind == OPTION_OUTPUT)
    return key_file_expand_path (file, text);
  if (kind == OPTION_LISTEN)
    return key_file_expand_listen (file, text);
  return g_steal_pointer (&text);
}

/* A hash cannot be used instead of a token, so it is not a secret. */
static gboolean
has_secret (const OptionValue *value)
{
  for (char **item = value->list; item != NULL && *item != NULL; item++)
    if (!g_str_has_prefix (*item, "sha256:"))
      return TRUE;
  return value->text != NULL;
}

static void
read_key (OptionSet   *self,
          guint        i,
          KeyFile     *file,
          const char  *group,
          const char  *key,
          Place        place,
          Problems    *problems)
{
  const OptionRow *row = &self->rows[i];
  OptionValue *value = &self->values[i];
  GError *error = NULL;

  if (row->kind == OPTION_LIST || row->kind == OPTION_LISTENS)
    value->list = read_list (file, group, key, row->kind, &error);
  else
    value->text = read_text (file, group, key, row->kind, &error);
  if (error != NULL)
    {
      g_prefix_error (&error, "%s: ", key);
      problems_take (problems, place, error);
      return;
    }
  if (row->is_secret && has_secret (value) && key_file_is_public (file))
    problems_add (problems, place, _("%s: every user of this machine may read it; 'chmod o-r %s' prevents that"), key,
                  key_file_get_path (file));
  /* An empty name means no file. */
  if (value->text != NULL && *value->text == '\0' && (row->kind == OPTION_INPUT || row->kind == OPTION_OUTPUT))
    g_clear_pointer (&value->text, g_free);
  g_free (value->label);
  value->label = g_strdup (key);
  value->place = (Place) { self->path, place.line };
}

static int
find_key (const OptionSet *self,
          const char      *key)
{
  for (guint i = 0; i < self->n_rows; i++)
    if (!self->rows[i].only_option && strcmp (self->rows[i].name, key) == 0)
      return i;
  return -1;
}

/**
 * option_set_read_group:
 *
 * Sets values that are not set yet. Must be called once.
 */
void
option_set_read_group (OptionSet  *self,
                       KeyFile    *file,
                       const char *group,
                       Problems   *problems)
{
  g_auto (GStrv) keys = key_file_get_keys (file, group);

  g_assert (self->path == NULL);
  self->path = g_strdup (key_file_get_path (file));
  for (char **key = keys; key != NULL && *key != NULL; key++)
    {
      Place place = key_file_get_place (file, group, *key);
      int i = find_key (self, *key);

      if (i < 0)
        add_unknown_key (self, group, *key, place, problems);
      else if (self->values[i].text == NULL && self->values[i].list == NULL)
        read_key (self, i, file, group, *key, place, problems);
    }
}

/* Properties */

/* Sets the property to its default. */
void
option_set_reset (GObject    *object,
                  const char *property)
{
  GParamSpec *spec = g_object_class_find_property (G_OBJECT_GET_CLASS (object), property);

  g_object_set_property (object, property, g_param_spec_get_default_value (spec));
}

static gboolean
check_value (const OptionRow    *row,
             const OptionValue  *value,
             GError            **error)
{
  guint number;
  gboolean flag;

  switch (row->kind)
    {
    case OPTION_DURATION:
      return options_read_duration (value->label, value->text, G_MAXUINT, &number, error);
    case OPTION_BOOLEAN:
      return options_read_boolean (value->label, value->text, &flag, error);
    default:
      return TRUE;
    }
}

static gboolean
set_choice (const OptionValue  *value,
            GObject            *object,
            const char         *property,
            GError            **error)
{
  GParamSpec *spec = g_object_class_find_property (G_OBJECT_GET_CLASS (object), property);
  int choice = 0;

  if (!options_read_enum (value->label, value->text, spec->value_type, &choice, error))
    return FALSE;
  g_object_set (object, property, choice, NULL);
  return TRUE;
}

static gboolean
set_property (const OptionRow    *row,
              const OptionValue  *value,
              GObject            *object,
              GError            **error)
{
  switch (row->kind)
    {
    case OPTION_NUMBER:
      return options_read_uint (value->label, value->text, 1, object, row->property, error);
    case OPTION_MEMORY:
      return options_read_memory (value->label, value->text, row->least, object, row->property, error);
    case OPTION_RATE:
      return options_read_rate (value->label, value->text, row->least, object, row->property, error);
    case OPTION_DURATION:
      return options_read_duration_property (value->label, value->text, object, row->property, error);
    case OPTION_CHOICE:
      return set_choice (value, object, row->property, error);
    case OPTION_LIST:
      g_object_set (object, row->property, value->list, NULL);
      return TRUE;
    default:
      g_object_set (object, row->property, value->text, NULL);
      return TRUE;
    }
}

/**
 * option_set_apply:
 *
 * Sets every property that has a row, or resets it to its default if there is no value.
 */
void
option_set_apply (const OptionSet *self,
                  GObject         *object,
                  Problems        *problems)
{
  for (guint i = 0; i < self->n_rows; i++)
    {
      const OptionRow *row = &self->rows[i];
      const OptionValue *value = &self->values[i];
      GError *error = NULL;

      if (row->apply != NULL)
        row->apply (self, value, object, problems);
      else if (row->property != NULL && value->text == NULL && value->list == NULL)
        option_set_reset (object, row->property);
      else if (row->property != NULL)
        set_property (row, value, object, &error);
      else
        check_value (row, value, &error);
      if (error != NULL)
        problems_take (problems, value->place, error);
    }
}

/* Finds texts that the library refuses. */
typedef struct
{
  GObject *(*make) (gpointer user_data);
  gboolean (*check) (GObject  *object,
                     gpointer  user_data,
                     GError  **error);
  gpointer user_data;
} Checker;

static gboolean
check_item (const Checker      *checker,
            const OptionRow    *row,
            const OptionValue  *value,
            const char         *item,
            Problems           *problems)
{
  g_autoptr (GObject) object = checker->make (checker->user_data);
  GError *error = NULL;

  if (row->kind == OPTION_LIST)
    g_object_set (object, row->property, (const char *[]) { item, NULL }, NULL);
  else
    g_object_set (object, row->property, item, NULL);
  if (checker->check (object, checker->user_data, &error))
    return TRUE;
  g_prefix_error (&error, "%s: ", value->label);
  problems_take (problems, value->place, error);
  return FALSE;
}

static void
check_list (const Checker    *checker,
            const OptionRow  *row,
            OptionValue      *value,
            Problems         *problems)
{
  g_autoptr (GStrvBuilder) good = g_strv_builder_new ();

  for (char **item = value->list; *item != NULL; item++)
    if (check_item (checker, row, value, *item, problems))
      g_strv_builder_add (good, *item);
  g_strfreev (value->list);
  value->list = g_strv_builder_end (good);
}

/**
 * option_set_check:
 * @make: makes a valid object
 * @check: checks whether an object is valid
 *
 * Lets the library check each text separately, so that all invalid ones are found with their places. These are dropped.
 */
void
option_set_check (OptionSet  *self,
                  GObject  *(*make) (gpointer user_data),
                  gboolean  (*check) (GObject  *object,
                                      gpointer  user_data,
                                      GError  **error),
                  gpointer    user_data,
                  Problems   *problems)
{
  Checker checker = { make, check, user_data };

  for (guint i = 0; i < self->n_rows; i++)
    {
      const OptionRow *row = &self->rows[i];
      OptionValue *value = &self->values[i];

      if (row->property == NULL)
        continue;
      if (value->list != NULL)
        check_list (&checker, row, value, problems);
      if (row->kind == OPTION_STRING && value->text != NULL && !check_item (&checker, row, value, value->text, problems))
        g_clear_pointer (&value->text, g_free);
    }
}
