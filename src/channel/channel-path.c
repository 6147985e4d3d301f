/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/channel-private.h"

#include <netinet/in.h>
#include <linux/tcp.h>

/* As long as nothing is known. */
#define ROUND_TRIP_GUESS (50 * G_TIME_SPAN_MILLISECOND)

/* For how long a path that has lost something is taken for one that goes on to. */
#define LOSSES_LAST (10 * G_TIME_SPAN_SECOND)

/* What comes behind a loss waits until that was sent again: a round trip at the least, and
 * another where so much is under way that some is lost a second time. */
#define ROUND_TRIPS_OF_LOSS 3

static void
look_at_path (TcpChannel *self,
              gint64      now)
{
  struct tcp_info info = { 0 };
  socklen_t length = sizeof (info);

  if (self->socket == NULL ||
      getsockopt (g_socket_get_fd (self->socket), IPPROTO_TCP, TCP_INFO, &info, &length) < 0)
    return;

  /* Where no pong tells, which would also count what is behind a proxy. */
  if (info.tcpi_min_rtt != G_MAXUINT32)
    self->tcp_round_trip = info.tcpi_min_rtt;
  if (info.tcpi_rcv_ooopack != self->reordered)
    self->losing_until = now + LOSSES_LAST;
  self->reordered = info.tcpi_rcv_ooopack;
}

/* In microseconds, -1 if no ping was answered yet. The shortest, so that it is of the path
 * and not of what waited in queues. */
gint64
tcp_channel_get_round_trip (TcpChannel *self)
{
  return self->round_trip;
}

/* What is known of the path by now, which is looked at once a round trip at the most. */
void
tcp_channel_measure_path (TcpChannel *self,
                          gint64      now,
                          TcpPath    *path)
{
  if (now >= self->next_look)
    look_at_path (self, now);

  path->round_trip = self->round_trip >= 0 ? self->round_trip : self->tcp_round_trip;
  if (path->round_trip <= 0)
    path->round_trip = ROUND_TRIP_GUESS;
  path->response_time = (now < self->losing_until ? ROUND_TRIPS_OF_LOSS : 1) * path->round_trip;
  if (now >= self->next_look)
    self->next_look = now + path->round_trip;
}
