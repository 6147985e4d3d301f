/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io/reactor.h"
#include "session/closed-ids.h"
#include "session/resumable.h"
#include "session/retained.h"
#include "session/session.h"

G_BEGIN_DECLS

/* What raw and tagged have in common, and what resumable does another way. */
typedef struct
{
  /* There is a channel. */
  void (*attached) (TcpSession *self);
  /* It is gone, or about to be: what can be had back from it has to be taken now. */
  void (*detached) (TcpSession   *self,
                    TcpChannel   *channel,
                    guint         code,
                    const GError *error);
  void (*message) (TcpSession   *self,
                   const guint8 *data,
                   gsize         length,
                   gboolean      first,
                   gboolean      last);
  /* Whether there is something that the channel could take, and to give it one piece. */
  gboolean (*has_more) (TcpSession *self);
  void (*send) (TcpSession *self);
  /* A connection was opened from this end. */
  void (*opened) (TcpSession *self,
                  TcpStream  *stream);
  /* It has something to read; FALSE to leave it for now. */
  gboolean (*readable) (TcpSession *self,
                        TcpStream  *stream);
  /* Bytes that waited went to TCP. */
  void (*flushed) (TcpSession *self,
                   TcpStream  *stream);
  /* TCP broke: tell the peer. */
  void (*broken) (TcpSession   *self,
                  TcpStream    *stream,
                  const GError *error);
  /* A stream is out of the table. */
  void (*forgotten) (TcpSession *self,
                     TcpStream  *stream);
  /* The peer has forgotten the session: all that it knew of is to be reset. */
  void (*lose) (TcpSession   *self,
                const GError *error);
  /* This end closes the channel for good. */
  void (*leaving) (TcpSession   *self,
                   const char   *reason);
} TcpSessionOps;

extern const TcpSessionOps tcp_plain_session_ops;
extern const TcpSessionOps tcp_resumable_session_ops;

/* Frames without data are not kept back for want of room among those retained. A peer
 * that acknowledges nothing at all cannot make us keep more of them than this. */
#define TCP_RESUMABLE_SPARE_ROOM (1024 * 1024)
#define TCP_RESUMABLE_SPARE_ROOM_PER_STREAM 1024

typedef struct
{
  TcpDialectDecoder decoder;
  GQueue unsent;           /* of TcpBuffer, for the next channel */
  gboolean ending;         /* the closing of the channel will say what happened, */
  guint end_code;          /* and if it broke before, that of the next */
  TcpClosedIds *closed_ids;
} TcpPlain;

typedef struct
{
  TcpRetained retained;
  gsize reported;        /* how many bytes of it the application was told of */
  guint64 instance;      /* 0 if not known yet */
  gboolean greeted;      /* the peer's HELLO was read on this channel, */
  gboolean begun;        /* or on one before */
  gboolean losing;       /* the streams are those of a history that is lost */
  gboolean goodbye;      /* GOAWAY was said or heard: the session is over */
  gboolean last;         /* no stream is opened any more; over when none is left */
  gboolean draining;     /* and this end said so */
  guint32 peer_window;
  guint32 peer_payload;
  guint32 peer_streams;
  guint32 peer_timeout;  /* s that the peer keeps the session, 0 if there is none */
  GByteArray *pieces;    /* of a message that comes in several */

  guint64 received;      /* sequenced frames */
  guint64 acknowledged;  /* of them */
  guint64 confirmed;     /* of those that we sent, by ACK */
  gsize unacknowledged;  /* bytes of the others */
  gboolean ack_due;
  TcpTimer *ack_timer;
  TcpTimer *greeting_timer;

  GQueue owing;          /* of TcpStream (owned): credit is due back */
  GQueue ending;         /* of TcpStream (owned): both ends are through, ours unconfirmed */
  guint64 grown;         /* what windows have grown beyond the first, all together */
  guint32 path_window;   /* the largest that this channel's path was seen to need */
} TcpResumable;

struct _TcpSession
{
  grefcount refs;
  const TcpDialect *dialect; /* NULL until it was negotiated */
  const TcpSessionOps *ops;
  TcpSessionCallbacks callbacks;
  gpointer user_data;
  gboolean client;
  gboolean single;
  gboolean foreign;
  gboolean nameless;
  gsize max_buffered;
  gsize max_retained;
  gsize max_window;
  gsize max_first_window;
  guint max_streams;
  guint session_timeout;
  guint greeting_timeout;
  gboolean reset_on_loss;
  char *peer;
  char *local;
  TcpTunnelError local_code;
  TcpLog *log;
  TcpStatus *status;
  TcpBudgetShare share;

  TcpChannel *channel;
  TcpChannel *superseded; /* the last that was, which may still wait for its peer to close */
  gboolean channel_paused;
  gboolean closing; /* tcp_session_close() */
  gboolean progress; /* since tcp_session_take_progress() */

  GHashTable *streams;     /* id → TcpStream, those that the peer knows */
  GHashTable *finishing;   /* set of those that only have to empty their queue */
  gsize queued;            /* bytes that wait for TCP, in all streams */
  GQueue ready;            /* of TcpStream (owned), to be read in turn */
  TcpTimer *pump;
  guint32 next_id;

  /* One of them, as the dialect is */
  TcpPlain plain;
  TcpResumable resumable;
};

void tcp_session_pump (TcpSession *self);
void tcp_session_update_pause (TcpSession *self);
void tcp_session_account (TcpSession *self);
gboolean tcp_session_is_crowded (TcpSession *self);
TcpStream *tcp_session_lookup (TcpSession *self,
                               guint32     id);
TcpStream *tcp_session_add_stream (TcpSession *self,
                                   guint32     id);
void tcp_session_make_ready (TcpSession *self,
                             TcpStream  *stream);
void tcp_session_forget (TcpSession *self,
                         TcpStream  *stream);
void tcp_session_finish_stream (TcpSession *self,
                                TcpStream  *stream,
                                gboolean    complete);
void tcp_session_reset_all (TcpSession   *self,
                            const GError *error);

/* resumable-session.c */
void tcp_resumable_init (TcpSession *self);
void tcp_resumable_clear (TcpSession *self);
void tcp_resumable_queue (TcpSession *self,
                          TcpBuffer  *frame);
void tcp_resumable_fail (TcpSession *self,
                         const char *what);
void tcp_resumable_settle (TcpSession *self);
void tcp_resumable_send_ack (TcpSession *self);
guint32 tcp_resumable_first_window (TcpSession *self);

/* resumable-greeting.c */
void tcp_resumable_forget_history (TcpSession *self);
void tcp_resumable_attached (TcpSession *self);
void tcp_resumable_greeting_timeout (gpointer user_data);
void tcp_resumable_lose (TcpSession   *self,
                         const GError *error);
gboolean tcp_resumable_handle_hello (TcpSession               *self,
                                     const TcpResumableFrame  *frame,
                                     GError                  **error);

/* resumable-streams.c and resumable-open.c */
void tcp_resumable_begin_stream (TcpSession *self,
                                 TcpStream  *stream);
void tcp_resumable_begin_streams (TcpSession *self);
gboolean tcp_resumable_handle_open (TcpSession               *self,
                                    TcpStream                *stream,
                                    const TcpResumableFrame  *frame,
                                    GError                  **error);
void tcp_resumable_handle_reset (TcpSession              *self,
                                 TcpStream               *stream,
                                 const TcpResumableFrame *frame);
GPtrArray *tcp_resumable_take_unsent_streams (TcpSession *self);
void tcp_resumable_put_back (TcpSession *self,
                             GPtrArray  *streams);
void tcp_resumable_make_frame (TcpSession *self);
void tcp_resumable_acknowledged (TcpSession *self);
gboolean tcp_resumable_handle_stream_frame (TcpSession               *self,
                                            const TcpResumableFrame  *frame,
                                            GError                  **error);
void tcp_resumable_opened (TcpSession *self,
                           TcpStream  *stream);
gboolean tcp_resumable_readable (TcpSession *self,
                                 TcpStream  *stream);
void tcp_resumable_flushed (TcpSession *self,
                            TcpStream  *stream);
void tcp_resumable_broken (TcpSession   *self,
                           TcpStream    *stream,
                           const GError *error);
void tcp_resumable_forgotten (TcpSession *self,
                              TcpStream  *stream);
void tcp_resumable_closed (TcpSession *self,
                           TcpStream  *stream);

G_END_DECLS
