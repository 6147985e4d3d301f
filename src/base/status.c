/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/status.h"

#include "base/tsan.h"

TcpStatus *
tcp_status_new (void)
{
  TcpStatus *self = g_atomic_rc_box_new0 (TcpStatus);

  g_mutex_init (&self->mutex);
  tcp_status_set (self, round_trip, -1);
  return self;
}

TcpStatus *
tcp_status_ref (TcpStatus *self)
{
  return g_atomic_rc_box_acquire (self);
}

static void
status_clear (gpointer data)
{
  TcpStatus *self = data;

  tcp_tsan_acquire (self);
  g_clear_error (&self->last_error);
  g_mutex_clear (&self->mutex);
}

void
tcp_status_unref (TcpStatus *self)
{
  tcp_tsan_release (self);
  g_atomic_rc_box_release_full (self, status_clear);
}

void
tcp_status_set_error (TcpStatus    *self,
                      const GError *error)
{
  g_mutex_lock (&self->mutex);
  tcp_tsan_acquire (&self->last_error);
  g_clear_error (&self->last_error);
  if (error != NULL)
    self->last_error = g_error_copy (error);
  tcp_tsan_release (&self->last_error);
  g_mutex_unlock (&self->mutex);
}

GError *
tcp_status_dup_error (TcpStatus *self)
{
  GError *copy;

  g_mutex_lock (&self->mutex);
  tcp_tsan_acquire (&self->last_error);
  copy = self->last_error != NULL ? g_error_copy (self->last_error) : NULL;
  tcp_tsan_release (&self->last_error);
  g_mutex_unlock (&self->mutex);

  return copy;
}
