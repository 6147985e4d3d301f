/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "protocol/flow.h"
#include "protocol/protocol.h"
#include "protocol/receipts.h"
#include "protocol/resumable-frame.h"
#include "protocol/unacknowledged.h"
#include "protocol/windows.h"

G_BEGIN_DECLS

/* resumable/1, as docs/resumable.md has it: transports may break at any byte, and every byte
 * arrives once and in order. */
extern const TcpProtocolClass tcp_protocol_resumable;

/* Frames without data are not kept back for want of room among those unacknowledged. A peer
 * that acknowledges nothing at all cannot make us keep more of them than this, for each of the
 * streams that there were at a time, and besides. */
#define TCP_RESUMABLE_SPARE_ROOM_PER_STREAM 1024
#define TCP_RESUMABLE_SPARE_ROOM (1024 * 1024)

/* So much of them, or of a message that is not complete, is left to it where the sessions hold more than they may.
 * A gateway has it set aside for each, which also goes on to send while it holds less than half of it. */
#define TCP_RESUMABLE_LEAST_SPARE_ROOM (24 * 1024)

/* How many listeners a client may have in a session. */
#define TCP_RESUMABLE_MAX_LISTENERS 64

/* The following are open for the tests, which look at the books. */

typedef struct
{
  TcpProtocolStream base;
  TcpFlow flow;
  char *target;        /* that this end asked for; nullable */
  guint64 open_number; /* of the OPEN that this end sent, */
  guint64 fin_number;  /* and of its FIN */
  gboolean awaits_fin; /* the peer has not confirmed that */
  gboolean through;    /* both ends are, with nothing left for TCP */
  gboolean lost;       /* it is of a history that is over */
  GList owing_link;
  GList fin_link;
} TcpResumableStream;

/* A port of the gateway. */
typedef struct
{
  guint32 id;
  guint16 port;
  char *name;
  gboolean asked; /* the client has asked this gateway for it */
} TcpResumableListener;

typedef struct
{
  TcpProtocol base;
  TcpUnacknowledged sent; /* sequenced frames */
  TcpReceipts receipts;   /* for those of the peer */
  TcpWindows windows;
  GQueue urgent;          /* of TcpBuffer: not sequenced, to be sent before all others */
  guint64 confirmed;      /* how many of our frames the peer has, by ACK */

  gboolean attached;
  guint64 instance;       /* 0 if not known yet */
  gboolean ready;         /* the peer's HELLO was read on this transport, */
  gboolean begun;         /* or on one before */
  gboolean misled;        /* which was for a session that is gone */
  gboolean listeners_agreed; /* both ends know of listeners, */
  GPtrArray *listeners;   /* of TcpResumableListener, with ids that rise; */
  guint32 last_listener;  /* the highest id of all that there were */
  gboolean last;          /* no stream is opened any more; over when none is left */
  gboolean draining;      /* and this end said so */
  guint32 peer_window;
  guint32 peer_payload;
  guint32 peer_streams;
  gint64 hello_deadline;  /* for the peer's HELLO, 0 for none */
  GByteArray *pieces;     /* of a message that comes in several */

  /* Of TcpResumableStream, by their links */
  GQueue owing;           /* credit is due back */
  GQueue fins;            /* our FIN is not confirmed; in the order of its number */
  guint n_through;        /* streams of which only that is left */
  guint peak_streams;     /* the most that there were at a time beside those */
} TcpResumable;

G_END_DECLS
