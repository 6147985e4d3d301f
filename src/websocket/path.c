/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "websocket/path.h"

#include <netinet/in.h>
#include <linux/tcp.h>

/* used until a value is known */
#define ROUND_TRIP_GUESS (50 * G_TIME_SPAN_MILLISECOND)

/* How long a path is considered lossy after a loss. */
#define LOSSES_LAST (10 * G_TIME_SPAN_SECOND)

/* Data behind a loss waits until that was sent again: at least one round trip, and another one if so much is on its way
 * that some is lost a second time. */
#define ROUND_TRIPS_OF_LOSS 3

static void
look (TcpPathGauge *self,
      GSocket      *socket,
      gint64        now)
{
  struct tcp_info info = { 0 };
  socklen_t length = sizeof (info);

  if (getsockopt (g_socket_get_fd (socket), IPPROTO_TCP, TCP_INFO, &info, &length) < 0)
    return;

  if (info.tcpi_min_rtt != G_MAXUINT32)
    self->round_trip = info.tcpi_min_rtt;
  if (info.tcpi_rcv_ooopack != self->reordered)
    self->losing_until = now + LOSSES_LAST;
  self->reordered = info.tcpi_rcv_ooopack;
}

/* @round_trip is measured with pings, and includes the path behind a proxy; -1 if no ping was answered yet. */
void
tcp_path_gauge_measure (TcpPathGauge *self,
                        GSocket      *socket,
                        gint64        round_trip,
                        gint64        now,
                        TcpPath      *path)
{
  gboolean due = now >= self->next_look;

  if (due)
    look (self, socket, now);

  path->round_trip = round_trip >= 0 ? round_trip : self->round_trip;
  if (path->round_trip <= 0)
    path->round_trip = ROUND_TRIP_GUESS;
  path->response_time = (now < self->losing_until ? ROUND_TRIPS_OF_LOSS : 1) * path->round_trip;
  if (due)
    self->next_look = now + path->round_trip;
}
