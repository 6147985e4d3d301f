/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Counts received sequenced frames, and decides when to acknowledge them. Without I/O. */
typedef struct
{
  guint64 received;
  guint64 acknowledged;  /* the number of them that were acknowledged */
  gsize unacknowledged;  /* the bytes of the others */
  gboolean due;
  gint64 deadline;       /* when it becomes due at the latest, 0 for never */
} TcpReceipts;

void tcp_receipts_count (TcpReceipts *self,
                         gsize        length,
                         gint64       now);
void tcp_receipts_check (TcpReceipts *self,
                         gint64       now);
guint64 tcp_receipts_take (TcpReceipts *self);
void tcp_receipts_stop (TcpReceipts *self);

G_END_DECLS
