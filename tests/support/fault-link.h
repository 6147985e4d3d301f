/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "fault-proxy.h"

G_BEGIN_DECLS

/* One connection through the fault proxy; only the proxy's thread touches it. */

#define FAULT_BUFFER_SIZE 65536

/* What is being done to all links, indexed by FaultDirection. */
typedef struct
{
  gboolean black_hole;
  gboolean stalled[2];
  guint rate[2];
  double allowance[2];
  guint delay_ms[2];
  guint64 cut_after[2]; /* 0 = not armed */
  guint64 bytes[2];
} FaultRules;

/* Bytes that may go on once @due has come. */
typedef struct
{
  gint64 due;
  gsize length;
} FaultChunk;

typedef struct
{
  guint8 *data;
  gsize length;
  GQueue chunks;
  gboolean ended;  /* the source sent its end */
  gboolean passed; /* and the destination was told */
} FaultPipe;

/* Direction d reads fds[d] and writes fds[!d]: FAULT_UP comes from FAULT_TUNNEL_SIDE. */
typedef struct
{
  int fds[2];
  FaultPipe pipes[2];
  gboolean swallow;    /* what still comes is dropped: one side is gone, or both were told so */
  gboolean closing;    /* both sides were told the end: no longer counted */
  gboolean lost_bytes; /* in a black hole */
  gboolean cut_behind; /* end it when the buffers are empty */
} FaultLink;

FaultLink *fault_link_new (int tunnel_fd,
                           int gateway_fd);
void fault_link_free (FaultLink *link);
gboolean fault_link_is_dead (FaultLink *link);

void fault_link_reset (FaultLink *link);
void fault_link_cut (FaultLink *link);
void fault_link_half_open (FaultLink *link,
                           FaultSide closed_side);

/* Moves what can be moved now. */
void fault_link_serve (FaultLink *link,
                       FaultRules *rules,
                       gint64 now);

/* The poll events that one side waits for; lowers *@next to the time when a chunk falls due. */
short fault_link_wishes (FaultLink *link,
                         FaultRules *rules,
                         FaultSide side,
                         gint64 now,
                         gint64 *next);

G_END_DECLS
