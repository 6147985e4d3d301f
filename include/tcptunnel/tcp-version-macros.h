/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(TCP_TUNNEL_INSIDE) && !defined(TCP_TUNNEL_COMPILATION)
#error "Only <tcptunnel/tcptunnel.h> can be included directly."
#endif

#include <glib-object.h>

#ifndef _TCP_TUNNEL_EXTERN
#define _TCP_TUNNEL_EXTERN extern
#endif

/**
 * TCP_TUNNEL_AVAILABLE_IN_1_0: (skip)
 *
 * Marks a symbol that was added in version 1.0.
 *
 * Since: 1.0
 */
#define TCP_TUNNEL_AVAILABLE_IN_1_0 _TCP_TUNNEL_EXTERN

/* Declares a class whose structs are hidden, so that only the library can derive classes from it. */
#define _TCP_TUNNEL_DECLARE_CLASS(Name, name, MODULE, NAME, Parent)                 \
  GType name##_get_type (void) G_GNUC_CONST;                                        \
  G_GNUC_BEGIN_IGNORE_DEPRECATIONS                                                  \
  typedef struct _##Name Name;                                                      \
  typedef struct _##Name##Class Name##Class;                                        \
  _GLIB_DEFINE_AUTOPTR_CHAINUP (Name, Parent)                                       \
  G_GNUC_UNUSED static inline Name *MODULE##_##NAME (gpointer instance)             \
  {                                                                                 \
    return G_TYPE_CHECK_INSTANCE_CAST (instance, name##_get_type (), Name);         \
  }                                                                                 \
  G_GNUC_UNUSED static inline gboolean MODULE##_IS_##NAME (gpointer instance)       \
  {                                                                                 \
    return G_TYPE_CHECK_INSTANCE_TYPE (instance, name##_get_type ());               \
  }                                                                                 \
  G_GNUC_END_IGNORE_DEPRECATIONS
