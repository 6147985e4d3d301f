/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>
#include <stdatomic.h>

G_BEGIN_DECLS

/* A number with a limit, on whichever threads it is counted. */
typedef struct
{
  atomic_uint used;
  guint max;
} TcpQuota;

/* Whether there is room for one more, which is counted then. One that is refused never is, or
 * others would be refused beside it although there is room. */
static inline gboolean
tcp_quota_enter (TcpQuota *self)
{
  guint used = atomic_load_explicit (&self->used, memory_order_relaxed);

  while (used < self->max)
    if (atomic_compare_exchange_weak_explicit (&self->used, &used, used + 1, memory_order_relaxed,
                                               memory_order_relaxed))
      return TRUE;
  return FALSE;
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
