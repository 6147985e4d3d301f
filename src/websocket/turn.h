/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Decides how much of its input a channel handles before the others on its thread get their turn, and whether it then
 * pauses. Without I/O. All times are monotonic microseconds. */

/* The maximum of a turn: its number of frames, and its time. The time is for frames that cost more than their size
 * suggests, such as those that open connections. */
#define TCP_TURN_FRAMES 256
#define TCP_TURN_TIME 100

/* The time that a channel may spend on such frames in consecutive turns before it pauses. */
#define TCP_TURN_ALLOWANCE 200

/* The time of the pause, and the number of channels whose pause may end within that time. */
#define TCP_TURN_REST 1000
#define TCP_TURN_RESTED 3

/* How long a thread is considered shared after a channel had data. */
#define TCP_TURN_COMPANY G_TIME_SPAN_SECOND

/* The channels that use a thread. */
typedef struct
{
  gconstpointer latest; /* the last one that had data to send or to receive */
  gint64 latest_at;     /* when it had */
  gint64 before_at;     /* when another one had before */
  gint64 rested_at;     /* when the last of the pausing channels continues */
} TcpTurns;

/* The turns of one channel. */
typedef struct
{
  gint64 began;
  guint frames;
  gsize bytes;
  gint64 charged; /* for work that its frames cause later */
  gint64 spent; /* in turns that ended before all data was handled */
} TcpTurn;

void tcp_turns_note (TcpTurns      *self,
                     gconstpointer  channel,
                     gint64         now);
gboolean tcp_turns_have_others (TcpTurns      *self,
                                gconstpointer  channel,
                                gint64         now);
gboolean tcp_turns_are_shared (TcpTurns *self,
                               gint64    now);

void tcp_turn_begin (TcpTurn *self,
                     gint64   now);
gboolean tcp_turn_is_over (TcpTurn *self,
                           gint64   now);
void tcp_turn_add (TcpTurn *self,
                   gsize    bytes);
void tcp_turn_complete (TcpTurn *self);
void tcp_turn_charge (TcpTurn *self,
                      gint64   time);
gint64 tcp_turn_interrupt (TcpTurn       *self,
                           TcpTurns      *turns,
                           gconstpointer  channel,
                           gint64         now);

G_END_DECLS
