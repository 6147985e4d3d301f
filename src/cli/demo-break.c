/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/demo-break.h"

#include <glib/gi18n.h>

#include "cli/demo-data.h"
#include "cli/format.h"
#include "cli/view.h"

enum
{
  DEADLINE = 30, /* s */
};

typedef struct
{
  TcpTunnel *tunnel;
  gint64 start; /* of the break, 0 before it */
  gboolean broken;
  gboolean back;
} Break;

static gboolean
on_deadline (gpointer data)
{
  gboolean *expired = data;

  *expired = TRUE;
  return G_SOURCE_CONTINUE;
}

static gboolean
is_at_rest (gpointer data)
{
  TcpTunnel *tunnel = data;
  g_autoptr (TcpStatistics) statistics = tcp_endpoint_get_statistics (data);
  TcpTunnelMode mode;

  g_object_get (tunnel, "mode", &mode, NULL);
  if (mode == TCP_TUNNEL_MODE_MULTIPLEXED)
    return tcp_tunnel_get_state (tunnel) == TCP_TUNNEL_STATE_CONNECTED;
  return tcp_tunnel_get_state (tunnel) == TCP_TUNNEL_STATE_DISCONNECTED && statistics->open_connections == 0;
}

/* Determined by the signals, all of which must be shown, and not by the state, which may be ahead of them. */
static gboolean
is_back (gpointer data)
{
  Break *self = data;

  return self->back;
}

/* Iterates the main context until the condition holds. */
static gboolean
wait_until (gboolean (*condition) (gpointer data),
            gpointer    data,
            TcpTunnel  *tunnel,
            GError    **error)
{
  gboolean expired = FALSE;
  guint timeout = g_timeout_add_seconds (DEADLINE, on_deadline, &expired);

  while (!expired && !condition (data))
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (timeout);
  if (expired)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, _("the tunnel is still %s after %d s"),
                 format_state_name (format_state (tcp_tunnel_get_state (tunnel))), DEADLINE);
  return !expired;
}

/**
 * demo_break_wait_rest:
 *
 * A singleton tunnel refuses a client until it has detected that the former one left, which may be a moment after that
 * one has closed its socket.
 */
gboolean
demo_break_wait_rest (TcpTunnel  *tunnel,
                      GError    **error)
{
  return wait_until (is_at_rest, tunnel, tunnel, error);
}

static void
print_moment (Break      *self,
              const char *what)
{
  g_autofree char *time = format_time (g_get_monotonic_time () - self->start);

  view_print (stdout, "  %8s   %s\n", time, what);
}

static void
on_state_changed (TcpTunnel      *tunnel,
                  TcpTunnelState  state,
                  Break          *self)
{
  if (self->start == 0)
    return;
  self->broken = self->broken || state != TCP_TUNNEL_STATE_CONNECTED;
  self->back = self->broken && state == TCP_TUNNEL_STATE_CONNECTED;
  print_moment (self, format_state_name (format_state (state)));
}

/* Sends a line and expects it back, with the numbers that the service counts. */
static gboolean
say (GSocketConnection     *connection,
     GBufferedInputStream  *in,
     const char            *line,
     guint                  number,
     GError               **error)
{
  GOutputStream *out = g_io_stream_get_output_stream (G_IO_STREAM (connection));
  g_autofree char *expected = g_strdup_printf (", line %u: %s", number, line);
  g_autofree char *answer = NULL;

  view_print (stdout, "  %8s   %s\n", _("sent"), line);
  if (!demo_data_write_line (out, error, "%s", line))
    return FALSE;
  answer = demo_data_read_line (in, error);
  if (answer == NULL)
    {
      if (error != NULL && *error == NULL)
        g_set_error (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED, _("the connection ended"));
      return FALSE;
    }
  view_print (stdout, "  %8s   %s\n", _("back"), answer);
  if (!g_str_has_suffix (answer, expected))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                   _("the answer should have been line %u of the same connection"), number);
      return FALSE;
    }
  return TRUE;
}

static gboolean
break_and_go_on (Break       *self,
                 DemoServer  *relay,
                 gint64      *away,
                 GError     **error)
{
  g_autoptr (GBufferedInputStream) in = NULL;
  g_autoptr (GSocketConnection) connection = demo_connect (demo_get_port (TCP_ENDPOINT (self->tunnel)), error);

  if (connection == NULL)
    return FALSE;
  in = demo_data_reader (connection);
  if (!say (connection, in, "before the break", 1, error))
    return FALSE;

  /* Nothing is on its way now: the answer was the last data. Earlier events are handled first, since they do not matter
   * here. */
  while (g_main_context_iteration (NULL, FALSE))
    ;
  self->start = g_get_monotonic_time ();
  demo_server_cut (relay);
  print_moment (self, _("the WebSocket is cut"));
  if (!wait_until (is_back, self, self->tunnel, error))
    return FALSE;
  *away = g_get_monotonic_time () - self->start;
  return say (connection, in, "after the break", 2, error);
}

/**
 * demo_break_run:
 * @away: (out): how long there was no WebSocket, in µs
 *
 * Opens a connection, breaks the network below it and shows that it continues.
 */
gboolean
demo_break_run (TcpTunnel   *tunnel,
                DemoServer  *relay,
                gint64      *away,
                GError     **error)
{
  Break self = { .tunnel = tunnel };
  gulong handler;
  gboolean held;

  if (!demo_break_wait_rest (tunnel, error))
    return FALSE;
  handler = g_signal_connect (tunnel, "state-changed", G_CALLBACK (on_state_changed), &self);
  held = break_and_go_on (&self, relay, away, error);
  g_signal_handler_disconnect (tunnel, handler);
  return held;
}
