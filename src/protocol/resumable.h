/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "protocol/flow.h"
#include "protocol/protocol.h"
#include "protocol/receipts.h"
#include "protocol/resumable-frame.h"
#include "protocol/unacknowledged.h"
#include "protocol/windows.h"

G_BEGIN_DECLS

/* resumable/1, as described in docs/resumable.md: transports may break at any byte, and every byte arrives once and in
 * order. */
extern const TcpProtocolClass tcp_protocol_resumable;

/* Frames without data are sent even if too much is unacknowledged. A peer that acknowledges nothing at all cannot make
 * this end keep more of them than this: an amount for each of the streams that existed at a time, and one for the
 * session. */
#define TCP_RESUMABLE_SPARE_ROOM_PER_STREAM 1024
#define TCP_RESUMABLE_SPARE_ROOM (1024 * 1024)

/* The amount of such frames, or of an incomplete message, that is left to a session if the sessions use more memory
 * than they may. A gateway sets it aside for each; while a session uses less than half of it, it also continues to
 * send. */
#define TCP_RESUMABLE_LEAST_SPARE_ROOM (24 * 1024)

/* The number of listeners of a client in one session. */
#define TCP_RESUMABLE_MAX_LISTENERS 64

/* The following types are public for the tests, which check their contents. */

typedef struct
{
  TcpProtocolStream base;
  TcpFlow flow;
  char *target;        /* the target that this end requested; nullable */
  guint64 open_number; /* the number of the OPEN that this end sent */
  guint64 fin_number;  /* the number of its FIN */
  gboolean awaits_fin; /* the peer has not confirmed the FIN */
  gboolean through;    /* both ends have sent FIN, and nothing waits for TCP */
  gboolean lost;       /* it belongs to a history that is over */
  GList owing_link;
  GList fin_link;
} TcpResumableStream;

/* A port of the gateway. */
typedef struct
{
  guint32 id;
  guint16 port;
  char *name;
  gboolean asked; /* the client has requested it from this gateway */
} TcpResumableListener;

typedef struct
{
  TcpProtocol base;
  TcpUnacknowledged sent; /* sequenced frames */
  TcpReceipts receipts;   /* for the sequenced frames of the peer */
  TcpWindows windows;
  GQueue urgent;          /* of TcpBuffer: not sequenced, sent before all others */
  guint64 confirmed;      /* how many of our frames the peer has, according to its ACKs */

  gboolean attached;
  guint64 instance;       /* 0 if it is not known yet */
  gboolean ready;         /* the peer's HELLO was read on this transport */
  gboolean begun;         /* it was read on this or a former transport */
  gboolean misled;        /* that HELLO was for a session that is gone */
  gboolean listeners_agreed; /* both ends support listeners */
  GPtrArray *listeners;   /* of TcpResumableListener, with ascending ids */
  guint32 last_listener;  /* the highest id that was ever used */
  gboolean last;          /* no more streams are opened; the session ends with the last one */
  gboolean draining;      /* this end has announced that */
  guint32 peer_window;
  guint32 peer_payload;
  guint32 peer_streams;
  gint64 hello_deadline;  /* for the peer's HELLO, 0 for none */
  GByteArray *pieces;     /* the parts of a fragmented message */

  /* of TcpResumableStream, by their links */
  GQueue owing;           /* streams to which credit is due */
  GQueue fins;            /* streams whose FIN is not confirmed, in the order of its number */
  guint n_through;        /* streams of which only that confirmation is left */
  guint peak_streams;     /* the maximum number of other streams at a time */
} TcpResumable;

G_END_DECLS
