/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The size of each write, read and message in every bulk transfer. */
#define BENCH_BLOCK (64 * 1024)
#define BENCH_PING 64

/* The first byte of a connection is a command for the peer. The peer answers it with one byte, so that a load starts
 * its clock on a path that is completely open. */
#define BENCH_DISCARD 'D'
#define BENCH_BLAST 'B' /* and discard what arrives */
#define BENCH_ECHO 'E'
#define BENCH_READY 'R'

/* The counters that the peer shares with the load through a file. A count of the sender would include data that the
 * subject has merely buffered. */
typedef struct
{
  guint64 discarded;
} BenchStats;

BenchStats *bench_stats_open (const char *path);
void bench_stats_add (BenchStats *stats,
                      gsize bytes);
guint64 bench_stats_read (BenchStats *stats);

/* Both print a message and end the process when they fail. */
int bench_listen (guint16 *port);
guint16 bench_parse_port (const char *text);

/* For the two ends of a measurement, the load and the peer: keeps little unsent data in the kernel. Otherwise most of
 * it would be sent when the subject's acknowledgements arrive, in the subject's CPU time. */
void bench_send_from_own_time (int fd);

/* These return -1 or FALSE when the connection has ended. */
int bench_connect (guint16 port);
int bench_accept (int listener);
gboolean bench_send_all (int fd,
                         const void *data,
                         gsize length);
gboolean bench_recv_all (int fd,
                         void *data,
                         gsize length);
gssize bench_recv (int fd,
                   void *data,
                   gsize length);
gssize bench_drop (int fd,
                   gsize length);

G_END_DECLS
