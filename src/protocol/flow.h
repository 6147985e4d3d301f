/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The credit of one stream, both ways, and how far each way has come to its end. Pure. */

typedef struct
{
  /* Toward the peer */
  gboolean begun;    /* the first credit is known */
  guint32 credit;    /* bytes that we may still send */
  gboolean blocked;  /* there is something to read, but no credit for it */
  gboolean fin_sent;

  /* From the peer */
  guint32 window;  /* what it may have in flight and in our queue */
  guint32 granted; /* what of that it has not used */
  gint64 epoch;    /* since when the pace is measured, 0 before the first data */
  gint64 taken;    /* bytes that were given back since then */
  gboolean owes;   /* is in line to give credit back */
  gboolean fin_received;
} TcpFlow;

/* What of the windows of a session there is for one. */
typedef struct
{
  guint32 least;      /* what it is left with, if it does not need more */
  guint32 most;       /* how large it may be, */
  guint32 growth;     /* by how much it may become larger now, */
  guint32 head_start; /* and what it may grow to without a need that was measured */
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
