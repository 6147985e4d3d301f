/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "fault-proxy.h"

G_BEGIN_DECLS

/* One connection through the fault proxy. Only the thread of the proxy uses it. */

#define FAULT_BUFFER_SIZE 65536

/* The faults that apply to all connections, indexed by FaultDirection. */
typedef struct
{
  gboolean black_hole;
  gboolean stalled[2];
  guint rate[2];
  double allowance[2];
  guint delay_ms[2];
  guint64 cut_after[2]; /* in bytes, 0 for never */
  guint64 bytes[2];
} FaultRules;

/* Bytes that may be passed on from @due on. */
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
  gboolean passed; /* and this was passed on */
} FaultPipe;

/* Direction d reads fds[d] and writes fds[!d]: FAULT_UP comes from FAULT_TUNNEL_SIDE. */
typedef struct
{
  int fds[2];
  FaultPipe pipes[2];
  gboolean swallow;    /* discard what arrives: one side is closed, or both have been sent the end */
  gboolean closing;    /* both sides have been sent the end: not counted as open any more */
  gboolean lost_bytes; /* during a black hole */
  gboolean cut_behind; /* end the connection as soon as the buffers are empty */
} FaultLink;

FaultLink *fault_link_new (int tunnel_fd,
                           int gateway_fd);
void fault_link_free (FaultLink *link);
gboolean fault_link_is_dead (FaultLink *link);

void fault_link_reset (FaultLink *link);
void fault_link_cut (FaultLink *link);
void fault_link_half_open (FaultLink *link,
                           FaultSide closed_side);

/* Reads and writes what is possible without waiting. */
void fault_link_serve (FaultLink *link,
                       FaultRules *rules,
                       gint64 now);

/* Returns the poll events to wait for on one side. Lowers *@next to the time at which a chunk is due. */
short fault_link_wishes (FaultLink *link,
                         FaultRules *rules,
                         FaultSide side,
                         gint64 now,
                         gint64 *next);

G_END_DECLS
