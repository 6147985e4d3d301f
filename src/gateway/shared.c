/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/shared.h"

#include "base/tsan.h"
#include "io/pool.h"

TcpShared *
tcp_shared_new (const TcpGatewaySettings *settings,
                TcpLog                   *log,
                TcpStatus                *status,
                TcpEventQueue            *events)
{
  TcpShared *self = g_atomic_rc_box_new0 (TcpShared);

  self->settings = tcp_gateway_settings_copy (settings);
  /* They were checked with the settings. */
  self->targets = tcp_target_rules_new ((const char *const *) settings->allow, NULL);
  self->log = tcp_log_ref (log);
  self->status = tcp_status_ref (status);
  self->events = tcp_event_queue_ref (events);
  /* Of the third, three quarters are what as many connections as are usual begin with: see
   * client.c. So these never have to wait for each other. */
  self->budget = tcp_budget_pool_new (settings->max_buffered_bytes / 3 * 2, tcp_io_thread_count ());
  self->queue_budget = tcp_budget_pool_new (settings->max_buffered_bytes / 3, tcp_io_thread_count ());
  self->clients.max = self->connections.max = settings->max_connections;
  self->held.max = MAX (1, settings->max_connections / 2);

  return self;
}

TcpShared *
tcp_shared_ref (TcpShared *self)
{
  return g_atomic_rc_box_acquire (self);
}

static void
shared_clear (gpointer data)
{
  TcpShared *self = data;

  tcp_tsan_acquire (self);
  tcp_budget_pool_unref (self->budget);
  tcp_budget_pool_unref (self->queue_budget);
  g_clear_pointer (&self->access, tcp_access_free);
  tcp_target_rules_free (self->targets);
  tcp_event_queue_unref (self->events);
  tcp_status_unref (self->status);
  tcp_log_unref (self->log);
  tcp_gateway_settings_free (self->settings);
}

void
tcp_shared_unref (TcpShared *self)
{
  tcp_tsan_release (self);
  g_atomic_rc_box_release_full (self, shared_clear);
}
