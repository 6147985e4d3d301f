/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The size of a write, of a read and of a message in every bulk transfer. */
#define BENCH_BLOCK (64 * 1024)
#define BENCH_PING 64

/* The first byte of a connection tells the peer what to do with it. The peer answers that byte
 * with one of its own, so that a load starts its clock on a path that is open to the end. */
#define BENCH_DISCARD 'D'
#define BENCH_BLAST 'B' /* and discard what comes */
#define BENCH_ECHO 'E'
#define BENCH_READY 'R'

/* What the peer tells the load through a shared file. A sender's own count would include what
 * the subject has merely swallowed. */
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

/* For the two ends of a measurement, the load and the peer: keeps little unsent data in the kernel.
 * Otherwise most of it leaves as the subject's acknowledgements come in, on the subject's time. */
void bench_send_from_own_time (int fd);

/* All return -1 or FALSE when the connection is over. */
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
