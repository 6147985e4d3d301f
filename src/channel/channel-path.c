/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/channel-private.h"

#include <netinet/in.h>
#include <linux/tcp.h>

/* For how long a path that has lost something is taken for one that goes on to. */
#define LOSSES_LAST (10 * G_TIME_SPAN_SECOND)

/* What comes behind a loss waits until that was sent again: a round trip at the least, and
 * another where so much is under way that some is lost a second time. */
#define ROUND_TRIPS_OF_LOSS 3

static void
look_for_losses (TcpChannel *self,
                 gint64      now)
{
  struct tcp_info info = { 0 };
  socklen_t length = sizeof (info);

  /* Once a round trip does. */
  if (self->socket == NULL || now < self->next_look)
    return;

  self->next_look = now + self->round_trip;
  if (getsockopt (g_socket_get_fd (self->socket), IPPROTO_TCP, TCP_INFO, &info, &length) < 0 ||
      info.tcpi_rcv_ooopack == self->reordered)
    return;

  self->reordered = info.tcpi_rcv_ooopack;
  self->losing_until = now + LOSSES_LAST;
}

/* In microseconds, -1 if unknown yet. The shortest, so that it is of the path and not of
 * what waited in queues. */
gint64
tcp_channel_get_round_trip (TcpChannel *self)
{
  return self->round_trip;
}

/* How long it takes, in microseconds, until the peer has heard of something and what it
 * answers has been received; -1 if unknown yet. */
gint64
tcp_channel_get_response_time (TcpChannel *self,
                               gint64      now)
{
  if (self->round_trip < 0)
    return -1;

  look_for_losses (self, now);
  return now < self->losing_until ? ROUND_TRIPS_OF_LOSS * self->round_trip : self->round_trip;
}
