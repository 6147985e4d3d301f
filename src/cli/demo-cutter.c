/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/demo-cutter.h"

#include <glib/gi18n.h>

#include "cli/format.h"
#include "cli/view.h"

enum
{
  PARTS = 8, /* it is cut between these */
};

typedef struct
{
  gint64 time;
  guint percent;
} Cut;

struct _DemoCutter
{
  TcpGateway *gateway;
  DemoCount arrived;

  TcpTunnel *tunnel;
  DemoServer *relay;
  guint64 bytes; /* the number that will arrive */
  gulong handler;
  guint64 resumes;  /* at the beginning */
  guint64 replayed; /* likewise */

  GMutex mutex; /* for the threads that receive */
  Cut cuts[PARTS];
  _Atomic guint n_cuts;
  guint current;   /* the cut from which the tunnel recovers, from 1 */
  guint seen;      /* states since then, a bit each */
  GString *states; /* the names of these states */
};

/* Called in the thread that received the data. */
static void
on_part (guint64  bytes,
         gpointer data)
{
  DemoCutter *self = data;
  guint n;

  g_mutex_lock (&self->mutex);
  n = self->n_cuts;
  if (n < PARTS)
    {
      /* Set first, since the tunnel may detect the cut before the call returns. */
      self->cuts[n] = (Cut) { g_get_monotonic_time (), bytes * 100 / self->bytes };
      self->n_cuts = n + 1;
      if (!demo_server_cut (self->relay))
        self->n_cuts = n;
    }
  g_mutex_unlock (&self->mutex);
}

DemoCutter *
demo_cutter_new (TcpGateway *gateway)
{
  DemoCutter *self = g_new0 (DemoCutter, 1);

  self->gateway = gateway;
  self->arrived.func = on_part;
  self->arrived.data = self;
  self->states = g_string_new (NULL);
  g_mutex_init (&self->mutex);
  return self;
}

void
demo_cutter_free (DemoCutter *self)
{
  g_string_free (self->states, TRUE);
  g_mutex_clear (&self->mutex);
  g_free (self);
}

/* Received data is counted here. */
DemoCount *
demo_cutter_get_count (DemoCutter *self)
{
  return &self->arrived;
}

static guint64
count_replayed (DemoCutter *self)
{
  g_autoptr (TcpStatistics) near = tcp_endpoint_get_statistics (TCP_ENDPOINT (self->tunnel));
  g_autoptr (TcpStatistics) far = tcp_endpoint_get_statistics (TCP_ENDPOINT (self->gateway));

  return near->bytes_replayed + far->bytes_replayed;
}

static void
print_cut (DemoCutter *self)
{
  const Cut *cut = &self->cuts[self->current - 1];
  g_autofree char *time = format_time (g_get_monotonic_time () - cut->time);

  view_print (stdout, _("  cut %u at %2u %%  %s in %s\n"), self->current, cut->percent,
              self->states->str, time);
}

static void
forget_states (DemoCutter *self)
{
  self->current = self->seen = 0;
  g_string_truncate (self->states, 0);
}

static void
on_state_changed (TcpTunnel      *tunnel,
                  TcpTunnelState  state,
                  DemoCutter     *self)
{
  /* Begins when the tunnel detects the cut; earlier states belong to its start. */
  if (self->current == 0 &&
      (state == TCP_TUNNEL_STATE_DISCONNECTED || state == TCP_TUNNEL_STATE_RECONNECTING))
    self->current = self->n_cuts;
  if (self->current == 0)
    return;

  /* A cut may also have hit an attempt to connect. */
  if ((self->seen & (1u << state)) == 0)
    g_string_append_printf (self->states, "%s%s", self->seen != 0 ? ", " : "",
                            format_state_name (format_state (state)));
  self->seen |= 1u << state;
  if (state == TCP_TUNNEL_STATE_CONNECTED)
    {
      print_cut (self);
      forget_states (self);
    }
}

/**
 * demo_cutter_begin:
 * @relay: the network between the tunnel and the gateway
 * @bytes: the number of bytes that will arrive
 */
void
demo_cutter_begin (DemoCutter *self,
                   TcpTunnel  *tunnel,
                   DemoServer *relay,
                   guint64     bytes)
{
  g_autoptr (TcpStatistics) statistics = tcp_endpoint_get_statistics (TCP_ENDPOINT (tunnel));

  self->tunnel = tunnel;
  self->relay = relay;
  self->bytes = bytes;
  self->resumes = statistics->resumes;
  self->replayed = count_replayed (self);
  self->n_cuts = 0;
  forget_states (self);
  self->handler =
      g_signal_connect (tunnel, "state-changed", G_CALLBACK (on_state_changed), self);
  self->arrived.bytes = 0;
  self->arrived.part = bytes / PARTS + 1;
}

/**
 * demo_cutter_end:
 *
 * Prints the result. The tunnel should be idle.
 *
 * Returns: whether there were cuts and the tunnel recovered from all
 */
gboolean
demo_cutter_end (DemoCutter  *self,
                 GError     **error)
{
  g_autoptr (TcpStatistics) statistics = tcp_endpoint_get_statistics (TCP_ENDPOINT (self->tunnel));
  guint64 resumes = statistics->resumes - self->resumes;
  g_autofree char *replayed = format_size (count_replayed (self) - self->replayed);

  self->arrived.part = 0;
  g_signal_handler_disconnect (self->tunnel, self->handler);
  view_print (stdout, _("         cuts: %u, resumptions: %u, sent again: %s\n"),
              self->n_cuts, (guint) resumes, replayed);
  if (self->n_cuts > 0 && resumes > 0)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, _("no session was resumed"));
  return FALSE;
}

guint
demo_cutter_get_cuts (DemoCutter *self)
{
  return self->n_cuts;
}
