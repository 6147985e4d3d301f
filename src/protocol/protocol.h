/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>
#include "base/buffer.h"
#include "base/log.h"

G_BEGIN_DECLS

/* A protocol: how TCP connections, the streams, go over a transport of whole messages, which
 * may break and be replaced. It takes messages, and says by its callbacks what they mean; it
 * gives the next frame when there is room for one, and says when it wants to be woken. It
 * does no I/O and knows no time but what it is told.
 *
 * Whoever uses it calls the functions of its class, of which each protocol has its own. Those
 * that say so in their comment may call back, where anything may be done with the protocol but
 * to free it; a stream may be gone then. */
typedef struct _TcpProtocol TcpProtocol;
typedef struct _TcpProtocolClass TcpProtocolClass;

/* Why a stream is reset, or a listener is over. The numbers are those of resumable/1. */
typedef enum
{
  TCP_RESET_BROKEN = 1,
  TCP_RESET_REFUSED,
  TCP_RESET_UNREACHABLE,
  TCP_RESET_TIMED_OUT,
  TCP_RESET_FORBIDDEN,
  TCP_RESET_LIMIT,
  TCP_RESET_FLOW_CONTROL,
  TCP_RESET_CLOSED,
  TCP_RESET_DRAINING,
  TCP_RESET_IN_USE, /* of a listener: somebody else has the port */
} TcpResetCode;

/* What is common to the streams of all protocols. It lives until it is released, which
 * its user does when nothing of the TCP connection is left. */
typedef struct
{
  guint32 id;
  gboolean active;   /* the protocol has still something to do with it */
  gsize queued;      /* bytes that wait for TCP */
  guint reset_code;  /* with which it will be reset; 0 for that which is obvious */
  guint peer_code;   /* with which the peer has reset it; 0 if it did not, or gave none */
  gpointer user_data;
} TcpProtocolStream;

/* What is known where credit is given. */
typedef struct
{
  gint64 round_trip;    /* microseconds */
  gint64 response_time; /* until something that was said has its effect here */
  gsize growth;         /* by how much windows may grow, in bytes, for want of memory */
} TcpProtocolOutlook;

typedef struct
{
  /* The peer opened a stream. @target is what it wants, or NULL. */
  void (*opened) (TcpProtocolStream *stream,
                  const char        *target,
                  gpointer           user_data);
  /* The peer has connected a stream that this end opened. Only where the protocol names targets. */
  void (*connected) (TcpProtocolStream *stream,
                     gpointer           user_data);
  /* The same, for a TCP connection that came to a listener of this end, from @client where that is known. */
  void (*arrived) (TcpProtocolStream *stream,
                   guint32            listener,
                   const char        *client,
                   gpointer           user_data);
  /* Bytes for TCP. Returns how many wait for it now. */
  gsize (*data) (TcpProtocolStream *stream,
                 const guint8      *data,
                 gsize              length,
                 gpointer           user_data);
  /* The peer sends no more, but may receive. */
  void (*half_closed) (TcpProtocolStream *stream,
                       gpointer           user_data);
  /* Both are through: TCP ends behind what waits, in order if nothing is missing. */
  void (*finished) (TcpProtocolStream *stream,
                    gboolean           complete,
                    gpointer           user_data);
  /* It is over at once. @left: since a program at its far end wanted that, or has gone. */
  void (*was_reset) (TcpProtocolStream *stream,
                     const GError      *error,
                     gboolean           left,
                     gpointer           user_data);
  /* There was no room for data of this stream, and there is now. */
  void (*writable) (TcpProtocolStream *stream,
                    gpointer           user_data);

  /* The peer asks for a listener: listening () or unlisten () is to follow. */
  void (*listen) (guint32     listener,
                  guint16     port,
                  const char *name,
                  gpointer    user_data);
  /* The peer listens for this end. */
  void (*listening) (guint32     listener,
                     const char *host,
                     guint16     port,
                     gpointer    user_data);
  /* The peer listens no more for this end, or did not, or has no more use for a listener of this one. */
  void (*unlistened) (guint32       listener,
                      TcpResetCode  code,
                      const GError *error,
                      gpointer      user_data);

  /* The peer's first words on this transport were read. */
  void (*hello) (gpointer user_data);
  /* To be logged: something that the peer can cause as often as it likes. */
  void (*warn) (const char *message,
                gpointer    user_data);
  /* The peer takes no new streams. */
  void (*draining) (gpointer user_data);
  /* The peer goes on over another transport only: with another token, if @error is
   * TCP_TUNNEL_ERROR_UNAUTHORIZED, or else at once. This one is aborted next. */
  void (*sent_away) (const GError *error,
                     gpointer      user_data);
  /* The transport is to be closed, behind the frames that do not wait for room. */
  void (*close) (guint       code,
                 const char *reason,
                 gpointer    user_data);
  /* It is of no use any more. */
  void (*abort) (const GError *error,
                 gpointer      user_data);
  /* Takes from the transport that is detached what did not leave it whole. */
  void (*take_back) (GQueue   *frames,
                     gpointer  user_data);
  void (*look_out) (gint64              now,
                    TcpProtocolOutlook *outlook,
                    gpointer            user_data);
  /* Whether the sessions of one principal, or all together, hold more than they may: what they cannot wait with. Gives
   * the limit, for a message, or NULL.
   * That there is memory is taken for granted by who has no more than is set aside for it. */
  const char *(*overdrawn) (gpointer user_data);
  /* There is something to be done that was caused by no call of receive () or wake (): the
   * latter is to be called, and next_frame (), but not from within. */
  void (*wakeup) (gpointer user_data);
} TcpProtocolCallbacks;

/* What of these is of no concern to a protocol it ignores. */
typedef struct
{
  gboolean client;         /* this end opened the transport */
  gboolean single;         /* there is one stream, and then all is over, */
  gboolean lifts_single;   /* unless the peer can do with many, as this end can */
  gboolean accepts;        /* the peer may open streams */
  gboolean listens;        /* the gateway listens for its client, which asks for that */
  gboolean nameless;       /* the peer cannot come back with another transport */
  gboolean reset_on_loss;
  guint max_streams;
  gsize max_unacknowledged; /* bytes */
  gsize max_window;        /* credit, all streams together, */
  gsize max_first_window;  /* and that with which one begins */
  guint session_timeout;   /* s, to be told to the peer */
  guint hello_timeout;     /* ms, for the peer's first words; 0 for none */
  const char *peer;        /* what is at the far end, for messages */
  TcpLog *log;
} TcpProtocolOptions;

/* How a transport was lost. */
typedef struct
{
  guint code;          /* with which the peer closed it; 0 if it did not */
  const GError *error;
  gsize pending;       /* bytes that did not leave, */
  guint64 unconfirmed; /* and those that left, but may not have arrived */
  gint64 now;
} TcpProtocolLoss;

typedef struct
{
  gsize unacknowledged; /* bytes of memory for frames that the peer may not have */
  gsize remembered;     /* bytes of memory for ids that were closed a moment ago, or for a frame of which a part has come */
  gsize grown;          /* what windows have grown beyond the first, all together */
  gsize first_window;   /* with which a stream begins, where there is credit */
  gsize receive_window; /* credit given and not used, all streams together */
  gsize send_window;    /* credit had and not used */
  guint64 resumes;
  guint64 replayed;     /* bytes */
} TcpProtocolFigures;

struct _TcpProtocolClass
{
  const char *name;
  gboolean multiplexed;
  gboolean outlives_transport; /* streams survive its loss, */
  gboolean resumable; /* and no byte is lost, and credit limits what waits for TCP */
  gboolean names_targets; /* this end may name the target of a stream, and connected () tells that the peer has connected it */
  gsize size;
  gsize stream_size;

  void (*init) (TcpProtocol *self);
  void (*clear) (TcpProtocol *self);

  /* There is a transport. @reset_code is what says on closing it that TCP broke. Calls back. */
  void (*attached) (TcpProtocol *self,
                    guint        reset_code,
                    gint64       now);
  /* It is gone. Calls back. */
  void (*detached) (TcpProtocol           *self,
                    const TcpProtocolLoss *loss);
  /* A message, or a piece of one. Calls back. */
  void (*receive) (TcpProtocol  *self,
                   const guint8 *data,
                   gsize         length,
                   gboolean      first,
                   gboolean      last,
                   gint64        now);
  /* The next frame; NULL if there is none, or none that goes out without @room. */
  TcpBuffer *(*next_frame) (TcpProtocol *self,
                            gboolean     room,
                            gint64       now);
  /* When to call wake (), -1 for never. */
  gint64 (*next_timeout) (TcpProtocol *self);
  /* Sees to what is due. Calls back. */
  void (*wake) (TcpProtocol *self,
                gint64       now);

  /* Opens a stream from this end, to what the peer leads to if @target is NULL; only if
   * may_open () was true. A protocol that cannot name a target ignores it. */
  gboolean (*may_open) (TcpProtocol *self);
  TcpProtocolStream *(*open) (TcpProtocol *self,
                              const char  *target,
                              gpointer     user_data);
  /* The same for a TCP connection that came to a listener of the peer, from @client. */
  TcpProtocolStream *(*open_from) (TcpProtocol *self,
                                   guint32      listener,
                                   const char  *client,
                                   gpointer     user_data);
  /* The one that the peer opened has its TCP connection. */
  void (*connected) (TcpProtocol       *self,
                     TcpProtocolStream *stream);
  /* Whether data are taken, of whatever stream; how many bytes of this one, and if that
   * is 0, writable () says when. */
  gboolean (*takes_data) (TcpProtocol *self);
  gsize (*get_room) (TcpProtocol       *self,
                     TcpProtocolStream *stream);
  /* Makes a frame of it, which is the next: when next_frame () has just given none. */
  TcpBuffer *(*make_frame) (TcpProtocol       *self,
                            TcpProtocolStream *stream,
                            TcpBuffer         *data);
  /* How many frames with as much data as there is room for it takes in a row: at least 1, as takes_data () and
   * get_room () have allowed one, and at most @max. */
  guint (*get_n_frames) (TcpProtocol       *self,
                         TcpProtocolStream *stream,
                         guint              max);
  /* TCP has no more to say. Calls back. */
  void (*end) (TcpProtocol       *self,
               TcpProtocolStream *stream,
               gint64             now);
  /* So many bytes still wait for TCP. */
  void (*flushed) (TcpProtocol       *self,
                   TcpProtocolStream *stream,
                   gsize              queued);
  /* TCP broke, or is to break. */
  void (*reset) (TcpProtocol       *self,
                 TcpProtocolStream *stream,
                 const GError      *error,
                 gint64             now);
  /* It is not active any more. */
  void (*forgotten) (TcpProtocol       *self,
                     TcpProtocolStream *stream);
  /* Nothing of it is left. */
  void (*released) (TcpProtocol       *self,
                    TcpProtocolStream *stream);

  /* Asks the gateway to listen on the port, and to pass on what connects there; 0 is for any port. @name is for
   * people. A listener that was asked for already goes on. NULL if it cannot be asked. */
  void (*listen) (TcpProtocol *self,
                  guint32      listener,
                  guint16      port,
                  const char  *name);
  /* The answers of the gateway: it listens, or not, or no more. The client has no more use for it with the
   * second. */
  void (*listening) (TcpProtocol *self,
                     guint32      listener,
                     const char  *host,
                     guint16      port);
  void (*unlisten) (TcpProtocol  *self,
                    guint32       listener,
                    TcpResetCode  code,
                    const char   *reason);

  /* Takes no new streams from the peer, where that can be said. */
  void (*drain) (TcpProtocol *self);
  /* The peer knows nothing of it any more: what it knew of is reset, the rest opened anew,
   * where streams can wait. Calls back. */
  void (*lose) (TcpProtocol  *self,
                const GError *error);
  /* The peer is to come back on another transport, with another token if @renew. NULL where that cannot be said. */
  void (*send_away) (TcpProtocol *self,
                     gboolean     renew,
                     const char  *reason);
  /* This end ends it, and resets all streams next; @unauthorized if that is since the peer has no token any more. */
  void (*leave) (TcpProtocol *self,
                 const char  *reason,
                 gboolean     unauthorized);
};

struct _TcpProtocol
{
  const TcpProtocolClass *class;
  TcpProtocolOptions options;
  TcpProtocolCallbacks callbacks;
  gpointer user_data;

  GHashTable *streams; /* id → TcpProtocolStream: those that are active */
  guint n_streams;     /* all that were not released */
  guint32 next_id;

  gboolean text; /* its user says so before receive (): the message is one of text */
  gboolean stays_single; /* set by its user: lifts_single has no effect but in what is said to the peer */

  /* For its user to read */
  gboolean over;     /* no transport can revive it */
  gboolean many;     /* both ends take many streams, though there was to be one */
  gboolean progress; /* bytes came, or were acknowledged; its user takes that back */
  guint peer_timeout; /* s that the peer keeps it without a transport; 0 if it does not */
  GQueue goodbye; /* of TcpBuffer: what says on a transport of its own that it is over, where the
                   * peer may not have read that; to be taken */
  TcpProtocolFigures figures;
};

TcpProtocol *tcp_protocol_new (const TcpProtocolClass     *class,
                               const TcpProtocolOptions   *options,
                               const TcpProtocolCallbacks *callbacks,
                               gpointer                    user_data);
void tcp_protocol_free (TcpProtocol *self);
void tcp_protocol_release (TcpProtocol       *self,
                           TcpProtocolStream *stream);

/* For the protocols themselves */
guint32 tcp_protocol_next_id (TcpProtocol *self,
                              guint        step);
TcpProtocolStream *tcp_protocol_lookup (TcpProtocol *self,
                                        guint32      id);
TcpProtocolStream *tcp_protocol_add (TcpProtocol *self,
                                     guint32      id,
                                     gpointer     user_data);
void tcp_protocol_forget (TcpProtocol       *self,
                          TcpProtocolStream *stream);
void tcp_protocol_finish (TcpProtocol       *self,
                          TcpProtocolStream *stream,
                          gboolean           complete);
void tcp_protocol_reset (TcpProtocol       *self,
                         TcpProtocolStream *stream,
                         const GError      *error,
                         gboolean           left);
void tcp_protocol_reset_all (TcpProtocol  *self,
                             const GError *error,
                             gboolean      left);

G_END_DECLS
