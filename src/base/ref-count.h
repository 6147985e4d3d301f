/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>
#include "base/tsan.h"

G_BEGIN_DECLS

/* Drops a reference that several threads use. TRUE if it was the last: all accesses of other threads are complete
 * then. */
static inline gboolean
tcp_ref_count_dec (gatomicrefcount *self)
{
  tcp_tsan_release (self);
  if (!g_atomic_ref_count_dec (self))
    return FALSE;

  tcp_tsan_acquire (self);
  return TRUE;
}

G_END_DECLS
