/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "session/stream.h"
#include "websocket/channel.h"

G_BEGIN_DECLS

/* Test doubles of the layers below the session, without sockets, threads and time: they implement the functions of
 * io/reactor.h, websocket/channel.h and session/stream.h, and add functions that control them. They behave like the real
 * ones, but only when and in the order in which they are told to. */

/* The clock: double-reactor.c */
void clock_reset (void);
void clock_advance (gint64 by);
/* Calls the timer that has been due for longest. Returns FALSE if none is due. */
gboolean clock_fire (void);
/* Returns the time until the next timer is due; -1 if no timer is set. */
gint64 clock_next (void);
guint clock_get_timers (void);

/* Calls between threads, for programs that wrap tcp_io_thread_invoke (): double-calls.c. Makes the oldest call;
 * returns FALSE if there is none. */
gboolean calls_make (void);

/* A WebSocket, as a TCP connection with a channel at each end: double-channel.c. Bytes go from the queue of a channel
 * into the wire, which has the capacity of a kernel's buffers, and from there into the other channel. */
typedef struct _Link Link;

typedef enum
{
  CLIENT,
  GATEWAY,
} Side;

#define OTHER(side) ((side) == CLIENT ? GATEWAY : CLIENT)

typedef struct
{
  gsize capacity;     /* of the wire, in each direction */
  gboolean tls;       /* a write that was tried once is repeated unchanged */
  gboolean fragments; /* messages arrive in fragments */
} LinkOptions;

Link *link_new (const LinkOptions *options,
                GRand             *rand);
/* Both ends have to be closed. */
void link_free (Link *self);
TcpChannel *link_get_channel (Link *self,
                              Side  side);
/* Lets the channel continue to write, as after a poll () that reported room. Returns FALSE if nothing waits. */
gboolean link_push (Link *self,
                    Side  side);
/* Gives the channel at most @most bytes. Returns FALSE if it takes none, or there are none. */
gboolean link_pull (Link *self,
                    Side  side,
                    gsize most);
/* Gives the channel a message, or a fragment of one, that its peer has not sent. Returns FALSE if the channel takes
 * none. */
gboolean link_feed (Link         *self,
                    Side          side,
                    const guint8 *data,
                    gsize         length,
                    gboolean      first,
                    gboolean      last);
/* From now on no byte passes, and what is under way is lost. */
void link_cut (Link *self);
/* The same, but one end gets a close frame from an intermediary. Returns FALSE if this is impossible, in the middle
 * of a frame. */
gboolean link_cut_with_close (Link *self,
                              Side  side,
                              guint code);
gboolean link_is_cut (Link *self);
/* This end learns that its peer is gone. */
void link_break (Link *self,
                 Side  side);
gboolean link_is_closed (Link *self,
                         Side  side);
/* Whether nothing is under way. */
gboolean link_is_empty (Link *self);
guint channel_get_alive (void);

/* A TCP connection, from its far end: double-stream.c. */
typedef struct
{
  /* The data that it sends: @to_send bytes of a pattern, and the end */
  guint32 pattern;
  guint64 to_send;
  guint64 sent;      /* into the buffer of the socket */
  guint64 taken;     /* out of it, by the stream */
  gsize send_buffer;
  gboolean ended;
  gboolean ending_taken; /* the stream has read the end */
  gboolean broken;       /* it has sent a reset */

  /* The data that it is sent */
  guint32 wanted;
  gboolean careless; /* does not check what it gets */
  guint64 written;   /* by the stream, into the buffer of the socket */
  guint64 accepted;  /* by the stream, whether or not the socket had room */
  guint64 consumed;
  gsize receive_buffer;
  gboolean write_ended;
  gboolean closed; /* in order */
  gboolean reset;
  TcpStream *stream; /* NULL before and after */
} Peer;

/* Is used in place of a GSocketConnection. */
#define PEER_CONNECTION(peer) ((GSocketConnection *) (peer))

/* Lets the stream handle the events of its socket. This and the following functions return FALSE if there is nothing
 * to do. */
gboolean peer_poll (Peer *self);
gboolean peer_send (Peer    *self,
                    guint64  n);
/* Ends the peer's direction once it has sent all its data. */
gboolean peer_end (Peer *self);
gboolean peer_consume (Peer    *self,
                       guint64  n);
void peer_break (Peer     *self,
                 gboolean  with_loss);
gboolean stream_is_closed (TcpStream *self);
guint stream_get_alive (void);

G_END_DECLS
