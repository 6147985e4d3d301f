/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/server-private.h"

#include <string.h>

#include "base/tsan.h"
#include "gateway/certificate.h"
#include "io/listen.h"
#include "io/reactor.h"

/* How many sessions that have ended are remembered, to tell clients that come back. */
#define MAX_GONE 4096

/* How many WebSockets of one principal may be held without a target. A tunnel of limrun's
 * has at most one. */
#define MAX_HELD 64

/* A client without a connection, which may stay for ever, is not waited for. From the top
 * of the main loop: guests are in the middle of something. */
static void
server_check_drained (TcpServer *self)
{
  if (self->drains->len > 0 && tcp_status_get (self->status, open_connections) == 0)
    tcp_timer_set (self->drain_deadline, 0);
}

/* Guests */

static void
on_guest_stream_opened (TcpGuest  *guest,
                        TcpStream *stream,
                        gpointer   user_data)
{
  TcpServer *self = user_data;
  guint64 id = tcp_stream_get_serial (stream);

  tcp_log_debug (self->log, "connection %" G_GUINT64_FORMAT " was opened by %s", id, tcp_guest_get_principal (guest));
  tcp_event_queue_push_opened (self->events, id, NULL, tcp_guest_get_principal (guest));
}

static void
on_guest_stream_closed (TcpGuest     *guest,
                        TcpStream    *stream,
                        const GError *error,
                        gpointer      user_data)
{
  TcpServer *self = user_data;
  guint64 id = tcp_stream_get_serial (stream);

  TcpTunnelLogLevel level = tcp_stream_get_severity (stream, error);

  /* Whoever closes the gateway knows what that ends. */
  if (self->closed)
    level = MAX (level, TCP_TUNNEL_LOG_LEVEL_DEBUG);
  if (error != NULL)
    tcp_log (self->log, level, "connection %" G_GUINT64_FORMAT " of %s broke: %s", id,
             tcp_guest_get_principal (guest), error->message);
  else
    tcp_log (self->log, level, "connection %" G_GUINT64_FORMAT " was closed", id);
  tcp_event_queue_push_closed (self->events, id, error);
  server_check_drained (self);
}

static void
server_remember_gone (TcpServer  *self,
                      const char *id)
{
  GList *link = g_hash_table_lookup (self->gone, id);
  char *copy;

  if (link != NULL)
    {
      g_queue_unlink (&self->gone_order, link);
      g_queue_push_tail_link (&self->gone_order, link);
      return;
    }

  copy = g_strdup (id);
  g_queue_push_tail (&self->gone_order, copy);
  g_hash_table_insert (self->gone, copy, self->gone_order.tail);
  if (g_queue_get_length (&self->gone_order) > MAX_GONE)
    g_hash_table_remove (self->gone, g_queue_pop_head (&self->gone_order));
}

static void
on_guest_ended (TcpGuest *guest,
                gpointer  user_data)
{
  TcpServer *self = user_data;
  const char *id = tcp_guest_get_session_id (guest);

  if (id != NULL)
    {
      server_remember_gone (self, id);
      g_hash_table_remove (self->sessions, id);
    }
  g_hash_table_remove (self->guests, guest);
}

static const TcpGuestCallbacks guest_callbacks = {
  .stream_opened = on_guest_stream_opened,
  .stream_closed = on_guest_stream_closed,
  .ended = on_guest_ended,
};

TcpGuest *
tcp_server_find_or_add_guest (TcpServer  *self,
                              TcpRequest *request)
{
  const char *id = tcp_request_get_session (request);
  TcpGuest *guest = id != NULL ? g_hash_table_lookup (self->sessions, id) : NULL;

  if (guest != NULL)
    return guest;

  guest = tcp_guest_new (self->settings, request, self->budget, self->log, self->status, &guest_callbacks, self);
  g_hash_table_add (self->guests, guest);
  if (id != NULL)
    g_hash_table_insert (self->sessions, (char *) tcp_guest_get_session_id (guest), guest);
  return guest;
}

/* WebSockets that are held */

static void
on_held_ended (TcpHeld  *held,
               gpointer  user_data)
{
  TcpServer *self = user_data;

  /* It may have broken: the client may come back yet. */
  server_remember_gone (self, tcp_held_get_session_id (held));
  g_hash_table_remove (self->held, tcp_held_get_session_id (held));
}

/* Whether there is room for the request among those that are held. One of the same session
 * is replaced. */
gboolean
tcp_server_may_hold (TcpServer  *self,
                     TcpRequest *request)
{
  GHashTableIter iter;
  gpointer held;
  guint of_principal = 0;

  if (g_hash_table_contains (self->held, request->session_id))
    return TRUE;
  if (g_hash_table_size (self->held) >= MAX (1, self->settings->max_connections / 2))
    return FALSE;

  g_hash_table_iter_init (&iter, self->held);
  while (g_hash_table_iter_next (&iter, NULL, &held))
    if (strcmp (tcp_held_get_principal (held), request->principal) == 0)
      of_principal++;

  return of_principal < MAX_HELD;
}

void
tcp_server_hold (TcpServer  *self,
                 TcpRequest *request,
                 TcpChannel *channel)
{
  TcpHeld *held = g_hash_table_lookup (self->held, request->session_id);

  if (held != NULL)
    {
      tcp_held_replace (held, channel);
      return;
    }

  held = tcp_held_new (request, channel, self->log, on_held_ended, self);
  g_hash_table_insert (self->held, (char *) tcp_held_get_session_id (held), held);
}

/* Start and end */

static void
server_report_started (TcpServer      *self,
                       GSocketAddress *address,
                       const GError   *error)
{
  if (self->started)
    return;

  self->started = TRUE;
  tcp_event_queue_push_started (self->events, address, error);
}

static void
on_goodbyes_said (gpointer user_data)
{
  TcpServer *self = user_data;

  g_clear_pointer (&self->channels, tcp_channel_group_unref);
  tcp_server_unref (self);
}

static void
server_shut_down (TcpServer *self)
{
  GHashTableIter iter;
  gpointer guest;

  if (self->closed)
    return;

  self->closed = TRUE;
  g_cancellable_cancel (self->resolving);
  g_array_set_size (self->drains, 0);
  tcp_timer_clear (&self->drain_deadline);
  g_clear_pointer (&self->listener, tcp_listener_free);

  g_hash_table_iter_init (&iter, self->guests);
  while (g_hash_table_iter_next (&iter, &guest, NULL))
    tcp_guest_close (guest);
  g_hash_table_remove_all (self->sessions);
  g_hash_table_remove_all (self->guests);
  g_hash_table_remove_all (self->held);

  tcp_channel_group_wait (self->channels, on_goodbyes_said, tcp_server_ref (self));
}

static void
on_drain_deadline (gpointer user_data)
{
  TcpServer *self = tcp_server_ref (user_data);
  guint open = tcp_status_get (self->status, open_connections);

  if (open > 0)
    tcp_log_warn (self->log, "%u connection%s did not end in time", open, open > 1 ? "s" : "");
  server_shut_down (self);
  tcp_event_queue_push_drained (self->events, 0, NULL);
  tcp_server_unref (self);
}

/* What everybody on the way can read. */
static void
server_warn_of_addresses (TcpServer *self,
                          GPtrArray *addresses)
{
  if (self->settings->tls_certificate != NULL)
    return;

  for (guint i = 0; i < addresses->len; i++)
    {
      GInetAddress *address = g_inet_socket_address_get_address (addresses->pdata[i]);
      g_autofree char *text = g_inet_address_to_string (address);

      if (g_inet_address_get_is_loopback (address))
        continue;
      tcp_log_warn (self->log, "listening on %s without TLS: tokens and data cross the network in the clear; use a "
                               "certificate, or listen on 127.0.0.1 behind a proxy that speaks TLS", text);
      return;
    }
}

static void
on_resolved (GObject      *object,
             GAsyncResult *result,
             gpointer      user_data)
{
  TcpServer *self;
  g_autoptr (GSocketAddress) effective = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) addresses = tcp_resolve_finish (result, &error);

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return;

  self = user_data;
  if (addresses != NULL)
    effective = tcp_listener_open (self->listener, addresses, &error);
  if (effective != NULL)
    {
      server_warn_of_addresses (self, addresses);
      server_report_started (self, effective, NULL);
    }
  else
    {
      g_autoptr (GError) why = tcp_listen_error (self->settings->hostname, self->settings->port, error);

      server_shut_down (self);
      server_report_started (self, NULL, why);
    }
}

static void
on_certificate_tried (GObject      *object,
                      GAsyncResult *result,
                      gpointer      user_data)
{
  TcpServer *self = user_data;
  g_autoptr (TcpChannelGroup) group = tcp_channel_group_ref (self->channels);
  g_autoptr (GError) error = NULL;
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();

  if (tcp_certificate_try_finish (result, &error))
    {
      tcp_certificate_warn (self->settings->tls_certificate, now, self->log);
      tcp_resolve (self->settings->hostname, self->settings->port, self->resolving, on_resolved, self);
    }
  else if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    {
      server_shut_down (self);
      server_report_started (self, NULL, error);
    }
  /* The server may end now. */
  tcp_channel_group_leave (group);
}

static const TcpListenerCallbacks listener_callbacks = {
  .examine = tcp_server_examine,
  .opened = tcp_server_open,
};

static void
server_do_start (gpointer data)
{
  TcpServer *self = data;
  g_autoptr (TcpBudgetPool) pool = NULL;

  self->channels = tcp_channel_group_new ();
  /* A quarter is for what every connection begins with: see guest.c. */
  pool = tcp_budget_pool_new (self->settings->max_buffered_bytes - self->settings->max_buffered_bytes / 4, 1);
  self->budget = tcp_budget_new (pool, self->thread);
  self->guests = g_hash_table_new_full (NULL, NULL, (GDestroyNotify) tcp_guest_free, NULL);
  self->sessions = g_hash_table_new (g_str_hash, g_str_equal);
  self->gone = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->held = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify) tcp_held_free);
  self->listener = tcp_listener_new (self->settings->tls_certificate, self->settings->connect_timeout, self->channels,
                                     self->log, &listener_callbacks, self);

  self->drains = g_array_new (FALSE, FALSE, sizeof (guint64));
  self->drain_deadline = tcp_timer_new (on_drain_deadline, self);

  self->resolving = g_cancellable_new ();
  if (self->settings->tls_certificate != NULL)
    {
      tcp_channel_group_enter (self->channels);
      tcp_certificate_try (self->settings->tls_certificate, self->resolving, on_certificate_tried, self);
    }
  else
    {
      tcp_resolve (self->settings->hostname, self->settings->port, self->resolving, on_resolved, self);
    }
}

static void
server_do_close (gpointer data)
{
  TcpServer *self = data;

  server_shut_down (self);
}

typedef struct
{
  TcpServer *server;
  guint64 id;
  guint timeout;
} DrainCall;

static void
drain_call_free (gpointer data)
{
  DrainCall *call = data;

  tcp_server_unref (call->server);
  g_free (call);
}

static void
server_do_drain (gpointer data)
{
  DrainCall *call = data;
  TcpServer *self = call->server;
  GHashTableIter iter;
  gpointer guest;
  guint open = tcp_status_get (self->status, open_connections);

  if (self->closed)
    return;

  if (open > 0)
    tcp_log_info (self->log, "no new connections are taken; %u may go on for %u ms", open, call->timeout);
  else
    tcp_log_info (self->log, "no new connections are taken");
  self->draining = TRUE;
  g_array_append_val (self->drains, call->id);
  tcp_timer_set (self->drain_deadline,
                           g_get_monotonic_time () + call->timeout * G_TIME_SPAN_MILLISECOND);

  g_hash_table_iter_init (&iter, self->guests);
  while (g_hash_table_iter_next (&iter, &guest, NULL))
    tcp_guest_drain (guest);
  g_hash_table_remove_all (self->held);
  server_check_drained (self);
}

static void
server_do_cancel_drain (gpointer data)
{
  DrainCall *call = data;
  TcpServer *self = call->server;
  g_autoptr (GError) error = NULL;

  error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "the wait for the gateway was cancelled");
  for (guint i = 0; i < self->drains->len; i++)
    if (g_array_index (self->drains, guint64, i) == call->id)
      {
        g_array_remove_index (self->drains, i);
        if (self->drains->len == 0)
          tcp_timer_set (self->drain_deadline, -1);
        tcp_event_queue_push_drained (self->events, call->id, error);
        break;
      }
}

static void
server_do_cancel (gpointer data)
{
  TcpServer *self = data;
  g_autoptr (GError) error = NULL;

  if (self->started)
    return;

  error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "the start of the gateway was cancelled");
  server_shut_down (self);
  server_report_started (self, NULL, error);
}

/* For the face */

/* Takes @access. */
TcpServer *
tcp_server_new (const TcpGatewaySettings *settings,
                TcpAccess                *access,
                TcpLog                   *log,
                TcpStatus                *status,
                TcpEventQueue            *events)
{
  TcpServer *self = g_new0 (TcpServer, 1);

  g_atomic_ref_count_init (&self->refs);
  self->thread = tcp_io_thread_acquire ();
  self->settings = tcp_gateway_settings_copy (settings);
  self->settings->max_connections = tcp_limit_connections (settings->max_connections, 2);
  self->access = access;
  self->log = tcp_log_ref (log);
  self->status = tcp_status_ref (status);
  self->events = tcp_event_queue_ref (events);

  return self;
}

TcpServer *
tcp_server_ref (TcpServer *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_server_unref (TcpServer *self)
{
  tcp_tsan_release (self);
  if (!g_atomic_ref_count_dec (&self->refs))
    return;

  tcp_tsan_acquire (self);
  g_clear_pointer (&self->guests, g_hash_table_unref);
  g_clear_pointer (&self->budget, tcp_budget_unref);
  g_clear_pointer (&self->sessions, g_hash_table_unref);
  g_queue_clear (&self->gone_order);
  g_clear_pointer (&self->gone, g_hash_table_unref);
  g_clear_pointer (&self->held, g_hash_table_unref);
  g_clear_pointer (&self->drains, g_array_unref);
  g_clear_object (&self->resolving);
  tcp_gateway_settings_free (self->settings);
  tcp_access_free (self->access);
  tcp_event_queue_unref (self->events);
  tcp_status_unref (self->status);
  tcp_log_unref (self->log);
  tcp_io_thread_release (self->thread);
  g_free (self);
}

/* Answered by TCP_EVENT_STARTED. */
void
tcp_server_start (TcpServer *self)
{
  tcp_io_thread_invoke (self->thread, server_do_start, tcp_server_ref (self), (GDestroyNotify) tcp_server_unref);
}

void
tcp_server_cancel (TcpServer *self)
{
  tcp_io_thread_invoke (self->thread, server_do_cancel, tcp_server_ref (self), (GDestroyNotify) tcp_server_unref);
}

static void
server_invoke_drain (TcpServer     *self,
                     TcpIoFunc  func,
                     guint64        id,
                     guint          timeout)
{
  DrainCall *call = g_new0 (DrainCall, 1);

  call->server = tcp_server_ref (self);
  call->id = id;
  call->timeout = timeout;
  tcp_io_thread_invoke (self->thread, func, call, drain_call_free);
}

/* Takes no new connections. Ends itself when the last is gone, or at the timeout, which is
 * told by TCP_EVENT_DRAINED. */
void
tcp_server_drain (TcpServer *self,
                  guint64    id,
                  guint      timeout)
{
  server_invoke_drain (self, server_do_drain, id, timeout);
}

/* If nobody waits any more it does not end. Answered by TCP_EVENT_DRAINED with an error,
 * if it was not too late. */
void
tcp_server_cancel_drain (TcpServer *self,
                         guint64    id)
{
  server_invoke_drain (self, server_do_cancel_drain, id, 0);
}

/* Returns when the port is free and no connection is left. The last call. */
void
tcp_server_close (TcpServer *self)
{
  tcp_io_thread_invoke_sync (self->thread, server_do_close, self);
}
