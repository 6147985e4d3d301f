/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/status.h"

#include "cli/format.h"
#include "cli/view.h"

enum
{
  INTERVAL = 250, /* ms */
};

struct _Status
{
  TcpTunnel *tunnel;
  char *before;
  ViewRow *row;
  Meter up;
  Meter down;
  guint timeout;
  gulong handler;
};

const char *
status_state_name (TcpTunnelState state)
{
  g_autoptr (GEnumClass) states = g_type_class_ref (TCP_TYPE_TUNNEL_STATE);

  return g_enum_get_value (states, state)->value_nick;
}

static ViewStyle
state_style (TcpTunnelState state)
{
  switch (state)
    {
    case TCP_TUNNEL_STATE_CONNECTED:
      return VIEW_GREEN;
    case TCP_TUNNEL_STATE_CONNECTING:
    case TCP_TUNNEL_STATE_RECONNECTING:
      return VIEW_YELLOW;
    case TCP_TUNNEL_STATE_DISCONNECTED:
    default:
      return VIEW_DIM;
    }
}

static void
append_direction (GString    *line,
                  const char *name,
                  Meter      *meter,
                  guint64     bytes)
{
  g_autofree char *rate = format_size (meter_update (meter, bytes));
  g_autofree char *total = format_size (bytes);

  g_string_append_printf (line, "  %s %s/s %s", name, rate, total);
}

/* Of sessions that are resumed. Rather at the end: a narrow terminal cuts it off. */
static void
append_resumption (GString   *line,
                   TcpTunnel *tunnel)
{
  guint64 resumes = tcp_tunnel_get_resumes (tunnel);
  guint64 credit_in = tcp_tunnel_get_receive_window (tunnel);
  guint64 credit_out = tcp_tunnel_get_send_window (tunnel);

  if (resumes > 0)
    {
      g_autofree char *replayed = format_size (tcp_tunnel_get_bytes_replayed (tunnel));

      g_string_append_printf (line, "  resumed %" G_GUINT64_FORMAT "x, replayed %s", resumes,
                              replayed);
    }
  if (credit_in + credit_out > 0)
    {
      g_autofree char *retained = format_size (tcp_tunnel_get_retained_bytes (tunnel));
      g_autofree char *out = format_size (credit_out);
      g_autofree char *in = format_size (credit_in);

      g_string_append_printf (line, "  retained %s  windows %s up, %s down", retained, out, in);
    }
}

/* Called at its pace whatever happens, so that rates fall to 0 when nothing
 * does; view_row_set() then finds nothing to redraw. */
static gboolean
update (gpointer data)
{
  Status *self = data;
  TcpTunnelState state = tcp_tunnel_get_state (self->tunnel);
  gint64 round_trip = tcp_tunnel_get_round_trip (self->tunnel);
  g_autoptr (GString) line = g_string_new (NULL);

  g_string_printf (line, "  %u open", tcp_tunnel_get_open_connections (self->tunnel));
  append_direction (line, "up", &self->up, tcp_tunnel_get_bytes_sent (self->tunnel));
  append_direction (line, "down", &self->down, tcp_tunnel_get_bytes_received (self->tunnel));
  if (state == TCP_TUNNEL_STATE_CONNECTED && round_trip >= 0)
    {
      g_autofree char *time = format_time (round_trip);

      g_string_append_printf (line, "  rtt %s", time);
    }
  append_resumption (line, self->tunnel);
  view_row_set (self->row, self->before, state_style (state), status_state_name (state), line->str);
  return G_SOURCE_CONTINUE;
}

/**
 * status_new:
 * @before: how the line begins
 */
Status *
status_new (TcpTunnel  *tunnel,
            const char *before)
{
  Status *self = g_new0 (Status, 1);

  self->tunnel = g_object_ref (tunnel);
  self->before = g_strdup (before);
  self->row = view_row_new ();
  self->timeout = g_timeout_add (INTERVAL, update, self);
  self->handler = g_signal_connect_swapped (tunnel, "state-changed", G_CALLBACK (update), self);
  update (self);
  return self;
}

void
status_free (Status *self)
{
  g_source_remove (self->timeout);
  g_signal_handler_disconnect (self->tunnel, self->handler);
  view_row_free (self->row);
  g_object_unref (self->tunnel);
  g_free (self->before);
  g_free (self);
}
