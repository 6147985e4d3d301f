/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>
#include <stdatomic.h>

G_BEGIN_DECLS

/* A number with a limit, on whichever threads it is counted. For a moment it may be above the
 * limit, by those that are about to be refused. */
typedef struct
{
  atomic_uint used;
  guint max;
} TcpQuota;

/* Whether there is room for one more, which is counted in any case. */
static inline gboolean
tcp_quota_enter (TcpQuota *self)
{
  return atomic_fetch_add_explicit (&self->used, 1, memory_order_relaxed) < self->max;
}

static inline guint
tcp_quota_get (TcpQuota *self)
{
  return atomic_load_explicit (&self->used, memory_order_relaxed);
}

static inline void
tcp_quota_leave (TcpQuota *self)
{
  atomic_fetch_sub_explicit (&self->used, 1, memory_order_relaxed);
}

G_END_DECLS
