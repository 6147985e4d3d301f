/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* How much of its input a channel handles before the others on its thread have their turn, and
 * whether it then rests for a while. Pure. All times are monotonic microseconds. */

/* How many frames a turn has, and for how long it may go on. The second is for frames that cost
 * more than they weigh, such as those that open connections. */
#define TCP_TURN_FRAMES 256
#define TCP_TURN_TIME 100

/* What a channel may spend on such frames, in turns that follow one another, until it rests, */
#define TCP_TURN_ALLOWANCE 200
/* for how long it does, and how many may end their rest within as long. */
#define TCP_TURN_REST 1000
#define TCP_TURN_RESTED 3

/* For how long a thread counts as one that others use as well. */
#define TCP_TURN_COMPANY G_TIME_SPAN_SECOND

/* Which channels use a thread. */
typedef struct
{
  gconstpointer latest; /* the last that had data to send or to receive, */
  gint64 latest_at;     /* when it had, */
  gint64 before_at;     /* and when another had */
  gint64 rested_at;     /* when the last of those that rest goes on */
} TcpTurns;

/* The turns of one channel. */
typedef struct
{
  gint64 began;
  guint frames;
  gsize bytes;
  gint64 charged; /* for what its frames cost later */
  gint64 spent; /* in turns that ended before there was nothing left to do */
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
