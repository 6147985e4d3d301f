/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "protocol/receipts.h"

#define ACK_FRAMES 32
#define ACK_BYTES (256 * 1024)
#define ACK_DELAY (50 * G_TIME_SPAN_MILLISECOND)

/* Counts a received frame. */
void
tcp_receipts_count (TcpReceipts *self,
                    gsize        length,
                    gint64       now)
{
  self->received++;
  self->unacknowledged += length;
  if (self->unacknowledged >= ACK_BYTES || self->received - self->acknowledged >= ACK_FRAMES)
    self->due = TRUE;
  else if (self->received == self->acknowledged + 1)
    self->deadline = now + ACK_DELAY;
}

void
tcp_receipts_check (TcpReceipts *self,
                    gint64       now)
{
  if (self->deadline == 0 || now < self->deadline)
    return;

  self->deadline = 0;
  self->due |= self->received > self->acknowledged;
}

/* Returns the number to send to the peer in an acknowledgement. */
guint64
tcp_receipts_take (TcpReceipts *self)
{
  self->due = FALSE;
  self->acknowledged = self->received;
  self->unacknowledged = 0;
  return self->received;
}

/* There is no transport for an acknowledgement. */
void
tcp_receipts_stop (TcpReceipts *self)
{
  self->due = FALSE;
  self->deadline = 0;
}
