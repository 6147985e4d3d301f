/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "endpoint/setting.h"

#define FIELD(values, self, type) (*(type *) ((char *) (values) + (self)->offset))

static GQuark
setting_quark (void)
{
  return g_quark_from_static_string ("tcp-setting");
}

static GParamSpec *
setting_make_pspec (const TcpSetting *self)
{
  GParamFlags flags = G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  if (!self->is_secret)
    flags |= G_PARAM_READABLE;
  if (self->get == NULL)
    flags |= G_PARAM_WRITABLE;
  if (self->is_construct_only)
    flags |= G_PARAM_CONSTRUCT_ONLY;

  switch (self->kind)
    {
    case TCP_SETTING_STRING:
      return g_param_spec_string (self->name, NULL, NULL, self->text, flags);
    case TCP_SETTING_STRV:
      return g_param_spec_boxed (self->name, NULL, NULL, G_TYPE_STRV, flags);
    case TCP_SETTING_OBJECT:
      return g_param_spec_object (self->name, NULL, NULL, self->type (), flags);
    case TCP_SETTING_BOXED:
      return g_param_spec_boxed (self->name, NULL, NULL, self->type (), flags);
    case TCP_SETTING_BOOLEAN:
      return g_param_spec_boolean (self->name, NULL, NULL, self->initial, flags);
    case TCP_SETTING_INT:
      return g_param_spec_int (self->name, NULL, NULL, self->minimum, self->maximum, self->initial, flags);
    case TCP_SETTING_UINT:
      return g_param_spec_uint (self->name, NULL, NULL, self->minimum, self->maximum, self->initial, flags);
    case TCP_SETTING_UINT64:
      return g_param_spec_uint64 (self->name, NULL, NULL, self->minimum, self->maximum, self->initial, flags);
    case TCP_SETTING_ENUM:
      return g_param_spec_enum (self->name, NULL, NULL, self->type (), self->initial, flags);
    default:
      g_assert_not_reached ();
    }
}

void
tcp_settings_install (const TcpSettings *self,
                      GObjectClass      *object_class)
{
  for (guint i = 0; i < self->n_rows; i++)
    {
      GParamSpec *pspec = setting_make_pspec (&self->rows[i]);

      g_param_spec_set_qdata (pspec, setting_quark (), (gpointer) &self->rows[i]);
      g_object_class_install_property (object_class, i + 1, pspec);
    }
}

const TcpSetting *
tcp_setting_of (GParamSpec *pspec)
{
  return g_param_spec_get_qdata (pspec, setting_quark ());
}

/* Whether the value is a pointer that is copied and freed. */
static gboolean
setting_is_pointer (const TcpSetting *self)
{
  return self->kind <= TCP_SETTING_BOXED;
}

static gpointer
setting_copy_pointer (const TcpSetting *self,
                      gpointer          pointer)
{
  if (pointer == NULL)
    return NULL;
  if (self->kind == TCP_SETTING_STRING)
    return g_strdup (pointer);
  return self->kind == TCP_SETTING_STRV ? (gpointer) g_strdupv (pointer) : g_object_ref (pointer);
}

static gboolean
setting_is_equal (const TcpSetting *self,
                  gpointer          a,
                  gpointer          b)
{
  if (a == NULL || b == NULL || self->kind == TCP_SETTING_OBJECT)
    return a == b;
  if (self->kind == TCP_SETTING_STRING)
    return g_str_equal (a, b);
  return g_strv_equal (a, b);
}

void
tcp_setting_discard (const TcpSetting *self,
                     gpointer          pointer)
{
  if (pointer == NULL)
    return;
  if (self->kind == TCP_SETTING_OBJECT)
    g_object_unref (pointer);
  else if (self->kind == TCP_SETTING_STRV)
    g_strfreev (pointer);
  else if (self->kind == TCP_SETTING_STRING)
    g_free (pointer);
}

/* Sets all values to their defaults. */
static void
settings_reset (const TcpSettings *self,
                gpointer           values)
{
  if (self->parent != NULL)
    settings_reset (self->parent, values);
  for (guint i = 0; i < self->n_rows; i++)
    {
      const TcpSetting *row = &self->rows[i];

      if (row->get != NULL)
        continue;
      if (row->kind == TCP_SETTING_STRING)
        FIELD (values, row, char *) = g_strdup (row->text);
      else if (row->kind == TCP_SETTING_UINT64)
        FIELD (values, row, guint64) = row->initial;
      else if (!setting_is_pointer (row))
        FIELD (values, row, int) = row->initial;
    }
}

gpointer
tcp_settings_new (const TcpSettings *self)
{
  gpointer values = g_malloc0 (self->size);

  settings_reset (self, values);
  return values;
}

/* Copies the fields that have rows. */
gpointer
tcp_settings_copy (const TcpSettings *self,
                   gconstpointer      values)
{
  gpointer copy = g_memdup2 (values, self->size);

  for (; self != NULL; self = self->parent)
    for (guint i = 0; i < self->n_rows; i++)
      if (self->rows[i].get == NULL && setting_is_pointer (&self->rows[i]))
        FIELD (copy, &self->rows[i], gpointer) =
            setting_copy_pointer (&self->rows[i], FIELD (values, &self->rows[i], gpointer));
  return copy;
}

void
tcp_settings_free (const TcpSettings *self,
                   gpointer           values)
{
  for (; self != NULL; self = self->parent)
    for (guint i = 0; i < self->n_rows; i++)
      if (self->rows[i].get == NULL && setting_is_pointer (&self->rows[i]))
        tcp_setting_discard (&self->rows[i], FIELD (values, &self->rows[i], gpointer));
  g_free (values);
}

void
tcp_setting_get (const TcpSetting *self,
                 gconstpointer     values,
                 GValue           *value)
{
  switch (self->kind)
    {
    case TCP_SETTING_STRING:
      g_value_set_string (value, FIELD (values, self, char *));
      break;
    case TCP_SETTING_STRV:
      g_value_set_boxed (value, FIELD (values, self, char **));
      break;
    case TCP_SETTING_OBJECT:
      g_value_set_object (value, FIELD (values, self, gpointer));
      break;
    case TCP_SETTING_BOOLEAN:
      g_value_set_boolean (value, FIELD (values, self, gboolean));
      break;
    case TCP_SETTING_INT:
      g_value_set_int (value, FIELD (values, self, int));
      break;
    case TCP_SETTING_UINT:
      g_value_set_uint (value, FIELD (values, self, guint));
      break;
    case TCP_SETTING_UINT64:
      g_value_set_uint64 (value, FIELD (values, self, guint64));
      break;
    case TCP_SETTING_ENUM:
      g_value_set_enum (value, FIELD (values, self, int));
      break;
    default:
      g_assert_not_reached ();
    }
}

/* Copies a value that is a pointer, for tcp_setting_set (). Called before the lock is taken. */
gpointer
tcp_setting_prepare (const TcpSetting *self,
                     const GValue     *value)
{
  return setting_is_pointer (self) ? setting_copy_pointer (self, g_value_peek_pointer (value)) : NULL;
}

static gboolean
setting_set_int (const TcpSetting *self,
                 gpointer          values,
                 int               value)
{
  gboolean is_new = FIELD (values, self, int) != value;

  FIELD (values, self, int) = value;
  return is_new;
}

static gboolean
setting_set_uint64 (const TcpSetting *self,
                    gpointer          values,
                    guint64           value)
{
  gboolean is_new;

  if (value != 0)
    value = MAX (value, self->least);
  is_new = FIELD (values, self, guint64) != value;
  FIELD (values, self, guint64) = value;
  return is_new;
}

/* Returns whether the value has changed. @pointer is the result of tcp_setting_prepare (); afterwards the caller passes
 * it to tcp_setting_discard () without the lock, since dropping the last reference to an object may run the
 * application's code. */
gboolean
tcp_setting_set (const TcpSetting *self,
                 gpointer          values,
                 const GValue     *value,
                 gpointer         *pointer)
{
  gpointer former;

  switch (self->kind)
    {
    case TCP_SETTING_BOOLEAN:
      return setting_set_int (self, values, g_value_get_boolean (value));
    case TCP_SETTING_INT:
      return setting_set_int (self, values, g_value_get_int (value));
    case TCP_SETTING_UINT:
      return setting_set_int (self, values, g_value_get_uint (value));
    case TCP_SETTING_UINT64:
      return setting_set_uint64 (self, values, g_value_get_uint64 (value));
    case TCP_SETTING_ENUM:
      return setting_set_int (self, values, g_value_get_enum (value));
    default:
      former = FIELD (values, self, gpointer);
      FIELD (values, self, gpointer) = *pointer;
      *pointer = former;
      return !setting_is_equal (self, former, FIELD (values, self, gpointer));
    }
}
