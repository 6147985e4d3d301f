/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The credit of one stream in both directions, and how far each direction has ended. Without I/O. */

typedef struct
{
  /* toward the peer */
  gboolean begun;    /* the initial credit is known */
  guint32 credit;    /* bytes that this end may still send */
  gboolean blocked;  /* there is something to read, but no credit for it */
  gboolean fin_sent;

  /* from the peer */
  guint32 window;  /* the maximum on the way and in the queue of this end */
  guint32 granted; /* the part of it that the peer has not used */
  gint64 epoch;    /* since when the pace is measured, 0 before the first data */
  gint64 taken;    /* bytes that were returned since then */
  gboolean owes;   /* is in the queue of streams to return credit for */
  gboolean fin_received;
} TcpFlow;

/* The limits of the session for the window of one stream. */
typedef struct
{
  guint32 least;      /* it shrinks no further, unless it needs less */
  guint32 most;       /* the maximum size */
  guint32 growth;     /* the maximum growth at this moment */
  guint32 head_start; /* the size to which it may grow without a measured need */
} TcpFlowBounds;

gboolean tcp_flow_receive (TcpFlow *self,
                           gsize    length,
                           gint64   now);
gboolean tcp_flow_is_due (TcpFlow *self,
                          gsize    queued);
guint32 tcp_flow_give (TcpFlow             *self,
                       gsize                queued,
                       const TcpFlowBounds *bounds,
                       gint64               round_trip,
                       gint64               response_time,
                       gint64               now);

G_END_DECLS
