/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/status.h"

#include <string.h>
#include "base/tsan.h"

TcpStatus *
tcp_status_new (void)
{
  TcpStatus *self = g_atomic_rc_box_new0 (TcpStatus);

  tcp_lock_init (&self->lock);
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
  g_free (self->remote_host);
  tcp_lock_clear (&self->lock);
}

void
tcp_status_unref (TcpStatus *self)
{
  tcp_tsan_release (self);
  g_atomic_rc_box_release_full (self, status_clear);
}

/* Resets the current state, but no counters, on behalf of an engine that cannot do so itself. */
void
tcp_status_end (TcpStatus *self)
{
  tcp_status_set (self, state, TCP_TUNNEL_STATE_DISCONNECTED);
  tcp_status_set (self, open_connections, 0);
  tcp_status_set (self, open_websockets, 0);
  tcp_status_set (self, unacknowledged_bytes, 0);
  tcp_status_set (self, receive_window, 0);
  tcp_status_set (self, send_window, 0);
  tcp_status_set_remote (self, NULL, 0);
}

void
tcp_status_set_error (TcpStatus    *self,
                      const GError *error)
{
  tcp_lock (&self->lock);
  tcp_tsan_acquire (&self->last_error);
  g_clear_error (&self->last_error);
  if (error != NULL)
    self->last_error = g_error_copy (error);
  tcp_tsan_release (&self->last_error);
  tcp_unlock (&self->lock);
}

GError *
tcp_status_dup_error (TcpStatus *self)
{
  GError *copy;

  tcp_lock (&self->lock);
  tcp_tsan_acquire (&self->last_error);
  copy = self->last_error != NULL ? g_error_copy (self->last_error) : NULL;
  tcp_tsan_release (&self->last_error);
  tcp_unlock (&self->lock);

  return copy;
}

void
tcp_status_set_remote (TcpStatus  *self,
                       const char *host,
                       guint       port)
{
  tcp_lock (&self->lock);
  tcp_tsan_acquire (&self->last_error);
  g_free (self->remote_host);
  self->remote_host = g_strdup (host);
  self->remote_port = port;
  tcp_tsan_release (&self->last_error);
  tcp_unlock (&self->lock);
}

/* As host:port; NULL if there is none. */
char *
tcp_status_dup_remote (TcpStatus *self)
{
  char *text = NULL;

  tcp_lock (&self->lock);
  tcp_tsan_acquire (&self->last_error);
  if (self->remote_host != NULL)
    text = g_strdup_printf (strchr (self->remote_host, ':') != NULL ? "[%s]:%u" : "%s:%u", self->remote_host,
                            self->remote_port);
  tcp_tsan_release (&self->last_error);
  tcp_unlock (&self->lock);

  return text;
}
