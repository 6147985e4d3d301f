/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "session/stream.h"
#include "websocket/channel.h"

G_BEGIN_DECLS

/* What the session layer stands on, without sockets, threads and time: the functions of
 * io/reactor.h, websocket/channel.h and session/stream.h, and the strings to pull. They
 * do what the real ones do, when they are told to, and in the order they are told. */

/* The clock: double-reactor.c */
void clock_reset (void);
void clock_advance (gint64 by);
/* Fires the timer that is due for the longest time; FALSE if none is. */
gboolean clock_fire (void);
/* How long until the next is due; -1 if none ever will be. */
gint64 clock_next (void);
guint clock_get_timers (void);

/* What one thread asks of another, for programs that wrap tcp_io_thread_invoke(): double-calls.c. Makes the oldest of
 * these calls; FALSE if there is none. */
gboolean calls_make (void);

/* A WebSocket, as a TCP connection with a channel at each end: double-channel.c. Bytes
 * go from the queue of a channel into the wire, which holds as many as a kernel would,
 * and from there into the other channel. */
typedef struct _Link Link;

typedef enum
{
  CLIENT,
  GATEWAY,
} Side;

#define OTHER(side) ((side) == CLIENT ? GATEWAY : CLIENT)

typedef struct
{
  gsize capacity;     /* of the wire, each way */
  gboolean tls;       /* what was tried once is tried again unchanged */
  gboolean fragments; /* messages arrive in pieces */
} LinkOptions;

Link *link_new (const LinkOptions *options,
                GRand             *rand);
/* Both ends are through with it. */
void link_free (Link *self);
TcpChannel *link_get_channel (Link *self,
                              Side  side);
/* The channel goes on writing, as after a poll that said so. FALSE if nothing waits. */
gboolean link_push (Link *self,
                    Side  side);
/* Gives its channel at most so many bytes. FALSE if it takes none, or there are none. */
gboolean link_pull (Link *self,
                    Side  side,
                    gsize most);
/* The channel gets a message, or a piece of one, of which its peer knows nothing. FALSE
 * if it takes none. */
gboolean link_feed (Link         *self,
                    Side          side,
                    const guint8 *data,
                    gsize         length,
                    gboolean      first,
                    gboolean      last);
/* No byte passes any more, and what is on its way is lost. */
void link_cut (Link *self);
/* The same, but something between says so to one end, by closing the WebSocket. FALSE
 * if that cannot be, in the middle of a frame. */
gboolean link_cut_with_close (Link *self,
                              Side  side,
                              guint code);
gboolean link_is_cut (Link *self);
/* Its end learns that there is nobody any more. */
void link_break (Link *self,
                 Side  side);
gboolean link_is_closed (Link *self,
                         Side  side);
/* Nothing is on its way. */
gboolean link_is_empty (Link *self);
guint channel_get_alive (void);

/* A TCP connection, from its far end: double-stream.c. */
typedef struct
{
  /* What it sends: so many bytes of a pattern, and the end */
  guint32 pattern;
  guint64 to_send;
  guint64 sent;      /* into the buffer of the socket */
  guint64 taken;     /* out of it, by the stream */
  gsize send_buffer;
  gboolean ended;
  gboolean ending_taken; /* the stream has read the end */
  gboolean broken;       /* it has sent a reset */

  /* And what it is sent */
  guint32 wanted;
  gboolean careless; /* takes anything */
  guint64 written;   /* by the stream, into the buffer of the socket */
  guint64 accepted;  /* by the stream, whether the socket had room or not */
  guint64 consumed;
  gsize receive_buffer;
  gboolean write_ended;
  gboolean closed; /* in order */
  gboolean reset;
  TcpStream *stream; /* NULL before and after */
} Peer;

/* What takes the place of a GSocketConnection. */
#define PEER_CONNECTION(peer) ((GSocketConnection *) (peer))

/* Its stream sees to what there is at its socket. This and the others: FALSE if there is
 * nothing to do. */
gboolean peer_poll (Peer *self);
gboolean peer_send (Peer    *self,
                    guint64  n);
/* It closes its side, once all is sent. */
gboolean peer_end (Peer *self);
gboolean peer_consume (Peer    *self,
                       guint64  n);
void peer_break (Peer     *self,
                 gboolean  with_loss);
gboolean stream_is_closed (TcpStream *self);
guint stream_get_alive (void);

G_END_DECLS
