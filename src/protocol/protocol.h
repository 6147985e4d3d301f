/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>
#include "base/buffer.h"
#include "base/log.h"

G_BEGIN_DECLS

/* A protocol: it transfers TCP connections, the streams, over a transport of whole messages, which may break and be
 * replaced. It takes messages, and reports their meaning through its callbacks; it returns the next frame when there is
 * room for one, and the time at which it must be called. It does no I/O, and has no clock: the caller passes the time.
 *
 * The user calls the functions of its class, of which each protocol has its own. Those whose comment says so may call
 * back; a callback may do anything with the protocol except free it, and a stream may be gone afterwards. */
typedef struct _TcpProtocol TcpProtocol;
typedef struct _TcpProtocolClass TcpProtocolClass;

/* Why a stream is reset, or a listener has ended. The numbers are those of resumable/1. */
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
  TCP_RESET_IN_USE, /* of a listener: the port is taken */
} TcpResetCode;

/* The part of a stream that all protocols have. It lives until it is released, which its user does when nothing of the
 * TCP connection is left. */
typedef struct
{
  guint32 id;
  gboolean active;   /* the protocol still uses it */
  gsize queued;      /* bytes that wait for TCP */
  guint reset_code;  /* the code to reset it with; 0 to derive it from the error */
  guint peer_code;   /* the code with which the peer has reset it; 0 if it did not, or sent none */
  gpointer user_data;
} TcpProtocolStream;

/* The facts on which the amount of credit depends. */
typedef struct
{
  gint64 round_trip;    /* in microseconds */
  gint64 response_time; /* until a message to the peer has its effect here */
  gsize growth;         /* by how many bytes windows may grow, as memory allows */
} TcpProtocolOutlook;

typedef struct
{
  /* The peer opened a stream. @target is the requested target, or NULL. */
  void (*opened) (TcpProtocolStream *stream,
                  const char        *target,
                  gpointer           user_data);
  /* The peer has connected a stream that this end opened. Only with protocols that name targets. */
  void (*connected) (TcpProtocolStream *stream,
                     gpointer           user_data);
  /* As opened (), for a TCP connection to a port on which the peer listens for this end, from @client if that is
   * known. */
  void (*arrived) (TcpProtocolStream *stream,
                   guint32            listener,
                   const char        *client,
                   gpointer           user_data);
  /* Data for TCP. Returns the number of bytes that wait for it now. */
  gsize (*data) (TcpProtocolStream *stream,
                 const guint8      *data,
                 gsize              length,
                 gpointer           user_data);
  /* The peer sends no more, but still receives. */
  void (*half_closed) (TcpProtocolStream *stream,
                       gpointer           user_data);
  /* Both directions have ended: TCP ends after the data that waits, in order if @complete. */
  void (*finished) (TcpProtocolStream *stream,
                    gboolean           complete,
                    gpointer           user_data);
  /* The stream ends at once. @left: because a program at the other end requested that, or has exited. */
  void (*was_reset) (TcpProtocolStream *stream,
                     const GError      *error,
                     gboolean           left,
                     gpointer           user_data);
  /* There was no room for data of this stream, and now there is. */
  void (*writable) (TcpProtocolStream *stream,
                    gpointer           user_data);

  /* The peer requests a listener: listening () or unlisten () must follow. */
  void (*listen) (guint32     listener,
                  guint16     port,
                  const char *name,
                  gpointer    user_data);
  /* The peer listens for this end. */
  void (*listening) (guint32     listener,
                     const char *host,
                     guint16     port,
                     gpointer    user_data);
  /* The peer does not listen for this end any more, or could not, or does not need a listener of this end any more. */
  void (*unlistened) (guint32       listener,
                      TcpResetCode  code,
                      const GError *error,
                      gpointer      user_data);

  /* The first frame of the peer on this transport was read. */
  void (*hello) (gpointer user_data);
  /* A warning to log. Its number must be limited, since the peer can cause it repeatedly. */
  void (*warn) (const char *message,
                gpointer    user_data);
  /* The peer accepts no new streams. */
  void (*draining) (gpointer user_data);
  /* The peer continues only over another transport: with another token, if @error is TCP_TUNNEL_ERROR_UNAUTHORIZED,
   * otherwise at once. The caller aborts this one next. */
  void (*sent_away) (const GError *error,
                     gpointer      user_data);
  /* The transport must be closed, after the frames that do not wait for room. */
  void (*close) (guint       code,
                 const char *reason,
                 gpointer    user_data);
  /* The transport must be closed at once. */
  void (*abort) (const GError *error,
                 gpointer      user_data);
  /* Takes those frames that were not completely sent from the transport that is detached. */
  void (*take_back) (GQueue   *frames,
                     gpointer  user_data);
  void (*look_out) (gint64              now,
                    TcpProtocolOutlook *outlook,
                    gpointer            user_data);
  /* Whether the sessions of one principal, or all together, use more memory than they may for data that cannot wait.
   * Returns the limit, for a message, or NULL. It is not called for the part that is set aside for each session. */
  const char *(*overdrawn) (gpointer user_data);
  /* There is work that was not caused by receive () or wake (): wake () and next_frame () must be called, but not from
   * within this callback. */
  void (*wakeup) (gpointer user_data);
} TcpProtocolCallbacks;

/* A protocol ignores the options that do not apply to it. */
typedef struct
{
  gboolean client;         /* this end opened the transport */
  gboolean single;         /* there is one stream, and the session ends with it */
  gboolean lifts_single;   /* unless the peer supports many, as this end does */
  gboolean accepts;        /* the peer may open streams */
  gboolean listens;        /* the gateway listens for its client on request */
  gboolean nameless;       /* the peer cannot come back with another transport */
  gboolean reset_on_loss;
  guint max_streams;
  gsize max_unacknowledged; /* in bytes */
  gsize max_window;        /* the credit of all streams together */
  gsize max_first_window;  /* the initial credit of one stream */
  guint session_timeout;   /* in s, announced to the peer */
  guint hello_timeout;     /* in ms, for the first frame of the peer; 0 for none */
  const char *peer;        /* the name of the other end, for messages */
  TcpLog *log;
} TcpProtocolOptions;

/* How a transport was lost. */
typedef struct
{
  guint code;          /* the close code of the peer; 0 if it did not close */
  const GError *error;
  gsize pending;       /* bytes that were not sent */
  guint64 unconfirmed; /* bytes that were sent, but may not have arrived */
  gint64 now;
} TcpProtocolLoss;

typedef struct
{
  gsize unacknowledged; /* the memory of frames that the peer may not have, in bytes */
  gsize remembered;     /* the memory of the ids of recently closed streams, or of a frame that was received in part, in
                         * bytes */
  gsize grown;          /* the size of windows beyond the initial ones, in total */
  gsize first_window;   /* the initial credit of a stream, with protocols that use credit */
  gsize receive_window; /* credit given but not used, in total */
  gsize send_window;    /* credit received but not used */
  guint64 resumes;
  guint64 replayed;     /* in bytes */
} TcpProtocolFigures;

struct _TcpProtocolClass
{
  const char *name;
  gboolean multiplexed;
  gboolean outlives_transport; /* streams survive its loss */
  gboolean resumable; /* no byte is lost, and credit limits what waits for TCP */
  gboolean names_targets; /* this end may name the target of a stream, and connected () is called */
  gsize size;
  gsize stream_size;

  void (*init) (TcpProtocol *self);
  void (*clear) (TcpProtocol *self);

  /* Attaches a transport. @reset_code is the close code that means that TCP broke. Calls back. */
  void (*attached) (TcpProtocol *self,
                    guint        reset_code,
                    gint64       now);
  /* The transport is lost. Calls back. */
  void (*detached) (TcpProtocol           *self,
                    const TcpProtocolLoss *loss);
  /* Takes a message, or a part of one. Calls back. */
  void (*receive) (TcpProtocol  *self,
                   const guint8 *data,
                   gsize         length,
                   gboolean      first,
                   gboolean      last,
                   gint64        now);
  /* Returns the next frame; NULL if there is none, or none that may be sent without @room. */
  TcpBuffer *(*next_frame) (TcpProtocol *self,
                            gboolean     room,
                            gint64       now);
  /* When wake () must be called, -1 for never. */
  gint64 (*next_timeout) (TcpProtocol *self);
  /* Does the work that is due. Calls back. */
  void (*wake) (TcpProtocol *self,
                gint64       now);

  /* Opens a stream from this end, to the default target of the peer if @target is NULL. Only if may_open () returned
   * TRUE. A protocol without named targets ignores @target. */
  gboolean (*may_open) (TcpProtocol *self);
  TcpProtocolStream *(*open) (TcpProtocol *self,
                              const char  *target,
                              gpointer     user_data);
  /* The same for a TCP connection from @client to a port on which this end listens for the peer. */
  TcpProtocolStream *(*open_from) (TcpProtocol *self,
                                   guint32      listener,
                                   const char  *client,
                                   gpointer     user_data);
  /* The stream that the peer opened has its TCP connection. */
  void (*connected) (TcpProtocol       *self,
                     TcpProtocolStream *stream);
  /* Whether data of any stream is accepted, and how many bytes of this one; if that is 0, writable () is called
   * later. */
  gboolean (*takes_data) (TcpProtocol *self);
  gsize (*get_room) (TcpProtocol       *self,
                     TcpProtocolStream *stream);
  /* Makes the next frame of @data; allowed when next_frame () has just returned none. */
  TcpBuffer *(*make_frame) (TcpProtocol       *self,
                            TcpProtocolStream *stream,
                            TcpBuffer         *data);
  /* Returns how many full frames it accepts in a row: at least 1, as takes_data () and get_room () have allowed one,
   * and at most @max. */
  guint (*get_n_frames) (TcpProtocol       *self,
                         TcpProtocolStream *stream,
                         guint              max);
  /* TCP sends no more. Calls back. */
  void (*end) (TcpProtocol       *self,
               TcpProtocolStream *stream,
               gint64             now);
  /* The number of bytes that still wait for TCP. */
  void (*flushed) (TcpProtocol       *self,
                   TcpProtocolStream *stream,
                   gsize              queued);
  /* TCP broke, or must be reset. */
  void (*reset) (TcpProtocol       *self,
                 TcpProtocolStream *stream,
                 const GError      *error,
                 gint64             now);
  /* The stream is no longer active. */
  void (*forgotten) (TcpProtocol       *self,
                     TcpProtocolStream *stream);
  /* The stream was released, and is freed next. */
  void (*released) (TcpProtocol       *self,
                    TcpProtocolStream *stream);

  /* Asks the gateway to listen on the port, and to pass on the connections to it; 0 is for any port. @name is for
   * people. A listener that was requested before continues. NULL if the protocol has no listeners. */
  void (*listen) (TcpProtocol *self,
                  guint32      listener,
                  guint16      port,
                  const char  *name);
  /* The answers of the gateway: it listens, or it cannot, or not any more. A client calls the second when it does not
   * need the listener any more. */
  void (*listening) (TcpProtocol *self,
                     guint32      listener,
                     const char  *host,
                     guint16      port);
  void (*unlisten) (TcpProtocol  *self,
                    guint32       listener,
                    TcpResetCode  code,
                    const char   *reason);

  /* Accepts no new streams from the peer, if the protocol can announce that. */
  void (*drain) (TcpProtocol *self);
  /* The peer no longer has the session: streams that it knew are reset, and the others are opened again, if streams can
   * wait. Calls back. */
  void (*lose) (TcpProtocol  *self,
                const GError *error);
  /* Asks the peer to return on another transport, with another token if @renew. NULL if the protocol has no message for
   * that. */
  void (*send_away) (TcpProtocol *self,
                     gboolean     renew,
                     const char  *reason);
  /* This end ends the session, and resets all streams next; @unauthorized if the peer has no valid token any more. */
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

  GHashTable *streams; /* id → TcpProtocolStream, those that are active */
  guint n_streams;     /* all that were not released */
  guint32 next_id;

  gboolean text; /* set by the user before receive (): the message is a text message */
  gboolean stays_single; /* set by the user: lifts_single only affects what is announced to the peer */

  /* read by the user */
  gboolean over;     /* no transport can continue the session */
  gboolean many;     /* both ends support many streams, although one was requested */
  gboolean progress; /* data has arrived, or was acknowledged; the user clears it */
  guint peer_timeout; /* the time in s for which the peer keeps the session without a transport; 0 if it does not */
  GQueue goodbye; /* of TcpBuffer: frames that end the session on a transport of their own, if the peer may not have
                   * read them; the user takes them */
  TcpProtocolFigures figures;
};

TcpProtocol *tcp_protocol_new (const TcpProtocolClass     *class,
                               const TcpProtocolOptions   *options,
                               const TcpProtocolCallbacks *callbacks,
                               gpointer                    user_data);
void tcp_protocol_free (TcpProtocol *self);
void tcp_protocol_release (TcpProtocol       *self,
                           TcpProtocolStream *stream);

/* for the protocols themselves */
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
