/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/shared.h"

#include "base/tsan.h"
#include "io/descriptors.h"
#include "io/pool.h"
#include "websocket/channel.h"

/* The maximum for connections that are not a WebSocket yet. */
#define PENDING_MEMORY (48 * 1024 * 1024)

/* One file descriptor in this many may be a listener. */
#define LISTENERS_PART 16

/* The memory for all clients together, if there is so much. */
#define COMMON_MEMORY (256 * 1024 * 1024)

/* Divides the memory. The memory that each client can always use is set aside for all of them; if there is less, there
 * may be fewer clients. */
static void
shared_divide_memory (TcpShared *self)
{
  gsize memory = MIN (tcp_gateway_settings_get_max_memory (self->settings), G_MAXSIZE);
  gsize own = (gsize) self->settings->common.max_connections * TCP_GATEWAY_MEMORY_OF_CLIENT;
  g_autofree char *limit = g_strdup_printf ("max-memory: %" G_GSIZE_FORMAT, memory);

  self->pending_memory = MIN (memory / 4, PENDING_MEMORY);
  memory -= self->pending_memory;
  own = MIN (own, MAX (memory / 2, memory - MIN (memory, COMMON_MEMORY)));
  self->memory = memory - own;
  self->most_clients = own / TCP_GATEWAY_MEMORY_OF_CLIENT;

  /* Of the third, three quarters are the initial windows of the usual number of connections (see client.c), so that
   * these never have to wait for each other. */
  self->pools[TCP_MEMORY_DATA] = tcp_budget_pool_new (self->memory / 2, tcp_io_thread_count ());
  self->pools[TCP_MEMORY_QUEUES] = tcp_budget_pool_new (self->memory / 3, tcp_io_thread_count ());
  self->pools[TCP_MEMORY_INPUT] = tcp_budget_pool_new (MAX (self->memory / 6, TCP_CHANNEL_MIN_MEMORY),
                                                       tcp_io_thread_count ());
  for (guint i = 0; i < TCP_N_MEMORY_KINDS; i++)
    tcp_budget_pool_set_limit (self->pools[i], g_intern_string (limit));
  tcp_quota_init (&self->clients, self->most_clients);
}

static void
shared_make_access (TcpShared *self)
{
  TcpAccessLimits limits = {
    .settings = self->settings,
    .held = &self->held,
    .clients = &self->clients,
    .connections = &self->connections,
    .listeners = &self->listeners,
    .dials = self->dials,
    .reverse_ports = tcp_reverse_ports_get_quota (self->reverse_ports),
  };

  for (guint i = 0; i < TCP_N_MEMORY_KINDS; i++)
    limits.memory[i] = self->pools[i];
  self->access = tcp_access_new (&limits);
}

static guint
get_max_held (const TcpGatewaySettings *settings)
{
  return MAX (1, settings->common.max_connections / 2);
}

/* @thread is that of the server. */
TcpShared *
tcp_shared_new (const TcpGatewaySettings *settings,
                TcpIoThread              *thread,
                TcpLog                   *log,
                TcpStatus                *status,
                TcpCounters              *counters,
                TcpEventQueue            *events)
{
  TcpShared *self = g_atomic_rc_box_new0 (TcpShared);

  self->settings = tcp_gateway_settings_copy (settings);
  /* They were checked with the settings. */
  self->reverse_ports = tcp_reverse_ports_new ((const char *const *) settings->reverse_ports, NULL);
  self->log = tcp_log_ref (log);
  self->status = tcp_status_ref (status);
  self->counters = tcp_counters_ref (counters);
  self->events = tcp_event_queue_ref (events);
  shared_divide_memory (self);
  tcp_quota_init (&self->connections, settings->common.max_connections);
  tcp_quota_init (&self->held, get_max_held (settings));
  tcp_quota_init (&self->listeners, MAX (1, tcp_descriptors_get_limit () / LISTENERS_PART));
  self->dials = tcp_dial_queue_new (settings->max_dials, thread);
  self->target_book = tcp_target_book_new (settings->common.connect_timeout);
  shared_make_access (self);

  return self;
}

/* Applies those settings that may change while the gateway runs. @reverse_ports and @roster belong to @settings; the
 * ports are taken out of @reverse_ports. Called on the thread of the server. */
void
tcp_shared_reconfigure (TcpShared                *self,
                        const TcpGatewaySettings *settings,
                        TcpReversePorts          *reverse_ports,
                        TcpRoster                *roster)
{
  tcp_quota_set_max (&self->clients, MIN (self->most_clients, (guint) settings->common.max_connections));
  tcp_quota_set_max (&self->connections, settings->common.max_connections);
  tcp_quota_set_max (&self->held, get_max_held (settings));
  tcp_quota_set_max (tcp_dial_queue_get_quota (self->dials), settings->max_dials);
  tcp_reverse_ports_replace (self->reverse_ports, reverse_ports);
  tcp_access_set_roster (self->access, roster);
  tcp_dial_queue_review (self->dials);
  tcp_target_book_forget (self->target_book);
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
  tcp_access_free (self->access);
  for (guint i = 0; i < TCP_N_MEMORY_KINDS; i++)
    tcp_budget_pool_unref (self->pools[i]);
  tcp_target_book_free (self->target_book);
  tcp_dial_queue_unref (self->dials);
  tcp_quota_clear (&self->clients);
  tcp_quota_clear (&self->connections);
  tcp_quota_clear (&self->held);
  tcp_quota_clear (&self->listeners);
  tcp_reverse_ports_free (self->reverse_ports);
  tcp_event_queue_unref (self->events);
  tcp_status_unref (self->status);
  tcp_counters_unref (self->counters);
  tcp_log_unref (self->log);
  tcp_gateway_settings_free (self->settings);
}

void
tcp_shared_unref (TcpShared *self)
{
  tcp_tsan_release (self);
  g_atomic_rc_box_release_full (self, shared_clear);
}
