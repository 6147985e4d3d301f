/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "endpoint/runner.h"

/* The bodies of getters and setters, which are all alike. `snake` is the class in
 * lower case; self is there for the expressions, which are evaluated under its lock. */

#define TCP_GETTER(Class, snake, CHECK, ctype, name, zero, expression) \
  ctype tcp_##snake##_get_##name (Class *self)                         \
  {                                                                    \
    ctype value;                                                       \
                                                                       \
    g_return_val_if_fail (CHECK (self), zero);                         \
    tcp_runner_lock (&self->runner);                                   \
    value = expression;                                                \
    tcp_runner_unlock (&self->runner);                                 \
    return value;                                                      \
  }

/* Of what another thread may replace meanwhile, the caller gets a copy. */
#define TCP_DUPLICATOR(Class, snake, CHECK, ctype, name, copy, expression) \
  ctype tcp_##snake##_dup_##name (Class *self)                             \
  {                                                                        \
    ctype value;                                                           \
                                                                           \
    g_return_val_if_fail (CHECK (self), NULL);                             \
    tcp_runner_lock (&self->runner);                                       \
    value = copy (expression);                                             \
    tcp_runner_unlock (&self->runner);                                     \
    return value;                                                          \
  }

#define TCP_SETTER(Class, snake, CHECK, ctype, name, same, assign) \
  void tcp_##snake##_set_##name (Class *self, ctype name)          \
  {                                                                \
    gboolean is_new;                                               \
                                                                   \
    g_return_if_fail (CHECK (self));                               \
    tcp_runner_lock (&self->runner);                               \
    is_new = !(same);                                              \
    if (is_new)                                                    \
      assign;                                                      \
    tcp_runner_unlock (&self->runner);                             \
    if (is_new)                                                    \
      tcp_notify (G_OBJECT (self), #name);                         \
  }

/* Setters for the fields of `settings`, by type. */
#define TCP_SETTER_PLAIN(Class, snake, CHECK, ctype, name) \
  TCP_SETTER (Class, snake, CHECK, ctype, name,            \
              self->settings->name == name, self->settings->name = name)

/* As the property would be, a number out of range is brought into it. */
#define TCP_SETTER_UINT(Class, snake, CHECK, name)                                          \
  TCP_SETTER (Class, snake, CHECK, guint, name,                                             \
              (name = tcp_clamp (G_OBJECT (self), #name, name)) == self->settings->name, \
              self->settings->name = name)

#define TCP_SETTER_INT(Class, snake, CHECK, name)                                           \
  TCP_SETTER (Class, snake, CHECK, int, name,                                               \
              (name = tcp_clamp_int (G_OBJECT (self), #name, name)) == self->settings->name, \
              self->settings->name = name)

/* Those that point somewhere. The new value is made before the lock is taken, as it may be a part of the former one,
 * which goes after it was released: the last reference of an object runs the application's code. */
#define TCP_SETTER_POINTER(Class, snake, CHECK, ctype, name, same, copy, release, also) \
  void tcp_##snake##_set_##name (Class *self, ctype name)                               \
  {                                                                                     \
    gpointer other;                                                                     \
    gboolean is_new;                                                                    \
                                                                                        \
    g_return_if_fail (CHECK (self));                                                    \
    other = copy;                                                                       \
    tcp_runner_lock (&self->runner);                                                    \
    is_new = !(same);                                                                   \
    if (is_new)                                                                         \
      {                                                                                 \
        gpointer former = self->settings->name;                                         \
                                                                                        \
        self->settings->name = other;                                                   \
        other = former;                                                                 \
        also;                                                                           \
      }                                                                                 \
    tcp_runner_unlock (&self->runner);                                                  \
    if (is_new)                                                                         \
      tcp_notify (G_OBJECT (self), #name);                                              \
    g_clear_pointer (&other, release);                                                  \
  }

#define TCP_SETTER_STRING(Class, snake, CHECK, name, also)                              \
  TCP_SETTER_POINTER (Class, snake, CHECK, const char *, name,                          \
                      g_strcmp0 (self->settings->name, name) == 0, g_strdup (name), g_free, also)

#define TCP_SETTER_STRV(Class, snake, CHECK, name)                                      \
  TCP_SETTER_POINTER (Class, snake, CHECK, const char *const *, name,                   \
                      FALSE, g_strdupv ((char **) name), g_strfreev, )

#define TCP_SETTER_OBJECT(Class, snake, CHECK, ctype, name)                             \
  TCP_SETTER_POINTER (Class, snake, CHECK, ctype, name,                                 \
                      self->settings->name == name, name != NULL ? g_object_ref (name) : NULL, g_object_unref, )

/* In get_property(): what another thread may set meanwhile is copied. */
#define TCP_GET(type, expression) \
  (tcp_runner_lock (&self->runner), g_value_set_##type (value, expression), tcp_runner_unlock (&self->runner))

/* By the name of the accessor, which GObject takes as well: underscores are dashes. */
static inline void
tcp_notify (GObject    *object,
            const char *name)
{
  GParamSpec *pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (object), name);

  g_object_notify_by_pspec (object, pspec);
}

static inline guint
tcp_clamp (GObject    *object,
           const char *name,
           guint       value)
{
  GParamSpec *pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (object), name);

  return CLAMP (value, G_PARAM_SPEC_UINT (pspec)->minimum, G_PARAM_SPEC_UINT (pspec)->maximum);
}

static inline int
tcp_clamp_int (GObject    *object,
               const char *name,
               int         value)
{
  GParamSpec *pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (object), name);

  return CLAMP (value, G_PARAM_SPEC_INT (pspec)->minimum, G_PARAM_SPEC_INT (pspec)->maximum);
}

#define TCP_READ_WRITE (G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS)
#define TCP_READ_ONLY (G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)
#define TCP_WRITE_ONLY (G_PARAM_WRITABLE | G_PARAM_STATIC_STRINGS)
