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

/* TCP connections over one channel at a time, the same at both ends. The tunnel
 * dials the channel and accepts connections, the gateway the other way about;
 * everything between is here. This is where the channel, the streams and a protocol meet: what
 * goes over the channel is the protocol's business alone.
 *
 * Belongs to one thread. The callbacks may do anything, also drop the session. */
typedef struct _TcpSession TcpSession;

typedef struct
{
  /* The peer opened a connection: dial, then tcp_session_connected(), or
   * tcp_session_refuse(). NULL refuses whatever the peer opens. @target is what it
   * wants, or NULL. */
  void (*opened) (TcpSession *session,
                  TcpStream  *stream,
                  const char *target,
                  gpointer    user_data);
  /* The peer has connected the one that this end opened, or, where a protocol cannot say so, there is
   * a channel for it. Nullable. */
  void (*connected) (TcpSession *session,
                     TcpStream  *stream,
                     gpointer    user_data);
  /* The same, for a connection that came to a listener of this end at the peer, from @client where that is
   * known. This and the next three are of those that listen for the peer, or have it listen. */
  void (*arrived) (TcpSession *session,
                   TcpStream  *stream,
                   guint32     listener,
                   const char *client,
                   gpointer    user_data);
  /* The peer asks for a listener: tcp_session_listening(), or tcp_session_unlisten(), is to follow. */
  void (*listen) (TcpSession *session,
                  guint32     listener,
                  guint16     port,
                  const char *name,
                  gpointer    user_data);
  /* The peer listens. It may say so more than once. */
  void (*listening) (TcpSession *session,
                     guint32     listener,
                     const char *host,
                     guint16     port,
                     gpointer    user_data);
  /* The peer does not, or has no more use for a listener of this end. */
  void (*unlistened) (TcpSession   *session,
                      guint32       listener,
                      TcpResetCode  code,
                      const GError *error,
                      gpointer      user_data);
  /* A connection is gone; @error tells why if it was not in order. */
  void (*stream_closed) (TcpSession   *session,
                         TcpStream    *stream,
                         const GError *error,
                         gpointer      user_data);
  /* The channel is gone. Streams that live on wait for another. */
  void (*channel_closed) (TcpSession   *session,
                          const GError *error,
                          gpointer      user_data);
  /* The peer's HELLO was read on this channel: a session that can be resumed goes on, or
   * begins. Nullable. */
  void (*hello) (TcpSession *session,
                 gpointer    user_data);
  /* The peer takes no new streams. Nullable. */
  void (*draining) (TcpSession *session,
                    gpointer    user_data);
  /* The peer wants another channel in the place of this one, which is closed next: opened with
   * another token, if @error is TCP_TUNNEL_ERROR_UNAUTHORIZED, or else at once. Nullable. */
  void (*sent_away) (TcpSession   *session,
                     const GError *error,
                     gpointer      user_data);
} TcpSessionCallbacks;

typedef struct
{
  const TcpProtocolClass *protocol; /* NULL if that is still to be negotiated */
  gboolean client;          /* this end opens the WebSocket */
  gboolean single;          /* one stream, and then the session is over, */
  gboolean lifts_single;    /* resumable: unless the peer can do with many as well */
  gboolean listens;         /* resumable: the gateway listens for its client */
  gboolean foreign;         /* raw: see tcp_session_set_foreign () */
  gboolean nameless;        /* raw: the peer gave the session no name, so that it cannot
                             * come back with another WebSocket */
  guint max_buffered_bytes; /* raw, tagged: toward TCP, all streams together */
  gsize max_pending_bytes;  /* reverse: what may wait for one connection that is not there yet */
  guint max_unacknowledged_bytes; /* resumable: sent and not acknowledged */
  guint max_window_bytes;   /* resumable: credit, all streams together, */
  guint max_first_window;   /* and that with which one begins; 0: no further limit */
  guint max_streams;
  guint session_timeout;    /* s, to be told to the peer */
  guint hello_timeout;      /* ms, resumable: for the peer's HELLO; 0 for none */
  TcpBudget *budget;        /* of all sessions of this gateway; nullable, */
  TcpBudget *queue_budget;  /* as that for what waits in the first windows */
  gboolean reset_on_loss;
  const char *peer;     /* what is at the far end, for messages */
  const char *target;   /* and what this end's TCP connections lead to that the peer asked for */
  TcpLog *log;
  TcpLogLimit *warnings; /* that the peer can cause, and that outlives the session; NULL: they go to @log */
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
