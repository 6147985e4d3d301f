/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io/reactor.h"
#include "protocol/protocol.h"
#include "session/session.h"

G_BEGIN_DECLS

/* For the files of the session, and for the tests, which look at the books. */
struct _TcpSession
{
  grefcount refs;
  TcpProtocol *protocol; /* NULL until it was negotiated */
  gboolean lost;         /* its peer has forgotten it: it is to be negotiated anew */
  TcpSessionCallbacks callbacks;
  gpointer user_data;
  TcpProtocolOptions options;
  TcpLogLimit *warnings;
  gboolean foreign;
  gsize max_buffered;
  gsize max_pending;
  char *target;
  TcpStatus *status;
  TcpProtocolFigures reported; /* what the status knows of the protocol's */
  TcpBudgetShare share;
  TcpBudgetShare queue_share; /* with credit: of what waits beyond what that has grown by */

  TcpChannel *channel;
  TcpChannel *detaching;  /* the one that is about to be gone */
  TcpChannel *superseded; /* the last that was, which may still wait for its peer to close */
  gboolean channel_paused;
  gboolean losing;  /* tcp_session_restart (), tcp_session_abandon () */
  gboolean closing; /* tcp_session_close () */

  GHashTable *streams;   /* set of TcpStream: those that the peer may know */
  GHashTable *finishing; /* set of those that only have to empty their queue */
  gsize queued;          /* bytes that wait for TCP, in all streams */
  gsize pending;         /* and those that wait for a connection that is being made, where there is a limit for each */
  gboolean whole;        /* the message that is being received is one, and stays for a turn */
  GPtrArray *gathering;  /* of TcpStream (owned), which have gathered some of these */
  /* Of TcpStream (owned), to be read in turn: those that had little the last time, and those that had plenty. */
  GQueue sparse;
  GQueue bulk;
  guint n_sparse;        /* that were read since the last of the others */
  TcpTimer *pump;
  TcpTimer *timeout;     /* of the protocol, */
  gint64 timeout_at;     /* and when it is due; -1 for never */
};

TcpStream *tcp_session_new_stream (TcpSession *self);

G_END_DECLS
