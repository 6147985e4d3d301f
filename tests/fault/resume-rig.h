/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "fixture.h"

G_BEGIN_DECLS

/* A tunnel and a gateway that speak resumable/1, with a bad network between them. */

#define MIB (1 << 20)

/* Any property may still be set, or it is started too. */
Fixture *resume_new (Target *target,
                     TcpTunnelMode mode);
Fixture *resume_start (Target *target,
                       TcpTunnelMode mode);

/* Starts it with one client, which is returned, and whose connection works. */
int resume_begin (Fixture *fixture);

/* So many cuts of a session that had none, with progress before and after each. */
void resume_cut (Fixture *fixture,
                 int fd,
                 guint count);

/* Waits until the session has gone on that many times and its WebSocket is there. */
#define resume_expect(fixture, times) \
  WAIT_UNTIL (test_figure ((fixture)->tunnel, resumes) >= (times) && \
              (fixture)->recorder->last_state == TCP_TUNNEL_STATE_CONNECTED)

/* No WebSocket from here on, and both ends know it; or the gateway does not. */
void resume_go_away (Fixture *fixture);
void resume_go_away_unheard (Fixture *fixture);
void resume_come_back (Fixture *fixture);

/* A client of the tunnel and what it became at a manual target. */
typedef struct
{
  int client;
  int target;
} Pair;

Pair pair_open (Fixture *fixture,
                Target *target);
void pair_round_trip (Pair *pair);
void pair_clear (Pair *pair);

/* Waits for the end of the connection; TCP_TUNNEL_ERROR's code, or -1 for an orderly end. */
#define expect_closed(fixture, count, code) expect_closed_at (G_STRLOC, fixture, count, code)
void expect_closed_at (const char *where,
                       Fixture *fixture,
                       guint count,
                       int code);

/* The test runs in every mode; one that takes long in those two of which the others are made. */
typedef void (*ModeTest) (TcpTunnelMode mode);
void add_mode_test (const char *path,
                    ModeTest test);
void add_long_mode_test (const char *path,
                         ModeTest test);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Pair, pair_clear)

G_END_DECLS
