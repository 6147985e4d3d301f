/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "websocket/keepalive.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/sockios.h>
#include <tcptunnel/tcptunnel.h>
#include "base/i18n.h"

/* While this end does not read, and so receives no pings, it sends an unsolicited pong (RFC 6455, section 5.5.3) at
 * this interval, so that the peer does not consider it dead. */
#define HEARTBEAT (3 * G_TIME_SPAN_SECOND)

/* The time after data was sent when a ping confirms that it arrived: unconfirmed data counts as lost if the WebSocket
 * breaks. */
#define CONFIRM_AFTER G_TIME_SPAN_SECOND

/* How long a WebSocket that may be brief is not pinged at first. */
#define BRIEF (20 * G_TIME_SPAN_MILLISECOND)

#define NEVER G_MAXINT64

/* The kernel reports times in ticks of up to 10 ms, and rounds both ends: an event within this time after the ping may
 * have been before it. */
#define TICKS (20 * G_TIME_SPAN_MILLISECOND)

/* A ping waits behind the data before it: a peer that does not read, because its own TCP connection is not read, does
 * not see it, and on a slow path it has not arrived yet. The kernel has better information: as long as data waits, a
 * working path brings acknowledgements, or answers to the probes of a closed window.
 *
 * Only events after the ping count: neither earlier acknowledgements, nor data that had arrived before and was only
 * read since. But while data of the peer waits here, as with many busy WebSockets, the answer may be behind it. */
static gboolean
has_sign_of_life (TcpKeepalive *self,
                  gint64        now)
{
  gint64 since = now - self->asked - TICKS;
  struct tcp_info info;
  socklen_t length = sizeof (info);
  int fd = g_socket_get_fd (self->socket);
  int waiting = 0;
  int unread = 0;

  if (self->callbacks->is_behind (self->user_data) || (ioctl (fd, SIOCINQ, &unread) == 0 && unread > 0))
    return TRUE;
  /* A Unix socket has no such information. */
  if (getsockopt (fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0 || ioctl (fd, SIOCOUTQ, &waiting) < 0)
    return self->last_received >= self->asked;

  if (info.tcpi_last_data_recv * G_TIME_SPAN_MILLISECOND < since)
    return TRUE;
  if (waiting == 0)
    return FALSE;
  if (info.tcpi_unacked == 0)
    return info.tcpi_probes <= 1;
  return info.tcpi_last_ack_recv * G_TIME_SPAN_MILLISECOND < since;
}

static void
set_due (TcpKeepalive *self,
         gint64        due)
{
  self->next_due = due;
  tcp_timer_set (self->timer, due == NEVER ? -1 : due);
}

static void
schedule (TcpKeepalive *self,
          gint64        now)
{
  if (self->paused)
    set_due (self, now + HEARTBEAT);
  else if (self->deadline != 0)
    set_due (self, MIN (self->next_ping, self->deadline));
  else if (self->unconfirmed_since != 0 && self->ping_time == 0)
    set_due (self, MIN (self->next_ping, self->unconfirmed_since + CONFIRM_AFTER));
  else
    set_due (self, self->next_ping);
}

/* Sends a ping. @timeout is how long there may be no answer, 0 for no limit. This must be the caller's last action: a
 * failure to send may end the channel. */
static void
ask (TcpKeepalive *self,
     gint64        now,
     gint64        timeout)
{
  if (self->deadline == 0 || has_sign_of_life (self, now))
    {
      self->asked = now;
      self->deadline = timeout > 0 ? now + timeout : 0;
    }
  else if (timeout > 0)
    {
      /* There was no answer yet. Repeated requests do not postpone the deadline. */
      self->deadline = MIN (self->deadline, now + timeout);
    }
  self->ping_time = now;
  self->ping_sent = self->sent;
  self->unconfirmed_since = 0;
  schedule (self, now);
  self->callbacks->send (TCP_FRAME_PING, &now, sizeof (now), self->user_data);
}

static void
on_timer (gpointer user_data)
{
  TcpKeepalive *self = user_data;
  gint64 now = g_get_monotonic_time ();
  gboolean due = FALSE;

  if (self->paused)
    {
      schedule (self, now);
      self->callbacks->send (TCP_FRAME_PONG, "", 0, self->user_data);
      return;
    }
  if (self->deadline != 0 && now >= self->deadline)
    {
      if (!has_sign_of_life (self, now))
        {
          g_autoptr (GError) error = NULL;

          error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TIMED_OUT,
                               _("the WebSocket is dead: no answer to a ping within %u ms"),
                               (guint) ((self->deadline - self->asked) / G_TIME_SPAN_MILLISECOND));
          self->callbacks->dead (error, self->user_data);
          return;
        }
      /* The kernel may not have detected the loss yet. */
      if (self->probe != 0)
        {
          self->asked = now;
          self->deadline = now + self->probe;
          schedule (self, now);
          return;
        }
      self->ping_time = 0;
      self->deadline = 0;
    }

  if (now >= self->next_ping)
    {
      due = TRUE;
      self->next_ping = self->interval > 0 ? now + self->interval : NEVER;
    }
  if (self->unconfirmed_since != 0 && self->ping_time == 0 && now >= self->unconfirmed_since + CONFIRM_AFTER)
    {
      due = TRUE;
      self->unconfirmed_since = now;
    }
  if (due && self->deadline == 0)
    ask (self, now, self->timeout);
  else
    schedule (self, now);
}

/* Data of the peer was read. */
void
tcp_keepalive_received (TcpKeepalive *self)
{
  self->last_received = g_get_monotonic_time ();
}

/* Messages were sent; @sent is the total of bytes. This is called often, so it does little else. */
void
tcp_keepalive_sent (TcpKeepalive *self,
                    guint64       sent)
{
  self->sent = sent;
  if (self->unconfirmed_since != 0 || self->interval == 0 || self->timer == NULL)
    return;

  self->unconfirmed_since = g_get_monotonic_time ();
  if (self->ping_time == 0 && self->next_due > self->unconfirmed_since + CONFIRM_AFTER)
    set_due (self, self->unconfirmed_since + CONFIRM_AFTER);
}

/* Nothing is read for now. This is called often, so it sets the timer only if needed. */
void
tcp_keepalive_pause (TcpKeepalive *self)
{
  gint64 now = g_get_monotonic_time ();

  self->paused = TRUE;
  /* The answer to a ping may be unread in the buffers: its deadline is dropped, and another ping follows when reading
   * resumes. */
  if (self->deadline != 0)
    self->next_ping = now;
  self->ping_time = 0;
  self->deadline = 0;
  self->probe = 0;
  if (self->timer != NULL && self->next_due > now + HEARTBEAT)
    set_due (self, now + HEARTBEAT);
}

/* The timer expires soon enough. */
void
tcp_keepalive_resume (TcpKeepalive *self)
{
  self->paused = FALSE;
}

/* @interval and @timeout are in ms, 0 for none. If it is @brief it may end before the round trip is needed. */
void
tcp_keepalive_start (TcpKeepalive                *self,
                     GSocket                     *socket,
                     guint                        interval,
                     guint                        timeout,
                     gboolean                     brief,
                     const TcpKeepaliveCallbacks *callbacks,
                     gpointer                     user_data)
{
  gint64 now = g_get_monotonic_time ();

  self->callbacks = callbacks;
  self->user_data = user_data;
  self->socket = socket;
  self->round_trip = -1;
  self->last_round_trip = -1;
  self->last_received = now;
  self->interval = interval * G_TIME_SPAN_MILLISECOND;
  self->timeout = timeout * G_TIME_SPAN_MILLISECOND;
  /* The first ping is sent at once, or nearly: it measures the round trip. */
  self->next_ping = interval > 0 ? now + (brief ? BRIEF : 0) : NEVER;
  self->timer = tcp_timer_new (on_timer, self);
  set_due (self, MIN (self->next_ping, now + HEARTBEAT));
}

/* Does not measure the round trip at first: the first ping is sent when one is due. */
void
tcp_keepalive_defer (TcpKeepalive *self)
{
  if (self->next_ping != NEVER)
    self->next_ping = g_get_monotonic_time () + self->interval;
}

void
tcp_keepalive_stop (TcpKeepalive *self)
{
  tcp_timer_clear (&self->timer);
}

/* Sends a ping at once, even without keep-alive. If nothing arrives for @timeout ms, or the keep-alive's timeout if
 * that is 0, the peer is dead. Until the answer arrives, this is checked every @timeout ms. */
void
tcp_keepalive_probe (TcpKeepalive *self,
                     guint         timeout)
{
  gint64 now = g_get_monotonic_time ();

  if (!self->paused)
    {
      self->probe = timeout > 0 ? timeout * G_TIME_SPAN_MILLISECOND : self->timeout;
      ask (self, now, self->probe);
      return;
    }
  /* Sent when reading resumes: now the answer would not be read. */
  self->next_ping = now;
  schedule (self, now);
}

/* Whether this answers the current ping. */
gboolean
tcp_keepalive_pong (TcpKeepalive *self,
                    const guint8 *payload,
                    gsize         length)
{
  gint64 sent;
  gint64 now = g_get_monotonic_time ();

  if (length != sizeof (sent))
    return FALSE;
  memcpy (&sent, payload, sizeof (sent));
  if (self->ping_time == 0 || sent != self->ping_time)
    return FALSE;

  self->last_round_trip = now - sent;
  /* The shortest round trip is that of the path, without delays in queues. */
  if (self->round_trip < 0 || self->last_round_trip < self->round_trip)
    self->round_trip = self->last_round_trip;
  self->confirmed = self->ping_sent;
  self->ping_time = 0;
  self->deadline = 0;
  self->probe = 0;
  schedule (self, now);
  return TRUE;
}
