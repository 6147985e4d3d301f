/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/report.h"

#include "cli/format.h"
#include "cli/forwards.h"
#include "cli/json.h"
#include "cli/view.h"

enum
{
  STATISTICS_INTERVAL = 1, /* s */
};

struct _Report
{
  TcpTunnel *tunnel;
  char *name; /* NULL for none */
  gboolean prefixed;
  gboolean json;
  ReportFunc broken;
  gpointer data;
  gboolean is_broken; /* a failure of stdout, which is reported once */
  gboolean listening; /* from the first line on */
  guint timeout;
  guint64 reported; /* the sum of those counters that only increase, at the last statistics event */
  guint64 reported_unacknowledged;
};

static JsonBuilder *
begin (Report     *self,
       const char *what)
{
  JsonBuilder *event = event_begin (what);

  if (self->name != NULL)
    event_add_string (event, "name", self->name);
  return event;
}

/* If stdout cannot be written to, its reader would wait forever. */
static void
check_written (Report *self,
               int     code)
{
  if (code == 0 || self->is_broken)
    return;
  self->is_broken = TRUE;
  self->broken (code, self->data);
}

static void
report_state (Report         *self,
              TcpTunnelState  state)
{
  JsonBuilder *event = begin (self, "state-changed");

  event_add_string (event, "state", format_state (state));
  check_written (self, event_end (event));
}

/* The first line is that of the port, even if the state has changed before. */
static void
on_state_changed (TcpTunnel      *tunnel,
                  TcpTunnelState  state,
                  Report         *self)
{
  if (self->listening)
    report_state (self, state);
}

static void
on_connection_opened (TcpTunnel     *tunnel,
                      TcpConnection *connection,
                      Report        *self)
{
  JsonBuilder *event = begin (self, "connection-opened");
  GSocketAddress *peer = tcp_connection_get_client_address (connection);
  g_autofree char *target = NULL;

  event_add_int (event, "id", tcp_connection_get_id (connection));
  if (G_IS_INET_SOCKET_ADDRESS (peer))
    {
      g_autofree char *text = format_address (peer);

      event_add_string (event, "peer", text);
    }
  g_object_get (connection, "target", &target, NULL);
  if (target != NULL)
    event_add_string (event, "target", target);
  check_written (self, event_end (event));
}

static void
on_connection_closed (TcpTunnel     *tunnel,
                      TcpConnection *connection,
                      Report        *self)
{
  JsonBuilder *event = begin (self, "connection-closed");
  g_autoptr (GError) error = tcp_connection_dup_error (connection);
  guint64 sent, received;

  g_object_get (connection, "bytes-sent", &sent, "bytes-received", &received, NULL);
  event_add_int (event, "id", tcp_connection_get_id (connection));
  event_add_int (event, "bytes_sent", sent);
  event_add_int (event, "bytes_received", received);
  event_add_error (event, error);
  check_written (self, event_end (event));
}

static gboolean
report_statistics (gpointer data)
{
  Report *self = data;
  g_autoptr (TcpStatistics) statistics = tcp_endpoint_get_statistics (TCP_ENDPOINT (self->tunnel));
  guint64 count = statistics->bytes_sent + statistics->bytes_received + statistics->bytes_replayed +
                  statistics->reconnects;
  JsonBuilder *event;

  if (count == self->reported && statistics->unacknowledged_bytes == self->reported_unacknowledged)
    return G_SOURCE_CONTINUE;

  self->reported = count;
  self->reported_unacknowledged = statistics->unacknowledged_bytes;
  event = begin (self, "statistics");
  event_add_statistics (event, statistics);
  event_add_int (event, "unacknowledged_bytes", statistics->unacknowledged_bytes);
  event_add_int (event, "receive_window", statistics->receive_window);
  event_add_int (event, "send_window", statistics->send_window);
  event_add_double (event, "round_trip_ms", statistics->round_trip);
  check_written (self, event_end (event));
  return G_SOURCE_CONTINUE;
}

/**
 * report_new:
 * @name: (nullable): the name of the tunnel in events
 * @prefixed: whether lines begin with the name as well
 * @broken: called if stdout cannot be written to
 */
Report *
report_new (TcpTunnel  *tunnel,
            const char *name,
            gboolean    prefixed,
            gboolean    json,
            ReportFunc  broken,
            gpointer    data)
{
  Report *self = g_new0 (Report, 1);

  self->tunnel = g_object_ref (tunnel);
  self->name = g_strdup (name);
  self->prefixed = prefixed;
  self->json = json;
  self->broken = broken;
  self->data = data;
  if (json)
    {
      g_signal_connect (tunnel, "state-changed", G_CALLBACK (on_state_changed), self);
      g_signal_connect (tunnel, "connection-opened", G_CALLBACK (on_connection_opened), self);
      g_signal_connect (tunnel, "connection-closed", G_CALLBACK (on_connection_closed), self);
    }
  return self;
}

void
report_free (Report *self)
{
  g_signal_handlers_disconnect_by_data (self->tunnel, self);
  g_clear_handle_id (&self->timeout, g_source_remove);
  g_object_unref (self->tunnel);
  g_free (self->name);
  g_free (self);
}

static void
add_forward (JsonBuilder *event,
             TcpForward  *forward)
{
  g_autoptr (GEnumClass) kinds = g_type_class_ref (TCP_TYPE_FORWARD_KIND);
  g_autofree char *target = NULL;
  TcpForwardKind kind;

  g_object_get (forward, "kind", &kind, "target", &target, NULL);
  if (target != NULL)
    event_add_string (event, "target", target);
  else
    event_add_string (event, "proxy", g_enum_get_value (kinds, kind)->value_nick);
}

/* @forward is NULL for the tunnel's own port, or that of a reverse tunnel. */
static void
report_port (Report     *self,
             const char *text,
             const char *host,
             guint       port,
             TcpForward *forward)
{
  g_autofree char *what = NULL;
  JsonBuilder *event;

  if (!self->json)
    {
      what = forward != NULL ? forward_describe (forward) : NULL;
      if (TCP_IS_REVERSE_TUNNEL (self->tunnel))
        what = g_strdup ("of the gateway");
      check_written (self, view_print (stdout, "%s%slistening on %s%s%s\n", self->prefixed ? self->name : "",
                                       self->prefixed ? ": " : "", text, what != NULL ? " " : "",
                                       what != NULL ? what : ""));
      return;
    }

  event = begin (self, "listening");
  event_add_string (event, "address", text);
  if (host != NULL)
    {
      event_add_string (event, "host", host);
      event_add_int (event, "port", port);
    }
  if (forward != NULL)
    add_forward (event, forward);
  check_written (self, event_end (event));
}

static void
report_forward (Report     *self,
                TcpForward *forward)
{
  g_autoptr (GSocketAddress) address = tcp_forward_dup_local_address (forward);
  g_autofree char *text = NULL;
  g_autofree char *host = NULL;
  guint port;

  if (address == NULL)
    return;
  text = format_address (address);
  port = split_address (address, &host);
  report_port (self, text, host, port, forward);
}

void
report_listening (Report *self)
{
  g_autofree char *host = NULL;
  guint port;
  g_autofree char *text = format_place (self->tunnel, &host, &port);
  g_autoptr (GPtrArray) forwards = tcp_tunnel_get_forwards (self->tunnel);

  self->listening = TRUE;
  if (text != NULL)
    report_port (self, text, host, port, NULL);
  for (guint i = 0; i < forwards->len; i++)
    report_forward (self, forwards->pdata[i]);
  if (!self->json)
    return;
  self->timeout = g_timeout_add_seconds (STATISTICS_INTERVAL, report_statistics, self);
  report_state (self, tcp_tunnel_get_state (self->tunnel));
}

/**
 * report_retry:
 *
 * May be called before the tunnel listens: it may wait for its gateway for a long time.
 */
void
report_retry (Report       *self,
              const GError *error,
              guint         attempt,
              guint         delay)
{
  JsonBuilder *event;

  if (!self->json)
    return;
  event = begin (self, "retry-scheduled");
  event_add_int (event, "attempt", attempt);
  event_add_int (event, "delay_ms", delay);
  event_add_error (event, error);
  check_written (self, event_end (event));
}

void
report_failed (Report       *self,
               const GError *error)
{
  JsonBuilder *event;

  if (!self->json)
    return;
  event = begin (self, "failed");
  event_add_error (event, error);
  check_written (self, event_end (event));
}

/* The last event of a tunnel that has listened. */
void
report_closed (Report *self)
{
  g_autoptr (TcpStatistics) statistics = tcp_endpoint_get_statistics (TCP_ENDPOINT (self->tunnel));
  JsonBuilder *event;

  g_signal_handlers_disconnect_by_data (self->tunnel, self);
  g_clear_handle_id (&self->timeout, g_source_remove);
  if (!self->json || !self->listening)
    return;
  event = begin (self, "closed");
  event_add_statistics (event, statistics);
  check_written (self, event_end (event));
}
