/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A limit per second of bytes or connections. What is not used is kept, but no more than the amount of a second.
 * Without I/O. All times are in monotonic microseconds. */
typedef struct
{
  guint64 rate;  /* per second; 0: no limit */
  gint64 level;  /* what is available, in millionths */
  gint64 filled; /* the time of that level */
} TcpBucket;

/* With more the arithmetic would overflow. */
#define TCP_BUCKET_MAX_RATE G_GINT64_CONSTANT (1000000000000)

void tcp_bucket_set_rate (TcpBucket *self,
                          guint64    rate,
                          gint64     now);
guint64 tcp_bucket_fill (TcpBucket *self,
                         gint64     now);
void tcp_bucket_take (TcpBucket *self,
                      guint64    n);
void tcp_bucket_give_back (TcpBucket *self,
                           guint64    n);
gint64 tcp_bucket_get_due (TcpBucket *self,
                           guint64    n);

G_END_DECLS
