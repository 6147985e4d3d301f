/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "websocket/turn.h"

/* This many bytes per microsecond are not charged: a bulk transfer takes long because it is large, and must not be
 * slowed down. */
#define BYTES_PER_MICROSECOND 500

/* The maximum that is charged for a turn, since the kernel may have run another thread meanwhile. */
#define MAX_CHARGE (2 * TCP_TURN_TIME)

/* The channel has data to send or to receive. */
void
tcp_turns_note (TcpTurns      *self,
                gconstpointer  channel,
                gint64         now)
{
  if (self->latest != channel)
    {
      self->before_at = self->latest_at;
      self->latest = channel;
    }
  self->latest_at = now;
}

/* Whether a channel other than this one had data recently. */
gboolean
tcp_turns_have_others (TcpTurns      *self,
                       gconstpointer  channel,
                       gint64         now)
{
  gint64 at = self->latest == channel ? self->before_at : self->latest_at;

  return at > 0 && now - at < TCP_TURN_COMPANY;
}

/* Whether more than one channel had data recently. */
gboolean
tcp_turns_are_shared (TcpTurns *self,
                      gint64    now)
{
  return tcp_turns_have_others (self, self->latest, now);
}

void
tcp_turn_begin (TcpTurn *self,
                gint64   now)
{
  self->began = now;
  self->frames = 0;
  self->bytes = 0;
  self->charged = 0;
}

/* Whether other channels come first. Each turn has at least one frame. */
gboolean
tcp_turn_is_over (TcpTurn *self,
                  gint64   now)
{
  return self->frames == TCP_TURN_FRAMES || (self->frames > 0 && now - self->began + self->charged >= TCP_TURN_TIME);
}

/* Counts a frame of this size. */
void
tcp_turn_add (TcpTurn *self,
              gsize    bytes)
{
  self->frames++;
  self->bytes += bytes;
}

/* This turn has caused work that takes this time later. */
void
tcp_turn_charge (TcpTurn *self,
                 gint64   time)
{
  self->charged += time;
}

/* All available data was handled. */
void
tcp_turn_complete (TcpTurn *self)
{
  self->spent = 0;
}

/* Other channels come first. Returns when to continue: 0 for as soon as they had their turn. Pausing channels do not
 * all continue at once. */
gint64
tcp_turn_interrupt (TcpTurn       *self,
                    TcpTurns      *turns,
                    gconstpointer  channel,
                    gint64         now)
{
  gint64 charge = MIN (now - self->began, MAX_CHARGE) - (gint64) (self->bytes / BYTES_PER_MICROSECOND);

  self->spent += MAX (charge, 0) + self->charged;
  if (self->spent < TCP_TURN_ALLOWANCE || !tcp_turns_have_others (turns, channel, now))
    return 0;

  self->spent = 0;
  turns->rested_at = MAX (now + TCP_TURN_REST, turns->rested_at + TCP_TURN_REST / TCP_TURN_RESTED);
  return turns->rested_at;
}
