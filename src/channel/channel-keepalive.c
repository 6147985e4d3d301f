/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/channel-private.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/sockios.h>

/* While this end does not read, and so sees no ping, an unsolicited pong (RFC
 * 6455, section 5.5.3) tells the peer this often that it is alive. */
#define HEARTBEAT (3 * G_TIME_SPAN_SECOND)

/* How soon after data was sent a ping follows it, to learn that it arrived: what is not
 * known to have arrived counts as lost if the WebSocket breaks. */
#define CONFIRM_AFTER G_TIME_SPAN_SECOND

#define NEVER G_MAXINT64

/* The kernel tells times in ticks of up to 10 ms, and rounds both ends: what is closer to
 * the question than this may have been before it. */
#define TICKS (20 * G_TIME_SPAN_MILLISECOND)

/* A ping waits behind the data before it: a peer that does not read, because its own
 * TCP connection is not read, does not see it, and on a slow path it is not there yet.
 * The kernel knows better: as long as something waits, a path that is alive brings
 * acknowledgements, or answers the probes of a window that is closed.
 *
 * Only what came since it was asked counts: not what was acknowledged before, nor what
 * had arrived before and was merely read since. */
static gboolean
has_sign_of_life (TcpChannel *self,
                  gint64      now)
{
  gint64 since = now - self->asked - TICKS;
  struct tcp_info info;
  socklen_t length = sizeof (info);
  int waiting = 0;
  int fd;

  if (self->socket == NULL)
    return self->last_received >= self->asked;

  fd = g_socket_get_fd (self->socket);
  if (getsockopt (fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0 ||
      ioctl (fd, SIOCOUTQ, &waiting) < 0)
    return self->last_received >= self->asked;

  if (info.tcpi_last_data_recv * G_TIME_SPAN_MILLISECOND < since)
    return TRUE;
  if (waiting == 0)
    return FALSE;
  if (info.tcpi_unacked == 0)
    return info.tcpi_probes <= 1;
  return info.tcpi_last_ack_recv * G_TIME_SPAN_MILLISECOND < since;
}

/* One that has not left yet says no more than the next, and they are not to pile up. */
static void
drop_unsent_ping (TcpChannel *self)
{
  GList *next;

  for (GList *l = self->controls > 0 ? self->queue.head : NULL; l != NULL; l = next)
    {
      TcpBuffer *buffer = l->data;

      next = l->next;
      if (!buffer->control || buffer->started || buffer->sent > 0 ||
          (buffer->payload[-(gssize) buffer->header] & 0x0f) != TCP_FRAME_PING)
        continue;
      g_queue_delete_link (&self->queue, l);
      self->controls--;
      tcp_buffer_unref (buffer);
    }
}

static void
send_ping (TcpChannel *self,
           gint64      now)
{
  drop_unsent_ping (self);
  self->ping_time = now;
  self->ping_sent = self->sent;
  self->unconfirmed_since = 0;
  tcp_channel_send_control (self, TCP_FRAME_PING, &now, sizeof (now));
}

/* Is anybody there? @timeout is how long there may be no answer, 0 for ever. */
static void
ask (TcpChannel *self,
     gint64      now,
     gint64      timeout)
{
  if (self->verdict == 0 || has_sign_of_life (self, now))
    {
      self->asked = now;
      self->verdict = timeout > 0 ? now + timeout : 0;
    }
  else if (timeout > 0)
    {
      /* There was none yet. Who asks again and again does not put it off. */
      self->verdict = MIN (self->verdict, now + timeout);
    }
  send_ping (self, now);
}

static void
set_due (TcpChannel *self,
         gint64      due)
{
  self->next_due = due;
  tcp_timer_set (self->keepalive, due == NEVER ? -1 : due);
}

static void
schedule (TcpChannel *self,
          gint64      now)
{
  if (self->paused)
    set_due (self, now + HEARTBEAT);
  else if (self->verdict != 0)
    set_due (self, MIN (self->next_ping, self->verdict));
  else if (self->unconfirmed_since != 0 && self->ping_time == 0)
    set_due (self, MIN (self->next_ping, self->unconfirmed_since + CONFIRM_AFTER));
  else
    set_due (self, self->next_ping);
}

static void
on_keepalive (gpointer user_data)
{
  TcpChannel *self = user_data;
  gint64 now = g_get_monotonic_time ();
  gboolean due = FALSE;

  if (self->paused)
    {
      /* Those that do not get away are not to pile up. */
      if (self->controls == 0)
        tcp_channel_send_control (self, TCP_FRAME_PONG, "", 0);
    }
  else if (self->verdict != 0 && now >= self->verdict)
    {
      if (!has_sign_of_life (self, now))
        {
          g_autoptr (GError) error = NULL;

          error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TIMED_OUT,
                               "the WebSocket is dead: no answer to a ping within %u ms",
                               (guint) ((self->verdict - self->asked) / G_TIME_SPAN_MILLISECOND));
          tcp_channel_abort (self, error);
          return;
        }
      self->ping_time = 0;
      self->verdict = 0;
    }

  if (!self->paused && now >= self->next_ping)
    {
      due = TRUE;
      self->next_ping = self->interval > 0 ? now + self->interval : NEVER;
    }
  if (self->unconfirmed_since != 0 && self->ping_time == 0 && now >= self->unconfirmed_since + CONFIRM_AFTER)
    {
      due = TRUE;
      self->unconfirmed_since = now;
    }
  if (due && !self->paused && self->verdict == 0)
    ask (self, now, self->timeout);

  schedule (self, now);
}

/* Data left. Called for each message, so that it does little but note it. */
void
tcp_channel_keepalive_sent (TcpChannel *self)
{
  if (self->unconfirmed_since != 0 || self->interval == 0 || self->keepalive == NULL)
    return;

  self->unconfirmed_since = self->last_progress;
  if (self->ping_time == 0 && self->next_due > self->unconfirmed_since + CONFIRM_AFTER)
    set_due (self, self->unconfirmed_since + CONFIRM_AFTER);
}

/* Nothing is read for now. This happens often, so it sets no timer in vain. */
void
tcp_channel_keepalive_paused (TcpChannel *self)
{
  gint64 now = g_get_monotonic_time ();

  /* The answer to a ping may lie unread in the buffers: no verdict on that one, but
   * another when there is reading again. */
  if (self->verdict != 0)
    self->next_ping = now;
  self->ping_time = 0;
  self->verdict = 0;
  if (self->keepalive != NULL && self->next_due > now + HEARTBEAT)
    set_due (self, now + HEARTBEAT);
}

void
tcp_channel_keepalive_start (TcpChannel *self,
                             guint       interval,
                             guint       timeout)
{
  gint64 now = g_get_monotonic_time ();

  self->round_trip = -1;
  self->interval = interval * G_TIME_SPAN_MILLISECOND;
  self->timeout = timeout * G_TIME_SPAN_MILLISECOND;
  /* The first at once: it tells the round trip. */
  self->next_ping = interval > 0 ? now : NEVER;
  self->keepalive = tcp_timer_new (on_keepalive, self);
  set_due (self, MIN (self->next_ping, now + HEARTBEAT));
}

/* Pings at once, also where there is no keep-alive. If nothing comes for @timeout ms, or
 * the keep-alive's timeout if that is 0, the channel ends. */
void
tcp_channel_probe (TcpChannel *self,
                   guint       timeout)
{
  gint64 now = g_get_monotonic_time ();

  if (self->phase != TCP_CHANNEL_OPEN)
    return;

  if (self->paused)
    self->next_ping = now; /* when it reads again: now it would not see an answer */
  else
    ask (self, now, timeout > 0 ? timeout * G_TIME_SPAN_MILLISECOND : self->timeout);
  schedule (self, now);
}

void
tcp_channel_keepalive_pong (TcpChannel   *self,
                            const guint8 *payload,
                            gsize         length)
{
  gint64 sent;
  gint64 round_trip;

  if (length != sizeof (sent))
    return;
  memcpy (&sent, payload, sizeof (sent));
  if (self->ping_time == 0 || sent != self->ping_time)
    return;

  round_trip = g_get_monotonic_time () - sent;
  if (self->round_trip < 0 || round_trip < self->round_trip)
    self->round_trip = round_trip;
  self->confirmed = self->ping_sent;
  if (self->status != NULL)
    tcp_status_set (self->status, round_trip, round_trip);
  self->ping_time = 0;
  self->verdict = 0;
  schedule (self, g_get_monotonic_time ());
}
