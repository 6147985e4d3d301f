/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "base/log.h"
#include "base/status.h"
#include "io/log-limit.h"
#include "protocol/plain.h"
#include "protocol/protocol.h"
#include "protocol/resumable.h"
#include "io/budget.h"
#include "session/stream.h"
#include "websocket/channel.h"

G_BEGIN_DECLS

/* TCP connections over one channel at a time, the same at both ends. The tunnel opens the channel and accepts
 * connections; the gateway accepts the channel and opens connections. The session connects the channel, the streams and
 * a protocol; only the protocol determines what is sent over the channel.
 *
 * Belongs to one thread. The callbacks may do anything, including dropping the session. */
typedef struct _TcpSession TcpSession;

typedef struct
{
  /* The peer opened a connection: connect, and call tcp_session_connected () or tcp_session_refuse (). If the callback
   * is NULL, every connection is refused. @target is the requested target, or NULL. */
  void (*opened) (TcpSession *session,
                  TcpStream  *stream,
                  const char *target,
                  gpointer    user_data);
  /* The peer has connected a stream that this end opened; if the protocol does not report that, there is a channel for
   * it. Nullable. */
  void (*connected) (TcpSession *session,
                     TcpStream  *stream,
                     gpointer    user_data);
  /* As opened, for a connection to a port on which the peer listens for this end, from @client if that is known. This
   * and the next three callbacks are for sessions with listeners. */
  void (*arrived) (TcpSession *session,
                   TcpStream  *stream,
                   guint32     listener,
                   const char *client,
                   gpointer    user_data);
  /* The peer requests a listener: tcp_session_listening () or tcp_session_unlisten () must follow. */
  void (*listen) (TcpSession *session,
                  guint32     listener,
                  guint16     port,
                  const char *name,
                  gpointer    user_data);
  /* The peer listens. May be called more than once. */
  void (*listening) (TcpSession *session,
                     guint32     listener,
                     const char *host,
                     guint16     port,
                     gpointer    user_data);
  /* The peer does not listen, or does not need a listener of this end any more. */
  void (*unlistened) (TcpSession   *session,
                      guint32       listener,
                      TcpResetCode  code,
                      const GError *error,
                      gpointer      user_data);
  /* A connection has ended; @error is the reason if it did not end in order. */
  void (*stream_closed) (TcpSession   *session,
                         TcpStream    *stream,
                         const GError *error,
                         gpointer      user_data);
  /* The channel is lost. Streams that survive wait for another. */
  void (*channel_closed) (TcpSession   *session,
                          const GError *error,
                          gpointer      user_data);
  /* The peer's HELLO was read on this channel: a resumable session continues, or begins. Nullable. */
  void (*hello) (TcpSession *session,
                 gpointer    user_data);
  /* The peer accepts no new streams. Nullable. */
  void (*draining) (TcpSession *session,
                    gpointer    user_data);
  /* The peer requests another channel in place of this one, which is closed next: with another token, if @error is
   * TCP_TUNNEL_ERROR_UNAUTHORIZED, otherwise at once. Nullable. */
  void (*sent_away) (TcpSession   *session,
                     const GError *error,
                     gpointer      user_data);
} TcpSessionCallbacks;

typedef struct
{
  const TcpProtocolClass *protocol; /* NULL if it is negotiated later */
  gboolean client;          /* this end opens the WebSocket */
  gboolean single;          /* the session has one stream, and ends with it */
  gboolean lifts_single;    /* resumable: unless the peer supports many as well */
  gboolean listens;         /* resumable: the gateway listens for its client */
  gboolean foreign;         /* raw: see tcp_session_set_foreign () */
  gboolean nameless;        /* raw: the peer sent no session id, so that it cannot come back with another WebSocket */
  guint max_buffered_bytes; /* raw, tagged: toward TCP, all streams together */
  gsize max_pending_bytes;  /* reverse: the maximum that waits for one connection that is not open yet */
  guint max_unacknowledged_bytes; /* resumable: sent but not acknowledged */
  guint max_window_bytes;   /* resumable: the credit of all streams together */
  guint max_first_window;   /* the initial credit of one stream; 0: no further limit */
  guint max_streams;
  guint session_timeout;    /* in s, announced to the peer */
  guint hello_timeout;      /* resumable: in ms, for the peer's HELLO; 0 for none */
  TcpBudget *budget;        /* of all sessions of this gateway; nullable */
  TcpBudget *queue_budget;  /* likewise, for data in the initial windows */
  gboolean reset_on_loss;
  const char *peer;     /* the name of the other end, for messages */
  const char *target;   /* the name of the target of connections that the peer requests */
  TcpLog *log;
  TcpLogLimit *warnings; /* limits warnings that the peer can cause; outlives the session; NULL: not limited */
  TcpStatus *status;
} TcpSessionOptions;

TcpSession *tcp_session_new (const TcpSessionOptions   *options,
                             const TcpSessionCallbacks *callbacks,
                             gpointer                   user_data);
void tcp_session_set_protocol (TcpSession             *self,
                               const TcpProtocolClass *class);
const TcpProtocolClass *tcp_session_get_protocol (TcpSession *self);
GError *tcp_session_target_error (TcpSession *self,
                                  const char *target);
void tcp_session_set_foreign (TcpSession *self,
                              gboolean    foreign);
guint tcp_session_get_reset_code (TcpSession *self);
void tcp_session_restart (TcpSession   *self,
                          const GError *error);
void tcp_session_abandon (TcpSession   *self,
                          const GError *error);
TcpSession *tcp_session_ref (TcpSession *self);
void tcp_session_unref (TcpSession *self);
void tcp_session_attach (TcpSession *self,
                         TcpChannel *channel);
TcpChannel *tcp_session_get_channel (TcpSession *self);
TcpStream *tcp_session_open (TcpSession        *self,
                             const char        *target,
                             GSocketConnection *connection);
TcpStream *tcp_session_open_from (TcpSession        *self,
                                  guint32            listener,
                                  const char        *client,
                                  GSocketConnection *connection);
GError *tcp_session_listen_error (TcpSession *self);
gboolean tcp_session_listen (TcpSession *self,
                             guint32     listener,
                             guint16     port,
                             const char *name);
void tcp_session_listening (TcpSession *self,
                            guint32     listener,
                            const char *host,
                            guint16     port);
void tcp_session_unlisten (TcpSession   *self,
                           guint32       listener,
                           TcpResetCode  code,
                           const char   *reason);
void tcp_session_connected (TcpSession        *self,
                            TcpStream         *stream,
                            GSocketConnection *connection);
void tcp_session_refuse (TcpSession   *self,
                         TcpStream    *stream,
                         TcpResetCode  code,
                         const GError *error);
void tcp_session_drain (TcpSession *self);
guint tcp_session_get_n_streams (TcpSession *self);
GPtrArray *tcp_session_list_streams (TcpSession *self);
gboolean tcp_session_is_idle (TcpSession *self);
gboolean tcp_session_is_finishing (TcpSession *self);
gboolean tcp_session_is_empty (TcpSession *self);
gboolean tcp_session_is_over (TcpSession *self);
gboolean tcp_session_wants_channel (TcpSession *self);
gboolean tcp_session_takes_many (TcpSession *self);
void tcp_session_stay_single (TcpSession *self);
gboolean tcp_session_take_progress (TcpSession *self);
void tcp_session_take_goodbye (TcpSession *self,
                               GQueue     *frames);
guint tcp_session_get_peer_timeout (TcpSession *self);
void tcp_session_send_away (TcpSession *self,
                            gboolean    renew,
                            const char *reason);
void tcp_session_close (TcpSession   *self,
                        guint         code,
                        const char   *reason,
                        const GError *error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpSession, tcp_session_unref)

G_END_DECLS
