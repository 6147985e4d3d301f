/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io/reactor.h"
#include "protocol/protocol.h"
#include "session/session.h"

G_BEGIN_DECLS

/* For the files of the session, and for the tests, which check its contents. */
struct _TcpSession
{
  grefcount refs;
  TcpProtocol *protocol; /* NULL until negotiated */
  gboolean lost;         /* the peer no longer has the session: the protocol is negotiated anew */
  TcpSessionCallbacks callbacks;
  gpointer user_data;
  TcpProtocolOptions options;
  TcpLogLimit *warnings;
  gboolean foreign;
  gsize max_buffered;
  gsize max_pending;
  char *target;
  TcpStatus *status;
  TcpProtocolFigures reported; /* the values of the protocol that were last reported to the status */
  TcpBudgetShare share;
  TcpBudgetShare queue_share; /* with credit: for data that waits beyond the growth of windows */

  TcpChannel *channel;
  TcpChannel *detaching;  /* the one that is being detached */
  TcpChannel *superseded; /* the previous one, which may still wait for its peer to close */
  gboolean channel_paused;
  gboolean losing;  /* in tcp_session_restart () or tcp_session_abandon () */
  gboolean closing; /* in tcp_session_close () */

  GHashTable *streams;   /* set of TcpStream, those that the peer may know */
  GHashTable *finishing; /* set of those that only have to empty their queue */
  gsize queued;          /* bytes that wait for TCP, in all streams */
  gsize pending;         /* the part of them that waits for connections that are being opened, if that is limited */
  gboolean whole;        /* the message being received is complete, and stays valid for a turn */
  GPtrArray *gathering;  /* of TcpStream (owned), those that have gathered data */
  /* Of TcpStream (owned), to be read in turn: those that had little data at the last read, and those that had much. */
  GQueue sparse;
  GQueue bulk;
  guint n_sparse;        /* the number of those read since the last of the others */
  TcpTimer *pump;
  TcpTimer *timeout;     /* of the protocol */
  gint64 timeout_at;     /* when it is due; -1 for never */
};

TcpStream *tcp_session_new_stream (TcpSession *self);

G_END_DECLS
