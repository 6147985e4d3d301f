/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* in microseconds */
typedef struct
{
  gint64 round_trip;
  gint64 response_time; /* until the effect of a frame that was sent arrives here */
} TcpPath;

/* The kernel's figures about the path of a TCP connection, which are read at most once per round trip. Times are in
 * monotonic microseconds. */
typedef struct
{
  gint64 next_look;
  gint64 round_trip; /* 0 if the kernel does not report it */
  guint32 reordered; /* packets that arrived out of order, because others were lost */
  gint64 losing_until;
} TcpPathGauge;

void tcp_path_gauge_measure (TcpPathGauge *self,
                             GSocket      *socket,
                             gint64        round_trip,
                             gint64        now,
                             TcpPath      *path);

G_END_DECLS
