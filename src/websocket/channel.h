/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "base/buffer.h"
#include "base/close-code.h"
#include "base/log.h"
#include "base/status.h"
#include "io/budget.h"
#include "io/buffered-connection.h"
#include "websocket/frame-reader.h"
#include "websocket/group.h"
#include "websocket/path.h"

G_BEGIN_DECLS

/* One WebSocket as a message pipe with back-pressure. libsoup handles its control frames and the closing handshake;
 * data frames pass without a copy, in both directions.
 *
 * Belongs to one thread. The callbacks may do anything, including dropping the channel. */
typedef struct _TcpChannel TcpChannel;

/* The limit on data that waits to be sent; another message is accepted below this, or below half of it if the kernel
 * accepts no more. */
#define TCP_CHANNEL_MAX_PENDING (512 * 1024)

/* A message up to this size arrives as one piece. */
#define TCP_CHANNEL_MAX_WHOLE TCP_FRAME_MAX_WHOLE

/* The minimum for a pool of channels: with less, a message that does not fit into a small buffer would never be
 * received, since a share may have three quarters of the pool at once. */
#define TCP_CHANNEL_MIN_MEMORY (2 * TCP_FRAME_READER_SIZE)

typedef struct
{
  /* The number of bytes that may be read before the messages in them are handled; NULL for no limit. */
  gsize (*may_read) (TcpChannel *channel,
                     gpointer    user_data);
  /* A message, or a part of one that is larger than TCP_CHANNEL_MAX_WHOLE. @data is valid until turn_over () or closed
   * () has returned. */
  void (*message) (TcpChannel   *channel,
                   const guint8 *data,
                   gsize         length,
                   gboolean      first,
                   gboolean      last,
                   gpointer      user_data);
  /* Other channels get their turn now. Follows messages. */
  void (*turn_over) (TcpChannel *channel,
                     gpointer    user_data);
  /* tcp_channel_can_send () has returned FALSE, and would now return TRUE; or tcp_channel_watch () was called. */
  void (*drained) (TcpChannel *channel,
                   gpointer    user_data);
  /* The end, called once. @code is the close code of the peer, TCP_CLOSE_NO_CODE if it sent none, or 0 if there was no
   * closing handshake; then @error is the reason. */
  void (*closed) (TcpChannel   *channel,
                  guint         code,
                  const char   *reason,
                  const GError *error,
                  gpointer      user_data);
} TcpChannelCallbacks;

typedef struct
{
  gboolean client;          /* which end of the WebSocket this is */
  GUri *uri;
  GSocket *socket;          /* below the stream; not owned */
  gboolean plain;           /* the stream is plain TCP, without TLS */
  TcpBufferedConnection *buffered; /* below TLS; nullable */
  const GByteArray *early;  /* bytes that were read together with the HTTP head; nullable */
  guint keepalive_interval; /* in ms, 0 for none */
  guint keepalive_timeout;  /* in ms, 0 for none */
  gboolean brief;           /* for one TCP connection, which may end soon, see tcp_keepalive_start () */
  gboolean late_ping;       /* the peer may close its socket without reading, as bridges do: an unread ping would then
                             * cause a reset, which discards the data that the peer has sent */
  TcpLog *log;
  TcpStatus *status;        /* receives the round trip; nullable */
  TcpStatus *counter;       /* counts the channel while it is open; nullable */
  TcpChannelGroup *group;
  TcpBudget *budget;        /* for data that is not a complete message yet, and data that belongs to no session;
                             * nullable */
  guint message_timeout;    /* in ms: how long a message may be incomplete when memory is short */
} TcpChannelOptions;

TcpChannel *tcp_channel_new (GIOStream               *stream,
                             const TcpChannelOptions *options);
TcpChannel *tcp_channel_ref (TcpChannel *self);
void tcp_channel_unref (TcpChannel *self);
void tcp_channel_set_callbacks (TcpChannel                *self,
                                const TcpChannelCallbacks *callbacks,
                                gpointer                   user_data);
gboolean tcp_channel_can_send (TcpChannel *self);
void tcp_channel_watch (TcpChannel *self);
void tcp_channel_send (TcpChannel *self,
                       TcpBuffer  *buffer);
void tcp_channel_flush (TcpChannel *self);
gsize tcp_channel_get_pending (TcpChannel *self);
void tcp_channel_steal_unsent (TcpChannel *self,
                               GQueue     *unsent);
void tcp_channel_list_unsent (TcpChannel *self,
                              GQueue     *unsent);
void tcp_channel_set_held (TcpChannel *self,
                           gboolean    held);
guint64 tcp_channel_get_unconfirmed (TcpChannel *self);
guint tcp_channel_get_probe_timeout (TcpChannel *self);
void tcp_channel_measure_path (TcpChannel *self,
                               gint64      now,
                               TcpPath    *path);
void tcp_channel_probe (TcpChannel *self,
                        guint       timeout);
void tcp_channel_charge (TcpChannel *self,
                         gint64      time);
gboolean tcp_channel_thread_is_shared (void);
void tcp_channel_pause (TcpChannel *self);
void tcp_channel_resume (TcpChannel *self);
gboolean tcp_channel_is_text (TcpChannel *self);
void tcp_channel_drop_unsent (TcpChannel *self);
void tcp_channel_close (TcpChannel *self,
                        guint       code,
                        const char *reason);
gboolean tcp_channel_has_ended (TcpChannel *self);
void tcp_channel_abort (TcpChannel   *self,
                        const GError *error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpChannel, tcp_channel_unref)

G_END_DECLS
