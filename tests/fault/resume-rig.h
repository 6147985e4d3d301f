/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "fixture.h"

G_BEGIN_DECLS

/* A tunnel and a gateway that use resumable/1, with a faulty network between them. */

#define MIB (1 << 20)

/* The first does not start it, so that properties may still be set; the second does. */
Fixture *resume_new (Target *target,
                     TcpTunnelMode mode);
Fixture *resume_start (Target *target,
                       TcpTunnelMode mode);

/* Starts it and connects one client, which is returned after a round trip. */
int resume_begin (Fixture *fixture);

/* Cuts a session that was never cut before @count times, with progress before and after each cut. */
void resume_cut (Fixture *fixture,
                 int fd,
                 guint count);

/* Waits until the session has been resumed @times times and its WebSocket is open. */
#define resume_expect(fixture, times) \
  WAIT_UNTIL (test_figure ((fixture)->tunnel, resumes) >= (times) && \
              (fixture)->recorder->last_state == TCP_TUNNEL_STATE_CONNECTED)

/* No WebSocket is possible from here on: both ends notice this, or only the tunnel does. */
void resume_go_away (Fixture *fixture);
void resume_go_away_unheard (Fixture *fixture);
void resume_come_back (Fixture *fixture);

/* A client of the tunnel, and its connection at a manual target. */
typedef struct
{
  int client;
  int target;
} Pair;

Pair pair_open (Fixture *fixture,
                Target *target);
void pair_round_trip (Pair *pair);
void pair_clear (Pair *pair);

/* Waits for the end of connection number @count, and requires a code of TCP_TUNNEL_ERROR, or -1 for an orderly
 * end. */
#define expect_closed(fixture, count, code) expect_closed_at (G_STRLOC, fixture, count, code)
void expect_closed_at (const char *where,
                       Fixture *fixture,
                       guint count,
                       int code);

/* Runs the test in every mode; a long one only in the two modes of which the others are made. */
typedef void (*ModeTest) (TcpTunnelMode mode);
void add_mode_test (const char *path,
                    ModeTest test);
void add_long_mode_test (const char *path,
                         ModeTest test);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Pair, pair_clear)

G_END_DECLS
