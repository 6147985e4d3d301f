/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/tunnel-line.h"

#include <glib/gi18n.h>
#include <stdint.h>
#include <string.h>

#include "cli/format.h"
#include "cli/view.h"

enum
{
  INTERVAL = 250,   /* ms */
  STATE_WIDTH = 12, /* of the longest name of a state */
  MIN_NAME = 8,     /* columns for a name on a narrow terminal */
};

/* The columns behind the state if there are several tunnels. */
enum
{
  COLUMN_OPEN,
  COLUMN_UP,
  COLUMN_DOWN,
  COLUMN_UP_RATE,
  COLUMN_DOWN_RATE,
  COLUMN_ROUND_TRIP,
  COLUMN_RESUMES,
  COLUMN_HELD,
  N_COLUMNS,
};

static const struct
{
  const char *title;
  guint width;
  gboolean last; /* the columns may end here */
} columns[N_COLUMNS] = {
  [COLUMN_OPEN] = { N_("OPEN"), 5, TRUE },
  [COLUMN_UP] = { N_("UP"), 8, FALSE },
  [COLUMN_DOWN] = { N_("DOWN"), 8, TRUE },
  [COLUMN_UP_RATE] = { N_("UP/s"), 8, FALSE },
  [COLUMN_DOWN_RATE] = { N_("DOWN/s"), 8, TRUE },
  [COLUMN_ROUND_TRIP] = { N_("RTT"), 6, TRUE },
  [COLUMN_RESUMES] = { N_("RESUMED"), 7, TRUE },
  [COLUMN_HELD] = { N_("HELD"), 8, TRUE },
};

struct _Status
{
  TcpTunnel *tunnel; /* NULL for the titles */
  char *before;
  char *name;        /* NULL if there is one tunnel */
  guint name_width;  /* of the longest name */
  ViewRow *row;
  Meter up;
  Meter down;
  guint timeout;
  gulong handler;
  char *reason; /* why it is not connected, NULL if there is none */
  gint64 retry; /* when it tries again */
  gboolean ended;
};

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

/* Several tunnels */

/* Long names leave two thirds of the line for the rest. */
static guint
name_columns (TunnelLine *self)
{
  return MIN (self->name_width, MAX (view_columns () / 3, MIN_NAME));
}

/* Includes the two spaces behind the name. */
static char *
format_name (TunnelLine     *self,
             const char *name)
{
  guint width = name_columns (self);
  g_autofree char *text = view_shorten (name, width);

  return g_strdup_printf ("%s%*s", text, (int) (width - view_width (text)) + 2, "");
}

/* The number of columns for which there is room. */
static guint
count_columns (TunnelLine *self)
{
  gsize width = name_columns (self) + 2 + STATE_WIDTH;
  guint n = 0;

  for (guint i = 0; i < N_COLUMNS; i++)
    {
      width += 2 + columns[i].width;
      if (width <= view_columns () && columns[i].last)
        n = i + 1;
    }
  return n;
}

static char *
format_round_trip (double round_trip)
{
  return format_time (round_trip * G_TIME_SPAN_MILLISECOND);
}

static char *
format_column (TunnelLine              *self,
               const TcpStatistics *figures,
               guint                column)
{
  switch (column)
    {
    case COLUMN_OPEN:
      return g_strdup_printf ("%" G_GUINT64_FORMAT, figures->open_connections);
    case COLUMN_UP:
      return format_size (figures->bytes_sent);
    case COLUMN_DOWN:
      return format_size (figures->bytes_received);
    case COLUMN_UP_RATE:
      return format_size (meter_update (&self->up, figures->bytes_sent));
    case COLUMN_DOWN_RATE:
      return format_size (meter_update (&self->down, figures->bytes_received));
    case COLUMN_ROUND_TRIP:
      return figures->round_trip < 0 ? g_strdup ("-") : format_round_trip (figures->round_trip);
    case COLUMN_RESUMES:
      return g_strdup_printf ("%" G_GUINT64_FORMAT, figures->resumes);
    case COLUMN_HELD:
    default:
      return format_size (figures->unacknowledged_bytes);
    }
}

/* Returns the titles if there are no figures. */
static char *
format_columns (TunnelLine              *self,
                const TcpStatistics *figures)
{
  g_autoptr (GString) line = g_string_new (NULL);
  guint n = count_columns (self);

  for (guint i = 0; i < n; i++)
    {
      g_autofree char *text = figures != NULL ? format_column (self, figures, i) : g_strdup (_(columns[i].title));
      gsize width = view_width (text);

      g_string_append_printf (line, "  %*s%s", (int) (columns[i].width - MIN (width, columns[i].width)), "", text);
    }
  return g_string_free (g_steal_pointer (&line), FALSE);
}

/* One tunnel */

enum
{
  DETAIL_STATE,
  DETAIL_OPEN,
  DETAIL_TOTALS,
  DETAIL_RATES,
  DETAIL_ROUND_TRIP,
  DETAIL_RESUMES,
  DETAIL_UNACKNOWLEDGED,
  N_DETAILS,
};

static void
append_direction (GString    *line,
                  const char *name,
                  guint64     bytes,
                  double      speed,
                  guint       detail)
{
  g_autofree char *rate = format_size (speed);
  g_autofree char *total = format_size (bytes);

  if (detail >= DETAIL_RATES)
    g_string_append_printf (line, "  %s %s/s %s", name, rate, total);
  else
    g_string_append_printf (line, "  %s %s", name, total);
}

/* For resumable sessions. */
static void
append_resumption (GString             *line,
                   const TcpStatistics *figures,
                   guint                detail)
{
  if (detail >= DETAIL_RESUMES && figures->resumes > 0)
    {
      g_autofree char *replayed = format_size (figures->bytes_replayed);

      g_string_append_printf (line, _("  resumed %jux, replayed %s"), (uintmax_t) figures->resumes, replayed);
    }
  if (detail >= DETAIL_UNACKNOWLEDGED && figures->receive_window + figures->send_window > 0)
    {
      g_autofree char *unacknowledged = format_size (figures->unacknowledged_bytes);
      g_autofree char *out = format_size (figures->send_window);
      g_autofree char *in = format_size (figures->receive_window);

      g_string_append_printf (line, _("  unacknowledged %s  windows %s up, %s down"), unacknowledged, out, in);
    }
}

/* As much detail as there is room for: either both directions or none. */
static char *
format_details (TunnelLine              *self,
                const TcpStatistics *figures,
                gboolean             connected,
                gsize                width)
{
  double up = meter_update (&self->up, figures->bytes_sent);
  double down = meter_update (&self->down, figures->bytes_received);

  for (guint detail = N_DETAILS - 1; detail > DETAIL_STATE; detail--)
    {
      g_autoptr (GString) line = g_string_new (NULL);

      g_string_printf (line, _("  %ju open"), (uintmax_t) figures->open_connections);
      if (detail >= DETAIL_TOTALS)
        {
          append_direction (line, _("up"), figures->bytes_sent, up, detail);
          append_direction (line, _("down"), figures->bytes_received, down, detail);
        }
      if (detail >= DETAIL_ROUND_TRIP && figures->round_trip >= 0 && connected)
        {
          g_autofree char *time = format_round_trip (figures->round_trip);

          g_string_append_printf (line, _("  rtt %s"), time);
        }
      append_resumption (line, figures, detail);
      if (view_width (line->str) <= width)
        return g_string_free (g_steal_pointer (&line), FALSE);
    }
  return g_strdup ("");
}

/* Both */

static void
show_titles (TunnelLine *self)
{
  g_autofree char *before = format_name (self, _("NAME"));
  g_autofree char *rest = format_columns (self, NULL);
  g_autofree char *state = view_pad (_("STATE"), STATE_WIDTH);
  g_autofree char *lead = g_strconcat (before, state, rest, NULL);

  view_row_set (self->row, "", VIEW_DIM, lead, "");
}

/* Shows what it waits for, instead of figures that do not change meanwhile. */
static char *
format_lead (TunnelLine         *self,
             TcpTunnelState  state,
             guint64         open)
{
  gint64 wait = self->retry - g_get_monotonic_time ();
  g_autoptr (GString) text = g_string_new (NULL);

  if (self->ended)
    return g_strdup (_("ended"));
  if (state == TCP_TUNNEL_STATE_RECONNECTING && wait > 0)
    g_string_printf (text, _("retrying in %jd s"), (intmax_t) (wait + G_TIME_SPAN_SECOND - 1) / G_TIME_SPAN_SECOND);
  else
    g_string_assign (text, format_state_name (format_state (state)));
  if (open > 0)
    g_string_append_printf (text, _(", %ju open"), (uintmax_t) open);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

/* The error above the lines contains the advice, which follows a semicolon. If the rest does not fit, the name of the
 * tunnel is used instead of the URL, and the cause is shown from its end. */
static char *
fit_reason (const char *reason,
            gsize       width)
{
  const char *advice = strstr (reason, "; ");
  g_autofree char *text = g_strndup (reason, advice != NULL ? (gsize) (advice - reason) : strlen (reason));
  const char *uri = strstr (text, "ws://") != NULL ? strstr (text, "ws://") : strstr (text, "wss://");
  const char *cause = uri != NULL ? strchr (uri, ' ') : NULL;

  return view_shorten_start (cause != NULL && view_width (text) > width ? cause + 1 : text, width);
}

/* Called at regular intervals, so that rates fall to 0 when nothing happens; view_row_set () redraws the line only if
 * it has changed. */
static gboolean
update (gpointer data)
{
  TunnelLine *self = data;
  g_autoptr (TcpStatistics) figures = NULL;
  TcpTunnelState state;
  g_autofree char *before = NULL;
  g_autofree char *lead = NULL;
  g_autofree char *rest = NULL;
  gsize used;

  if (self->tunnel == NULL)
    {
      show_titles (self);
      return G_SOURCE_CONTINUE;
    }

  state = tcp_tunnel_get_state (self->tunnel);
  figures = tcp_endpoint_get_statistics (TCP_ENDPOINT (self->tunnel));
  if (!self->ended && state == TCP_TUNNEL_STATE_CONNECTED)
    g_clear_pointer (&self->reason, g_free);
  before = self->name != NULL ? format_name (self, self->name) : g_strdup (self->before);
  if (self->ended || self->reason != NULL)
    {
      lead = format_lead (self, state, figures->open_connections);
      used = view_width (before) + view_width (lead) + 2;
      if (self->reason != NULL && used < view_columns ())
        {
          g_autofree char *reason = fit_reason (self->reason, view_columns () - used);

          rest = g_strconcat (": ", reason, NULL);
        }
    }
  else if (self->name != NULL)
    {
      lead = view_pad (format_state_name (format_state (state)), STATE_WIDTH);
      rest = format_columns (self, figures);
    }
  else
    {
      lead = g_strdup (format_state_name (format_state (state)));
      used = view_width (before) + view_width (lead);
      rest = format_details (self, figures, state == TCP_TUNNEL_STATE_CONNECTED,
                             view_columns () - MIN (used, view_columns ()));
    }
  view_row_set (self->row, before, self->ended ? VIEW_RED : state_style (state), lead, rest != NULL ? rest : "");
  return G_SOURCE_CONTINUE;
}

static TunnelLine *
create (TcpTunnel  *tunnel,
        const char *before,
        const char *name,
        guint       name_width)
{
  TunnelLine *self = g_new0 (TunnelLine, 1);

  g_set_object (&self->tunnel, tunnel);
  self->before = g_strdup (before);
  self->name = g_strdup (name);
  self->name_width = MAX (name_width, strlen ("NAME"));
  self->row = view_row_new ();
  self->timeout = g_timeout_add (INTERVAL, update, self);
  if (tunnel != NULL)
    self->handler = g_signal_connect_swapped (tunnel, "state-changed", G_CALLBACK (update), self);
  update (self);
  return self;
}

/**
 * tunnel_line_new:
 * @before: the beginning of the line
 */
TunnelLine *
tunnel_line_new (TcpTunnel  *tunnel,
                 const char *before)
{
  return create (tunnel, before, NULL, 0);
}

/**
 * tunnel_line_new_row:
 * @name: the name of one of several tunnels, whose figures are aligned
 * @name_width: the width of the longest name, in columns
 */
TunnelLine *
tunnel_line_new_row (TcpTunnel  *tunnel,
                     const char *name,
                     guint       name_width)
{
  return create (tunnel, "", name, name_width);
}

/* The line above them. */
TunnelLine *
tunnel_line_new_titles (guint name_width)
{
  return create (NULL, "", NULL, name_width);
}

void
tunnel_line_free (TunnelLine *self)
{
  g_clear_handle_id (&self->timeout, g_source_remove);
  if (self->tunnel != NULL)
    g_signal_handler_disconnect (self->tunnel, self->handler);
  view_row_free (self->row);
  g_clear_object (&self->tunnel);
  g_free (self->before);
  g_free (self->name);
  g_free (self->reason);
  g_free (self);
}

/* A message is always one line. */
static void
set_reason (TunnelLine     *self,
            const char *reason)
{
  g_free (self->reason);
  self->reason = g_strdup (reason);
  if (self->reason != NULL)
    g_strdelimit (self->reason, "\n\r\t", ' ');
}

/**
 * tunnel_line_retry:
 * @delay: the delay before the next attempt, in milliseconds
 *
 * Shows why the tunnel is not connected, until it is again, and counts down.
 */
void
tunnel_line_retry (TunnelLine       *self,
                   const GError *error,
                   guint         delay)
{
  set_reason (self, error->message);
  self->retry = g_get_monotonic_time () + delay * G_TIME_SPAN_MILLISECOND;
  update (self);
}

/**
 * tunnel_line_end:
 * @reason: (nullable): the reason for which the tunnel ended
 *
 * Shows from now on that it has ended.
 */
void
tunnel_line_end (TunnelLine     *self,
                 const char *reason)
{
  set_reason (self, reason);
  self->ended = TRUE;
  update (self);
}
